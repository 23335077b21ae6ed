"""usearch's files, read without usearch.

The layout is that of ``index_dense.hpp`` and ``index.hpp``, version 2: the vectors as one matrix, a header
of 64 bytes that says what they are, a header of the graph, the level of each node, then for each node its
key, its level and its lists of links from below.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.errors import InputError
from tuner.index.files.layout import MOST_LINKS, NODES, Foreign, Layout, StoredRows
from tuner.types import FloatArray, IdArray, Metric

MAGIC = b"usearch"
HEAD = np.dtype(
    [
        ("magic", "S7"),
        ("version", "<u2", 3),
        ("metric", "S1"),
        ("scalar", "u1"),
        ("key", "u1"),
        ("slot", "u1"),
        ("n", "<u8"),
        ("n_deleted", "<u8"),
        ("d", "<u8"),
        ("multi", "u1"),
        ("reserved", "V22"),
    ]
)
GRAPH = np.dtype([("n", "<u8"), ("M", "<u8"), ("M0", "<u8"), ("max_level", "<u8"), ("entry_point", "<u8")])
VERSION, KEY_U64, SLOT_U32 = 2, 14, 15
METRICS: dict[bytes, Metric] = {b"c": "cosine", b"i": "ip", b"e": "l2"}
SCALARS = {11: ("<f4", ""), 12: ("<f2", "QT_fp16"), 4: ("<u2", "QT_bf16"), 23: ("i1", "QT_8bit")}
"""usearch's number of a scalar type: how it is stored, and what is the same in faiss."""
CODECS = {"QT_fp16": "fp16", "QT_bf16": "bf16", "QT_8bit": "i8"}
"""Names of stored numbers that may have been rounded, by faiss's scalar types."""
BYTE_STEP, BYTE_START = 255 / 127, -128.5 / 127
"""Step and start of faiss's 8 bits with which its codes stand for i / 127, as usearch's do."""
DELETED = -1
"""usearch's key of a removed node, as a signed number."""
NODE_HEAD = 10
COUNT = 4


@dataclass(frozen=True)
class Parts:
    """Where the parts of a file are, once they fit it.

    Attributes:
        n: nodes, removed ones included.
        M: links per node on upper levels.
        M0: links per node on the lowest level.
        entry_point: node at which searches start.
        row_bytes: bytes of a stored vector.
        stored: numpy's type of a stored number.
        qtype: faiss's scalar type of the same numbers, empty for float32.
        metric: metric of the index.
        levels: (n,) number of levels of each node above the lowest.
        starts: (n,) byte at which each node starts.
    """

    n: int
    M: int
    M0: int
    entry_point: int
    row_bytes: int
    stored: str
    qtype: str
    metric: Metric
    levels: NDArray[np.int64]
    starts: NDArray[np.int64]

    @property
    def upper_starts(self) -> NDArray[np.int64]:
        """Byte at which each list (levels.sum(),) of an upper level starts, node by node, from below."""
        levels = self.levels
        heights = np.arange(int(levels.sum())) - np.repeat(np.cumsum(levels) - levels, levels)
        lowest = NODE_HEAD + COUNT + 4 * self.M0
        above: NDArray[np.int64] = np.repeat(self.starts, levels) + lowest + heights * (COUNT + 4 * self.M)
        return above


def is_usearch(file: BinaryIO, size: int) -> bool:
    """Return whether the magic word stands behind the matrix of vectors, of a file of this size."""
    head = file.read(8)
    if len(head) < 8:
        return False
    rows, row_bytes = np.frombuffer(head, dtype="<u4").tolist()
    after = 8 + rows * row_bytes
    if after >= size:
        return False
    file.seek(after)
    return file.read(len(MAGIC)) == MAGIC


