"""Filters that are known as soon as they are read, and what every kind of filter is checked for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import psutil
from numpy.typing import NDArray

from tuner.data.vectors import Vectors
from tuner.errors import InputError, ResourceError
from tuner.recall.allowed import Filters, digest
from tuner.text import counted
from tuner.types import IdArray

MOST_OF_MEMORY = 0.5
"""Share of the free memory that the bits of filters may take."""


@dataclass(frozen=True, eq=False)
class FixedFilters:
    """Filters of queries that the user gave.

    Attributes:
        source: name in messages.
        of_queries: the filters.
    """

    source: str
    of_queries: Filters

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that decides which rows are allowed."""
        return self.of_queries.fingerprint

    def filters(self, held_out: IdArray) -> Filters:
        """Return the filters, whatever is held out."""
        return self.of_queries


@dataclass(frozen=True, eq=False)
class OneForAll:
    """One filter that all queries share.

    Attributes:
        source: name in messages.
        name: what the filter is called in messages.
        mask: whether it allows each row (n,).
        n_queries: number of queries, None where rows are held out as queries.
    """

    source: str
    name: str
    mask: NDArray[np.bool_]
    n_queries: int | None

    @cached_property
    def fingerprint(self) -> str:
        """Digest of everything that decides which rows are allowed."""
        return digest(np.packbits(self.mask))

    def filters(self, held_out: IdArray) -> Filters:
        """Return the filter, for as many queries as there are."""
        nq = len(held_out) if self.n_queries is None else self.n_queries
        bits = np.packbits(self.mask, bitorder="little")[None]
        return Filters(bits, np.zeros(nq, dtype=np.int64), len(self.mask), self.source, (self.name,))


def distinct(rows: Iterable[IdArray]) -> tuple[list[IdArray], IdArray]:
    """Return the lists that differ, in the order seen, and which of them stands at each place.

    Example:
        >>> distinct([np.array([1, 2]), np.array([3]), np.array([1, 2])])[1].tolist()
        [0, 1, 0]
    """
    found: dict[bytes, int] = {}
    lists: list[IdArray] = []
    of_place = []
    for each in rows:
        key = hashlib.blake2b(each.tobytes(), digest_size=16).digest()
        if found.setdefault(key, len(lists)) == len(lists):
            lists.append(each)
        of_place.append(found[key])
    return lists, np.array(of_place, dtype=np.int64)


def n_in_file(vectors: Vectors) -> int:
    """Return the number of rows of the file, those that were deleted on purpose among them."""
    return int(vectors.data.shape[0])


def refuse_many_bits(n_filters: int, n: int, source: str) -> None:
    """Raise ResourceError if that many filters over ``n`` rows do not fit into memory."""
    needed, free = n_filters * n / 8, psutil.virtual_memory().available
    if needed > MOST_OF_MEMORY * free:
        raise ResourceError(
            f"{source}: {n_filters:,} different filters over {n:,} rows take {needed / 1e9:.1f} GB of "
            f"memory, and {free / 1e9:.1f} GB are free: give fewer queries"
        )


def refuse_empty(filters: Filters, of: str) -> None:
    """Raise InputError if the filter of a query allows no row.

    Args:
        of: what the rows are of, in messages.
    """
    empty = np.flatnonzero(filters.counts[filters.of_query] == 0)
    if not len(empty):
        return
    name = f", {filters.names[filters.of_query[empty[0]]]!r:.60}," if filters.names else ""
    raise InputError(
        f"{filters.source}: the filter of query {empty[0]}{name} allows no row of {of} "
        f"({counted(len(empty), 'query', 'queries')} of {filters.n_queries:,} have such a filter): correct "
        "it, or leave such queries out"
    )
