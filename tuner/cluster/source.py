"""Rows of files that any machine can open: only those files in which the wanted rows lie are opened."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tuner.data.formats.flat import FlatFile
from tuner.data.formats.shards import Shards, files_of, joined
from tuner.data.matrix import SUFFIXES
from tuner.data.sources import READERS, is_address, shown
from tuner.data.sources.address import Address
from tuner.data.sources.remote import addresses_of
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError
from tuner.runtime.workers import Workers
from tuner.types import IdArray, Steps

KEPT_OPEN = 4
"""Files that a process keeps open: of most formats that is a copy in its folder of temporary files."""


@dataclass(frozen=True)
class Counted:
    """What is known of a file before its rows are read."""

    n: int
    d: int
    dtype: str
    distance: str


@dataclass(frozen=True, repr=False)
class Source:
    """Vectors by the names of their files.

    Attributes:
        shown: name in messages, without what may be secret.
        files: files or addresses that hold the rows one after the other; addresses may hold a password.
        counts: number of rows of each.
        d: dimensions of a row.
        dtype: numpy's name of the stored type.
        distance: what the files say that vectors are compared by, empty where they do not.
        column: name of the matrix in a file of several.
    """

    shown: str
    files: tuple[str, ...]
    counts: tuple[int, ...]
    d: int
    dtype: str
    distance: str = ""
    column: str | None = None

    def __repr__(self) -> str:
        return f"<Source {self.shown}: {self.n} x {self.d}>"

    @property
    def n(self) -> int:
        """Number of rows of all files."""
        return sum(self.counts)

    @cached_property
    def starts(self) -> IdArray:
        """Rows (files + 1,) before each file, and of all of them."""
        return np.cumsum([0, *self.counts]).astype(np.int64)

    def vectors(self, rows: IdArray) -> Vectors:
        """Return some rows, ascending, with their numbers as ids."""
        file_of = np.searchsorted(self.starts, rows, side="right") - 1
        inside, place = np.unique(file_of, return_inverse=True)
        opened = [self._opened(int(number)) for number in inside]
        whole = opened[0]
        if len(opened) > 1:
            parts = [part for each in opened for part in _parts(each.data)]
            whole = replace(whole, n=sum(each.n for each in opened), data=joined(self.shown, parts))
        before = np.cumsum([0, *(each.n for each in opened)])
        local = rows - self.starts[file_of] + before[place]
        return replace(whole.part(local), source=self.shown, ids=rows, ids_source="row numbers")

    def _opened(self, number: int) -> Vectors:
        file = self.files[number]
        found = _kept_open(file, self.column, state_of(file))
        if (found.n, found.d) != (self.counts[number], self.d):
            raise InputError(
                f"{found.source} is {found.n:,} x {found.d}, where {self.counts[number]:,} x {self.d} were "
                "counted: all machines have to see the same files, which do not change during a run"
            )
        return found


def open_source(workers: Workers, name: str, column: str | None) -> Steps[Source]:
    """Yield the share done; return the source of a file, a pattern, a folder or an address, its rows counted.

    Raises:
        InputError: it is no such file, or its files do not fit each other.
    """
    files = _files(name)
    one_core = [(file, column) for file in files]
    counted = yield from workers.spread(_count, one_core, whole_node=False)
    first = counted[0]
    for file, each in zip(files, counted, strict=True):
        if (each.d, each.dtype) != (first.d, first.dtype):
            raise InputError(
                f"{shown(file)} has {each.d} columns of {each.dtype}, where {shown(files[0])} has {first.d} "
                f"of {first.dtype}: give files with the same columns"
            )
    counts = tuple(each.n for each in counted)
    return Source(shown(name), files, counts, first.d, first.dtype, first.distance, column)


def _files(name: str) -> tuple[str, ...]:
    """Return the files behind a name, in the order of their rows."""
    if is_address(name):
        address = Address.of(name)
        return (name,) if address.scheme in READERS else tuple(addresses_of(address))
    found = files_of(name, "base", SUFFIXES) or [Path(name)]
    return tuple(str(path.resolve()) for path in found)


def _count(item: tuple[str, str | None]) -> Generator[float, None, Counted]:
    yield 0.0
    file, column = item
    found = _kept_open(file, column, state_of(file))
    if found.kept is not None:
        raise InputError(
            f"{found.source} has deleted rows, which shards do not leave out: write the others to a file"
        )
    return Counted(found.n, found.d, found.dtype.name, found.distance)


def state_of(file: str) -> tuple[int, ...]:
    """Return what changes with a file of this machine: its size and when it was written."""
    if is_address(file) or not Path(file).exists():
        return ()
    state = Path(file).stat()
    return state.st_size, state.st_mtime_ns


@lru_cache(maxsize=KEPT_OPEN)
def _kept_open(file: str, column: str | None, state: tuple[int, ...]) -> Vectors:
    return open_vectors(file, "base", column)


def _parts(data: Any) -> tuple[FlatFile, ...]:
    return data.parts if isinstance(data, Shards) else (data,)
