"""Values that lie row after row in a file, read in bounded blocks.

Rows are read with seek and read, not mapped: pages of a mapped file count as resident memory.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from io import FileIO
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.errors import InputError

COUNT_BYTES, COUNT = 4, ("d", "<i4")


@dataclass(frozen=True, eq=False)
class ListedNeighbours:
    """What a file says are the nearest rows to its queries, nearest first.

    Attributes:
        source: name of the base in messages, whose rows they are.
        rows: (nq, m) numbers of rows.
    """

    source: str
    rows: NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class FlatFile:
    """A matrix as it lies in a file, checked to be there.

    Attributes:
        path: file that holds the values: the user's, or a copy of ours.
        source: name of the user's file in messages.
        offset: bytes before the first row.
        fortran: whether column follows column.
        counted: whether each row begins with its number of columns, four bytes.
        is_npy: whether ``path`` is a .npy file of this matrix, which another process can open.
        copied_to: folder of our copy, which goes with the last reference to it.
        distance: what the file says that its vectors are compared by, empty where it does not.
        listed: what it says are the neighbours of these queries, None where it does not.
    """

    path: Path
    source: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    fortran: bool = False
    counted: bool = False
    is_npy: bool = False
    copied_to: object = None
    distance: str = ""
    listed: ListedNeighbours | None = field(default=None, compare=False)

    def rows(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return ascending ``rows`` of a matrix as stored.

        Raises:
            InputError: the file became shorter since it was opened, or a row has another number of columns.
        """
        with self.path.open("rb", buffering=0) as file:
            return self._columns(file, rows) if self.fortran else self._runs(file, rows)

    def whole(self) -> NDArray[Any]:
        """Return the array, of whatever shape, at once.

        Raises:
            InputError: its values have no bytes.
        """
        if not self.dtype.itemsize:
            raise InputError(f"{self.source} holds {self.dtype}, values without bytes: write it again")
        values = np.fromfile(self.path, self.dtype, prod(self.shape), offset=self.offset)
        return values.reshape(self.shape, order="F" if self.fortran else "C")

    def _runs(self, file: FileIO, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Read in C order: one read for each run of neighbouring rows."""
        d = self.shape[1]
        values = ("x", self.dtype, (d,))
        row = np.dtype([COUNT, values] if self.counted else [values])
        out = np.empty(len(rows), dtype=row)
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for begin, end in zip((0, *breaks), (*breaks, len(rows)), strict=True):
            self._fill(file, int(rows[begin]) * row.itemsize, out[begin:end])
        wrong = np.flatnonzero(out["d"] != d) if self.counted else np.empty(0, np.int64)
        if len(wrong):
            raise InputError(
                f"{self.source}: row {rows[wrong[0]]} says that it has {out['d'][wrong[0]]} columns, where "
                f"the first has {d}: write the file again"
            )
        return out["x"]

    def _columns(self, file: FileIO, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Read in Fortran order: one read of the span of ``rows`` for each column."""
        n, d = self.shape
        first = int(rows[0])
        span = np.empty((d, int(rows[-1]) - first + 1), dtype=self.dtype)
        for column in range(d):
            self._fill(file, (column * n + first) * self.dtype.itemsize, span[column])
        return span.T[rows - first]

    def _fill(self, file: FileIO, position: int, out: NDArray[Any]) -> None:
        """Read values from a byte behind ``offset`` on until ``out`` is full."""
        file.seek(self.offset + position)
        left = out.reshape(-1).view(np.uint8).data
        while left:
            count = file.readinto(left)
            if not count:
                raise InputError(
                    f"{self.source} became shorter while it was read: write it again and repeat the run"
                )
            left = left[count:]
