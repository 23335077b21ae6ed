"""An index that was opened, searched under filters over the prepared rows, whatever its positions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tuner.data.base import Base
from tuner.index.opened import IndexUnderTest, prepared_rows
from tuner.search import Allowed, FilteredIndex
from tuner.types import FloatArray, IdArray


def filtered_index(
    opened: IndexUnderTest, base: Base, bands: Sequence[tuple[float, int]] = (), scan_below: int = 0
) -> FilteredIndex:
    """Return an index that answers with prepared rows under a policy.

    Args:
        opened: an index with an HNSW graph.
        bands: smallest share of the rows and ef_search of each band, falling.
        scan_below: filters that allow fewer rows than this are scanned.
    """
    rows = prepared_rows(opened.ids, base)
    if np.array_equal(rows, np.arange(base.n)):
        return FilteredIndex(opened.index, bands, scan_below, kept=opened)
    return Renumbered(opened.index, bands, scan_below, kept=opened, rows=rows)


@dataclass(frozen=True, eq=False)
class Renumbered(FilteredIndex):
    """An index whose positions are not the prepared rows, asked for these.

    Attributes:
        rows: (n,) prepared row of each position, -1 for none.
    """

    rows: IdArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def scan(self, queries: FloatArray, k: int, allowed: Allowed) -> tuple[FloatArray, IdArray]:
        """Return distances and prepared rows (nq, k) of the nearest of all rows that are allowed."""
        return self._as_rows(super().scan(queries, k, self._held(allowed)))

    def search_graph(
        self, queries: FloatArray, k: int, allowed: Allowed, ef_search: int
    ) -> tuple[FloatArray, IdArray]:
        """Return distances and prepared rows (nq, k) that a search of the graph finds of those allowed."""
        return self._as_rows(super().search_graph(queries, k, self._held(allowed), ef_search))

    def _held(self, allowed: Allowed) -> Allowed:
        """Return the positions of the rows that are allowed."""
        return Allowed(len(self.rows), np.flatnonzero(np.isin(self.rows, allowed.places)))

    def _as_rows(self, found: tuple[FloatArray, IdArray]) -> tuple[FloatArray, IdArray]:
        return found[0], np.append(self.rows, -1)[found[1]]