def read_usearch(path: Path, d: int) -> Foreign:
    """Return what a usearch file holds.

    Args:
        d: number of columns that it should have.

    Raises:
        InputError: it is no such file, damaged, or of vectors that faiss has no codes for.
    """
    damaged = InputError(f"{path}: is a damaged usearch index: write the index again")
    cells = np.memmap(path, dtype=np.uint8, mode="r")
    parts = _parts(path, cells, d, damaged)
    n, row_bytes = parts.n, parts.row_bytes
    index = _empty(d, parts.M, parts.qtype, parts.metric)
    layout = Layout(index, parts.levels, parts.M, parts.M0)
    layout.fill(
        lambda part: _links(cells, parts.starts[part] + NODE_HEAD, parts.M0, n, damaged),
        _links(cells, parts.upper_starts, parts.M, n, damaged),
    )
    storage = faiss.downcast_index(index.storage)
    for start in range(0, n, NODES):
        block = cells[8 + start * row_bytes : 8 + min(start + NODES, n) * row_bytes]
        rows = np.ascontiguousarray(block).view(parts.stored).reshape(-1, d)
        x = _decoded(rows, normalised=parts.metric == "cosine")
        if not np.isfinite(x).all():
            raise damaged
        storage.add(x)
    if not layout.finish(parts.entry_point, MOST_LINKS):
        raise damaged
    keys = _keys(cells, parts)
    return Foreign(index, np.where(keys < 0, -1, keys), int((keys == DELETED).sum()))


def rows_of_usearch(path: Path) -> StoredRows:
    """Return the vectors of a usearch file as they are stored; bfloat16 as float32.

    Raises:
        InputError: it is no such file, damaged, or of other numbers.
    """
    damaged = InputError(f"{path}: is a damaged usearch index: write the index again")
    cells = np.memmap(path, dtype=np.uint8, mode="r")
    rows, row_bytes = _record(cells, 0, np.dtype("<u4"), 2, damaged).tolist()
    d = int(_record(cells, 8 + rows * row_bytes, HEAD, 1, damaged)[0]["d"])
    parts = _parts(path, cells, d, damaged)
    stored = np.ndarray((parts.n, d), parts.stored, cells, offset=8)
    dtype = np.dtype("<f4" if parts.stored == "<u2" else parts.stored)
    keys = _keys(cells, parts)

    def at(positions: IdArray) -> NDArray[Any]:
        x = stored[positions]
        return x if dtype == x.dtype else _decoded(x, normalised=False)

    return StoredRows(
        d=d,
        dtype=dtype,
        codec=CODECS.get(parts.qtype, "fp32"),
        ids=np.where(keys < 0, -1, keys),
        at=at,
    )


def _keys(cells: NDArray[np.uint8], parts: Parts) -> IdArray:
    """Return the key (n,) of each node, negative for a removed one."""
    blocks = [
        np.ascontiguousarray(cells[parts.starts[first : first + NODES, None] + np.arange(8)]).view("<i8")
        for first in range(0, parts.n, NODES)
    ]
    return np.concatenate(blocks)[:, 0]


def _parts(path: Path, cells: NDArray[np.uint8], d: int, damaged: InputError) -> Parts:
    """Return where the parts of a file are; it fits them to the last byte."""
    rows, row_bytes = _record(cells, 0, np.dtype("<u4"), 2, damaged).tolist()
    at = 8 + rows * row_bytes
    head = _record(cells, at, HEAD, 1, damaged)[0]
    graph = _record(cells, at + HEAD.itemsize, GRAPH, 1, damaged)[0]
    n, M, M0 = int(graph["n"]), int(graph["M"]), int(graph["M0"])
    _check_kind(path, head, d)
    stored, qtype = SCALARS[int(head["scalar"])]
    fits = (
        n == rows == int(head["n"]) + int(head["n_deleted"])
        and row_bytes == d * np.dtype(stored).itemsize
        and 0 < M <= M0 <= MOST_LINKS
        and n > 0
        and int(graph["entry_point"]) < n
    )
    if not fits:
        raise damaged
    at += HEAD.itemsize + GRAPH.itemsize
    levels = _record(cells, at, np.dtype("<i2"), n, damaged).astype(np.int64)
    at += 2 * n
    lists = NODE_HEAD + COUNT + 4 * M0 + levels * (COUNT + 4 * M)
    too_high = levels.min() < 0 or levels.max() != int(graph["max_level"]) or levels.max() > 63
    if too_high or at + int(lists.sum()) != len(cells):
        raise damaged
    return Parts(
        n=n,
        M=M,
        M0=M0,
        entry_point=int(graph["entry_point"]),
        row_bytes=row_bytes,
        stored=stored,
        qtype=qtype,
        metric=METRICS[bytes(head["metric"])],
        levels=levels,
        starts=at + np.cumsum(lists) - lists,
    )


