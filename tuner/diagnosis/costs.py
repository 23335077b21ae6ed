"""Where the bytes of an index are, and where the time of a search goes.

The whole and its graph alone are timed in turns. What the graph takes is split by a fit over several
ef_search on all links and on a quarter of them, which changes how many distances one hop costs::

    seconds = call + ndis * seconds a distance + hops * seconds a hop
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from tuner.data.copies import list_bytes
from tuner.index.graph import share_graph
from tuner.index.layers import through
from tuner.index.opened import IndexUnderTest
from tuner.prediction.curves import search_counted
from tuner.runtime.timing import BLOCK, Search, call_overhead_s, interleave
from tuner.types import FloatArray, Spent

QUERIES, ROUNDS = 128, 4
TIMES, MOST_EF = (0.5, 1, 4), 512
"""ef_search that the fit is made of: multiples of the index's own, at most this."""
FEWER = 4
"""The fit is made of all links and of so many times fewer, too."""
NODES = 1 << 16


@dataclass(frozen=True)
class Walk:
    """A graph at one ef_search."""

    index: faiss.IndexHNSW
    ef_search: int
    k: int
    queries: FloatArray

    def search(self, numbers: FloatArray) -> object:
        """Search the queries of these numbers (nq, 1)."""
        self.index.hnsw.efSearch = self.ef_search
        return self.index.search(_asked(self.queries, numbers), self.k)

    def counted(self) -> tuple[float, float]:
        """Return distances and hops a query."""
        self.index.hnsw.efSearch = self.ef_search
        return search_counted(self.index, self.queries, self.k)[1:]


def bytes_of(opened: IndexUnderTest, index_bytes: int) -> dict[str, int]:
    """Return the bytes of an index by part; what is left are headers, codebooks and transforms."""
    n, graph = opened.n, opened.graph
    parts = {"codes": bytes_of_codes(opened.storage)}
    if opened.copies is not None:
        parts["copies"] = list_bytes(len(opened.copies))
    if graph is not None:
        parts["links"] = 4 * int(graph.hnsw.neighbors.size())
        parts["levels"] = 12 * n
    if any(hasattr(layer, "id_map") for layer in opened.layers) or opened.search_param == "nprobe":
        parts["ids"] = 8 * n
    if opened.store is not None:
        parts["re-ranking store"] = n * int(opened.store[1].code_size)
    parts["codebooks and headers"] = max(0, index_bytes - sum(parts.values()))
    if opened.resident_bytes is not None:
        parts["allocator"] = max(0, opened.resident_bytes - index_bytes)
    return parts


def bytes_of_codes(storage: faiss.Index) -> int:
    """Return the bytes of the codes of a graph, of lists or of a flat index; FastScan fills up its blocks."""
    if not hasattr(storage, "bbs"):
        return int(storage.ntotal * storage.code_size)
    lists = isinstance(storage, faiss.IndexIVF)
    sizes = [storage.get_list_size(i) for i in range(storage.nlist)] if lists else [storage.ntotal]
    return int(sum(-(-size // storage.bbs) for size in sizes) * storage.bbs * storage.M2 // 2)


def time_spent(opened: IndexUnderTest, raw: FloatArray, k: int) -> Spent:
    """Return where the time of one query goes, with search parameter and re-ranking as they stand.

    Args:
        raw: (nq, d) queries as the index takes them.
        k: neighbours asked for.
    """
    queries, value = np.ascontiguousarray(raw[:QUERIES]), opened.value
    wanted = max(1, round(k * opened.factor))
    behind = through(opened.chain, queries)
    graph = opened.graph

    def whole(numbers: FloatArray) -> object:
        opened.set_value(value)
        return opened.index.search(_asked(queries, numbers), k)

    def transformed(numbers: FloatArray) -> object:
        return through(opened.chain, _asked(queries, numbers))

    def core(numbers: FloatArray) -> object:
        opened.set_value(value)
        return opened.core.search(_asked(behind, numbers), wanted)

    contestants: list[Search] = [whole, transformed, core]
    walks: list[Walk] = []
    if graph is not None:
        least = min(value, MOST_EF)
        efs = sorted({max(wanted, min(MOST_EF, round(times * least))) for times in TIMES} | {2 * wanted})
        walks = [Walk(index, ef, wanted, behind) for index in (graph, thinned(graph)) for ef in efs]
        contestants += [walk.search for walk in walks]
    numbers = np.arange(len(queries), dtype=np.float32)[:, None]
    try:
        timings = interleave(contestants, numbers, 0, a_round=BLOCK, fewest=ROUNDS, most=ROUNDS)
        took = [timings.latency(number, 0).mean_s for number in range(len(contestants))]
        opened.set_value(value)
        _, ndis, hops = search_counted(opened.core, behind, wanted)
        counted = np.array([walk.counted() for walk in walks])
    finally:
        opened.set_value(value)
    total = took[0]
    parts = {"transforms": took[1] if opened.chain else 0.0}
    fetched = 0.0 if opened.refine is None else total - parts["transforms"] - took[2]
    parts["re-ranking"] = max(0.0, fetched)
    left = total - sum(parts.values())
    call = min(left, call_overhead_s(behind.shape[1]))
    if graph is None:
        parts |= {"call": call, "distances": left - call}
    else:
        parts |= _split(left, call, (ndis, hops), counted, np.array(took[3:]))
    return Spent(total_s=total, parts=parts, ndis_per_query=ndis, hops_per_query=hops)


def _asked(queries: FloatArray, numbers: FloatArray) -> FloatArray:
    first, last = int(numbers[0, 0]), int(numbers[-1, 0])
    return queries[first : last + 1]


def _split(
    seconds: float,
    call: float,
    own: tuple[float, float],
    counted: NDArray[np.float64],
    took: NDArray[np.float64],
) -> dict[str, float]:
    """Return seconds of call, distances and hops, in the ratio that fits all walks, errors relative.

    Args:
        call: the least that a call takes; what a search sets up comes on top.
        own: distances and hops of the index itself.
        counted: (walks, 2) likewise of each walk.
        took: (walks,) seconds.
    """
    design = np.column_stack([np.ones(len(counted)), counted]) / took[:, None]
    costs_s, _ = nnls(design, np.maximum(1 - call / took, 0))
    parts = costs_s * np.array([1.0, *own]) + np.array([call, 0.0, 0.0])
    parts *= seconds / parts.sum()
    return dict(zip(("call", "distances", "hops"), parts.tolist(), strict=True))


def thinned(graph: faiss.IndexHNSW) -> faiss.IndexHNSW:
    """Return a graph over the same codes with the first of each node's links on level 0."""
    thin = faiss.IndexHNSW(graph.storage, graph.hnsw.nb_neighbors(1))
    share_graph(graph, thin)
    thin.hnsw.search_method = graph.hnsw.search_method
    thin.is_trained = True
    width = graph.hnsw.nb_neighbors(0)
    slots = faiss.rev_swig_ptr(thin.hnsw.neighbors.data(), thin.hnsw.neighbors.size())
    starts = faiss.vector_to_array(thin.hnsw.offsets)[:-1].astype(np.int64)
    for first in range(0, len(starts), NODES):
        slots[starts[first : first + NODES, None] + np.arange(max(2, width // FEWER), width)] = -1
    return thin
