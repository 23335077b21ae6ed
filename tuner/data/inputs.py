"""What a job is given: the vectors of an index, their ids, and the queries."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from tuner.data.formats.columns import column_of, refuse_unknown
from tuner.data.ids import IdSource, named
from tuner.data.matrix import SUFFIXES
from tuner.data.sources import is_address, shown
from tuner.data.sources.address import Address
from tuner.data.sources.ids import ids_at, ids_in
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError

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
            raise InputError(
                f"--ids {ids!r} is no file, and {base.source} has no named columns: name a file of ids"
            )
        file = shown(str(base)) if isinstance(base, (str, Path)) else "the base"
        return named(vectors, id_column(base, ids, column), f"{file}[{ids}]"), given
    return named(vectors, ids), given


def id_column(base: Source, name: str, column: str | None = None) -> IdSource:
    """Return the column of that name beside the vectors, the name itself where nothing can have columns.

    Args:
        base: file, table or address of the vectors, or an object of Python.
        name: name of the column.
        column: name of the vectors among several.

    Raises:
        InputError: the base has no such column.
    """
    if isinstance(base, str) and is_address(base):
        return ids_at(Address.of(base), column, name, SUFFIXES)
    if isinstance(base, (str, Path)):
        found = ids_in(Path(base), column, name)
        return column_of(base, name, SUFFIXES) if found is None else found
    if hasattr(base, "columns") or hasattr(base, "column_names"):
        known = getattr(base, "column_names", None) or [str(each) for each in base.columns]
        refuse_unknown("the base", name, list(known))
        return np.asarray(base[name])  # type: ignore[index]
    return name
