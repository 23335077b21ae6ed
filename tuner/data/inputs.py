"""What a job is given: the vectors of an index, their ids, and the queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from tuner.data.formats.choice import Role
from tuner.data.formats.columns import refuse_unknown
from tuner.data.formats.wanted import IDS, T, Wanted
from tuner.data.ids import IdSource, named
from tuner.data.matrix import SUFFIXES
from tuner.data.sources import is_address, shown
from tuner.data.sources.address import Address
from tuner.data.sources.columns import column_at, column_in
from tuner.data.vectors import Vectors, open_vectors

Source: TypeAlias = str | Path | ArrayLike


def open_inputs(
    base: Source | Vectors,
    queries: Source | Vectors | None,
    ids: IdSource | None = None,
    column: str | None = None,
) -> tuple[Vectors, Vectors | None]:
    """Return the user's vectors, with their ids if there are any, and queries, checked but not read.

    Args:
        base: vectors to index, (n, d), a file or an array; or opened already.
        queries: queries, (nq, d) likewise, None without any.
        ids: ids of the rows of ``base``, or the name of a column of it.
        column: name of the matrix in a file that holds several.

    Raises:
        InputError: they are no such files or arrays.
    """
    given = queries
    if given is not None and not isinstance(given, Vectors):
        given = open_vectors(given, "queries", column)
    vectors = base if isinstance(base, Vectors) else open_vectors(base, "base", column)
    if isinstance(ids, str) and not Path(ids).exists():
        if isinstance(base, Vectors):
            raise IDS.without_columns(ids, base.source)
        file = shown(str(base)) if isinstance(base, (str, Path)) else "the base"
        return named(vectors, column_beside(base, ids, IDS, column), f"{file}[{ids}]"), given
    return named(vectors, ids), given


def column_beside(
    source: Source, name: str, wanted: Wanted[T], column: str | None = None, role: Role = "base"
) -> T:
    """Return the column of that name beside the vectors.

    Args:
        source: file, table or address of the vectors, or an object of Python.
        name: name of the column.
        wanted: what its rows are.
        column: name of the vectors among several.
        role: what the vectors are.

    Raises:
        UnknownColumnError: there is no such column, or nothing there can have columns.
        InputError: it cannot be read.
    """
    if isinstance(source, str) and is_address(source):
        return column_at(Address.of(source), column, name, SUFFIXES, wanted, role)
    if isinstance(source, (str, Path)):
        return column_in(Path(source), column, name, SUFFIXES, wanted, role)
    if hasattr(source, "columns") or hasattr(source, "column_names"):
        known = getattr(source, "column_names", None) or [str(each) for each in source.columns]
        refuse_unknown(f"the {role}", name, list(known), wanted)
        found: Any = source[name]  # type: ignore[index]
        if wanted.in_lists:  # of different lengths, which are no array
            values = found.to_pylist() if hasattr(found, "to_pylist") else list(found)
            return wanted.of_values(values, f"the {role}[{name}]")
        return wanted.of_array(np.asarray(found), f"the {role}[{name}]")
    raise wanted.without_columns(name, f"the {role}")
