"""A .npy file: its header checked against its size, and its rows.

Rows are read with seek and read, not mapped: pages of a mapped file count as resident memory.
"""

from __future__ import annotations

import tokenize
from dataclasses import dataclass
from io import BufferedReader, FileIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats import START_BYTES, other_than_npy
from tuner.errors import InputError


@dataclass(frozen=True, kw_only=True)
class NpyFile:
    """What the header of a .npy file promises, checked to be there.

    Attributes:
        source: name of the file in messages.
        offset: bytes before the first value.
    """

    path: Path
    source: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    def rows(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return ascending ``rows`` of a matrix as stored.

        Raises:
            InputError: the file became shorter since it was opened.
        """
        with self.path.open("rb", buffering=0) as file:
            return self._columns(file, rows) if self.fortran else self._runs(file, rows)

    def _runs(self, file: FileIO, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Read in C order: one read for each run of neighbouring rows."""
        d = self.shape[1]
        out = np.empty((len(rows), d), dtype=self.dtype)
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for begin, end in zip((0, *breaks), (*breaks, len(rows)), strict=True):
            self._fill(file, int(rows[begin]) * d, out[begin:end])
        return out

    def _columns(self, file: FileIO, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Read in Fortran order: one read of the span of ``rows`` for each column."""
        n, d = self.shape
        first = int(rows[0])
        span = np.empty((d, int(rows[-1]) - first + 1), dtype=self.dtype)
        for column in range(d):
            self._fill(file, column * n + first, span[column])
        return span.T[rows - first]

    def _fill(self, file: FileIO, position: int, out: NDArray[Any]) -> None:
        """Read values from ``position`` on until ``out`` is full."""
        file.seek(self.offset + position * self.dtype.itemsize)
        left = out.reshape(-1).view(np.uint8).data
        while left:
            count = file.readinto(left)
            if not count:
                raise InputError(
                    f"{self.source} became shorter while it was read: write it again and repeat the run"
                )
            left = left[count:]


def open_npy(path: Path, source: str) -> NpyFile:
    """Return a .npy file that holds at least the bytes that its header promises.

    Args:
        source: name of the file in messages.

    Raises:
        InputError: missing, a directory, unreadable, empty, not .npy, damaged, pickled or truncated.
    """
    try:
        if path.is_dir():
            raise InputError(f"{source} is a directory: name a .npy file in it")
        if not path.exists():
            raise InputError(f"{source} does not exist: check the path")
        if not path.is_file():
            raise InputError(f"{source} is not a regular file: save the vectors to a .npy file first")
        size = path.stat().st_size
        if not size:
            raise InputError(f"{source} is empty: write it again with np.save")
        with path.open("rb") as file:
            found = _parse(file, path, source)
            promised = found.offset + prod(found.shape) * found.dtype.itemsize
            behind = _start_at(file, promised) if found.offset <= promised < size else b""
    except OSError as error:
        raise InputError(
            f"{source} cannot be read ({error.strerror}): check the path and its permissions"
        ) from None
    if found.dtype.hasobject:
        raise InputError(
            f"{source} holds pickled Python objects: stack rows of equal length and save them as float32"
        )
    if size < promised:
        raise InputError(
            f"{source} is truncated ({size:,} of {promised:,} bytes): copy it again or write it again"
        )
    if behind.startswith(np.lib.format.MAGIC_PREFIX):
        raise InputError(
            f"{source} holds a second array behind that of shape {found.shape}, which np.save appended, and "
            "only the first would be read: np.load each, and save them as one with np.concatenate"
        )
    return found


def _start_at(file: BufferedReader, position: int) -> bytes:
    """Return as many bytes from a position on as tell a .npy file."""
    file.seek(position)
    return file.read(np.lib.format.MAGIC_LEN)


def _parse(file: BufferedReader, path: Path, source: str) -> NpyFile:
    start = file.read(8)
    if not start.startswith(np.lib.format.MAGIC_PREFIX):
        start += file.read(START_BYTES)
        raise InputError(f"{source} {other_than_npy(path, start, path.stat().st_size)}")
    if len(start) < np.lib.format.MAGIC_LEN:
        raise InputError(f"{source} is truncated inside its header: copy it again or write it again")
    major, minor = start[6:8]
    if (major, minor) not in ((1, 0), (2, 0), (3, 0)):
        raise InputError(
            f"{source} has .npy version {major}.{minor}, which is not known: write it again with np.save"
        )
    # 3.0 is 2.0 with field names in UTF-8, and a dtype with fields is refused anyway
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    try:
        shape, fortran, dtype = read(file)
    except (ValueError, SyntaxError, tokenize.TokenError):
        raise InputError(
            f"{source} has a damaged or truncated header: copy it again or write it again"
        ) from None
    return NpyFile(
        path=path, source=source, shape=tuple(shape), dtype=dtype, fortran=fortran, offset=file.tell()
    )
