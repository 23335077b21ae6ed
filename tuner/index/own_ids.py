"""An index whose ids are the user's own: searched by row numbers, and written with the ids again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import faiss
import numpy as np

from tuner.data.answers import row_of_id
from tuner.data.ids import DELETED, fits_in_index
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.index.layers import inner_ids
from tuner.index.opened import IndexUnderTest, with_ids
from tuner.types import IdArray


def by_rows(opened: IndexUnderTest, vectors: Vectors) -> IndexUnderTest:
    """Return an index of the user's ids as one that answers with rows of ``vectors``.

    An id that the list does not have gets a number behind the rows. The index is changed in place.

    Raises:
        InputError: the index has none of the ids, or the list has text and the index no row numbers.
    """
    if vectors.ids is None:
        if opened.n and not ((opened.ids >= 0) & (opened.ids < vectors.n)).any():
            raise InputError(
                f"{opened.source}: none of its ids is a row of {vectors.source}: give the file that it was "
                "made of, or with --ids the list of its ids, one for each row"
            )
        return opened
    names, source = vectors.ids, vectors.ids_source
    if not fits_in_index(names):
        if ((opened.ids >= 0) & (opened.ids < vectors.n)).all():
            return opened  # with row numbers for ids, as the index that a run hands over has
        raise InputError(
            f"{source} holds text ({names[0]!s:.40}), and an index of faiss, hnswlib or usearch holds whole "
            "numbers: give the numbers that the vectors were added with"
        )
    rows = row_of_id(opened.ids, names)
    there = opened.ids != DELETED
    if not (rows >= 0).any():
        raise InputError(f"{opened.source}: none of its ids is in {source}{_without(opened)}")
    strange = there & (rows < 0)
    others = np.unique(opened.ids[strange])
    rows[strange] = vectors.n + np.searchsorted(others, opened.ids[strange])
    own = np.concatenate([names, others])
    index = opened
    if not _holds_ids(opened):
        index = replace(
            with_ids(opened.index, opened.ids, opened.source, opened.index_bytes, opened.kept, always=True),
            library=opened.library,
            resident_bytes=opened.resident_bytes,
            notes=opened.notes,
        )
    _write_ids(index, rows)
    return replace(index, ids=rows, own=own)


@contextmanager
def with_own_ids(opened: IndexUnderTest, own: IdArray | None) -> Iterator[faiss.Index]:
    """Let an index answer with the user's ids for a while, to be written.

    Args:
        opened: an index that answers with numbers below ``len(own)``.
        own: id that each number stands for, None where it is the number.
    """
    if own is None:
        yield opened.index
        return
    _write_ids(opened, np.where(opened.ids >= 0, own[opened.ids], -1))
    try:
        yield opened.index
    finally:
        _write_ids(opened, opened.ids)


def _without(opened: IndexUnderTest) -> str:
    if np.array_equal(opened.ids, np.arange(opened.n)):
        return f": it holds positions, 0 to {opened.n - 1:,}, so leave --ids out"
    shown = ", ".join(str(each) for each in opened.ids[:3])
    return f": its first ones are {shown}; give the list that its vectors were added with"


def _holds_ids(opened: IndexUnderTest) -> bool:
    return isinstance(opened.core, faiss.IndexIVF) or _map_of(opened) is not None


def _map_of(opened: IndexUnderTest) -> faiss.Index | None:
    """Return the outermost layer that maps ids, None if there is none."""
    return next((layer for layer in opened.layers if hasattr(layer, "id_map")), None)


def _write_ids(opened: IndexUnderTest, ids: IdArray) -> None:
    """Put ids (n,), in the order of positions, where the index keeps them."""
    mapped = _map_of(opened)
    if mapped is None:
        _write_lists(opened, ids)
        return
    placed = np.empty(len(ids), dtype=np.int64)
    placed[inner_ids(opened.layers[opened.layers.index(mapped) + 1 :])] = ids
    faiss.copy_array_to_vector(placed, mapped.id_map)


def _write_lists(opened: IndexUnderTest, ids: IdArray) -> None:
    core, start = opened.core, 0
    lists = faiss.downcast_InvertedLists(core.invlists)
    if not isinstance(lists, faiss.ArrayInvertedLists):
        raise InputError(f"{opened.source}: its lists lie in a file of their own: write it with them inside")
    for number in range(core.nlist):
        size = lists.list_size(number)
        held = faiss.rev_swig_ptr(lists.get_ids(number), size)
        held[:] = ids[start : start + size]
        start += size
