"""Queries searched: right answers, distances, proof that the index answered, time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuner.gate.baseline import machine_of
from tuner.index.opened import IndexUnderTest, prepared_rows
from tuner.prediction.curves import search_counted
from tuner.recall.paired import variance_per_drop
from tuner.recall.starvation import IndexUse, Starvation, finds_nearest
from tuner.runtime.machine import describe_machine
from tuner.runtime.timing import BLOCK, interleave
from tuner.sweep.problem import Problem
from tuner.types import GateBaseline, IdArray, Line

LOWERED = (2 / 3, 0.4, 0.2)
"""Shares of ef_search at which lost hits are looked at, until there are some."""
USUAL_SPREAD = 2.0
"""Variance per drop, in units of one hit, where nothing could be made to be lost."""
SLOWER = 0.10
"""Share of time beyond what the same index differs from itself by that is worth a warning."""
TIMED_QUERIES = 256
ROUNDS = 6


def search_prepared(opened: IndexUnderTest, problem: Problem, k: int) -> tuple[IdArray, float]:
    """Return prepared rows (nq, >= k), -1 for nothing, and distance computations per query."""
    labels, ndis, _ = search_counted(opened.index, problem.raw, k + problem.extra)
    return problem.without_themselves(prepared_rows(labels, problem.base)), ndis


def measure(problem: Problem, opened: IndexUnderTest) -> tuple[NDArray[np.int64], float, IndexUse]:
    """Return hits of the queries, distance computations per query, and the proof of use."""
    base, queries = problem.base, problem.queries
    ids, ndis = search_prepared(opened, problem, problem.options.k)
    value = opened.value
    opened.set_value(1)
    first, starved_ndis = search_prepared(opened, problem, 1)
    opened.set_value(value)
    fed, thin = (finds_nearest(problem.truth, base.x, queries, found) for found in (ids, first))
    use = IndexUse(n=base.n, starvation=Starvation.between(fed, thin), ndis=ndis, starved_ndis=starved_ndis)
    return problem.hits(ids), ndis, use


def spread_per_drop(problem: Problem, opened: IndexUnderTest, hits: NDArray[np.int64]) -> float:
    """Return the variance that a drop brings with it, from hits that a lower ef_search really loses."""
    k = problem.options.k
    value = opened.value
    found = None
    for share in LOWERED:
        if found is None:
            opened.set_value(max(1, round(share * value)))
            ids, _ = search_prepared(opened, problem, k)
            found = variance_per_drop(hits, problem.hits(ids), k)
    opened.set_value(value)
    return found if found is not None else USUAL_SPREAD / k


def time_line(problem: Problem, opened: IndexUnderTest, baseline: GateBaseline) -> tuple[float, Line]:
    """Return seconds a query, and what they say beside the frozen ones: advice, never a failure."""
    queries = problem.raw[problem.sample(TIMED_QUERIES)]
    k = problem.options.k

    def search(q: NDArray[np.float32]) -> object:
        return opened.index.search(q, k)

    timings = interleave(
        [search, search], queries, problem.options.seed, a_round=BLOCK, fewest=ROUNDS, most=ROUNDS
    )
    mean_s = timings.latency(0, 0).mean_s
    noise = max(abs(timings.ratio(1, 0) - 1), timings.error(1, 0))
    text = f"{1e6 * mean_s:.0f} us a query, the same index twice differs by {noise:.0%}"
    here = machine_of(describe_machine())
    if baseline.latency_s is None or baseline.machine != here:
        return mean_s, Line("latency", "info", f"{text}; not compared, the baseline is of another machine")
    change = mean_s / baseline.latency_s - 1
    slower = change > noise + SLOWER
    text = f"{text}; {change:+.0%} on the baseline, which judges nothing"
    return mean_s, Line("latency", "warn" if slower else "info", text)
