"""What each codec costs a query, before anything of full size is encoded.

Each codec is searched through the same small graph, one query at a time, interleaved, and never the same
query twice: a repeated query finds its codes in the cache and its branches predicted, which flatters some
codecs by half. What is still missing are cache misses: a small index fits in the cache, a large one does
not. What they add is known only at full size (``tuner.sweep.codec_costs``).
Seconds are the processor's, and of several turns the least counts: what a busy neighbour adds is no cost of a
codec, and must not change which one is named.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np

from tuner.data.base import Base
from tuner.index.codec_view import CodecView
from tuner.index.codecs import Quantizer
from tuner.index.encoders import Encoder
from tuner.index.graph import share_graph
from tuner.index.projections import behind
from tuner.runtime.timing import one_core, processor_clock, thinned
from tuner.types import FloatArray, Steps

ROWS, FEWEST_ROWS = 2048, 256
BATCH = 8
M = 8
EF_SEARCH = 64
QUERIES, FEWEST_QUERIES = 64, 16
WARM_UP, LEAST_WARM_UP = 16, 4
ROUNDS = 4
CACHE_LINE = 64
K = 10
RERANKED = (1, 8)


@dataclass(frozen=True)
class KernelCost:
    """What a codec costs.

    Attributes:
        distance_s: seconds a distance through a graph that fits in the cache.
        query_s: seconds a query beside its distances: the call and the view's transforms.
        lines: cache lines of a code.
        ndis: distances a query, which are more where rough ones are computed again.
        encode_s: CPU seconds that encoding a row takes.
    """

    distance_s: float
    query_s: float
    lines: int
    ndis: float
    encode_s: float = 0.0

    def at_width(self, codec: Quantizer, share: float, query_s: float) -> KernelCost:
        """Return what the codec costs on a cut, where a distance costs in proportion to what is left.

        Args:
            codec: the codec on the cut.
            share: share of the dimensions that is left.
            query_s: seconds a query beside its distances, with the cut's transform.
        """
        return KernelCost(
            distance_s=share * self.distance_s,
            query_s=query_s,
            lines=cache_lines(codec),
            ndis=self.ndis,
            encode_s=share * self.encode_s,
        )


@dataclass(frozen=True)
class Reranking:
    """What a re-ranking store costs: seconds a query, and seconds a candidate in the cache."""

    query_s: float
    candidate_s: float


@dataclass(frozen=True)
class SmallGraph:
    """The graph that all codecs are timed through."""

    index: faiss.IndexHNSWFlat
    rows: FloatArray
    queries: FloatArray
    """(rounds, queries, d) float32: other queries in every round."""
    n_warm_up: int = WARM_UP
    """Queries of a round that come first and are not timed."""


def small_graph(base: Base, queries: FloatArray, seed: int) -> SmallGraph:
    """Return a graph of a few rows of the base; ``queries`` (nq, d) are prepared."""
    rows = base.sample(thinned(ROWS, base.d, FEWEST_ROWS), seed)
    n_warm_up = thinned(WARM_UP, base.d, LEAST_WARM_UP)
    a_round = n_warm_up + thinned(QUERIES, base.d, FEWEST_QUERIES)
    index = faiss.IndexHNSWFlat(base.d, M)
    index.hnsw.efConstruction = 40
    index.add(rows)
    wanted = np.resize(queries, (a_round * ROUNDS, base.d)).reshape(ROUNDS, a_round, base.d)
    return SmallGraph(index=index, rows=rows, queries=wanted, n_warm_up=n_warm_up)


def cache_lines(codec: Quantizer) -> int:
    """Return the cache lines that a code lies in."""
    return -(-codec.code_bytes // CACHE_LINE)


def time_kernels(
    graph: SmallGraph, encoders: dict[CodecView, Encoder], reference: Encoder
) -> Steps[dict[CodecView, KernelCost]]:
    """Yield the share done; return what each encoder costs.

    Args:
        reference: timed in every batch, so that batches can be compared.
    """
    kernels: dict[CodecView, KernelCost] = {}
    keys = list(encoders)
    anchor: float | None = None
    for start in range(0, len(keys), BATCH):
        batch = [reference, *(encoders[key] for key in keys[start : start + BATCH])]
        timed = _time_batch(graph, batch)
        anchor = anchor or timed[0].distance_s
        drift = anchor / timed[0].distance_s
        for key, kernel in zip(keys[start : start + BATCH], timed[1:], strict=True):
            kernels[key] = replace(
                kernel, distance_s=kernel.distance_s * drift, query_s=kernel.query_s * drift
            )
        yield min(1.0, (start + BATCH) / len(keys))
    return kernels


def _time_batch(graph: SmallGraph, batch: list[Encoder]) -> list[KernelCost]:
    searchers, encode_s = [], []
    for encoder in batch:
        start = time.process_time()
        searchers.append(searcher(graph, encoder))
        encode_s.append((time.process_time() - start) / len(graph.rows))
    calls = [_caller(encoder) for encoder in batch]
    rng = np.random.default_rng(len(batch))
    seconds, overhead, ndis = (np.zeros((len(batch), ROUNDS)) for _ in range(3))
    with one_core():
        for turn, queries in enumerate(graph.queries):
            for number in rng.permutation(len(searchers)):
                whole = searchers[number][0]
                seconds[number, turn], ndis[number, turn] = _one_by_one(whole, queries, graph.n_warm_up)
                overhead[number, turn], _ = _one_by_one(calls[number][0], queries, graph.n_warm_up, k=1)
    query_s = np.minimum(overhead.min(axis=1), 0.5 * seconds.min(axis=1))
    distance_s = ((seconds - query_s[:, None]) / ndis).min(axis=1)
    return [
        KernelCost(
            distance_s=float(distance_s[number]),
            query_s=float(query_s[number]),
            lines=cache_lines(encoder.codec),
            ndis=float(ndis[number].mean()),
            encode_s=encode_s[number],
        )
        for number, encoder in enumerate(batch)
    ]


def time_rerankings(graph: SmallGraph, under: Encoder, stores: dict[str, Encoder]) -> dict[str, Reranking]:
    """Return what each store costs, on top of a search of ``under`` alone."""
    whole, kept = searcher(graph, under)
    refined = []
    for store in stores.values():
        codes = store.encode(graph.rows)
        storage = store.storage_over(codes)
        outer = behind(store.chain, storage) if store.chain else storage
        refined.append((faiss.IndexRefine(whole, outer), storage, outer, codes))
    seconds = np.zeros((1 + len(stores), len(RERANKED), ROUNDS))
    with one_core():
        for turn, queries in enumerate(graph.queries):
            seconds[0, :, turn], _ = _one_by_one(whole, queries, graph.n_warm_up)
            for level, factor in enumerate(RERANKED):
                for number, (refine, *_parts) in enumerate(refined, start=1):
                    refine.k_factor = float(factor)
                    seconds[number, level, turn], _ = _one_by_one(refine, queries, graph.n_warm_up)
    del kept
    extra = np.median(seconds[1:] - seconds[:1], axis=2)
    costs = {}
    for name, (few, many) in zip(stores, extra, strict=True):
        candidate_s = max(0.0, float(many - few)) / (K * (RERANKED[1] - RERANKED[0]))
        costs[name] = Reranking(
            query_s=max(0.0, float(few) - K * RERANKED[0] * candidate_s),
            candidate_s=candidate_s,
        )
    return costs


def searcher(graph: SmallGraph, encoder: Encoder) -> tuple[faiss.Index, Any]:
    """Return the small graph over the encoder's codes, and what it borrows."""
    index = encoder.empty(M)
    faiss.downcast_index(index.storage).add(encoder.transform(graph.rows))
    share_graph(graph.index, index)
    index.hnsw.efSearch = EF_SEARCH
    return (behind(encoder.chain, index) if encoder.chain else index), (encoder, index)


def _caller(encoder: Encoder) -> tuple[faiss.Index, Any]:
    """Return an index that does the encoder's transforms and next to nothing else."""
    flat = faiss.IndexFlatL2(encoder.codec.width)
    flat.add(np.zeros((1, encoder.codec.width), dtype=np.float32))
    return (behind(encoder.chain, flat) if encoder.chain else flat), flat


def _one_by_one(index: faiss.Index, queries: FloatArray, n_warm_up: int, k: int = K) -> tuple[float, float]:
    """Return mean seconds and distance computations of a query, the first few not counted."""
    clock = processor_clock()
    index.search(queries[:n_warm_up], k)
    faiss.cvar.hnsw_stats.reset()
    start = clock.read()
    for number in range(n_warm_up, len(queries)):
        index.search(queries[number : number + 1], k)
    counted = len(queries) - n_warm_up
    return (clock.read() - start - clock.costs_s) / counted, faiss.cvar.hnsw_stats.ndis / counted
