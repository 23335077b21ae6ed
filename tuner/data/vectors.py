"""Rows of a file or an array, read in bounded blocks and never held as a whole second copy."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuner.data.formats.choice import Role
from tuner.data.formats.flat import FlatFile, ListedNeighbours
from tuner.data.formats.shards import Shards
from tuner.data.matrix import open_matrix
from tuner.data.objects import from_object
from tuner.errors import InputError
from tuner.types import FloatArray, IdArray

BLOCK_BYTES = 4 << 20
MOST_COLUMNS = 1 << 16
"""Numbers of one row above which it is a matrix that was raveled: no embedding is as wide."""
KINDS = ("float16", "float32", "float64", "int8", "uint8")


@dataclass(frozen=True, eq=False)
class Vectors:
    """An (n, d) matrix that is read on demand, as float32.

    Attributes:
        source: name in messages: the file as the user named it, or ``base array``.
        n: number of rows.
        d: dimensions of a row.
        dtype: type of the stored values, in native byte order.
        data: the array itself, or the file that holds it.
        kept: rows (n,) of the data, ascending, where some were deleted on purpose or not drawn; None for all.
        ids: the user's own ids (n,), int64 or text, None where row numbers are ids.
        ids_source: name of the list of ids in messages.
        remark: sentence that every report on the vectors should say; empty where there is none.
        n_deleted: number of rows of the data that were deleted on purpose.
    """

    source: str
    n: int
    d: int
    dtype: np.dtype[Any]
    data: FlatFile | Shards | NDArray[Any]
    kept: IdArray | None = None
    ids: NDArray[Any] | None = None
    ids_source: str = ""
    remark: str = ""
    n_deleted: int = 0

    @property
    def npy_file(self) -> Path | None:
        """The .npy file that another process can open for the same rows, None where there is none."""
        return self.data.path if isinstance(self.data, FlatFile) and self.data.is_npy else None

    @property
    def distance(self) -> str:
        """What the file says that its vectors are compared by, empty where it does not."""
        return self.data.distance if isinstance(self.data, FlatFile) else ""

    @property
    def listed(self) -> ListedNeighbours | None:
        """Neighbours of these queries that their file lists, None where it does not."""
        return self.data.listed if isinstance(self.data, FlatFile) else None

    def part(self, rows: IdArray) -> Vectors:
        """Return some of the rows, by number, ascending."""
        ids = None if self.ids is None else self.ids[rows]
        return replace(self, n=len(rows), kept=self.in_file(rows), ids=ids)

    def in_file(self, rows: IdArray | None) -> IdArray | None:
        """Return rows as numbers in the file itself; None for all of it."""
        if self.kept is None:
            return rows
        return self.kept if rows is None else self.kept[rows]

    def blocks(self) -> Iterator[tuple[int, int]]:
        """Yield (start, stop) of all rows in order, at most 4 MiB each, at least one row."""
        for start in range(0, self.n, self._rows_a_block):
            yield start, min(self.n, start + self._rows_a_block)

    def read(self, start: int, stop: int) -> FloatArray:
        """Return rows ``start`` to ``stop`` as a new float32 (stop - start, d) array."""
        return self.rows(np.arange(start, stop))

    def rows(self, index: NDArray[np.integer[Any]]) -> FloatArray:
        """Return rows by number, in the order asked for, as a new float32 (len(index), d) array.

        Values beyond float32 become infinite; ``tuner.data.profile.scan`` refuses them.
        """
        out = np.empty((len(index), self.d), dtype=np.float32)
        with np.errstate(over="ignore"):
            for place, block in self._native(np.asarray(index, dtype=np.int64)):
                out[place] = block
        return out

    @cached_property
    def fingerprint(self) -> str:
        """BLAKE2b of shape, dtype and values, equal for a file, an array and either memory order."""
        digest = hashlib.blake2b(f"{self.n} {self.d} {self.dtype.str} ".encode(), digest_size=16)
        for start, stop in self.blocks():
            for _, block in self._native(np.arange(start, stop)):
                digest.update(np.ascontiguousarray(block, dtype=self.dtype).data)
        return digest.hexdigest()

    @property
    def _rows_a_block(self) -> int:
        return max(1, BLOCK_BYTES // (self.d * max(4, self.dtype.itemsize)))

    def _native(self, index: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
        """Yield (places in ``index``, their rows as stored), a block of the matrix at a time."""
        if len(index) and not 0 <= index.min() <= index.max() < self.n:
            raise IndexError(f"rows {index.min()} to {index.max()} of {self.n}")
        order = np.argsort(index, kind="stable")
        ascending = index[order]
        breaks = np.flatnonzero(np.diff(ascending // self._rows_a_block)) + 1
        for begin, end in zip((0, *breaks), (*breaks, len(index)), strict=True):
            if begin < end:
                yield order[begin:end], self._gather(ascending[begin:end])

    def _gather(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return ascending ``rows`` of one block as stored."""
        if self.kept is not None:
            rows = self.kept[rows]
        if isinstance(self.data, FlatFile | Shards):
            return self.data.rows(rows)
        block: NDArray[Any] = self.data[rows]
        _drop_mapped_pages(self.data)
        return block


