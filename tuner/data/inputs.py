"""What a job is given: the vectors of an index, their ids, and the queries."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from numpy.typing import ArrayLike

from tuner.data.ids import IdSource, named
from tuner.data.vectors import Vectors, open_vectors

Source: TypeAlias = str | Path | ArrayLike


def open_inputs(
    base: Source, queries: Source | None, ids: IdSource | None = None, column: str | None = None
) -> tuple[Vectors, Vectors | None]:
    """Return the user's vectors, with their ids if there are any, and queries, checked but not read.

    Args:
        base: vectors to index, (n, d), a file or an array.
        queries: queries, (nq, d) likewise, None without any.
        ids: ids of the rows of ``base``.
        column: name of the matrix in a file that holds several.

    Raises:
        InputError: they are no such files or arrays.
    """
    given = None if queries is None else open_vectors(queries, "queries", column)
    return named(open_vectors(base, "base", column), ids), given
