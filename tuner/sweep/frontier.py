"""Really measure what could be on the front, and nothing else.

The surface is a prediction. Candidates are measured codec by codec, the most promising first; what
is measured corrects the price of its codec, and a candidate that a measured point beats by more than
the prediction can be wrong is left out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from tuner.backends.faiss_hnsw import Served
from tuner.curves import Curve
from tuner.pareto import dominated_by_more_than
from tuner.quantizers import quantizer
from tuner.surface import Candidate
from tuner.sweep.measure import Tuned, operating_point, tune_ef
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import Workbench
from tuner.timing import interleave
from tuner.types import Configuration, OperatingPoint, Steps

SLACK = 0.08
"""Share by which a predicted latency may be too high: candidates inside it are measured."""

MEASURED_SLACK = 0.05
"""The same once the codec's price is corrected by a measurement."""

RERANKED_SLACK = -0.10
"""The same with re-ranking, whose predictions were seen to err on the low side only: a gain is asked for."""

SAME_CODES_SLACK = 0.03
"""The same between candidates of one codec: its price cancels out."""

QUICK_QUERIES = 128
QUICK_ROUNDS = 3


@dataclass(frozen=True)
class Group:
    """The candidates of one codec, measured together because the base is encoded once for them."""

    key: str
    candidates: tuple[Candidate, ...]


def codec_key(configuration: Configuration) -> str:
    """Return what candidates share when they share codes."""
    return f"{configuration.codec}@{configuration.cut}{configuration.dims}+{configuration.rerank}"


def codes_of(configuration: Configuration) -> tuple[str, str, int]:
    """Return what two configurations share whose distances cost the same."""
    return configuration.codec, configuration.cut, configuration.dims


def _best_of_each_codec(open_: list[Candidate]) -> list[Candidate]:
    """Return the candidates that no other of the same codec clearly beats: there the price cancels out."""
    by_codec: dict[tuple[str, str, int], list[Candidate]] = {}
    for candidate in open_:
        by_codec.setdefault(codes_of(candidate.configuration), []).append(candidate)
    return [kept for mine in by_codec.values() for kept in unbeaten(mine, mine, [], SAME_CODES_SLACK)]


def next_group(remaining: list[Candidate], measured: list[OperatingPoint], done: set[str]) -> Group | None:
    """Return the most promising group that still has an unbeaten candidate, or None."""
    open_ = corrected([c for c in remaining if codec_key(c.configuration) not in done], measured)
    open_ = _best_of_each_codec(open_)
    known = {codes_of(p.configuration) for p in measured}
    plain = [c for c in open_ if c.configuration.rerank is None]
    reranked = [c for c in open_ if c.configuration.rerank is not None]
    open_ = [
        *unbeaten([c for c in plain if codes_of(c.configuration) in known], open_, measured, MEASURED_SLACK),
        *unbeaten([c for c in plain if codes_of(c.configuration) not in known], open_, measured, SLACK),
        # among themselves they are equals; of what needs no re-ranking they must promise a gain
        *unbeaten(unbeaten(reranked, plain, measured, RERANKED_SLACK), reranked, [], 0.0),
    ]
    if not open_:
        return None
    # codecs that need no re-ranking first: they are what the others have to beat
    best = min(
        open_,
        key=lambda c: (
            c.configuration.rerank is not None,
            c.memory.resident_bytes * c.latency_s,
            c.configuration.label,
        ),
    )
    key = codec_key(best.configuration)
    return Group(key, tuple(c for c in open_ if codec_key(c.configuration) == key))


def corrected(open_: list[Candidate], measured: list[OperatingPoint]) -> list[Candidate]:
    """Return the candidates at prices that measured points have shown.

    The nearest relatives decide: the same codec with or without re-ranking as the candidate has it, else
    the same family, else all with or without re-ranking, else all that was measured.
    """
    shown: dict[tuple[object, ...], list[float]] = {}
    for point in measured:
        if point.predicted_latency_s:
            ratio = float(np.log(point.modelled_latency_s / point.predicted_latency_s))
            for relatives in _relatives(point.configuration):
                shown.setdefault(relatives, []).append(ratio)
    return [replace(c, latency_s=c.predicted_s * _correction(c.configuration, shown)) for c in open_]


