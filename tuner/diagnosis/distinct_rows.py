"""The prepared base without rows that repeat another, and an index with the list of copies beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from tuner.data.answers import row_of_id
from tuner.data.base import Base
from tuner.data.copies import COPIES_FILE, Copies, by_first, copies_among, read_copies
from tuner.data.ids import fits_in_index
from tuner.data.vectors import Vectors
from tuner.index.assemble import original_rows
from tuner.index.opened import IndexUnderTest
from tuner.runtime.journal import about

ROWS = 1 << 14


def distinct_rows(base: Base, vectors: Vectors, path: Path) -> tuple[Base, Copies]:
    """Return the first of all equal rows, and all prepared rows by what they hold.

    Args:
        vectors: the user's rows, of which ``base`` is made.
        path: scratch file to write.
    """
    copies = copies_among(vectors, base.rows)
    first = copies.first
    with about(path), path.open("wb") as out:
        for start in range(0, len(first), ROWS):
            out.write(base.x[first[start : start + ROWS]].data)
    base.release()
    x = np.memmap(path, dtype=np.float32, mode="r", shape=(len(first), base.d))
    return replace(base, x=x, rows=original_rows(first, base)), copies


def with_list(opened: IndexUnderTest, path: Path, vectors: Vectors) -> IndexUnderTest:
    """Return an index that answers with rows together with the list of copies beside its file, if it has one.

    Args:
        opened: index that answers with rows of ``vectors``.
        path: file of the index.

    Raises:
        InputError: the list is damaged.
    """
    file = path.with_name(COPIES_FILE)
    if not file.exists():
        return opened
    pairs = read_copies(file)
    if vectors.ids is not None and fits_in_index(vectors.ids):
        pairs = row_of_id(pairs, vectors.ids)
    there = np.isin(pairs, opened.ids)
    known = ((pairs >= 0) & (pairs < vectors.n)).all()
    if not known or not there[:, 0].all() or there[:, 1].any():
        note = f"{file} is of another index and not followed: its rows are not those of this one"
        return replace(opened, notes=(*opened.notes, note))
    note = f"{len(pairs):,} rows that {file} lists are found with the rows that they repeat"
    n_bytes = opened.index_bytes + file.stat().st_size
    return replace(opened, copies=by_first(pairs), index_bytes=n_bytes, notes=(*opened.notes, note))
