"""A copy of values that do not lie row after row in the user's file."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.flat import FlatFile
from tuner.errors import InputError, ResourceError

BLOCK_BYTES = 4 << 20
KEPT_FREE = 64 << 20
"""Bytes of the disk that a copy leaves free."""


class ScratchFolder:
    """A folder that goes with the last reference to it, or when the process ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="tune-copy-"))
        finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def copied(array: FlatFile, file: IO[bytes], promised: int) -> FlatFile:
    """Return an array of a .npy stream in a copy, which goes when nothing refers to it.

    Args:
        array: array whose offset is that within the stream.
        file: stream of exactly ``promised`` bytes.

    Raises:
        InputError: the stream is shorter or longer.
        ResourceError: the disk has no room for it.
    """
    folder, left = _room_for(array.source, promised), promised
    path = folder.path / "vectors.npy"
    with path.open("wb") as out:
        while left and (block := file.read(min(BLOCK_BYTES, left))):
            _write(out, block, array.source)
            left -= len(block)
    if left or file.read(1):
        raise InputError(f"{array.source} is damaged: copy it again or write it again with np.savez")
    return replace(array, path=path, is_npy=True, copied_to=folder)


def written(
    source: str, d: int, dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]], n: int | None = None
) -> FlatFile:
    """Return blocks of rows as one matrix in a copy, which goes when nothing refers to it.

    Args:
        source: name of the user's file in messages.
        d: columns.
        dtype: type of the values, which blocks are cast to.
        blocks: rows in order.
        n: rows that the file says it has, None where it does not.

    Raises:
        InputError: there are more or fewer rows.
        ResourceError: the disk has no room for it.
    """
    folder = _room_for(source, (n or 0) * d * dtype.itemsize)
    path, found = folder.path / "rows", 0
    with path.open("wb") as out:
        for block in blocks:
            found += len(block)
            if n is None or found <= n:
                _write(out, np.ascontiguousarray(block, dtype=dtype).data, source)
    if n is not None and found != n:
        raise InputError(f"{source} has {found:,} rows where it says {n:,}: write it again")
    return FlatFile(path=path, source=source, shape=(found, d), dtype=dtype, offset=0, copied_to=folder)


def _write(out: IO[bytes], block: bytes | memoryview, source: str) -> None:
    try:
        out.write(block)
    except OSError as error:
        raise _no_copy(source, error) from None


def _no_copy(source: str, error: OSError) -> ResourceError:
    return ResourceError(
        f"{source} is read from a copy, and {tempfile.gettempdir()} cannot take it ({error.strerror}): "
        "set TMPDIR to another disk, or save it with np.save"
    )


def _room_for(source: str, size: int) -> ScratchFolder:
    """Return a folder on a disk with that many bytes free."""
    try:
        folder = ScratchFolder()
    except OSError as error:
        raise _no_copy(source, error) from None
    free = shutil.disk_usage(folder.path).free
    if size + KEPT_FREE > free:
        raise ResourceError(
            f"{source} takes {size:,} bytes unpacked, where {folder.path.parent} has {free:,} free: set "
            "TMPDIR to a larger disk, or save it with np.save"
        )
    return folder
