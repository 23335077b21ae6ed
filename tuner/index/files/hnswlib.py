"""hnswlib's files, read without hnswlib: its reader believes what a file says, and takes d on trust.

The layout is that of ``hnswlib/hnswalg.h`` (``saveIndex``), version 0.8: a header, then for each element
its level 0 links, its vector and its label, then for each element the links of its upper levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import view_codes
from tuner.errors import InputError
from tuner.index.files.layout import MOST_LINKS, Foreign, Layout, StoredRows
from tuner.types import IdArray, Metric

HEADER = np.dtype(
    [
        ("offset_level_0", "<u8"),
        ("max_elements", "<u8"),
        ("n", "<u8"),
        ("element_bytes", "<u8"),
        ("label_offset", "<u8"),
        ("data_offset", "<u8"),
        ("max_level", "<i4"),
        ("entry_point", "<u4"),
        ("max_M", "<u8"),
        ("max_M0", "<u8"),
        ("M", "<u8"),
        ("mult", "<f8"),
        ("ef_construction", "<u8"),
    ]
)
DELETED = 0x01


@dataclass(frozen=True)
class Header:
    """What a header says, once it fits the file.

    Attributes:
        n: elements.
        M: links per node on upper levels.
        M0: links per node on the lowest level.
        links_bytes: bytes of an element's links on the lowest level.
        vector_bytes: bytes of an element's vector, which follows them.
        max_level: highest level.
        entry_point: element at which searches start.
        ef_construction: candidates kept while building.
    """

    n: int
    M: int
    M0: int
    links_bytes: int
    vector_bytes: int
    max_level: int
    entry_point: int
    ef_construction: int

    @property
    def element_bytes(self) -> int:
        """Bytes of an element: links, vector and label."""
        return self.links_bytes + self.vector_bytes + 8

    @property
    def upper_bytes(self) -> int:
        """Bytes of a list of links on an upper level."""
        return 4 + 4 * self.M


def is_hnswlib(file: BinaryIO) -> bool:
    """Return whether a file starts as hnswlib's do, with an offset of zero; rewind it."""
    head = file.read(8)
    file.seek(0)
    return len(head) == 8 and not any(head)


def read_hnswlib(path: Path, d: int, metric: Metric) -> Foreign:
    """Return what an hnswlib file holds.

    Args:
        d: number of columns that it should have.
        metric: space of the file; ``cosine`` keeps normalised vectors and compares by inner product.

    Raises:
        InputError: it is no such file, or damaged.
    """
    damaged = InputError(f"{path}: is no hnswlib index, or a damaged one: write the index again")
    head = _header(path, damaged)
    if head.vector_bytes != 4 * d:
        raise InputError(
            f"{path}: holds vectors of {head.vector_bytes // 4} columns, not of {d}: name its own index"
        )
    n, at = head.n, HEADER.itemsize
    cells = np.memmap(path, dtype=np.uint8, mode="r", offset=at, shape=(n, head.element_bytes))
    rest = np.memmap(path, dtype=np.uint8, mode="r", offset=at + n * head.element_bytes, shape=None)
    nodes, heights, starts = _upper(np.asarray(rest), n, head.upper_bytes, damaged)
    levels = np.zeros(n, dtype=np.int64)
    levels[nodes] = heights
    if levels.max() != head.max_level:
        raise damaged
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexHNSWFlat(d, head.M, kind)
    layout = Layout(index, levels, head.M, head.M0)
    vectors = np.empty((n, d), dtype=np.float32)
    labels = np.empty(n, dtype=np.int64)
    deleted = np.zeros(n, dtype=bool)
    behind = head.links_bytes + head.vector_bytes

    def copied(part: slice) -> NDArray[np.int32]:
        block = np.ascontiguousarray(cells[part])
        deleted[part] = (block[:, 2] & DELETED) != 0
        vectors[part] = np.ascontiguousarray(block[:, head.links_bytes : behind]).view("<f4")
        labels[part] = np.ascontiguousarray(block[:, behind:]).view("<i8")[:, 0]
        return _lists(block[:, : head.links_bytes], n, damaged)

    layout.fill(copied, _lists(rest[starts[:, None] + np.arange(head.upper_bytes)], n, damaged))
    if not np.isfinite(vectors).all():
        raise damaged
    view_codes(faiss.downcast_index(index.storage), vectors.view(np.uint8))
    if not layout.finish(head.entry_point, head.ef_construction):
        raise damaged
    return Foreign(index, np.where(deleted, -1, labels), int(deleted.sum()), vectors)


