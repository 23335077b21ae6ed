"""One graph for everything: build it once, order its links, derive every smaller M, transplant it.

Links of level 0 are ordered once: first those that pass the relative-neighbourhood rule of HNSW's
heuristic (Malkov and Yashunin 2016, algorithm 4), closest first, then the rest, closest first. The
graph of any smaller M is then a prefix of each list. faiss applies the rule itself
(``shrink_level_0_neighbors``); the few nodes of the upper levels are done here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base, view_codes
from tuner.index.codecs import Codes
from tuner.index.encoders import Encoder
from tuner.index.insertion import NODES, LinkArray, lay_out, lists_of
from tuner.runtime.journal import about, rename_synced
from tuner.types import FloatArray, Steps

ROWS = 1024
"""Rows handled at once."""
INSERTED = 4096
"""Rows inserted at once: faiss makes a lock for every row of the index each time."""


@dataclass(frozen=True)
class DerivableGraph:
    """A built graph, its lists ordered for derivation. Nodes stand in insertion order.

    Attributes:
        order: (n,) int32, row of the prepared base of each node.
        levels: (n,) int32, number of levels of each node (1 is level 0 only), as faiss counts.
        width: columns of the level 0 file, at most 2 M.
        upper: (rows, M) int32, lists of the upper levels of all nodes with more than one level, node
            by node and level by level, -1 filled, ordered as level 0 is.
        entry_point: node where searches start.
        mean_degree: links a node on level 0.
    """

    M: int
    ef_construction: int
    order: LinkArray
    levels: LinkArray
    width: int
    upper: LinkArray
    entry_point: int
    max_level: int
    mean_degree: float

    @property
    def n(self) -> int:
        """Nodes."""
        return len(self.order)

    def n_slots(self, M: int) -> int:
        """Return the neighbour slots that faiss stores for this graph cut to M."""
        return 2 * M * self.n + M * len(self.upper)

    def cut_from(self, M: int) -> int:
        """Return the links a node of the graph that the one of M is cut from."""
        return self.M

    def derive(self, M: int, path: Path, hnsw: faiss.HNSW) -> None:
        """Fill an empty ``hnsw`` with the graph of M links a node, 2M on level 0; ids are prepared rows.

        Args:
            M: links a node, at most the graph's own.
            path: level 0 lists that ``build`` wrote.
            hnsw: graph of an index made for the same M; it is filled in place, a copy would double the links.
        """
        levels = np.empty_like(self.levels)
        levels[self.order] = self.levels
        offsets, slots = lay_out(hnsw, levels, self.n_slots(M))
        row_of = np.append(self.order, np.int32(-1))  # position -1, no link, stays -1
        w = min(2 * M, self.width)
        with path.open("rb") as lists:
            for start in range(0, self.n, NODES):
                rows = self.order[start : start + NODES]
                block = np.fromfile(lists, dtype=np.int32, count=len(rows) * self.width)
                slots[offsets[rows][:, None] + np.arange(w)] = row_of[block.reshape(-1, self.width)[:, :w]]
        nodes = np.flatnonzero(self.levels > 1)
        if len(nodes):
            heights = self.levels[nodes] - 1
            first = offsets[self.order[nodes]] + 2 * M
            height = np.arange(len(self.upper)) - np.repeat(np.cumsum(heights) - heights, heights)
            start_of = np.repeat(first, heights) + height * M
            w = min(M, self.M)
            slots[start_of[:, None] + np.arange(w)] = row_of[self.upper[:, :w]]
        hnsw.entry_point = int(self.order[self.entry_point])
        hnsw.max_level = self.max_level
        hnsw.efConstruction = self.ef_construction


def build(
    base: Base, encoder: Encoder, M: int, ef_construction: int, seed: int, path: Path
) -> Steps[DerivableGraph]:
    """Build one HNSW graph on the encoder's codes and write its ordered level 0 lists to ``path``.

    Rows are inserted in random order, so that a sorted file makes as good a graph as a shuffled one.
    They are written in that order first: gathered from the mapped base while the graph grows, they would
    keep all of it resident.
    """
    order = np.random.default_rng(seed).permutation(base.n).astype(np.int32)
    shuffled = path.with_suffix(".shuffled.partial")
    with about(path), shuffled.open("wb") as out:
        for start in range(0, base.n, ROWS):
            out.write(base.x[order[start : start + ROWS]].data)
    base.release()
    yield 0.02
    index = encoder.empty(M)
    index.hnsw.efConstruction = ef_construction
    index.hnsw.rng = faiss.RandomGenerator(seed + 1)
    _reserve(index, base.n, M)
    with shuffled.open("rb") as rows:
        for start in range(0, base.n, INSERTED):
            block = np.fromfile(rows, dtype=np.float32, count=INSERTED * base.d).reshape(-1, base.d)
            index.add(encoder.transform(block))
            yield 0.02 + 0.93 * min(1.0, (start + INSERTED) / base.n)
    shuffled.unlink()
    graph = links_of(index, M, base, order, path)
    del index  # the links are on disk now
    yield 1.0
    return graph


def links_of(index: faiss.IndexHNSW, M: int, base: Base, order: LinkArray, path: Path) -> DerivableGraph:
    """Write the ordered level 0 lists of a built graph to ``path`` and return it; its own lists are shrunk.

    Args:
        M: links a node; level 0 holds 2 M.
        order: (n,) int32, row of the prepared base of each node.
    """
    levels = faiss.vector_to_array(index.hnsw.levels).astype(np.int32)
    ef_construction = int(index.hnsw.efConstruction)
    width, mean_degree = _write_level_0(index, M, path)
    upper, owner = _upper_lists(index, levels, M)
    _order_upper(upper, owner, base, order)
    return DerivableGraph(
        M=M,
        ef_construction=ef_construction,
        order=order,
        levels=levels,
        width=width,
        upper=upper,
        entry_point=int(index.hnsw.entry_point),
        max_level=int(index.hnsw.max_level),
        mean_degree=mean_degree,
    )


def _reserve(index: faiss.IndexHNSW, n: int, M: int) -> None:
    """Let faiss's vectors grow to their final size once, not by doubling."""
    slots = int(n * (2 * M + 1.1 * M / (M - 1))) if M > 1 else 4 * n
    index.hnsw.neighbors.resize(slots)
    index.hnsw.neighbors.resize(0)
    storage = faiss.downcast_index(index.storage)
    storage.codes.resize(n * storage.code_size)
    storage.codes.resize(0)


