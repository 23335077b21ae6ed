"""The last round: the few points that could be the answer, timed together until their order is settled."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner.backends.faiss_hnsw import Served
from tuner.pareto import dominated_by_more_than
from tuner.sweep.measure import measure_at, operating_point
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import Workbench
from tuner.timing import interleave, throughput
from tuner.types import Latency, OperatingPoint, Recall, Steps

SLACK = 0.10
"""Quick latencies may be this far off: points inside it are timed again."""

TIMED_QUERIES = 300
MOST_FINALISTS = 12
CLOSEST = 6
MOST_RAISED = 4
RESIDENT_SHARE = 1.2
"""Finalists timed together take at most this many times the float32 base."""


@dataclass(frozen=True)
class Timed:
    """Finalists with their latencies.

    Attributes:
        noise_floor: largest deviation from 1 of the ratio between two entries of the same index.
        reference: latency of the reference index.
    """

    points: tuple[OperatingPoint, ...]
    noise_floor: float
    reference: Latency


def choose_finalists(points: list[OperatingPoint], max_memory: float) -> list[OperatingPoint]:
    """Return the points worth timing: those that hold on both halves and that no other clearly beats."""
    open_ = [p for p in points if p.reaches_target and p.memory.resident_bytes <= max_memory]
    memory = [p.memory.resident_bytes for p in open_]
    latency = [p.modelled_latency_s for p in open_]
    beaten = dominated_by_more_than(memory, latency, memory, latency, SLACK)
    kept = [point for point, lost in zip(open_, beaten, strict=True) if not lost]
    kept.sort(key=lambda p: (p.memory.resident_bytes * p.modelled_latency_s, p.configuration))
    chosen = kept[:MOST_FINALISTS]
    for extreme in (lambda p: p.memory.resident_bytes, lambda p: p.modelled_latency_s):
        if kept and (least := min(kept, key=extreme)) not in chosen:
            chosen.append(least)
    return sorted(chosen, key=lambda p: (p.configuration.codec, p.configuration.dims, p.configuration))


def raise_ef(problem: Problem, bench: Workbench, points: list[OperatingPoint]) -> list[OperatingPoint]:
    """Return points whose ef_search was raised until the held-out half supports the target too.

    Called only when no point holds on the held-out half; the report says that it then chose as well.
    """
    raised = []
    most = problem.options.space.ef_search_max
    near = sorted(points, key=lambda p: (-_lower(p.validated), p.configuration))
    for point in near[:CLOSEST]:
        ef = point.ef_search
        served = bench.serve(point.configuration)
        while ef < most:
            ef = min(most, ef + max(1, ef // 12))
            tuned = measure_at(problem, served, ef)
            latency = point.modelled_latency_s * tuned.ndis / point.ndis_per_query
            again = operating_point(
                problem, served, tuned, point.memory, point.predicted_recall, point.predicted_latency_s, latency
            )
            if again.reaches_target:
                raised.append(replace(again, predicted_recall=None))
                break
            if ef > MOST_RAISED * point.ef_search:
                break
    return raised


def _lower(recall: Recall | None) -> float:
    return recall.lower if recall is not None else 0.0


def time_finalists(
    problem: Problem,
    bench: Workbench,
    finalists: list[OperatingPoint],
    reference: Served,
    max_latency_s: float | None,
) -> Steps[Timed]:
    """Yield the share done; return the finalists with latencies from interleaved rounds.

    Batches are as large as memory allows; the reference runs twice in each, once as itself and once
    as its own rival, which is the noise floor.
    """
    k = problem.options.k
    queries = problem.raw[problem.tune[:TIMED_QUERIES]]
    limit = RESIDENT_SHARE * 4 * problem.base.n * problem.base.d
    batches = batched(finalists, limit)
    done, noise, references = 0, 0.0, []
    timed: list[tuple[OperatingPoint, Latency, float]] = []
    for batch in batches:
        bench.keep_codecs(len(batch))
        servers = []
        for point in batch:
            served = bench.serve(point.configuration)
            served.set_ef(point.ef_search)
            servers.append(served)
        searches = [
            lambda q, index=served.index: index.search(q, k) for served in (reference, reference, *servers)
        ]
        timings = interleave(searches, queries, problem.options.seed)
        noise = max(noise, abs(timings.ratio(1, 0) - 1))
        references.append(timings.latency(0, 0))
        for number, (point, served) in enumerate(zip(batch, servers, strict=True), start=2):
            batch_qps = throughput(
                lambda q, index=served.index: index.search(q, k), problem.raw[problem.tune], problem.threads
            )
            timed.append((point, timings.latency(number, 0, batch_qps), references[-1].mean_s))
        done += len(batch)
        yield done / len(finalists)
    bench.keep_codecs(1)
    reference_latency = sorted(references, key=lambda latency: latency.mean_s)[len(references) // 2]
    points = []
    for point, latency, at_the_time in timed:
        scaled = _scale(latency, reference_latency.mean_s / at_the_time)
        fits = max_latency_s is None or scaled.p95_s <= max_latency_s
        points.append(
            replace(
                point,
                latency=scaled,
                modelled_latency_s=scaled.mean_s,
                reaches_target=point.reaches_target and fits,
            )
        )
    return Timed(points=tuple(points), noise_floor=noise, reference=reference_latency)


def batched(finalists: list[OperatingPoint], limit: float) -> list[list[OperatingPoint]]:
    """Return the finalists in batches of at most ``limit`` resident bytes (one at least), in order."""
    batches: list[list[OperatingPoint]] = []
    size = 0.0
    for point in finalists:
        bytes_ = float(point.memory.resident_bytes)
        if not batches or size + bytes_ > limit:
            batches.append([])
            size = 0.0
        batches[-1].append(point)
        size += bytes_
    return batches


def _scale(latency: Latency, factor: float) -> Latency:
    return replace(
        latency,
        mean_s=latency.mean_s * factor,
        p50_s=latency.p50_s * factor,
        p95_s=latency.p95_s * factor,
        p99_s=latency.p99_s * factor,
    )