def rows_of_hnswlib(path: Path) -> StoredRows:
    """Return the vectors of an hnswlib file: at length 1 where its space is cosine, which it does not say.

    Raises:
        InputError: it is no such file, or damaged.
    """
    damaged = InputError(f"{path}: is no hnswlib index, or a damaged one: write the index again")
    head = _header(path, damaged)
    n, at, width = head.n, HEADER.itemsize, head.element_bytes
    rest = np.memmap(path, dtype=np.uint8, mode="r", offset=at + n * width)
    _upper(np.asarray(rest), n, head.upper_bytes, damaged)
    d = head.vector_bytes // 4
    element = np.dtype(
        [
            ("count", "<u2"),
            ("flags", "u1"),
            ("links", f"V{head.links_bytes - 3}"),
            ("x", "<f4", (d,)),
            ("id", "<i8"),
        ]
    )
    elements = np.memmap(path, dtype=element, mode="r", offset=at, shape=(n,))
    ids = np.where(elements["flags"] & DELETED, -1, elements["id"])
    return StoredRows(
        d=d, dtype=np.dtype("<f4"), codec="fp32", ids=ids, at=lambda positions: elements[positions]["x"]
    )


def _header(path: Path, damaged: InputError) -> Header:
    """Return the header of a file that it fits."""
    size = path.stat().st_size
    if size < HEADER.itemsize:
        raise damaged
    head = np.fromfile(path, dtype=HEADER, count=1)[0]
    found = Header(
        n=int(head["n"]),
        M=int(head["max_M"]),
        M0=int(head["max_M0"]),
        links_bytes=4 + 4 * int(head["max_M0"]),
        vector_bytes=int(head["label_offset"]) - int(head["data_offset"]),
        max_level=int(head["max_level"]),
        entry_point=int(head["entry_point"]),
        ef_construction=int(head["ef_construction"]),
    )
    fits = (
        int(head["offset_level_0"]) == 0
        and 0 < found.M <= found.M0 <= MOST_LINKS
        and 0 < found.n <= int(head["max_elements"])
        and int(head["data_offset"]) == found.links_bytes
        and found.vector_bytes > 0
        and found.vector_bytes % 4 == 0
        and int(head["element_bytes"]) == found.element_bytes
        and HEADER.itemsize + found.n * found.element_bytes <= size
        and 0 <= found.max_level < 64
        and found.entry_point < found.n
    )
    if not fits:
        raise damaged
    return found


def _upper(
    rest: NDArray[np.uint8], n: int, list_bytes: int, damaged: InputError
) -> tuple[IdArray, IdArray, IdArray]:
    """Return nodes with upper levels, the number of them, and where each of their lists starts."""
    words = rest[: len(rest) // 4 * 4].view("<u4")
    filled = np.flatnonzero(words)  # a node without upper levels is one zero word
    nodes: list[int] = []
    heights: list[int] = []
    starts: list[int] = []
    node, word = 0, 0
    while True:
        ahead = np.searchsorted(filled, word)
        zeros = int(filled[ahead]) - word if ahead < len(filled) else n - node
        node, word = node + zeros, word + zeros
        if node >= n:
            break
        n_bytes = int(words[word]) if word < len(words) else -1
        if n_bytes <= 0 or n_bytes % list_bytes or 4 * (word + 1) + n_bytes > len(rest):
            raise damaged
        nodes.append(node)
        heights.append(n_bytes // list_bytes)
        starts.extend(range(4 * (word + 1), 4 * (word + 1) + n_bytes, list_bytes))
        node, word = node + 1, word + 1 + n_bytes // 4
    if node != n or 4 * word != len(rest):
        raise damaged
    return tuple(np.array(each, dtype=np.int64) for each in (nodes, heights, starts))  # type: ignore[return-value]


def _lists(block: NDArray[np.uint8], n: int, damaged: InputError) -> NDArray[np.int32]:
    """Return link lists (m, width), -1 filled, of their bytes: two of a count, two of flags, then links."""
    words = np.ascontiguousarray(block).view("<u4").reshape(len(block), -1)
    counts = words[:, 0] & 0xFFFF
    links = words[:, 1:].astype(np.int64)
    there = np.arange(links.shape[1]) < counts[:, None]
    if counts.max(initial=0) > links.shape[1] or links[there].max(initial=0) >= n:
        raise damaged
    return np.where(there, links, -1).astype(np.int32)
