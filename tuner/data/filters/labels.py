"""Filters by labels: a row is allowed if it has any of the labels that the query asks for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from tuner.data.filters.fixed import FixedFilters, distinct, n_in_file, refuse_empty, refuse_many_bits
from tuner.data.filters.label_sets import Labels, LabelSets
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters, digest
from tuner.text import counted
from tuner.types import IdArray

MOST_NAMED = 8
"""Labels of a filter that its name lists."""


@dataclass(frozen=True, eq=False)
class OwnLabels:
    """Filters of rows that are held out as queries: each allows the rows that share a label with it.

    Attributes:
        source: name in messages.
        rows: (n, L) labels of the rows, as ones.
        names: (L,) text of each label.
    """

    source: str
    rows: Any
    names: Labels

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that decides which rows are allowed."""
        return digest(self.rows.indptr, self.rows.indices, self.names)

    def filters(self, held_out: IdArray) -> Filters:
        """Return the filters over all rows, of those that are held out."""
        return _filters(self.rows, self.rows[held_out], self.names, self.source)


def by_own_labels(labels: LabelSets, source: str, base: Vectors) -> OwnLabels:
    """Return the filters that rows of the base have when they are queries.

    Args:
        labels: labels of all rows of the file.
        source: name of the labels in messages.
        base: vectors to index.

    Raises:
        InputError: there are fewer or more labels than rows, or a row without any.
    """
    _refuse_length(labels, source, base.source, n_in_file(base), "row")
    without = np.flatnonzero(labels.rows(base.kept).counts == 0)
    if len(without):
        first = without[0] if base.kept is None else base.kept[without[0]]
        raise InputError(
            f"{source}: row {first} has no label ({counted(len(without), 'row')} of {base.n:,} have none), "
            "and rows held out as queries are filtered by their own: give queries with --queries and "
            "--query-labels, or give each row a label"
        )
    return OwnLabels(source, _matrix(labels.rows(base.kept), len(labels.names)), labels.names)


def by_labels(
    labels: LabelSets, asked: LabelSets, source: str, asked_source: str, base: Vectors, queries: Vectors
) -> FixedFilters:
    """Return the filters of queries that ask for labels.

    Args:
        labels: labels of all rows of the file.
        asked: labels that each query asks for.
        source: name of the rows' labels in messages.
        asked_source: name of the queries' labels.
        base: vectors to index.
        queries: the user's queries.

    Raises:
        InputError: a list has another length, or a query asks for nothing, or for what no row has.
        ResourceError: there are too many different filters.
    """
    _refuse_length(labels, source, base.source, n_in_file(base), "row")
    _refuse_length(asked, asked_source, queries.source, queries.n, "query")
    names = np.unique(np.concatenate([labels.names, asked.names]))
    labels, asked = (_spelt(each, names) for each in (labels.rows(base.kept), asked))
    _refuse_unknown(labels, asked, source, asked_source)
    rows, wanted = (_matrix(each, len(names)) for each in (labels, asked))
    without = np.flatnonzero(asked.counts == 0)
    if len(without):
        raise InputError(
            f"{asked_source}: query {without[0]} asks for no label "
            f"({counted(len(without), 'query', 'queries')} of {queries.n:,} ask for none), and allows no "
            "row: leave such queries out"
        )
    filters = _filters(rows, wanted, names, asked_source)
    refuse_empty(filters, base.source)
    return FixedFilters(asked_source, filters)


def _matrix(labels: LabelSets, n_labels: int) -> Any:
    """Return labels as ones of a sparse matrix (n, n_labels)."""
    ones = np.ones(len(labels.codes), dtype=np.bool_)
    found = csr_matrix((ones, labels.codes, labels.starts), shape=(labels.n, n_labels))
    found.sum_duplicates()
    return found


def _spelt(labels: LabelSets, names: Labels) -> LabelSets:
    """Return labels as places in a longer list of names, which is sorted."""
    return LabelSets(names, np.searchsorted(names, labels.names)[labels.codes], labels.starts)


def _filters(rows: Any, wanted: Any, names: Labels, source: str) -> Filters:
    """Return the filters of queries that ask for labels.

    Args:
        rows: (n, L) labels of the rows.
        wanted: (nq, L) labels that the queries ask for.
        names: (L,) text of the labels.
    """
    sets, of_query = distinct(np.split(wanted.indices, wanted.indptr[1:-1]))
    n, of_label = rows.shape[0], rows.tocsc()
    refuse_many_bits(len(sets), n, source)
    places = [slice(*of_label.indptr[label : label + 2]) for label in range(len(names))]
    allowed = (np.concatenate([of_label.indices[places[label]] for label in each] or [[]]) for each in sets)
    spelt = tuple(_listed(names[each]) for each in sets)
    return Filters.of_rows((each.astype(np.int64) for each in allowed), of_query, n, source, spelt)


def _listed(names: Labels) -> str:
    more = f", and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _refuse_length(labels: LabelSets, source: str, of: str, n: int, what: str) -> None:
    if labels.n == n:
        return
    plural = {"row": "rows", "query": "queries"}[what]
    text = f"{source} has labels of {counted(labels.n, what, plural)} and {of} has {counted(n, what, plural)}"
    if labels.n == n + 1 and labels.counts[0] == 1:
        raise InputError(
            f"{text}: give one entry a {what}; is the first, {labels.names[labels.codes[0]]}, a heading?"
        )
    raise InputError(f"{text}: give one entry a {what}")


def _refuse_unknown(labels: LabelSets, asked: LabelSets, source: str, asked_source: str) -> None:
    """Raise InputError if a query asks for a label that no row has; both have the same names."""
    there = np.bincount(labels.codes, minlength=len(labels.names)) > 0
    wrong = np.flatnonzero(~there[asked.codes])
    if not len(wrong):
        return
    queries = np.searchsorted(asked.starts, wrong, side="right") - 1
    n = len(np.unique(queries))
    raise InputError(
        f"{asked_source}: query {queries[0]} asks for {str(asked.names[asked.codes[wrong[0]]])!r:.60}, and "
        f"no row of {source} has this label ({counted(n, 'query', 'queries')} of {asked.n:,} ask for such): "
        "correct it, or leave such queries out"
    )