def _write_level_0(index: faiss.IndexHNSW, M: int, path: Path) -> tuple[int, float]:
    """Write the ordered lists of level 0; return their width and the mean degree."""
    hnsw, n = index.hnsw, index.ntotal
    offsets, slots = lists_of(hnsw)
    columns = np.arange(2 * M)
    index.reorder_links()
    sorted_path = path.with_suffix(".sorted.partial")
    width, n_links = 0, 0
    with about(path), sorted_path.open("wb") as out:
        for start in range(0, n, NODES):
            lists = slots[offsets[start : min(n, start + NODES), None] + columns]
            degree = (lists >= 0).sum(axis=1)
            width, n_links = max(width, int(degree.max())), n_links + int(degree.sum())
            out.write(lists.data)
    index.shrink_level_0_neighbors(2 * M)
    partial = path.with_suffix(".partial")
    with about(path), sorted_path.open("rb") as closest_first, partial.open("wb") as out:
        for start in range(0, n, NODES):
            diverse = slots[offsets[start : min(n, start + NODES), None] + columns]
            lists = np.fromfile(closest_first, dtype=np.int32, count=diverse.size).reshape(diverse.shape)
            out.write(np.ascontiguousarray(diverse_first(lists, diverse)[:, :width]).data)
    sorted_path.unlink()
    rename_synced(partial, path)
    return width, n_links / n


