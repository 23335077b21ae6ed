"""Rows added to a graph that exists, and graphs whose nodes get other numbers.

The links of a graph do not depend on the codes that it is searched over. So rows are inserted on codes that
compare well, whatever the index will hold, and the graph is put under that index's codes afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.index.encoders import Encoder
from tuner.types import FloatArray, IdArray

LinkArray = NDArray[np.int32]
MOST_LEVELS = 30
"""More than any index has: faiss keeps probabilities down to 1e-9."""
NODES = 2048
"""Nodes handled at once when links are copied: about 2 MB of positions at M=48."""


def lay_out(hnsw: faiss.HNSW, levels: LinkArray, n_slots: int) -> tuple[IdArray, LinkArray]:
    """Make room for the lists of an empty graph; return where each begins and all slots, -1 filled.

    Args:
        levels: (n,) int32, number of levels of each node (1 is level 0 only), as faiss counts.
        n_slots: neighbour slots on all levels.
    """
    faiss.copy_array_to_vector(levels, hnsw.levels)
    hnsw.neighbors.resize(n_slots)  # at once: faiss lets it grow node by node, by doubling
    hnsw.neighbors.resize(0)
    hnsw.prepare_level_tab(len(levels), True)
    offsets, slots = lists_of(hnsw)
    slots[:] = -1
    return offsets, slots


def lists_of(hnsw: faiss.HNSW) -> tuple[IdArray, LinkArray]:
    """Return where the lists of each node begin, and the slots of all lists, a view."""
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    return offsets, faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())


def over_codes(encoder: Encoder, M: int, n: int, blocks: Iterable[FloatArray]) -> faiss.IndexHNSW:
    """Return an index that holds codes; once its graph is filled in, ``insert`` adds rows.

    Args:
        encoder: codec that inserted rows are compared by.
        M: links a node.
        n: number of rows.
        blocks: prepared rows, (m, d) float32 each.
    """
    index = encoder.empty(M)
    storage = faiss.downcast_index(index.storage)
    storage.codes.resize(n * storage.code_size)
    storage.codes.resize(0)
    for block in blocks:
        storage.add(encoder.transform(block))
    index.ntotal = n
    return index


def insert(
    index: faiss.IndexHNSW, encoder: Encoder, rows: FloatArray, levels: LinkArray | None = None
) -> None:
    """Add prepared rows (m, d) as HNSW does.

    Args:
        levels: (m,) int32, number of levels of each; None is level 0 only: few need no way down of their own.
    """
    levels = np.ones(len(rows), dtype=np.int32) if levels is None else levels
    known = faiss.vector_to_array(index.hnsw.levels)
    faiss.copy_array_to_vector(np.append(known, levels), index.hnsw.levels)
    index.add(encoder.transform(rows))


def drawn_levels(n: int, M: int, generator: np.random.Generator) -> LinkArray:
    """Return the number of levels of ``n`` new nodes, int32, drawn as HNSW does.

    A node is on level l with probability M^-l (Malkov and Yashunin 2016, algorithm 1).
    """
    above = generator.exponential(1 / np.log(M), n)
    return 1 + np.minimum(above, MOST_LEVELS).astype(np.int32)


def renumber(hnsw: faiss.HNSW, numbers: IdArray, n: int, fresh: faiss.HNSW) -> None:
    """Fill an empty graph with another whose nodes get new numbers; to a number of no node nothing leads.

    Args:
        numbers: (nodes,) int64 new number of each node.
        n: how many numbers there are.
        fresh: graph of an index made for the same M; it is filled in place, a copy would double the links.
    """
    M = hnsw.nb_neighbors(1)
    heights = faiss.vector_to_array(hnsw.levels).astype(np.int32)
    levels = np.ones(n, dtype=np.int32)
    levels[numbers] = heights
    begins, slots = lay_out(fresh, levels, 2 * M * n + M * int((levels - 1).sum()))
    began, old_slots = lists_of(hnsw)
    number_of = np.append(numbers, -1).astype(np.int32)  # position -1, no link, stays -1
    columns = np.arange(2 * M)
    for start in range(0, len(numbers), NODES):
        block = numbers[start : start + NODES]
        old = old_slots[began[start : start + len(block), None] + columns]
        slots[begins[block][:, None] + columns] = number_of[old]
    above = np.flatnonzero(heights > 1)
    sizes = (heights[above] - 1) * M
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    old = old_slots[np.repeat(began[above] + 2 * M, sizes) + within]
    slots[np.repeat(begins[numbers[above]] + 2 * M, sizes) + within] = number_of[old]
    fresh.entry_point = int(numbers[hnsw.entry_point])
    fresh.max_level = hnsw.max_level
    fresh.efConstruction = hnsw.efConstruction


def copied(hnsw: faiss.HNSW) -> faiss.HNSW:
    """Return a graph of its own that is equal to another."""
    fresh, n = faiss.HNSW(hnsw.nb_neighbors(1)), hnsw.levels.size()
    renumber(hnsw, np.arange(n), n, fresh)
    return fresh