def _relatives(configuration: Configuration) -> list[tuple[object, ...]]:
    reranked = configuration.rerank is not None
    kind = quantizer(configuration.codec, configuration.dims).kind
    return [(configuration.codec, reranked), (kind, reranked), (reranked,), ()]


def _correction(configuration: Configuration, shown: dict[tuple[object, ...], list[float]]) -> float:
    for relatives in _relatives(configuration):
        if relatives in shown:
            return float(np.exp(np.mean(shown[relatives])))
    return 1.0


def unbeaten(
    asked: list[Candidate], rivals: list[Candidate], measured: list[OperatingPoint], slack: float
) -> list[Candidate]:
    """Return the candidates that no other candidate and no measured point beats by more than ``slack``."""
    reached = [p for p in measured if p.reaches_target]
    memory = [c.memory.resident_bytes for c in rivals] + [p.memory.resident_bytes for p in reached]
    latency = [c.latency_s for c in rivals] + [p.modelled_latency_s for p in reached]
    beaten = dominated_by_more_than(
        [c.memory.resident_bytes for c in asked], [c.latency_s for c in asked], memory, latency, slack
    )
    return [candidate for candidate, lost in zip(asked, beaten, strict=True) if not lost]


def measure_group(
    problem: Problem,
    bench: Workbench,
    group: Group,
    curves: dict[int, Curve],
    reference: tuple[Served, float],
    measured: list[OperatingPoint],
    most: int,
) -> Steps[tuple[OperatingPoint, ...]]:
    """Yield the share done; return the measured points of one codec.

    Args:
        reference: the index that every latency is a ratio to, and its seconds a query.
        most: points to measure at most.
    """
    bench.keep_codecs(1)  # drops the codes of the group before
    points: list[OperatingPoint] = []
    waiting = sorted(group.candidates, key=lambda c: c.memory.resident_bytes * c.latency_s)
    shown = 1.0  # what the ef that was found was to the one predicted, for this codec
    while waiting and len(points) < most:
        candidate = waiting.pop(0)
        served = bench.serve(candidate.configuration)
        guess = round(candidate.ef_search * shown)
        tuned = tune_ef(problem, served, guess, problem.options.space.ef_search_max)
        shown = tuned.ef_search / candidate.ef_search
        latency = quick_latency(problem, served, tuned, reference)
        curve = curves[candidate.configuration.M]
        point = operating_point(
            problem,
            served,
            tuned,
            candidate.memory,
            candidate.ceiling * curve.recall_at(tuned.ef_search),
            candidate.predicted_s,
            latency,
        )
        points.append(point)
        ratio = latency / candidate.latency_s
        repriced = [replace(c, latency_s=c.latency_s * ratio) for c in waiting]
        keep = unbeaten(repriced, repriced, [*measured, *points], MEASURED_SLACK)
        del served  # its links, before those of the next are made
        problem.base.release()
        kept = {c.configuration for c in keep}
        waiting = [c for c in waiting if c.configuration in kept]
        yield len(points) / (len(points) + len(waiting))
    return tuple(points)


def quick_latency(problem: Problem, served: Served, tuned: Tuned, reference: tuple[Served, float]) -> float:
    """Return seconds a query: the ratio to the reference in a few rounds, times the reference's."""
    served.set_ef(tuned.ef_search)
    k = problem.options.k
    queries = problem.raw[problem.tune[:QUICK_QUERIES]]
    timings = interleave(
        [lambda q: reference[0].index.search(q, k), lambda q: served.index.search(q, k)],
        queries,
        problem.options.seed,
        fewest=QUICK_ROUNDS,
        most=QUICK_ROUNDS,
    )
    return timings.ratio(1, 0) * reference[1]


def out_of_time(started: float, budget_s: float | None, share: float) -> bool:
    """Return whether that share of the time budget is spent."""
    return budget_s is not None and time.perf_counter() - started > share * budget_s


def prediction_error(points: list[OperatingPoint]) -> float | None:
    """Return the mean absolute error of predicted recall over measured points."""
    errors = [abs(p.predicted_recall - p.recall.mean) for p in points if p.predicted_recall is not None]
    return float(np.mean(errors)) if errors else None