def diverse_first(closest_first: LinkArray, diverse: LinkArray) -> LinkArray:
    """Return each list with its diverse links in front, both parts in their order.

    Args:
        closest_first: (m, w) int32 lists by distance, -1 filled.
        diverse: (m, w) int32, some links of each list, -1 filled; its order does not matter, because
            faiss orders links of equal distance differently from call to call.
    """
    kept = np.zeros(closest_first.shape, dtype=bool)
    for column in range(int((diverse >= 0).sum(axis=1).max(initial=0))):
        kept |= closest_first == diverse[:, column : column + 1]
    kept &= closest_first >= 0
    return np.take_along_axis(closest_first, np.argsort(~kept, axis=1, kind="stable"), axis=1)


def is_diverse(to_node: FloatArray, pairwise: FloatArray) -> NDArray[np.bool_]:
    """Return which links pass the relative-neighbourhood rule.

    A link is kept if no link kept before it is closer to it than the node is.

    Args:
        to_node: (m, w) distances from each node to its links, ascending; inf where there is none.
        pairwise: (m, w, w) distances among the links of each node.
    """
    m, w = to_node.shape
    kept = np.zeros((m, w), dtype=bool)
    for column in range(w):
        nearest_kept = np.where(kept, pairwise[:, column, :], np.inf).min(axis=1)
        kept[:, column] = np.isfinite(to_node[:, column]) & (nearest_kept >= to_node[:, column])
    return kept


def _upper_lists(index: faiss.IndexHNSW, levels: LinkArray, M: int) -> tuple[LinkArray, LinkArray]:
    """Return the lists (rows, M) of the upper levels as faiss left them, and the node of each."""
    hnsw = index.hnsw
    offsets, slots = lists_of(hnsw)
    nodes = np.flatnonzero(levels > 1).astype(np.int32)
    lists = [
        slots[offsets[node] + 2 * M : offsets[node] + (1 + levels[node]) * M].reshape(-1, M) for node in nodes
    ]
    upper = np.concatenate(lists) if lists else np.zeros((0, M), dtype=np.int32)
    return upper, np.repeat(nodes, levels[nodes] - 1)


def _order_upper(upper: LinkArray, owner: LinkArray, base: Base, order: LinkArray) -> None:
    """Order each list in place as level 0 is: diverse links first."""
    step = max(1, ROWS // upper.shape[1])
    for start in range(0, len(upper), step):
        block = upper[start : start + step]
        nodes = base.x[order[owner[start : start + step]]]
        upper[start : start + step] = _ordered_upper(block, nodes, base.x[order[np.maximum(block, 0)]])
    base.release()


def _ordered_upper(lists: LinkArray, nodes: FloatArray, linked: FloatArray) -> LinkArray:
    linked -= nodes[:, None, :]  # the expanded form below cancels where data lie far from the origin
    to_node = np.einsum("mwd,mwd->mw", linked, linked)
    pairwise = to_node[:, :, None] + to_node[:, None, :] - 2 * (linked @ linked.transpose(0, 2, 1))
    to_node[lists < 0] = np.inf
    closest = np.argsort(to_node, axis=1, kind="stable")
    to_node = np.take_along_axis(to_node, closest, axis=1)
    pairwise = np.take_along_axis(pairwise, closest[:, :, None], axis=1)
    pairwise = np.take_along_axis(pairwise, closest[:, None, :], axis=2)
    lists = np.take_along_axis(lists, closest, axis=1)
    first = np.argsort(~is_diverse(to_node, pairwise), axis=1, kind="stable")
    return np.take_along_axis(lists, first, axis=1)


def transplant(
    graph: DerivableGraph, M: int, path: Path, index: faiss.IndexHNSW, codes: Codes
) -> faiss.IndexHNSW:
    """Put the derived graph and codes into an empty trained index; the codes are searched in place."""
    view_codes(faiss.downcast_index(index.storage), codes)
    graph.derive(M, path, index.hnsw)
    index.ntotal, index.is_trained = len(codes), True
    return index


def share_graph(graph: faiss.IndexHNSW, index: faiss.IndexHNSW) -> None:
    """Copy a graph into an index whose storage is filled.

    ``search_method`` belongs to the index class, not to the graph: multi-bit RaBitQ searches in two
    steps, and copying the graph's own value turns that off until the index is written and read.
    """
    search_method = index.hnsw.search_method
    index.hnsw = graph.hnsw
    index.hnsw.search_method = search_method
    index.ntotal = graph.ntotal
