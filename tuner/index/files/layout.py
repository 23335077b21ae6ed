"""Graphs that other libraries wrote, laid out as faiss keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.index.files.soundness import is_sound
from tuner.types import IdArray

MOST_LINKS = 1 << 14
NODES = 1 << 14
"""Elements copied at once."""


@dataclass(frozen=True)
class Foreign:
    """What a file of another library holds, as faiss searches it.

    Attributes:
        index: faiss index of the same graph over the same vectors.
        labels: (n,) int64 ids of the user; -1 for an element that is marked as deleted.
        n_deleted: elements that are marked as deleted.
        kept: objects that the index points into.
    """

    index: faiss.IndexHNSW
    labels: IdArray
    n_deleted: int
    kept: object = None


@dataclass(frozen=True)
class StoredRows:
    """The vectors that a file holds, without its graph.

    Attributes:
        d: columns.
        dtype: type of the values.
        codec: codec that they are stored by, ``fp32`` where they are whole.
        ids: (n,) int64 ids of the user; -1 for an element that is marked as deleted.
        at: function that returns the rows at positions (m,).
        is_unordered: whether positions say nothing of the order in which rows were added.
        kept: objects that ``at`` looks into.
    """

    d: int
    dtype: np.dtype[Any]
    codec: str
    ids: IdArray
    at: Callable[[IdArray], NDArray[Any]]
    is_unordered: bool = False
    kept: object = None


class Layout:
    """The links of a graph of faiss, empty at first.

    Args:
        index: index without nodes; its storage is not touched.
        levels: (n,) number of levels of each node above the lowest.
        M: links per node on upper levels.
        M0: links per node on the lowest level.
    """

    def __init__(self, index: faiss.IndexHNSW, levels: NDArray[np.int64], M: int, M0: int) -> None:
        self.index, self.levels, self.M, self.M0 = index, levels, M, M0
        hnsw = index.hnsw
        hnsw.set_nb_neighbors(0, M0)
        for level in range(1, int(levels.max()) + 1):
            hnsw.set_nb_neighbors(level, M)
        faiss.copy_array_to_vector((levels + 1).astype(np.int32), hnsw.levels)
        hnsw.prepare_level_tab(len(levels), True)
        self.starts = faiss.vector_to_array(hnsw.offsets)[:-1].astype(np.int64)
        self.slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
        self.slots[:] = -1

    def fill(self, lowest: Callable[[slice], NDArray[np.int32]], upper: NDArray[np.int32]) -> None:
        """Write the links.

        Args:
            lowest: function that returns lists (m, M0) of some nodes, -1 filled.
            upper: (levels.sum(), M) lists above, node by node, from below.
        """
        for start in range(0, len(self.levels), NODES):
            part = slice(start, min(start + NODES, len(self.levels)))
            self.slots[self.starts[part, None] + np.arange(self.M0)] = lowest(part)
        owner = np.repeat(np.arange(len(self.levels)), self.levels)
        height = np.arange(len(owner)) - np.repeat(np.cumsum(self.levels) - self.levels, self.levels)
        places = self.starts[owner] + self.M0 + height * self.M
        self.slots[places[:, None] + np.arange(self.M)] = upper

    def finish(self, entry_point: int, ef_construction: int) -> bool:
        """Say where searches start; return whether the graph leads nowhere but to its own nodes."""
        hnsw = self.index.hnsw
        hnsw.entry_point, hnsw.max_level = entry_point, int(self.levels.max())
        hnsw.efConstruction = max(1, min(ef_construction, MOST_LINKS))
        self.index.ntotal, self.index.is_trained = len(self.levels), True
        return is_sound(self.index)
