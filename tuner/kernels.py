"""Seconds a distance of each codec, before anything of full size is encoded.

Each codec is searched through the same small graph, interleaved. What is missing there are cache
misses: a small index fits in the cache, a large one does not. They are added in proportion to the
cache lines of a code, from float32 timed both small and at full size.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import faiss

from tuner.data.base import Base
from tuner.quantizers import Encoder
from tuner.timing import one_core
from tuner.types import FloatArray, Steps

ROWS = 4096
BATCH = 8
EF_SEARCH = 64
QUERIES = 64
ROUNDS = 5
CACHE_LINE = 64


@dataclass(frozen=True)
class Kernel:
    """What a codec costs.

    Attributes:
        distance_s: seconds a distance through a graph that fits in the cache.
        query_s: seconds a query for the view's transforms.
        lines: cache lines of a code.
    """

    distance_s: float
    query_s: float
    lines: int


def time_kernels(
    base: Base, encoders: dict[str, Encoder], reference: Encoder, queries: FloatArray, seed: int
) -> Steps[dict[str, Kernel]]:
    """Yield the share done; return the kernel of each encoder, by its key.

    Args:
        reference: timed in every batch, so that batches can be compared.
        queries: (nq, d) prepared.
    """
    rows = base.sample(ROWS, seed)
    graph = faiss.IndexHNSWFlat(base.d, 16)
    graph.hnsw.efConstruction = 40
    graph.add(rows)
    queries = queries[:QUERIES]
    kernels: dict[str, Kernel] = {}
    reference_s = math.inf
    keys = list(encoders)
    for start in range(0, len(keys), BATCH):
        batch = [reference, *(encoders[key] for key in keys[start : start + BATCH])]
        seconds, transforms = _time_batch(graph, rows, batch, queries)
        reference_s = min(reference_s, seconds[0])
        for number, key in enumerate(keys[start : start + BATCH], start=1):
            kernels[key] = Kernel(
                distance_s=seconds[number] / seconds[0],
                query_s=transforms[number],
                lines=-(-encoders[key].codec.code_bytes // CACHE_LINE),
            )
        yield min(1.0, (start + BATCH) / len(keys))
    return {
        key: replace(kernel, distance_s=kernel.distance_s * reference_s) for key, kernel in kernels.items()
    }


def _time_batch(
    graph: faiss.IndexHNSWFlat, rows: FloatArray, batch: list[Encoder], queries: FloatArray
) -> tuple[list[float], list[float]]:
    """Return seconds a distance and seconds a query's transforms, the best of interleaved rounds."""
    indexes, seen = [], [encoder.transform(queries) for encoder in batch]
    for encoder in batch:
        index = encoder.empty(16)
        faiss.downcast_index(index.storage).add(encoder.transform(rows))
        search_method = index.hnsw.search_method
        index.hnsw = graph.hnsw
        index.hnsw.search_method, index.hnsw.efSearch, index.ntotal = search_method, EF_SEARCH, len(rows)
        indexes.append(index)
    seconds, transforms = [math.inf] * len(batch), [math.inf] * len(batch)
    with one_core():
        for _ in range(ROUNDS):
            for number, index in enumerate(indexes):
                faiss.cvar.hnsw_stats.reset()
                start = time.perf_counter()
                index.search(seen[number], 10)
                spent = (time.perf_counter() - start) / faiss.cvar.hnsw_stats.ndis
                seconds[number] = min(seconds[number], spent)
                transforms[number] = min(transforms[number], _transform_s(batch[number], queries[:8]))
    return seconds, transforms


def _transform_s(encoder: Encoder, queries: FloatArray) -> float:
    if not encoder.chain:
        return 0.0
    start = time.perf_counter()
    for number in range(len(queries)):
        encoder.transform(queries[number : number + 1])
    return (time.perf_counter() - start) / len(queries)


def full_distance_s(kernel: Kernel, reference: Kernel, reference_full_s: float) -> float:
    """Return the predicted seconds a distance at full size.

    Args:
        reference: float32 through the small graph.
        reference_full_s: float32 through the real graph.
    """
    miss_s = max(0.0, reference_full_s - reference.distance_s) / reference.lines
    return kernel.distance_s + miss_s * kernel.lines
