"""The user's own ids: keys of a database or names of documents, one a row of the vectors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.listed import read_list
from tuner.data.formats.wanted import IDS
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.text import counted

Names: TypeAlias = NDArray[Any]
"""Ids (n,): int64 where all are whole numbers, else text."""
IdSource: TypeAlias = str | Path | Sequence[int | str] | NDArray[Any]

DELETED, NO_NAME = -1, ""
"""What stands for a row that was deleted on purpose, in a list of numbers and in one of text."""
MOST_ID = 2**63 - 1


@dataclass(frozen=True, eq=False)
class RowIds:
    """The ids of a file's rows.

    Attributes:
        source: name of the list in messages.
        names: ids (n,) of all rows, as ``Names``.
        deleted: whether a row (n,) was deleted on purpose, so that no index should hold it.
    """

    source: str
    names: Names
    deleted: NDArray[np.bool_]

    @property
    def n_deleted(self) -> int:
        """Number of rows that were deleted on purpose."""
        return int(self.deleted.sum())


def fits_in_index(names: Names) -> bool:
    """Return whether an index can hold the ids: whole numbers, not text."""
    return names.dtype.kind != "U"


def named(vectors: Vectors, source: IdSource | None, name: str = "the list of ids") -> Vectors:
    """Return the rows that should be in an index, with their ids; all of them where no list is given.

    Args:
        vectors: rows of a file or an array.
        source: ids of all of them.
        name: name of a list in messages.

    Raises:
        InputError: the list is no such file or array, has another length, or names a row twice.
    """
    if source is None:
        return vectors
    ids = read_ids(source, name)
    if len(ids.names) != vectors.n:
        raise InputError(f"{ids.source} has {counted(len(ids.names), 'id')}{_length_hint(ids, vectors)}")
    _refuse_repeated(ids)
    kept = np.flatnonzero(~ids.deleted)
    if not len(kept):
        raise InputError(f"{ids.source} marks every row as deleted: give the ids of those that are left")
    return replace(
        vectors,
        n=len(kept),
        kept=kept if ids.n_deleted else None,
        ids=ids.names[kept],
        ids_source=ids.source,
        n_deleted=ids.n_deleted,
    )


def describe_rows(vectors: Vectors) -> str:
    """Return in words where rows come from and which are left out on purpose; empty where all is plain."""
    if not vectors.n_deleted:
        return vectors.remark
    deleted = (
        f"{counted(vectors.n_deleted, 'row')} of {vectors.source} deleted on purpose by "
        f"{vectors.ids_source}: in no index, and not missed"
    )
    return f"{vectors.remark}; {deleted}" if vectors.remark else deleted


def read_ids(source: IdSource, name: str = "the list of ids") -> RowIds:
    """Return the ids of a .npy file, a text file with one id a line, a file of one column, or a list.

    Numbers written as text are numbers. A row that was deleted on purpose has -1 or an empty line.

    Raises:
        InputError: it is none of them.
    """
    if isinstance(source, (str, Path)):
        name = str(source)
        found = read_list(Path(source), name, IDS)
    else:
        found = np.asarray(source)
    found = _plain(found, name)
    return RowIds(name, found, found == (NO_NAME if found.dtype.kind == "U" else DELETED))


def _plain(found: Names, name: str) -> Names:
    """Return ids as int64, or as text where one is no whole number."""
    if found.dtype.kind == "O" and all(isinstance(each, (str, int, np.integer)) for each in found.flat):
        found = found.astype(np.str_)
    refuse_damaged_text(found, name)
    if found.dtype.kind == "S":
        found = np.char.decode(found, "utf-8", "replace")
    if found.dtype.kind not in "iuU":
        hint = (
            "whole numbers are saved as integers, x.astype('int64')" if found.dtype.kind == "f" else IDS.form
        )
        raise InputError(f"{name} holds {found.dtype}, and ids are integers or text: {hint}")
    if found.ndim != 1:
        raise InputError(f"{name} has shape {found.shape}, but ids are a list, one a row: save x.ravel()")
    if found.dtype.kind == "U":
        return as_numbers(found)
    if len(found) and int(found.max()) > MOST_ID:
        raise InputError(f"{name} holds {found.max()}, and an index holds ids below 2^63: {IDS.form}")
    return found.astype(np.int64)


def refuse_damaged_text(found: NDArray[Any], name: str) -> None:
    """Raise InputError if text has characters that Unicode does not have."""
    if found.dtype.kind == "U" and _highest(found) > sys.maxunicode:
        raise InputError(
            f"{name} holds text with characters that there are not: it is damaged, write it again"
        )


def _highest(text: Names) -> int:
    """Return the number of the highest character; what lies behind it in Unicode cannot be read."""
    if not text.nbytes:
        return 0
    points = np.frombuffer(text.astype(text.dtype.newbyteorder("=")).tobytes(), dtype=np.uint32)
    return int(points.max())


def as_numbers(found: Names) -> Names:
    """Return text as int64 if each is a whole number as Python writes it, or empty; else as it is."""
    written = found != NO_NAME
    try:
        numbers = np.where(written, found, str(DELETED)).astype(np.int64)
    except (ValueError, OverflowError):
        return found
    same = numbers[written].astype(np.str_) == found[written]
    return numbers if written.any() and bool(same.all()) else found


def _refuse_repeated(ids: RowIds) -> None:
    rows = np.flatnonzero(~ids.deleted)
    order = rows[np.argsort(ids.names[rows], kind="stable")]
    again = np.flatnonzero(ids.names[order[1:]] == ids.names[order[:-1]])
    if len(again):
        first, second = order[again[0]], order[again[0] + 1]
        raise InputError(
            f"{ids.source} has {ids.names[first]!s:.60} for row {first} and row {second} ({len(again):,} of "
            "its ids are repeated): give each row an id of its own"
        )


def _length_hint(ids: RowIds, vectors: Vectors) -> str:
    text = f" and {vectors.source} has {counted(vectors.n, 'row')}"
    if len(ids.names) == vectors.n + 1 and ids.names.dtype.kind == "U":
        return f"{text}: leave the heading {ids.names[0]!s:.40} out"
    return f"{text}: give one id a row, and -1 (an empty line in text) for a row that was deleted on purpose"
