"""What an index does at every ef_search that was measured on the way to its own: kept beside the point."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from tuner.recall.target import usual_quantile, widened
from tuner.sweep.problem import Problem
from tuner.types import OperatingPoint, TriedEf


def with_wider_bounds(problem: Problem, tried: Iterable[TriedEf]) -> tuple[TriedEf, ...]:
    """Return what was tried with bounds that hold for all finalists together."""
    old = usual_quantile(problem.n_queries, problem.options.confidence)
    wider = problem.target.width_in_errors / old
    return tuple(
        replace(each, lower=widened(each.recall, each.lower, problem.n_queries, wider)) for each in tried
    )


def with_tries_of(problem: Problem, point: OperatingPoint, before: OperatingPoint) -> OperatingPoint:
    """Return a finalist with what was tried of it before its bound had to hold together with others.

    Args:
        before: the same index at the ef_search that its own bound certified.
    """
    ratio = before.modelled_latency_s / point.modelled_latency_s
    own = TriedEf(
        ef_search=before.ef_search,
        recall=before.recall.mean,
        lower=before.recall.lower,
        ndis_per_query=before.ndis_per_query,
        time_ratio=1.0,
    )
    earlier = [replace(each, time_ratio=each.time_ratio * ratio) for each in (*before.tried, own)]
    known = {each.ef_search: each for each in with_wider_bounds(problem, earlier)}
    known |= {each.ef_search: each for each in point.tried}
    known.pop(point.ef_search, None)
    return replace(point, tried=tuple(known[ef] for ef in sorted(known)))


def lowered(point: OperatingPoint, fell: float) -> tuple[TriedEf, ...]:
    """Return what was tried of a point, less what rows that were added cost in recall."""
    return tuple(
        replace(each, recall=max(0.0, each.recall - fell), lower=max(0.0, each.lower - fell))
        for each in point.tried
        if each.ef_search != point.ef_search
    )