def open_vectors(source: str | Path | ArrayLike, role: Role, column: str | None = None) -> Vectors:
    """Return the vectors of a file or of an array, checked but not read.

    Args:
        source: file, folder or pattern of files, or array, tensor, data frame, column of Arrow or dataset,
            (n, d), float16, float32, float64, int8 or uint8.
        role: name of an array in messages; it also tells matrices of usual names in a file apart.
        column: name of the matrix in a file that holds several.

    Raises:
        InputError: it is not such a file or array.
    """
    data: FlatFile | Shards | NDArray[Any]
    if isinstance(source, (str, Path)):
        data = open_matrix(source, role, column)
        name = data.source
    else:
        name = f"{role} array"
        data = from_object(source, name, role, column)
    _check_matrix(name, data.shape, data.dtype)
    n, d = data.shape
    return Vectors(source=name, n=n, d=d, dtype=data.dtype.newbyteorder("="), data=data)


def row_hashes(block: FloatArray) -> NDArray[np.int64]:
    """Return 64 bits of BLAKE2b of each row's bytes (n,), for equality of rows, the same in every process.

    A million rows have a false match with probability below 1e-7, so matches are not verified.
    """
    rows = np.ascontiguousarray(block)
    found = b"".join(hashlib.blake2b(row.data, digest_size=8).digest() for row in rows)
    return np.frombuffer(found, dtype=np.int64)


def row_groups(blocks: Iterable[FloatArray]) -> NDArray[np.int64]:
    """Return the number (n,) of the vector that each row of the blocks holds, from 0 on in the order seen.

    Example:
        >>> row_groups([np.array([[1, 2], [3, 4]]), np.array([[1, 2]])]).tolist()
        [0, 1, 0]
    """
    return in_order_seen(np.concatenate([row_hashes(block) for block in blocks]))


def in_order_seen(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number (n,) of the value that stands at each place, from 0 on in the order seen."""
    _, first, group = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[group]


def _check_matrix(source: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    if dtype.names:
        raise InputError(f"{source} has dtype {dtype}, but vectors are plain numbers: {_of_fields(dtype)}")
    if len(shape) != 2:
        one = "a single vector needs x.reshape(1, -1), rows that were raveled x.reshape(-1, d)"
        hint = one if len(shape) == 1 else "use x.reshape(-1, d)"
        raise InputError(
            f"{source} has {len(shape)} dimension{'s' * (len(shape) != 1)} {shape}, but rows of vectors "
            f"have two, (n, d): {hint}"
        )
    if dtype.newbyteorder("=").name not in KINDS:
        hint = _of_dtype(dtype)
        raise InputError(
            f"{source} has dtype {dtype}, but vectors are {', '.join(KINDS[:-1])} or {KINDS[-1]}: {hint}"
        )
    if shape[0] == 1 and shape[1] > MOST_COLUMNS:
        raise InputError(f"{source} is one row of {shape[1]:,} numbers: make it rows with x.reshape(-1, d)")
    if shape[0] < 1 or shape[1] < 1:
        raise InputError(
            f"{source} has no {'rows' if shape[0] < 1 else 'columns'} {shape}: check what wrote it"
        )


def _of_fields(dtype: np.dtype[Any]) -> str:
    """Return how a structured array becomes vectors."""
    wide = [name for name in dtype.names or () if len(dtype[name].shape) == 1]
    if wide:
        return f"save the field that holds them, x['{wide[0]}']"
    return "make columns of its fields with numpy.lib.recfunctions.structured_to_unstructured(x, 'float32')"


def _of_dtype(dtype: np.dtype[Any]) -> str:
    """Return how numbers of another type become float32."""
    if dtype.name == "bfloat16" or dtype.kind in "biuf":
        return "convert them with x.astype('float32')"
    if dtype.kind == "V" and dtype.itemsize == 2:
        return "bfloat16 is saved so, make it (x.view('uint16').astype('uint32') << 16).view('float32')"
    if dtype.kind == "V" and dtype.itemsize == 1:
        return "float8 is saved so, make it x.view(ml_dtypes.float8_e4m3fn).astype('float32'), say"
    return "save one real number a cell"


def _drop_mapped_pages(array: NDArray[Any]) -> None:
    """Give back the pages of an array that the user mapped from a file."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and not isinstance(owner, np.memmap):
        owner = owner.base
    if not isinstance(owner, np.memmap) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    mapped: Any = owner._mmap  # type: ignore[attr-defined]
    # what was computed from a mapped array, such as mapped.astype("float32"), is a memmap of no file;
    # copy-on-write pages ("c") would lose what the user wrote to them
    if mapped is not None and owner.mode != "c":
        mapped.madvise(mmap.MADV_DONTNEED)
