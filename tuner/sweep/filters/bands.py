"""Queries with their filters in bands by the share of the rows that is allowed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tuner.errors import InputError
from tuner.recall.allowed import Filters
from tuner.recall.filtered_truth import DEPTH
from tuner.recall.target import Target, usual_quantile
from tuner.recall.truth import nearest_in
from tuner.runtime.steps import scaled
from tuner.sweep.filters.made_up import MADE_UP, FilterMaker
from tuner.sweep.filters.policy import MOST_REFINEMENTS, Group
from tuner.sweep.filters.stratum import Stratum, stratum_of
from tuner.sweep.problem import Problem
from tuner.text import counted
from tuner.types import IdArray, Options, Steps

MOST_QUERIES = 800
"""Queries of a band: each is searched several times."""
STEP = 10**0.5
"""Bands of filters that are given are this many times apart, or farther where there are few queries."""


@dataclass(frozen=True)
class Banded:
    """Bands by falling share.

    Attributes:
        groups: smallest share and queries of each.
        weights: number of queries of each.
        maker: maker of queries of any other share.
        made_up: whether all of their filters are made up.
        n_left_out: queries that are left out, because too few rows are allowed.
    """

    groups: tuple[Group, ...]
    maker: StratumMaker
    made_up: bool
    n_left_out: int = 0


@dataclass(frozen=True, eq=False)
class StratumMaker:
    """Makes the queries of a share up.

    Attributes:
        some: positions of the queries.
        deep: (len(some), depth) their nearest rows of all.
        target: target with the bound of all bands.
    """

    problem: Problem
    some: IdArray
    deep: IdArray
    target: Target

    @cached_property
    def filters(self) -> FilterMaker:
        """What makes their filters."""
        return FilterMaker(self.problem.base.x, len(self.some), self.problem.options.seed)

    def make(self, share: float) -> Steps[tuple[Stratum, ...]]:
        """Yield the share done; return the queries of a share, by kind of filter."""
        found = []
        for number, kind in enumerate(MADE_UP):
            made = self.filters.make(kind, share)
            steps = stratum_of(self.problem, kind, self.some, made, self.target, self.deep)
            found.append((yield from scaled(steps, number / len(MADE_UP), (number + 1) / len(MADE_UP))))
        return tuple(found)


def made_up_bands(problem: Problem) -> Steps[Banded]:
    """Yield the share done; return bands of made-up filters, of the shares that the user asked for.

    Raises:
        InputError: a share allows fewer than k rows.
    """
    options = problem.options
    shares = sorted(options.selectivity, reverse=True)
    refuse_small_shares(options, problem.base.n)
    some = problem.sample(MOST_QUERIES)
    deep = yield from scaled(nearest_of_all(problem, some), 0.0, 0.2)
    maker = StratumMaker(problem, some, deep, target_of_all(problem, len(MADE_UP) * len(shares)))
    groups = []
    for number, share in enumerate(shares):
        low, high = (0.2 + 0.8 * each / len(shares) for each in (number, number + 1))
        groups.append((share, (yield from scaled(maker.make(share), low, high))))
    return Banded(tuple(groups), maker, made_up=True)


def given_bands(problem: Problem, filters: Filters) -> Steps[Banded]:
    """Yield the share done; return bands of the user's filters.

    Args:
        filters: filters of all queries, over the prepared rows.

    Raises:
        InputError: too few queries are left to show the target.
    """
    enough = with_enough_rows(problem, filters)
    some = asked_of(problem, enough)
    fewest = fewest_queries(problem.target)
    edges = band_edges(filters.shares[some], fewest)
    target = target_of_all(problem, len(edges))
    deep = yield from scaled(nearest_of_all(problem, some), 0.0, 0.3)
    strata = yield from scaled(given_strata(problem, filters.part(some), some, edges, target, deep), 0.3, 1.0)
    groups = tuple((edge, (stratum,)) for edge, (_, stratum) in zip(edges, strata, strict=True))
    maker = StratumMaker(problem, some, deep, target)
    return Banded(groups, maker, made_up=False, n_left_out=problem.n_queries - len(enough))


def given_strata(
    problem: Problem, filters: Filters, some: IdArray, edges: list[float], target: Target, deep: IdArray
) -> Steps[list[tuple[IdArray, Stratum]]]:
    """Yield the share done; return the queries of each band, as places in ``some`` and with their neighbours.

    Args:
        filters: the user's filters of these queries, over the prepared rows.
        some: positions of the queries.
        edges: smallest share of each band, falling.
        target: target with the bound of all bands.
        deep: (len(some), depth) their nearest rows of all.
    """
    found, shares, high = [], filters.shares, np.inf
    for number, edge in enumerate(edges):
        inside, high = np.flatnonzero((shares >= edge) & (shares < high)), edge
        steps = stratum_of(problem, "given", some[inside], filters.part(inside), target, deep[inside])
        low, to = (each / len(edges) for each in (number, number + 1))
        found.append((inside, (yield from scaled(steps, low, to))))
    return found


def refuse_small_shares(options: Options, n: int) -> None:
    """Raise InputError if a share that filters are made up for allows fewer than k of ``n`` rows."""
    least = min(options.selectivity, default=1.0)
    if round(least * n) < options.k:
        raise InputError(
            f"--selectivity {100 * least:.4g}% of {n:,} rows are {round(least * n):,}, fewer than "
            f"k={options.k}: leave it out, or give a larger share"
        )


def with_enough_rows(problem: Problem, filters: Filters) -> IdArray:
    """Return positions of the queries whose filters allow k rows or more.

    Raises:
        InputError: they are too few to show the target.
    """
    k, fewest = problem.options.k, fewest_queries(problem.target)
    enough = np.flatnonzero(filters.counts[filters.of_query] >= k)
    if len(enough) < fewest:
        raise InputError(
            f"{filters.source}: {counted(len(enough), 'query', 'queries')} have filters that allow k={k} "
            f"rows or more, and {fewest:,} are needed to show the target: give more queries, wider filters "
            "or a smaller --k"
        )
    return enough


def band_edges(shares: NDArray[np.float64], fewest: int) -> list[float]:
    """Return the smallest share of each band, falling.

    Bands are half a power of ten wide, and wider where one would have too few queries.

    Args:
        shares: (nq,) share that the filter of each query allows.
        fewest: number of queries that a band has at least.

    Example:
        >>> [round(edge, 3) for edge in band_edges(np.array([0.5] * 60 + [0.1] * 60 + [0.01] * 90), 60)]
        [0.5, 0.1, 0.01]
        >>> band_edges(np.array([0.5] * 60 + [0.01] * 10), 60)
        [0.01]
    """
    ordered = np.sort(shares)[::-1]
    edges: list[float] = []
    start = 0
    while start < len(ordered):
        end = int(np.searchsorted(-ordered, -ordered[start] / STEP, side="right"))
        end = max(end, min(start + fewest, len(ordered)))
        while end < len(ordered) and ordered[end] == ordered[end - 1]:
            end += 1
        if len(ordered) - end < fewest:
            end = len(ordered)
        edges.append(float(ordered[end - 1]))
        start = end
    return edges


def fewest_queries(target: Target) -> int:
    """Return how many queries are needed to show the target at all, if each finds all of its neighbours."""
    fewest = 1
    while target.of_queries(fewest).best_bound < target.recall:
        fewest = max(fewest + 1, fewest + fewest // 8)
    return 2 * fewest


def target_of_all(problem: Problem, n_bands: int) -> Target:
    """Return the target whose bounds hold for so many bands, those at the switch and all finalists.

    Sidak's rule for bands; among finalists they are as much wider as without filters.
    """
    n_bands += len(MADE_UP) * MOST_REFINEMENTS
    target = problem.target
    each = target.confidence ** (1 / max(1, n_bands))
    usual = usual_quantile(target.n_queries, target.confidence)
    wider = target.width_in_errors / usual
    return replace(target, quantile=wider * usual_quantile(target.n_queries, each))


def asked_of(problem: Problem, enough: IdArray) -> IdArray:
    """Return positions of the queries that bands are measured with, of those that allow enough rows."""
    return enough[np.isin(enough, problem.sample(MOST_QUERIES + problem.n_queries - len(enough)))]


def nearest_of_all(problem: Problem, some: IdArray) -> Steps[IdArray]:
    """Yield the share done; return the nearest rows (len(some), depth) of some of the queries."""
    depth = min(DEPTH, problem.base.n)
    return (yield from nearest_in(problem.base.x, problem.queries[some], depth))
