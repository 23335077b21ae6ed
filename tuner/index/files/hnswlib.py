"""hnswlib's files, read without hnswlib: its reader believes what a file says, and takes d on trust.

The layout is that of ``hnswlib/hnswalg.h`` (``saveIndex``), version 0.8: a header, then for each element
its level 0 links, its vector and its label, then for each element the links of its upper levels.
"""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import view_codes
from tuner.errors import InputError
from tuner.index.files.layout import MOST_LINKS, Foreign, Layout
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


def read_hnswlib(  # a file format, field by field
    path: Path, d: int, metric: Metric
) -> Foreign:
    """Return what an hnswlib file holds.

    Args:
        d: columns that it should have.
        metric: its space; ``cosine`` keeps normalised vectors and compares by inner product.

    Raises:
        InputError: it is no such file, or damaged.
    """
    size = path.stat().st_size
    damaged = InputError(f"{path}: is no hnswlib index, or a damaged one: write the index again")
    if size < HEADER.itemsize:
        raise damaged
    head = np.fromfile(path, dtype=HEADER, count=1)[0]
    n, width = int(head["n"]), int(head["element_bytes"])
    M, M0 = int(head["max_M"]), int(head["max_M0"])
    links_bytes = 4 + 4 * M0
    held = int(head["label_offset"]) - int(head["data_offset"])
    fits = (
        int(head["offset_level_0"]) == 0
        and 0 < M <= M0 <= MOST_LINKS
        and 0 < n <= int(head["max_elements"])
        and int(head["data_offset"]) == links_bytes
        and held > 0
        and held % 4 == 0
        and width == links_bytes + held + 8
        and HEADER.itemsize + n * width <= size
        and 0 <= int(head["max_level"]) < 64
        and int(head["entry_point"]) < n
    )
    if not fits:
        raise damaged
    if held != 4 * d:
        raise InputError(f"{path}: holds vectors of {held // 4} columns, not of {d}: name its own index")
    cells = np.memmap(path, dtype=np.uint8, mode="r", offset=HEADER.itemsize, shape=(n, width))
    rest = np.memmap(path, dtype=np.uint8, mode="r", offset=HEADER.itemsize + n * width, shape=None)
    nodes, heights, starts = _upper(np.asarray(rest), n, 4 + 4 * M, damaged)
    levels = np.zeros(n, dtype=np.int64)
    levels[nodes] = heights
    if levels.max() != int(head["max_level"]):
        raise damaged
    index = faiss.IndexHNSWFlat(d, M, faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT)
    layout = Layout(index, levels, M, M0)
    vectors = np.empty((n, d), dtype=np.float32)
    labels = np.empty(n, dtype=np.int64)
    deleted = np.zeros(n, dtype=bool)

    def copied(part: slice) -> NDArray[np.int32]:
        block = np.ascontiguousarray(cells[part])
        deleted[part] = (block[:, 2] & DELETED) != 0
        vectors[part] = np.ascontiguousarray(block[:, links_bytes : links_bytes + held]).view("<f4")
        labels[part] = np.ascontiguousarray(block[:, links_bytes + held :]).view("<i8")[:, 0]
        return _lists(block[:, :links_bytes], n, damaged)

    layout.fill(copied, _lists(rest[starts[:, None] + np.arange(4 + 4 * M)], n, damaged))
    if not np.isfinite(vectors).all():
        raise damaged
    view_codes(faiss.downcast_index(index.storage), vectors.view(np.uint8))
    if not layout.finish(int(head["entry_point"]), int(head["ef_construction"])):
        raise damaged
    return Foreign(index, np.where(deleted, -1, labels), int(deleted.sum()), vectors)


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
