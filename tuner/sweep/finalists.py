"""The few points that could be the answer: which are worth timing."""

from __future__ import annotations

from dataclasses import replace

from tuner.index.codec_view import CodecView
from tuner.prediction.pareto import dominated_by_more_than
from tuner.prediction.surface import CodecCost
from tuner.sweep.ef_search import measure_at, operating_point
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.types import OperatingPoint, Recall

SLACK = 0.08
"""Modelled latencies may be this far off: points inside it are timed."""

MOST_FINALISTS = 6
CLOSEST = 6
MOST_RAISED = 4


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


def raise_ef(
    problem: Problem, builder: IndexBuilder, points: list[OperatingPoint], costs: dict[CodecView, CodecCost]
) -> list[OperatingPoint]:
    """Return points whose ef_search was raised until the held-out half supports the target too.

    Called only when no point holds on the held-out half; the report says that it then chose as well.
    """
    raised = []
    most = problem.options.space.ef_search_max
    near = sorted(points, key=lambda p: (-_lower(p.validated), p.configuration.label))
    for point in near[:CLOSEST]:
        ef, what = point.ef_search, point.configuration
        searchable = builder.serve(what)
        while ef < most:
            ef = min(most, ef + max(1, ef // 12))
            ef_result = measure_at(problem, searchable, ef)
            again = operating_point(
                problem,
                searchable,
                ef_result,
                point.memory,
                point.predicted_recall,
                costs[CodecView.of(what)],
            )
            if again.reaches_target:
                raised.append(replace(again, predicted_recall=None))
                break
            if ef > MOST_RAISED * point.ef_search:
                break
        del searchable  # before the next is made
    return raised


def _lower(recall: Recall | None) -> float:
    return recall.lower if recall is not None else 0.0
