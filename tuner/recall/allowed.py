"""Which rows each query may be answered with, as bits: the form in which faiss takes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tuner.text import counted
from tuner.types import IdArray

Bits = NDArray[np.uint8]
ONES = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).sum(axis=1, dtype=np.uint8)
"""Number of ones in each byte; numpy counts them from 2.0 on."""


@dataclass(frozen=True, eq=False)
class Filters:
    """Filters, and the filter of each query. Queries that ask for the same share one.

    Attributes:
        bits: (m, (n + 7) // 8) uint8, of each filter a bit for each row, the lowest first, as
            ``faiss.IDSelectorBitmap`` has them; bits behind the last row are zero.
        of_query: (nq,) int64 filter of each query.
        n: number of rows.
        source: where they come from, in messages.
        names: what each filter is called in messages; empty where they have no names.

    Example:
        >>> few = Filters.of_rows([np.array([0, 2])], np.zeros(5, dtype=np.int64), 3, "labels.npy")
        >>> few.rows(0), few.counts
        (array([0, 2]), array([2]))
    """

    bits: Bits
    of_query: IdArray
    n: int
    source: str
    names: tuple[str, ...] = ()

    @classmethod
    def of_rows(
        cls, rows: Iterable[IdArray], of_query: IdArray, n: int, source: str, names: tuple[str, ...] = ()
    ) -> Filters:
        """Return filters of the rows that each allows."""
        bits = [packed(each, n) for each in rows]
        return cls(np.array(bits, dtype=np.uint8).reshape(len(bits), -(-n // 8)), of_query, n, source, names)

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.of_query)

    @property
    def counts(self) -> IdArray:
        """Number of rows (m,) that each filter allows."""
        counts: IdArray = ONES[self.bits].sum(axis=1, dtype=np.int64)
        return counts

    @property
    def shares(self) -> NDArray[np.float64]:
        """Share of the rows (nq,) that the filter of each query allows."""
        return self.counts[self.of_query] / self.n

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that decides which rows are allowed."""
        return digest(self.bits, self.of_query)

    @property
    def described(self) -> str:
        """The filters in a sentence."""
        least, middle, most = (f"{100 * share:.3g}%" for share in np.quantile(self.shares, (0, 0.5, 1)))
        return (
            f"{counted(len(self.bits), 'filter')} of {counted(self.n_queries, 'query', 'queries')}, by "
            f"{self.source}: they allow {least} to {most} of the rows, half of the queries {middle} or less"
        )

    def mask(self, number: int) -> NDArray[np.bool_]:
        """Return whether a filter allows each row (n,)."""
        mask: NDArray[np.bool_] = np.unpackbits(self.bits[number], count=self.n, bitorder="little").view(
            np.bool_
        )
        return mask

    def rows(self, number: int) -> IdArray:
        """Return the rows that a filter allows, ascending."""
        return np.flatnonzero(self.mask(number))

    def allow(self, ids: IdArray) -> NDArray[np.bool_]:
        """Return whether each query's filter allows the rows ``ids`` (nq, m); -1 is none."""
        place = np.maximum(ids, 0)
        bytes_ = self.bits[self.of_query[:, None], place >> 3]
        allowed: NDArray[np.bool_] = ((bytes_ >> (place & 7).astype(np.uint8)) & 1).astype(bool) & (ids >= 0)
        return allowed

    def part(self, some: IdArray) -> Filters:
        """Return the filters of some of the queries, by position, without those that none of them asks."""
        used, of_query = np.unique(self.of_query[some], return_inverse=True)
        names = tuple(self.names[number] for number in used) if self.names else ()
        return replace(self, bits=self.bits[used], of_query=of_query, names=names)

    def among(self, rows: IdArray | None) -> Filters:
        """Return the filters over some of the rows (n',), which are named by their places from then on."""
        if rows is None:
            return self
        bits = np.array(
            [np.packbits(self.mask(number)[rows], bitorder="little") for number in range(len(self.bits))]
        )
        return replace(self, bits=bits.reshape(len(self.bits), -(-len(rows) // 8)), n=len(rows))


def packed(rows: IdArray, n: int) -> Bits:
    """Return the bits of rows below ``n``."""
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    return np.packbits(mask, bitorder="little")


def digest(*arrays: NDArray[np.generic]) -> str:
    """Return a digest of arrays."""
    found = hashlib.blake2b(digest_size=16)
    for each in arrays:
        found.update(f"{each.shape} {each.dtype.str} ".encode())
        found.update(np.ascontiguousarray(each).view(np.uint8).data)
    return found.hexdigest()


class GivenFilters(Protocol):
    """Filters as the user gave them, before it is known which rows are held out as queries."""

    @property
    def source(self) -> str:
        """Name in messages."""
        ...

    @property
    def fingerprint(self) -> str:
        """Digest of everything that decides which rows are allowed."""
        ...

    def filters(self, held_out: IdArray) -> Filters:
        """Return the filters over all rows of the file.

        Args:
            held_out: rows that are queries, in their order; empty where the user gave queries.
        """
        ...
