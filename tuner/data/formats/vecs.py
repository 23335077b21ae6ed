"""The files of texmex and of big-ann-benchmarks: counted rows, and rows behind a header of two numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tuner.data.formats.flat import COUNT_BYTES, FlatFile
from tuner.errors import InputError

COUNTED = {".fvecs": "<f4", ".bvecs": "u1"}
"""Each row begins with its number of columns (http://corpus-texmex.irisa.fr)."""
HEADED = {".fbin": "<f4", ".u8bin": "u1", ".i8bin": "i1"}
"""The number of rows and that of columns come first (https://big-ann-benchmarks.com)."""
VECS = frozenset(COUNTED) | frozenset(HEADED)
NEIGHBOURS = frozenset({".ivecs", ".ibin"})
"""Numbers of rows, not vectors."""
HEAD_BYTES = 8
MOST_COLUMNS = 1 << 20
"""Larger figures at the start of a row are no number of columns."""


def open_vecs(path: Path, source: str, start: bytes, size: int) -> FlatFile:
    """Return the matrix of such a file, its size checked.

    Args:
        start: first bytes of the file.
        size: bytes of the file.

    Raises:
        InputError: the file is damaged, cut, or holds neighbours.
    """
    suffix = path.suffix.lower()
    if suffix in NEIGHBOURS:
        raise InputError(
            f"{source} holds numbers of rows, the exact neighbours of queries, and no vectors: give the "
            "vectors that they are of"
        )
    head_bytes = COUNT_BYTES if suffix in COUNTED else HEAD_BYTES
    if len(start) < head_bytes:
        raise InputError(f"{source} is truncated inside its header: copy it again or write it again")
    head = np.frombuffer(start[:head_bytes], dtype="<u4").tolist()
    if suffix in COUNTED:
        return _counted(path, source, head[0], size, np.dtype(COUNTED[suffix]))
    n, d = head
    dtype = np.dtype(HEADED[suffix])
    promised = HEAD_BYTES + n * d * dtype.itemsize
    if size != promised:
        fault = "is truncated" if size < promised else "is no such file or damaged"
        raise InputError(
            f"{source} {fault}: its header says {n:,} x {d:,} {dtype.name}, which takes {promised:,} bytes, "
            f"and it has {size:,}: copy it again or write it again"
        )
    return FlatFile(path=path, source=source, shape=(n, d), dtype=dtype, offset=HEAD_BYTES)


def _counted(path: Path, source: str, d: int, size: int, dtype: np.dtype[np.generic]) -> FlatFile:
    if not 0 < d <= MOST_COLUMNS:
        raise InputError(
            f"{source}: its first row says that it has {d:,} columns, so it is damaged or no {path.suffix} "
            "file: write it again"
        )
    row_bytes = COUNT_BYTES + d * dtype.itemsize
    n, over = divmod(size, row_bytes)
    if over:
        raise InputError(
            f"{source} is truncated or damaged: rows of {d:,} columns take {row_bytes:,} bytes each, and it "
            f"ends after {over:,} bytes of row {n:,}: copy it again or write it again"
        )
    return FlatFile(path=path, source=source, shape=(n, d), dtype=dtype, offset=0, counted=True)
