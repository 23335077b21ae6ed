"""Filters that the user asked for, by whichever option, read and checked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tuner.data.filters.fixed import FixedFilters, OneForAll
from tuner.data.filters.label_sets import (
    LABELS,
    QUERY_LABELS,
    LabelSets,
    labels_of_array,
    labels_of_values,
)
from tuner.data.filters.labels import OwnLabels, by_labels, by_own_labels
from tuner.data.filters.matrix import by_matrix
from tuner.data.filters.where import by_condition, by_conditions
from tuner.data.formats.choice import Role
from tuner.data.formats.listed import read_list
from tuner.data.formats.wanted import UnknownColumnError, Wanted, single
from tuner.data.inputs import Source, column_beside
from tuner.data.sources import shown
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.recall.allowed import GivenFilters

CONDITIONS = single("--where", "conditions", "condition")
LabelSource: TypeAlias = str | Path | Sequence[Any] | NDArray[Any]
FilterSource: TypeAlias = str | Path | Any
"""A file, or a sparse matrix of scipy."""


@dataclass(frozen=True, eq=False)
class FiltersAsked:
    """Filters as the user gave them.

    Attributes:
        labels: labels of the rows: a file, the name of a column of the base, or a list.
        query_labels: labels that the queries ask for: a file, the name of a column of theirs, or a list.
        filters: a sparse matrix (nq, n) or a file of one.
        where: a condition of SQL, or the name of a column of the queries that has one a query.
        selectivity: whether filters are to be made up.
    """

    labels: LabelSource | None = None
    query_labels: LabelSource | None = None
    filters: FilterSource | None = None
    where: str | None = None
    selectivity: bool = False

    @property
    def options(self) -> list[str]:
        """Options that give filters."""
        given = {
            "--labels": self.labels is not None,
            "--filters": self.filters is not None,
            "--where": self.where is not None,
            "--selectivity": self.selectivity,
        }
        return [option for option, is_given in given.items() if is_given]

    def check(self) -> None:
        """Raise InputError if options exclude each other."""
        options = self.options
        if len(options) > 1:
            raise InputError(f"{options[0]} and {options[1]} each say what is allowed: leave one of them out")
        if self.query_labels is not None and self.labels is None:
            raise InputError("--query-labels is for --labels, the labels of the rows: give these too")


@dataclass(frozen=True, eq=False)
class Given:
    """Base or queries as the user named them, and opened.

    Attributes:
        source: file, address or object.
        vectors: its rows.
        column: name of the matrix among several.
        role: which of both it is.
    """

    source: Source
    vectors: Vectors
    column: str | None
    role: Role


def open_filters(
    asked: FiltersAsked,
    vectors: tuple[Vectors, Vectors | None],
    sources: tuple[Source, Source | None],
    column: str | None = None,
) -> GivenFilters | None:
    """Return the filters that the user gave, read and checked; None without any.

    Args:
        asked: what was given.
        vectors: base and queries, None to hold some rows of the base out.
        sources: files, addresses or objects of both, as the user gave them.
        column: name of the matrix in files that hold several.

    Raises:
        InputError: what was given excludes each other, cannot be read, or does not fit base or queries.
        ResourceError: there are too many different filters.
    """
    asked.check()
    base = Given(sources[0], vectors[0], column, "base")
    queries = None
    if sources[1] is not None and vectors[1] is not None:
        queries = Given(sources[1], vectors[1], column, "queries")
    if asked.labels is not None:
        return _labelled(asked.labels, asked.query_labels, base, queries)
    if asked.filters is not None:
        return by_matrix(asked.filters, *vectors)
    return None if asked.where is None else _where(asked.where, base, queries)


def _labelled(
    labels: LabelSource, asked: LabelSource | None, base: Given, queries: Given | None
) -> FixedFilters | OwnLabels:
    if asked is not None and queries is None:
        raise InputError(
            "--query-labels is for queries of your own, and rows held out as queries ask for their own "
            "labels: give queries with --queries, or leave --query-labels out"
        )
    if asked is None and queries is not None:
        raise InputError(
            f"--labels says which rows have a label, and not what the queries of {queries.vectors.source} "
            "ask for: give that with --query-labels, a file or a column of theirs"
        )
    found, name = _read(labels, LABELS, base)
    if asked is None or queries is None:
        return by_own_labels(found, name, base.vectors)
    wanted, wanted_name = _read(asked, QUERY_LABELS, queries)
    return by_labels(found, wanted, name, wanted_name, base.vectors, queries.vectors)


def _read(labels: LabelSource, wanted: Wanted[LabelSets], of: Given) -> tuple[LabelSets, str]:
    """Return labels and their name in messages."""
    if isinstance(labels, (str, Path)):
        if isinstance(labels, Path) or Path(labels).exists():
            return read_list(Path(labels), str(labels), wanted), str(labels)
        return column_beside(of.source, labels, wanted, of.column, of.role), f"{_name(of)}[{labels}]"
    name = "the list of labels" if of.role == "base" else "the list of the queries' labels"
    if isinstance(labels, np.ndarray):
        return labels_of_array(labels, name), name
    if hasattr(labels, "to_pylist"):
        return labels_of_values(labels.to_pylist(), name), name
    return labels_of_values(labels, name), name


def _name(of: Given) -> str:
    return shown(os.fspath(of.source)) if isinstance(of.source, (str, Path)) else f"the {of.role}"


def _where(where: str, base: Given, queries: Given | None) -> FixedFilters | OneForAll:
    if not isinstance(base.source, (str, Path)):
        raise InputError("--where is asked of the columns of a file: name one of Parquet, CSV or DuckDB")
    conditions = None if queries is None else _conditions(where, queries)
    if conditions is None or queries is None:
        nq = None if queries is None else queries.vectors.n
        return by_condition(where, base.vectors, base.source, base.column, nq)
    named, nq = f"{_name(queries)}[{where}]", queries.vectors.n
    if len(conditions) != nq:
        raise InputError(
            f"{named} has {len(conditions):,} conditions and there are {nq:,} queries: give one each"
        )
    return by_conditions(conditions, named, base.vectors, base.source, base.column)


def _conditions(where: str, queries: Given) -> list[str] | None:
    """Return the condition of each query, None where the queries have no column of that name."""
    try:
        found = column_beside(queries.source, where, CONDITIONS, queries.column, queries.role)
    except UnknownColumnError:
        return None
    return [str(each) for each in found.tolist()]
