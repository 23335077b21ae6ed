"""The vectors that an index file holds, taken out of it, where it keeps them whole or nearly so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role
from tuner.data.formats.spool import BLOCK_BYTES, written
from tuner.data.ids import DELETED, named
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.index.files.faiss import read_probed
from tuner.index.files.hnswlib import rows_of_hnswlib
from tuner.index.files.layout import StoredRows
from tuner.index.files.library import library_of
from tuner.index.files.strangers import refuse_strangers
from tuner.index.files.usearch import rows_of_usearch
from tuner.index.layers import codec_name, inner_ids, layers_of, step_name, transforms_of
from tuner.index.stored import reconstructed
from tuner.types import FloatArray, IdArray

WHOLE = "fp32"
DECODED = ("fp16", "bf16", "SQ8", "SQ_8bit_uniform", "SQ_8bit_direct", "SQ_8bit_direct_signed")
"""Codecs whose vectors are near enough to what was encoded to be worth a search."""
INSTEAD = "give the file of vectors that it was built over"


def vectors_of(path: Path, role: Role) -> Vectors:
    """Return the vectors of an index of faiss, hnswlib or usearch, and its ids if they are no row numbers.

    Deleted ones are left out. A permutation of row numbers is undone.

    Args:
        role: what the vectors are; queries need no ids.

    Raises:
        InputError: it is damaged, empty, or keeps codes from which vectors cannot be taken.
        ResourceError: the disk has no room for a copy.
    """
    refuse_strangers(path)
    rows = _rows_of(path)
    positions = np.flatnonzero(rows.ids != DELETED)
    if not len(positions):
        raise InputError(f"{path}: holds no vectors: {INSTEAD}")
    ids = rows.ids[positions]
    order = np.argsort(ids, kind="stable")
    are_rows = np.array_equal(ids[order], np.arange(len(ids)))
    if are_rows or rows.is_unordered:
        positions, ids = positions[order], ids[order]
    copy = written(str(path), rows.d, rows.dtype, _blocks(rows, positions), len(positions))
    remark = ""
    if rows.codec != WHOLE:
        remark = (
            f"the vectors are decoded from the {rows.codec} codes of {path}: recall against those that were "
            "encoded cannot be known"
        )
    vectors = Vectors(
        source=str(path), n=len(positions), d=rows.d, dtype=rows.dtype, data=copy, remark=remark
    )
    if are_rows or role == "queries":
        return vectors
    return named(vectors, ids, f"the list of ids in {path}")


def _rows_of(path: Path) -> StoredRows:
    library = library_of(path)
    if library == "hnswlib":
        return rows_of_hnswlib(path)
    return rows_of_usearch(path) if library == "usearch" else _rows_of_faiss(path)


def _blocks(rows: StoredRows, positions: IdArray) -> Iterator[NDArray[Any]]:
    step = max(1, BLOCK_BYTES // (4 * rows.d))
    for start in range(0, len(positions), step):
        yield rows.at(positions[start : start + step])


def _rows_of_faiss(path: Path) -> StoredRows:
    index, _ = read_probed(path)
    layers = layers_of(index)
    refine = next((layer for layer in layers if isinstance(layer, faiss.IndexRefine)), None)
    if refine is not None:  # its store holds them best, in the order in which they were added
        outside = layers[: layers.index(refine) + 1]
        ids, layers = inner_ids(outside), [*outside, *layers_of(refine.refine_index)]
    else:
        ids = inner_ids(layers)
    storage = layers[-1]
    if isinstance(storage, faiss.IndexHNSW):
        storage = faiss.downcast_index(storage.storage)
    codec = codec_name(storage)
    steps = [
        step_name(step)
        for step in transforms_of(layers)
        if not isinstance(step, faiss.NormalizationTransform)
    ]
    if steps or codec not in (WHOLE, *DECODED):
        what = f"vectors behind {steps[0]}" if steps else f"{codec} codes"
        raise InputError(f"{path}: keeps {what}, from which the vectors cannot be taken: {INSTEAD}")
    is_listed = isinstance(storage, faiss.IndexIVF)
    return StoredRows(
        d=index.d,
        dtype=np.dtype(np.float32),
        codec=codec,
        ids=ids,
        at=_Lists(storage).at if is_listed else lambda positions: reconstructed(storage, positions),
        is_unordered=is_listed,
        kept=index,
    )


class _Lists:
    """The vectors of lists, by their positions in one list after the other."""

    def __init__(self, storage: faiss.IndexIVF) -> None:
        self.storage, self.lists = storage, storage.invlists
        sizes = [self.lists.list_size(number) for number in range(storage.nlist)]
        self.starts = np.cumsum([0, *sizes])

    def at(self, positions: IdArray) -> FloatArray:
        """Return what is held at positions (m,), decoded, list by list."""
        out = np.empty((len(positions), self.storage.d), dtype=np.float32)
        owners = np.searchsorted(self.starts, positions, side="right") - 1
        order = np.argsort(owners, kind="stable")
        numbers, firsts = np.unique(owners[order], return_index=True)
        for number, places in zip(numbers.tolist(), np.split(order, firsts[1:]), strict=True):
            out[places] = self._decoded(number, positions[places] - self.starts[number])
        return out

    def _decoded(self, number: int, offsets: IdArray) -> FloatArray:
        """Return what is held at offsets of a list: a code says first which list it is of."""
        width = self.storage.code_size
        codes = faiss.rev_swig_ptr(self.lists.get_codes(number), self.lists.list_size(number) * width)
        head = np.frombuffer(number.to_bytes(self.storage.coarse_code_size(), "little"), dtype=np.uint8)
        whole = np.hstack([np.tile(head, (len(offsets), 1)), codes.reshape(-1, width)[offsets]])
        decoded: FloatArray = self.storage.sa_decode(np.ascontiguousarray(whole))
        return decoded
