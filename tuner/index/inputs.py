"""What a job is given, where the vectors may also lie in an index of faiss, hnswlib or usearch."""

from __future__ import annotations

from pathlib import Path

from tuner.data import inputs
from tuner.data.formats.choice import Role
from tuner.data.formats.signatures import START_BYTES, format_of
from tuner.data.formats.vecs import VECS
from tuner.data.ids import IdSource
from tuner.data.inputs import Source
from tuner.data.vectors import Vectors
from tuner.index.files.library import library_of
from tuner.index.rows import vectors_of


def open_inputs(
    base: Source, queries: Source | None, ids: IdSource | None = None, column: str | None = None
) -> tuple[Vectors, Vectors | None]:
    """Return the user's vectors, with their ids if there are any, and queries, checked but not read.

    Args:
        base: vectors to index, (n, d), a file, an array or a table; or an index, whose vectors are taken.
        queries: queries, (nq, d) likewise, None without any.
        ids: ids of the rows of ``base``, or the name of a column of it; None takes those of an index.
        column: name of the matrix in a file or table that holds several.

    Raises:
        InputError: they are no such files or arrays.
    """
    given = None if queries is None else _taken_out(queries, "queries")
    return inputs.open_inputs(_taken_out(base, "base"), given, ids, column)


def _taken_out(source: Source, role: Role) -> Source | Vectors:
    """Return the vectors of an index file; any other source as it is."""
    if not isinstance(source, (str, Path)) or not _is_index(Path(source)):
        return source
    return vectors_of(Path(source), role)


def _is_index(path: Path) -> bool:
    """Return whether a file is an index: by its first bytes, but for hnswlib's, which are zeros."""
    try:
        if path.suffix.lower() in VECS or not path.is_file():
            return False
        with path.open("rb") as file:
            found = format_of(file.read(START_BYTES))
    except OSError:  # what reads vectors says so
        return False
    return found == "a faiss index" or (found is None and library_of(path) != "faiss")
