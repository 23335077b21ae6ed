"""The policy of an index: for each band of shares the least ef_search that holds, or a scan if it is cheaper.

The larger the share that a filter allows, the easier it is: an ef_search that holds at one share holds at all
larger ones. So bands are gone through by falling share, and the switch to scanning is where a search that
holds takes as long as the scan.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import exp, log

import numpy as np

from tuner.runtime.steps import scaled
from tuner.search import FilteredIndex
from tuner.sweep.ef_search import EfResult, find_min_ef
from tuner.sweep.filters.costs import FilterCosts
from tuner.sweep.filters.stratum import Stratum
from tuner.types import Steps

GROWTH = 0.8
"""Power of 1 / share that ef_search is expected to grow with, before two bands have shown it."""
STEEPEST = 1.5
NEAR = 1.12
"""The share at which the switch lies is known well enough within this factor."""
FARTHER = 1.25
"""Times the share that is tried next where a search needs much longer than a scan."""
MOST_REFINEMENTS = 3
FINENESS = 16
"""An ef_search is searched for to 1 / FINENESS: each try asks all queries of a band."""
SMALLEST = 4
"""The smallest share that is made up allows this many times k rows."""

Group = tuple[float, tuple[Stratum, ...]]
"""The smallest share of a band, and its queries by kind of filter."""


@dataclass(frozen=True)
class Settled:
    """How one band is answered.

    Attributes:
        least_share: smallest share of the band.
        strata: its queries, by kind of filter.
        ef_search: None where the rows are scanned.
        results: what was found, in the order of the strata.
        scan_below: filters of the band that allow fewer rows than this are scanned all the same.
    """

    least_share: float
    strata: tuple[Stratum, ...]
    ef_search: int | None
    results: tuple[EfResult, ...]
    scan_below: int = 0

    @property
    def passes(self) -> bool:
        """Whether the queries of every stratum certify it."""
        return all(result.passes for result in self.results)

    @property
    def rows(self) -> float:
        """Mean number of rows that are allowed."""
        return mean_rows(self.strata)

    @property
    def share(self) -> float:
        """Mean share of the rows that are allowed."""
        return mean_share(self.strata)


@dataclass(frozen=True)
class PricedIndex:
    """An index, and what searches of it cost.

    Attributes:
        index: the index.
        costs: what searches and scans of it cost.
        ef_search: ef_search of the recommendation without filters.
        least: smallest ef_search that it takes.
        most: largest ef_search that is tried.
        k: neighbours asked for.
    """

    index: FilteredIndex
    costs: FilterCosts
    ef_search: int
    least: int
    most: int
    k: int

    def seconds(self, band: Settled) -> float:
        """Return the modelled seconds of a query of a band."""
        if band.ef_search is None:
            return self.costs.rows_s(band.rows)
        return self.costs.search_s(band.ef_search)


def mean_rows(strata: Sequence[Stratum]) -> float:
    """Return the mean number of rows that are allowed."""
    return float(np.mean([stratum.rows for stratum in strata]))


def mean_share(strata: Sequence[Stratum]) -> float:
    """Return the mean share of the rows that is allowed."""
    return float(np.mean([stratum.share for stratum in strata]))


def settle(priced: PricedIndex, groups: Sequence[Group]) -> Steps[tuple[Settled, ...]]:
    """Yield the share done; return how each band is answered, by falling share."""
    found: list[Settled] = []
    for number, (least_share, strata) in enumerate(groups):
        found.append(band_of(priced, found, least_share, strata))
        yield (number + 1) / len(groups)
    return tuple(found)


def settle_again(
    priced: PricedIndex, groups: Sequence[Group], expected: Sequence[Settled]
) -> Steps[tuple[Settled, ...]]:
    """Yield the share done; return how each band is answered, by what a few of its queries have shown.

    Args:
        expected: the same bands, as a few queries have settled them.
    """
    found: list[Settled] = []
    for number, ((least_share, strata), hint) in enumerate(zip(groups, expected, strict=True)):
        if hint.ef_search is None or any(band.ef_search is None for band in found):
            found.append(_scanned(priced, least_share, strata))
        else:
            found.append(band_of(priced, found, least_share, strata, dearer=FARTHER, guess=hint.ef_search))
        yield (number + 1) / len(groups)
    return tuple(found)


def band_of(
    priced: PricedIndex,
    before: Sequence[Settled],
    least_share: float,
    strata: tuple[Stratum, ...],
    dearer: float = 1.0,
    guess: int | None = None,
) -> Settled:
    """Return how a band is answered, whose share is smaller than those of the bands before.

    Args:
        dearer: times the seconds of a scan that a search may take.
        guess: ef_search that is tried first, None where none is known.
    """
    rows = mean_rows(strata)
    scanned_before = any(band.ef_search is None for band in before)
    dearest = min(priced.most, int(dearer * priced.costs.ef_as_dear_as(rows)))
    if not scanned_before and dearest >= priced.least:
        guess = guess or max(priced.least, round(ef_curve(priced, before)(mean_share(strata))))
        found = _searched(priced, strata, guess, dearest)
        if found is not None:
            return Settled(least_share, strata, found[0].ef_search, found)
    return _scanned(priced, least_share, strata)


def _scanned(priced: PricedIndex, least_share: float, strata: tuple[Stratum, ...]) -> Settled:
    return Settled(least_share, strata, None, tuple(each.scanned(priced.index) for each in strata))


def _searched(
    priced: PricedIndex, strata: tuple[Stratum, ...], guess: int, most: int
) -> tuple[EfResult, ...] | None:
    """Return what each stratum finds at the least ef_search that all certify; None if none up to ``most``."""
    tried: dict[tuple[int, int], EfResult] = {}

    def at(number: int, ef_search: int) -> EfResult:
        if (number, ef_search) not in tried:
            tried[number, ef_search] = strata[number].searched(priced.index, ef_search)
        return tried[number, ef_search]

    ef = 0
    for number in reversed(range(len(strata))):  # where the last, the hardest, holds, mostly all do
        if ef and at(number, ef).passes:
            continue
        least = max(priced.least, ef)
        if least > most:
            return None
        first = min(most, max(least, guess, ef))
        found = find_min_ef(partial(at, number), least, first, most, fineness=FINENESS)
        if not found.passes:
            return None
        ef = found.ef_search
    return tuple(at(number, ef) for number in range(len(strata)))


def ef_curve(priced: PricedIndex, bands: Sequence[Settled]) -> Callable[[float], float]:
    """Return the ef_search that is needed at a share, by a line in logarithms through the last two bands.

    Without a filter, the ef_search of the recommendation is needed.
    """
    known = [(1.0, float(priced.ef_search))]
    known += [(band.share, float(band.ef_search)) for band in bands if band.ef_search is not None]
    share, ef = known[-1]
    power = GROWTH
    if len(known) > 1:
        earlier, ef_then = known[-2]
        power = float(np.clip(log(ef / ef_then) / log(earlier / share), 0.1, STEEPEST))
    if len(known) == 2:  # from no filter at all to the first, it hardly grows
        power = max(power, GROWTH)
    return lambda wanted: ef * exp(power * log(share / wanted))


def switch_share(priced: PricedIndex, bands: Sequence[Settled], n: int) -> float:
    """Return the share at which a search that holds is expected to take as long as a scan.

    Args:
        n: number of rows.
    """
    curve = ef_curve(priced, bands)
    high = min([1.0, *(band.share for band in bands if band.ef_search is not None)])
    low = max([SMALLEST * priced.k / n, *(band.share for band in bands if band.ef_search is None)])

    def dearer(share: float) -> bool:
        return priced.costs.search_s(curve(share)) > priced.costs.rows_s(share * n)

    if low >= high or dearer(high):
        return high
    for _ in range(40):
        middle = exp((log(low) + log(high)) / 2)
        low, high = (middle, high) if dearer(middle) else (low, middle)
    return high


def refined(
    priced: PricedIndex,
    bands: tuple[Settled, ...],
    n: int,
    make: Callable[[float], Steps[tuple[Stratum, ...]]],
) -> Steps[tuple[Settled, ...]]:
    """Yield the share done; return the bands with one more where a search takes as long as a scan.

    Args:
        n: number of rows.
        make: makes up filters of a share.
    """
    searched = [band for band in bands if band.ef_search is not None]
    scanned = [band for band in bands if band.ef_search is None]
    share = switch_share(priced, bands, n)
    for number in range(MOST_REFINEMENTS):
        if searched and share * NEAR >= searched[-1].share:
            break
        part = 1 / MOST_REFINEMENTS
        strata = yield from scaled(make(share), number * part, (number + 1) * part)
        band = band_of(priced, searched, share, strata, dearer=NEAR)
        if band.ef_search is None:
            share *= FARTHER
            continue
        searched.append(band)
        as_dear = priced.costs.rows_as_dear_as(band.ef_search) / n
        if as_dear * NEAR >= share:
            break
        share = switch_share(priced, (*searched, *scanned), n)
    return (*searched, *scanned)


def scan_threshold(priced: PricedIndex, bands: Sequence[Settled], n: int) -> int:
    """Return the number of rows below which a filter's rows are scanned.

    Where even the last band is searched, everything that allows less than it is scanned: no one has measured
    what a search finds there.
    """
    searched = [band for band in bands if band.ef_search is not None]
    if not searched:
        return n + 1
    last = searched[-1]
    edge = last.least_share * n
    as_dear = priced.costs.rows_as_dear_as(float(last.ef_search or 0))
    most = n if len(searched) == 1 else searched[-2].least_share * n
    return int(np.ceil(min(max(edge, as_dear), most)))


def with_scans(priced: PricedIndex, band: Settled, below: int) -> Settled:
    """Return a band that is searched, where filters that allow fewer rows than ``below`` are scanned."""
    results = []
    for stratum, result in zip(band.strata, band.results, strict=True):
        counts = stratum.filters.counts[stratum.filters.of_query]
        scanned = counts < below
        if not scanned.any():
            results.append(result)
            continue
        hits = np.where(scanned, stratum.scanned(priced.index, below=below).hits, result.hits)
        ndis = float(np.where(scanned, counts, result.ndis).mean())
        results.append(stratum.judged(result.ef_search, hits, ndis, result.hops))
    return replace(band, results=tuple(results), scan_below=below)
