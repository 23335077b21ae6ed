"""Recall that a filter takes away at the ef_search of the index, band by band, and what gives it back."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tuner.diagnosis.questions import FEWEST, Questions
from tuner.errors import InputError
from tuner.index.opened import IndexUnderTest
from tuner.recall.allowed import Filters, GivenFilters
from tuner.runtime.steps import scaled
from tuner.search import FilteredIndex
from tuner.sweep.filters.bands import (
    asked_of,
    band_edges,
    fewest_queries,
    given_strata,
    nearest_of_all,
)
from tuner.sweep.filters.opened import filtered_index
from tuner.sweep.filters.stratum import Stratum
from tuner.text import counted
from tuner.types import Cause, Diagnosis, IdArray, Steps

MOST_EF = 8_192
OF_SEARCHES_WITHOUT = (
    "prescriptions are for searches without filters, and a smaller ef_search loses more with them: tune "
    "--recall with the same filters measures a policy"
)
MOSTLY = 0.5
"""Share of what is missed under filters from which on they are named first."""


@dataclass(frozen=True)
class FilterLoss:
    """What a filter takes away.

    Attributes:
        cause: the loss, with what mends it.
        recall: recall among the rows that are allowed, at the ef_search of the index.
        certified: whether its lower bound meets the target.
    """

    cause: Cause
    recall: float
    certified: bool


def refuse_filters(opened: IndexUnderTest, *, own: bool) -> None:
    """Raise InputError if an index, or queries that are its own rows, cannot be asked with filters."""
    if own:
        raise InputError("filters are for queries of your own: give these with --queries")
    if opened.graph is None:
        raise InputError(f"{opened.source}: has no HNSW graph: leave the filters out")
    if opened.copies is not None:
        raise InputError(f"{opened.source}: has a list of copies: leave the filters out")


def with_filters(found: Diagnosis, loss: FilterLoss) -> Diagnosis:
    """Return the diagnosis with what filters take away, which is named first where it is most of the loss."""
    first = found.first
    if not loss.certified and (first is None or loss.cause.share > MOSTLY * (1 - loss.recall)):
        first = loss.cause
    healthy, notes = found.healthy and loss.certified, found.notes
    if not loss.certified:
        notes = (*notes, OF_SEARCHES_WITHOUT)
    return replace(found, filter=loss.cause, first=first, healthy=healthy, notes=notes)


def filter_loss(questions: Questions, opened: IndexUnderTest, given: GivenFilters) -> Steps[FilterLoss]:
    """Yield the share done; return what filters take away beside the same search without them.

    Args:
        given: the filters of the queries.

    Raises:
        InputError: too few queries have filters that allow k rows.
    """
    problem = questions.problem
    filters = given.filters(np.zeros(0, dtype=np.int64)).among(questions.rows)
    some = _asked(questions, filters)
    index = filtered_index(opened, problem.base)
    deep = yield from scaled(nearest_of_all(problem, some), 0.0, 0.3)
    mine = filters.part(some)
    edges = band_edges(mine.shares, max(FEWEST, fewest_queries(problem.target)))
    strata = yield from scaled(given_strata(problem, mine, some, edges, problem.target, deep), 0.3, 1.0)
    now, without = np.zeros(len(some)), np.zeros(len(some))
    parts = []
    for edge, (inside, stratum) in zip(edges, strata, strict=True):
        now[inside] = stratum.searched(index, opened.value).hits
        without[inside] = _without(questions, index, some[inside], opened.value)
        parts.append(f"from {100 * edge:.2g} % of the rows {_mended(stratum, index, opened.value)}")
    problem.base.release()
    recall, plain = float(now.mean()) / questions.k, float(without.mean()) / questions.k
    lost = max(0.0, plain - recall)
    share = f", {lost / (1 - recall):.0%} of what is missed" if recall < 1 else ""
    text = (
        f"at ef_search {opened.value:,} recall among the allowed rows is {recall:.4f}, without a filter "
        f"{plain:.4f}{share}; {'; '.join(parts)}"
    )
    certified = recall >= problem.target.of_queries(len(some)).needed(now.astype(np.int64))
    return FilterLoss(Cause(name="filter", share=lost, text=text), recall, certified)


def _asked(questions: Questions, filters: Filters) -> IdArray:
    """Return positions of the queries that are asked."""
    enough = np.flatnonzero(filters.counts[filters.of_query] >= questions.k)
    if len(enough) < FEWEST:
        raise InputError(
            f"{filters.source}: {counted(len(enough), 'query', 'queries')} have filters that allow "
            f"k={questions.k} rows or more, and {FEWEST} are needed: give more, or wider filters"
        )
    return asked_of(questions.problem, enough)


def _without(questions: Questions, index: FilteredIndex, some: IdArray, ef_search: int) -> IdArray:
    """Return hits of queries without their filters."""
    problem = questions.problem
    every = Filters.of_rows([np.arange(questions.n)], np.zeros(len(some), dtype=np.int64), questions.n, "all")
    whole = Stratum(
        "given",
        problem.base,
        problem.raw[some],
        problem.queries[some],
        every,
        problem.truth.part(some),
        problem.target.of_queries(len(some)),
    )
    hits: IdArray = whole.searched(index, ef_search).hits
    return hits


def _mended(stratum: Stratum, index: FilteredIndex, value: int) -> str:
    """Return in words what a band finds, and what of the graph and the scan reaches the target at less.

    Distances decide, as nothing is timed here: those of the graph, and the rows of a scan.
    """
    first = found = stratum.searched(index, value)
    while not found.passes and found.ndis < stratum.rows and found.ef_search < MOST_EF:
        found = stratum.searched(index, 2 * found.ef_search)
    before = f"{first.recall:.4f}"
    if first.passes:
        return before
    if found.passes and found.ndis <= stratum.rows:
        return f"{before}, with ef_search {found.ef_search:,} {found.recall:.4f}"
    scanned = stratum.scanned(index)
    return f"{before}, with a scan of the allowed rows {scanned.recall:.4f}"