def _record(
    cells: NDArray[np.uint8], at: int, kind: np.dtype[Any], count: int, damaged: InputError
) -> NDArray[Any]:
    """Return what stands at a byte."""
    if at < 0 or at + count * kind.itemsize > len(cells):
        raise damaged
    return np.frombuffer(cells[at : at + count * kind.itemsize].tobytes(), dtype=kind)


def _check_kind(path: Path, head: np.void, d: int) -> None:
    """Refuse what is not known here."""
    known = bytes(head["magic"]) == MAGIC and int(head["version"][0]) == VERSION
    if not known or (int(head["key"]), int(head["slot"])) != (KEY_U64, SLOT_U32):
        raise InputError(
            f"{path}: is a usearch index of an unknown kind: write it with version 2 and integer keys"
        )
    if int(head["d"]) != d:
        raise InputError(f"{path}: holds vectors of {int(head['d'])} columns, not of {d}: name its own index")
    if int(head["scalar"]) not in SCALARS or bytes(head["metric"]) not in METRICS:
        raise InputError(
            f"{path}: usearch's scalar or metric in it has no counterpart here: only f32, f16, bf16 and i8 "
            "with cos, ip and l2sq can be looked into"
        )


def _empty(d: int, M: int, qtype: str, metric: Metric) -> faiss.IndexHNSW:
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    if not qtype:
        return faiss.IndexHNSWFlat(d, M, kind)
    index = faiss.IndexHNSWSQ(d, getattr(faiss.ScalarQuantizer, qtype), M, kind)
    storage = faiss.downcast_index(index.storage)
    if qtype == "QT_8bit":
        trained = np.repeat(np.array([BYTE_START, BYTE_STEP], dtype=np.float32), d)
        faiss.copy_array_to_vector(trained, storage.sq.trained)
    storage.is_trained = True
    return index


def _decoded(x: NDArray[np.generic], *, normalised: bool) -> FloatArray:
    """Return float32 of stored rows; at length 1 where the index compares by angle."""
    if x.dtype == np.uint16:
        return _unit((x.astype(np.uint32) << 16).view(np.float32), normalised=normalised)
    if x.dtype == np.int8:
        return np.ascontiguousarray(x, dtype=np.float32) / np.float32(127)
    return _unit(x.astype(np.float32), normalised=normalised)


def _unit(x: FloatArray, *, normalised: bool) -> FloatArray:
    if normalised:
        x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    return np.ascontiguousarray(x, dtype=np.float32)


def _links(
    cells: NDArray[np.uint8], starts: NDArray[np.int64], width: int, n: int, damaged: InputError
) -> NDArray[np.int32]:
    """Return lists (m, width), -1 filled: a count and as many slots."""
    words = np.ascontiguousarray(cells[starts[:, None] + np.arange(COUNT + 4 * width)]).view("<u4")
    counts, links = words[:, 0], words[:, 1:].astype(np.int64)
    there = np.arange(width) < counts[:, None]
    if counts.max(initial=0) > width or links[there].max(initial=0) >= n:
        raise damaged
    return np.where(there, links, -1).astype(np.int32)
