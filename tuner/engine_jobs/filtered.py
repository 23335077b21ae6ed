"""Queries with filters in a running engine: what each band of shares finds, and whether filters are kept.

Each filter becomes a number, a tag, that the rows have which it allows; the engine stores the tags in its own
way and searches for one. So any filters can be tried, whatever they were made of.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.engine_jobs.use import SOME_QUERIES
from tuner.engines import Capabilities, EngineConfig, EngineProcess, Tags
from tuner.errors import InputError
from tuner.recall.allowed import Filters, GivenFilters
from tuner.recall.filtered_truth import filtered_hits, filtered_truth
from tuner.recall.starvation import Starvation, finds_nearest
from tuner.recall.truth import Truth
from tuner.runtime.journal import Journal
from tuner.sweep.filters.bands import band_edges, target_of_all
from tuner.sweep.pose import PosedProblem
from tuner.text import counted
from tuner.types import Event, FilteredBand, IdArray, Line, Status, Steps

MOST_TAGS = 50_000_000
"""Tags of all rows together: each is written into the engine beside its row."""
FEWEST = 30
"""Queries that a band has at least where the file says nothing of bands."""
PLANS = 3
"""Filters of a band whose plans are looked at."""


@dataclass(frozen=True, eq=False)
class FilteredQueries:
    """Queries whose filters allow k rows or more.

    Attributes:
        some: positions of the queries in the problem.
        filters: filter of each of them, over the rows that are indexed.
        truth: exact neighbours among the rows allowed.
        n_left_out: number of queries that are left out, because too few rows are allowed.
    """

    some: IdArray
    filters: Filters
    truth: Truth
    n_left_out: int

    @property
    def tags(self) -> Tags:
        """Tags of the rows: the numbers of the filters that allow each."""
        filters = self.filters
        rows = [filters.rows(number) for number in range(len(filters.bits))]
        places = np.concatenate(rows)
        codes = np.repeat(np.arange(len(rows)), [len(each) for each in rows])
        starts = np.concatenate([[0], np.cumsum(np.bincount(places, minlength=filters.n))])
        return Tags(starts=starts, codes=codes[np.argsort(places, kind="stable")])


@dataclass(frozen=True, eq=False)
class Band:
    """Queries that are searched alike.

    Attributes:
        places: their places among the filtered queries.
        ef_search: None where the rows that are allowed are to be scanned.
    """

    places: IdArray
    ef_search: int | None


def pose_filtered(
    journal: Journal, posed: PosedProblem, given: GivenFilters
) -> Generator[Event, None, FilteredQueries]:
    """Yield events; return the queries with their filters, and the exact neighbours among the rows allowed.

    Raises:
        InputError: no query has k rows or more to be answered with, or all filters together allow too many.
    """
    problem, k = posed.problem, posed.problem.options.k
    if posed.groups is not None:
        raise InputError(
            f"{given.source}: the configuration is of distinct rows, of which one may be allowed and its "
            "copy not: export one of a run that kept the copies"
        )
    held_out = np.array(posed.query_set.held_out_rows, dtype=np.int64)
    filters = given.filters(held_out).among(problem.base.rows)
    some = np.flatnonzero(filters.counts[filters.of_query] >= k)
    if len(some) < 2:
        raise InputError(
            f"{filters.source}: {counted(len(some), 'query', 'queries')} of {filters.n_queries:,} may be "
            f"answered with k={k} rows or more: give wider filters"
        )
    mine = filters.part(some)
    if mine.counts.sum() > MOST_TAGS:
        raise InputError(
            f"{filters.source}: the filters allow {mine.counts.sum():,} rows in all, and each is written "
            f"into the engine: give queries with fewer different filters, {MOST_TAGS:,} rows in all"
        )
    truth = yield from journal.stage(
        "filtered-truth",
        "exact neighbours among the rows allowed",
        Truth,
        lambda: filtered_truth(problem.base.x, problem.queries[some], mine, k),
    )
    return FilteredQueries(some, mine, truth, problem.n_queries - len(some))


def bands_of(config: EngineConfig, shares: NDArray[np.float64]) -> list[Band]:
    """Return the bands of queries by falling share, as the file divides them, else by the shares there are.

    Args:
        shares: (nq,) share of the rows that the filter of each query allows.
    """
    everyone = np.arange(len(shares))
    if config.filters is None:
        edges = band_edges(shares, min(FEWEST, len(shares)))
        of = [int(np.argmax(share >= np.array(edges))) for share in shares]
        bands = [Band(everyone[np.array(of) == number], config.ef_search) for number in range(len(edges))]
    else:
        efs = [config.filters.ef_of(float(share)) for share in shares]
        distinct = dict.fromkeys(efs)
        bands = [Band(np.array([i for i in everyone if efs[i] == ef]), ef) for ef in distinct]
    bands = [band for band in bands if len(band.places)]
    return sorted(bands, key=lambda band: -float(shares[band.places].min()))


def search_filtered(
    process: EngineProcess,
    can: Capabilities,
    config: EngineConfig,
    posed: PosedProblem,
    asked: FilteredQueries,
) -> Steps[tuple[tuple[FilteredBand, ...], tuple[Line, ...]]]:
    """Yield the share done; return what each band found, and what is to be said of them."""
    bands = bands_of(config, asked.filters.shares)
    found: list[FilteredBand] = []
    lines: list[Line] = []
    for number, band in enumerate(bands):
        process.set_search(band.ef_search or config.ef_search, config.oversampling)
        one = _searched(process, config, posed, asked, band, len(bands))
        found.append(one)
        lines.append(
            _line(one, posed.problem.options.recall, _how_answered(process, can, posed, asked, band, one))
        )
        yield (number + 1) / len(bands)
    process.set_search(config.ef_search, config.oversampling)
    return tuple(found), (*lines, *_kept(can, found, asked))


def _searched(
    process: EngineProcess,
    config: EngineConfig,
    posed: PosedProblem,
    asked: FilteredQueries,
    band: Band,
    n_bands: int,
) -> FilteredBand:
    problem, some, scan = posed.problem, asked.some[band.places], band.ef_search is None
    filters = asked.filters.part(band.places)
    tags = asked.filters.of_query[band.places]
    answers = process.search_tagged(posed.raw(some), config.k, tags, scan=scan)
    hits = filtered_hits(
        asked.truth.part(band.places), filters, problem.base.x, problem.queries[some], answers.ids
    )
    plans = [process.answers_from_index(int(tag), scan=scan) for tag in np.unique(tags)[:PLANS]]
    shown = [plan for plan in plans if plan is not None]
    return FilteredBand(
        least_share=float(filters.shares.min()),
        ef_search=band.ef_search,
        n_queries=len(some),
        recall=target_of_all(problem, n_bands).summarize(hits),
        latency_s=float(answers.seconds.mean()),
        n_forbidden=int((~filters.allow(answers.ids) & (answers.ids >= 0)).sum()),
        n_short=int(((answers.ids >= 0).sum(axis=1) < config.k).sum()),
        from_index=float(np.mean(shown)) if shown else None,
    )


def _how_answered(
    process: EngineProcess,
    can: Capabilities,
    posed: PosedProblem,
    asked: FilteredQueries,
    band: Band,
    one: FilteredBand,
) -> str:
    """Return whether the index answered or the engine scanned, in words."""
    if one.from_index is not None:
        if 0 < one.from_index < 1:
            return "answered from the index for some filters, and scanned for others, by the engine's plans"
        return ("answered from the index" if one.from_index else "scanned") + ", by the engine's plan"
    if band.ef_search is None:
        return "scanned as far as the engine does so; it shows no plan"
    few = band.places[:SOME_QUERIES]
    some, truth = asked.some[few], asked.truth.part(few)
    tags, allowed = asked.filters.of_query[few], asked.filters.part(few)

    def nearest(ef_search: int) -> NDArray[np.bool_]:
        process.set_search(ef_search, 1)
        ids = process.search_tagged(posed.raw(some), 1, tags, scan=False).ids
        ids = np.where(allowed.allow(ids), ids, -1)
        return finds_nearest(truth, posed.problem.base.x, posed.problem.queries[some], ids)

    starved = Starvation.between(nearest(band.ef_search), nearest(can.starved_ef))
    what = f"{starved.found:.0%} find their nearest row, {starved.starved:.0%} when starved"
    if starved.falls:
        return f"answered from the index: {what}"
    return f"{what}, so the engine may have scanned; it shows no plan"


def _line(band: FilteredBand, target: float, how: str) -> Line:
    """Judge recall against the target, as without filters."""
    recall = band.recall
    asked = "to be scanned" if band.ef_search is None else f"ef_search={band.ef_search}"
    text = (
        f"{asked}: recall {recall.mean:.4f}, at least {recall.lower:.4f}, on "
        f"{counted(band.n_queries, 'query', 'queries')}, {1e6 * band.latency_s:,.0f} us each; {how}"
    )
    status: Status = "pass"
    if recall.lower < target:
        status = "warn" if 2 * recall.mean - recall.lower >= target else "fail"
        missed = "neither shown nor surely missed" if status == "warn" else "surely missed"
        text += f"; the target of {target:g} is {missed}"
    return Line(f"filters from {100 * band.least_share:.3g}%", status, text)


def _kept(can: Capabilities, bands: list[FilteredBand], asked: FilteredQueries) -> list[Line]:
    """Judge whether every answer is allowed, and whether there are k of them."""
    n = sum(band.n_queries for band in bands)
    forbidden = sum(band.n_forbidden for band in bands)
    short = sum(band.n_short for band in bands)
    cannot = f"; {can.title} cannot {can.filters.cannot}" if can.filters and can.filters.cannot else ""
    left_out = (
        f"; {asked.n_left_out:,} others are left out, with fewer rows than k" if asked.n_left_out else ""
    )
    kept = f"{forbidden:,} answers that the filter forbids" if forbidden else "every answer is allowed"
    full = f"every query of {n:,} got k answers{left_out}"
    if short:
        full = (
            f"{short:,} of {n:,} queries got fewer than k answers, though k rows or more are allowed{cannot}"
        )
    return [
        Line("filters kept", "fail" if forbidden else "pass", kept),
        Line("filtered answers", "fail" if short else "pass", full),
    ]
