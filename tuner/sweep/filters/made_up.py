"""Filters made up where the user has none at hand: of rows drawn at random, and of rows on one side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuner.recall.allowed import Filters, packed
from tuner.types import FilterKind, FloatArray, IdArray

MADE_UP: tuple[FilterKind, ...] = ("independent", "correlated")
MOST_FILTERS = 256
"""Different filters of a kind and share; queries take them in turn."""
MOST_BYTES = 128 << 20
"""Bytes of the heights of all rows in the directions of as many filters."""
BLOCK_ROWS = 1 << 14
SEEN = 4096
"""Rows by which is judged how far they lie apart in a direction."""


class FilterMaker:
    """Makes filters of any share over the rows of a base; those of a kind have the same rows first.

    Args:
        base: (n, d) float32 prepared rows.
        n_queries: number of queries.
        seed: random seed.
    """

    def __init__(self, base: FloatArray, n_queries: int, seed: int) -> None:
        self.n = len(base)
        self.m = max(1, min(n_queries, MOST_FILTERS, MOST_BYTES // (2 * self.n)))
        self.rng = np.random.default_rng([seed, 19])
        self.of_query = np.arange(n_queries) % self.m
        self.order = self.rng.permutation(self.n)
        self.starts = self.rng.integers(self.n, size=self.m)
        self.heights = self._heights(base)

    def make(self, kind: FilterKind, share: float) -> Filters:
        """Return filters that allow a share of the rows, one at least."""
        size = max(1, round(share * self.n))
        pick = self._at_random if kind == "independent" else self._on_one_side
        bits = np.array([packed(pick(number, size), self.n) for number in range(self.m)])
        return Filters(bits, self.of_query, self.n, f"{share:.3g} of the rows, {kind} of the query")

    def _at_random(self, number: int, size: int) -> IdArray:
        """Return rows that stand side by side in a random order, which starts anew behind its end."""
        rows: IdArray = self.order.take(
            np.arange(self.starts[number], self.starts[number] + size), mode="wrap"
        )
        return rows

    def _on_one_side(self, number: int, size: int) -> IdArray:
        """Return the rows that lie farthest in a direction, noise as large as their spread added."""
        return np.argpartition(self.heights[number], self.n - size)[self.n - size :]

    def _heights(self, base: FloatArray) -> NDArray[np.float16]:
        """Return how far each row lies in the direction of each filter, from one row to another, (m, n)."""
        ends = self.rng.integers(self.n, size=(2, self.m))
        directions = np.ascontiguousarray(base[ends[0]] - base[ends[1]])
        spread = np.maximum((base[self.order[:SEEN]] @ directions.T).std(axis=0), np.finfo(np.float32).tiny)
        directions /= spread[:, None]
        heights = np.empty((self.m, self.n), dtype=np.float16)
        for start in range(0, self.n, BLOCK_ROWS):
            block = directions @ base[start : start + BLOCK_ROWS].T
            block += self.rng.standard_normal(block.shape, dtype=np.float32)
            heights[:, start : start + BLOCK_ROWS] = block
        return heights
