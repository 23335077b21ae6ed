"""The last round: the few points that could be the answer, timed together until their order is settled."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tuner.backends.faiss_hnsw import Served
from tuner.pareto import dominated_by_more_than
from tuner.sweep.baseline import Reference
from tuner.sweep.measure import measure_at, operating_point
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import Workbench
from tuner.timing import Search, Yardstick, interleave, throughput
from tuner.types import Latency, OperatingPoint, Recall, Steps

SLACK = 0.08
"""Quick latencies may be this far off: points inside it are timed again."""

TIMED_QUERIES = 512
A_ROUND = 128
ROUNDS = 6
MOST_FINALISTS = 8
CLOSEST = 6
MOST_RAISED = 4
RESIDENT_SHARE = 1.2
"""Finalists timed together take at most this many times the float32 base."""


@dataclass(frozen=True)
class Timed:
    """Finalists with their latencies.

    Attributes:
        noise_floor: largest deviation from 1 of the ratio between two entries of the same index.
        reference: latency of the float32 reference.
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
    kept.sort(key=lambda p: (p.memory.resident_bytes * p.modelled_latency_s, p.configuration.label))
    chosen = kept[:MOST_FINALISTS]
    for extreme in (lambda p: p.memory.resident_bytes, lambda p: p.modelled_latency_s):
        if kept and (least := min(kept, key=extreme)) not in chosen:
            chosen.append(least)
    return sorted(chosen, key=lambda p: (p.configuration.codec, p.configuration.dims, p.configuration.label))


def raise_ef(problem: Problem, bench: Workbench, points: list[OperatingPoint]) -> list[OperatingPoint]:
    """Return points whose ef_search was raised until the held-out half supports the target too.

    Called only when no point holds on the held-out half; the report says that it then chose as well.
    """
    raised = []
    most = problem.options.space.ef_search_max
    near = sorted(points, key=lambda p: (-_lower(p.validated), p.configuration.label))
    for point in near[:CLOSEST]:
        ef = point.ef_search
        served = bench.serve(point.configuration)
        while ef < most:
            ef = min(most, ef + max(1, ef // 12))
            tuned = measure_at(problem, served, ef)
            more = tuned.ndis / point.ndis_per_query
            again = operating_point(
                problem,
                served,
                tuned,
                point.memory,
                point.predicted_recall,
                None if point.predicted_latency_s is None else more * point.predicted_latency_s,
                more * point.modelled_latency_s,
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
    yardstick: Yardstick,
    reference: Reference,
) -> Steps[Timed]:
    """Yield the share done; return the finalists with latencies from interleaved rounds.

    Args:
        yardstick: has its turn in every batch.
        reference: the float32 index that people have today.

    Batches are as large as memory allows. The first index of each runs twice, once as itself and once as
    its own rival, which is the noise floor; the float32 reference is timed with the last batch.
    """
    k = problem.options.k
    queries = problem.raw[problem.tune[:TIMED_QUERIES]]
    contestants = [(p.configuration, p.ef_search) for p in finalists]
    contestants.append((reference.configuration, reference.ef_search))
    sizes = [float(bench.memory_of(configuration).resident_bytes) for configuration, _ in contestants]
    latencies: list[Latency] = []
    noise = 0.0
    for batch in batched(sizes, RESIDENT_SHARE * 4 * problem.base.n * problem.base.d):
        bench.keep_codecs(len(batch))
        servers = []
        for number in batch:
            configuration, ef_search = contestants[number]
            servers.append(bench.serve(configuration))
            servers[-1].set_ef(ef_search)
        searches = [yardstick.search, *(_search_of(served, k) for served in (servers[0], *servers))]
        timings = interleave(
            searches, queries, problem.options.seed, a_round=A_ROUND, twins=(1, 2), fewest=ROUNDS
        )
        noise = max(noise, abs(timings.ratio(2, 1) - 1))
        drift = yardstick.mean_s / timings.latency(0, 0).mean_s
        for place, search in enumerate(searches[2:], start=2):
            batch_rate = throughput(search, queries, problem.threads)
            latencies.append(timings.latency(place, 0, batch_rate).scaled(drift))
        del searches, servers, search
        bench.keep_codecs(1)
        problem.base.release()
        yield len(latencies) / len(contestants)
    limit = problem.options.max_latency_s
    points = []
    for point, latency in zip(finalists, latencies[:-1], strict=True):
        fits = limit is None or latency.p95_s <= limit
        points.append(
            replace(
                point,
                latency=latency,
                reaches_target=point.reaches_target and fits,
            )
        )
    return Timed(points=tuple(priced(points)), noise_floor=noise, reference=latencies[-1])


def priced(points: list[OperatingPoint]) -> list[OperatingPoint]:
    """Return timed points with modelled latencies at the one price that the clock shows for each codec."""
    ratios: dict[tuple[str, str, int, str | None], list[float]] = {}
    for p in points:
        if p.latency is not None and p.predicted_latency_s:
            ratios.setdefault(_price_key(p), []).append(
                float(np.log(p.latency.mean_s / p.predicted_latency_s))
            )
    return [_at_price(p, ratios.get(_price_key(p))) for p in points]


def _price_key(point: OperatingPoint) -> tuple[str, str, int, str | None]:
    what = point.configuration
    return what.codec, what.cut, what.dims, what.rerank


def _at_price(point: OperatingPoint, ratios: list[float] | None) -> OperatingPoint:
    if point.latency is None:
        return point
    if not ratios or not point.predicted_latency_s:
        return replace(point, modelled_latency_s=point.latency.mean_s)
    return replace(point, modelled_latency_s=point.predicted_latency_s * float(np.exp(np.mean(ratios))))


def _search_of(served: Served, k: int) -> Search:
    index = served.index
    return lambda queries: index.search(queries, k)


def batched(sizes: list[float], limit: float) -> list[list[int]]:
    """Return positions in batches of at most ``limit`` together (one at least), in order."""
    batches: list[list[int]] = []
    filled = 0.0
    for number, size in enumerate(sizes):
        if not batches or filled + size > limit:
            batches.append([])
            filled = 0.0
        batches[-1].append(number)
        filled += size
    return batches
