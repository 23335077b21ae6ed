"""Seconds of a search under a filter, and of a scan of the rows that it allows, timed in turns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from tuner.runtime.timing import Search, interleave
from tuner.search import Allowed, FilteredIndex
from tuner.sweep.problem import Problem
from tuner.types import FloatArray

TIMED_QUERIES, FILTERS = 32, 16
ROUNDS = (4, 6)
FAR = 6
"""Times the first that the second ef_search is, through which the line goes."""
SCANNED = (0.005, 0.05)
"""Shares of the rows that are scanned to find what a row costs."""
FEWEST_ROWS = 64
USUAL_SHARE = 0.1


@dataclass(frozen=True)
class FilterCosts:
    """Seconds of a query with a filter: a line each.

    Attributes:
        graph_s: seconds of the call, and of each candidate of ef_search.
        scan_s: seconds of the call, and of each row that is scanned.

    Example:
        >>> costs = FilterCosts((10e-6, 1e-6), (20e-6, 1e-8))
        >>> round(costs.ef_as_dear_as(9_000))
        100
    """

    graph_s: tuple[float, float]
    scan_s: tuple[float, float]

    def search_s(self, ef_search: float) -> float:
        """Return the seconds of a search of the graph."""
        return self.graph_s[0] + self.graph_s[1] * ef_search

    def rows_s(self, rows: float) -> float:
        """Return the seconds of a scan."""
        return self.scan_s[0] + self.scan_s[1] * rows

    def ef_as_dear_as(self, rows: float) -> float:
        """Return the ef_search at which a search takes as long as the scan of so many rows."""
        return (self.rows_s(rows) - self.graph_s[0]) / self.graph_s[1]

    def rows_as_dear_as(self, ef_search: float) -> float:
        """Return how many rows are scanned in the time of a search."""
        return (self.search_s(ef_search) - self.scan_s[0]) / self.scan_s[1]


def time_costs(problem: Problem, index: FilteredIndex, ef_search: int) -> FilterCosts:
    """Return what searches and scans of an index cost.

    Args:
        ef_search: ef_search around and above which it is searched.
    """
    n, k = problem.base.n, problem.options.k
    rng = np.random.default_rng([problem.options.seed, 20])
    rows = [min(n, max(FEWEST_ROWS, k, round(share * n))) for share in SCANNED]
    efs = (ef_search, FAR * ef_search)

    def some(size: int) -> list[Allowed]:
        return [Allowed(n, np.sort(rng.choice(n, size, replace=False))) for _ in range(FILTERS)]

    usual = some(max(k, round(USUAL_SHARE * n)))
    contestants = [graph_search(index, k, usual, ef) for ef in efs]
    contestants += [scan_of(index, k, some(size)) for size in rows]
    seconds = seconds_of(contestants, problem)
    return FilterCosts(_line(efs, seconds[:2]), _line(rows, seconds[2:]))


def graph_search(index: FilteredIndex, k: int, filters: list[Allowed], ef_search: int) -> Search:
    """Return a search of the graph that takes one filter after the other, its selector made each time."""
    return _in_turns(filters, lambda query, some: index.search_graph(query, k, some, ef_search))


def answer_of_policy(index: FilteredIndex, k: int, filters: list[Allowed]) -> Search:
    """Return a search or scan, as the index decides, that takes one filter after the other."""
    return _in_turns(filters, lambda query, some: index.answer(query, k, some))


def scan_of(index: FilteredIndex, k: int, filters: list[Allowed]) -> Search:
    """Return a scan that takes one filter after the other."""
    return _in_turns(filters, lambda query, some: index.scan(query, k, some))


def seconds_of(contestants: list[Search], problem: Problem) -> list[float]:
    """Return mean seconds of each search, in interleaved rounds."""
    queries = problem.raw[problem.sample(TIMED_QUERIES)]
    timings = interleave(contestants, queries, problem.options.seed, fewest=ROUNDS[0], most=ROUNDS[1])
    return [timings.latency(place, 0).mean_s for place in range(len(contestants))]


def _in_turns(filters: list[Allowed], answer: Callable[[FloatArray, Allowed], object]) -> Search:
    upcoming = cycle([(each.n, each.places) for each in filters])
    return lambda query: answer(query, Allowed(*next(upcoming)))


def _line(sizes: tuple[int, ...] | list[int], seconds: list[float]) -> tuple[float, float]:
    """Return where a line through two points begins, at least at nothing, and how it rises."""
    (low, high), (less, more) = sizes, seconds
    if high <= low:
        return 0.0, more / high
    rise = max((more - less) / (high - low), 0.1 * more / high)
    return max(0.0, less - rise * low), rise
