"""Seconds that codecs cost at full size, from small graphs that fit in the cache and two large ones.

A small index fits in the cache, a large one does not. What a fetched code costs beyond that is measured
at full size for float32 and for the codec that the graph was built on; for others it lies on the line
through these two, by the cache lines of a code.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import faiss
import numpy as np
from scipy.optimize import nnls

from tuner.backends.faiss_hnsw import Encoded
from tuner.graph import Links, transplant
from tuner.kernels import Kernel, Reranking
from tuner.surface import Prices
from tuner.sweep.problem import Problem
from tuner.timing import one_core

TIMED_EF = (32, 96)
TIMED_QUERIES = 128
MANY_LINKS = 24
HOPS_A_DISTANCE = 0.1
"""In the small graph that kernels are timed through: 64 hops for about 600 distances."""
LEAST_SHARE = 0.3
"""Of a kernel's seconds that are surely distances."""
CACHED_HOP = 0.5
"""Share of a hop's price that is left where the graph fits in the cache."""


@dataclass(frozen=True)
class FullSize:
    """What a search of all rows costs beyond one of few.

    Attributes:
        hop_s: seconds an expanded node.
        miss_s: seconds that fetching a code of one cache line takes.
        line_s: seconds of each further line.
    """

    hop_s: float
    miss_s: float
    line_s: float

    def fetch_s(self, lines: int) -> float:
        """Return seconds that fetching a code of so many cache lines adds to its distance."""
        return self.miss_s + self.line_s * (lines - 1)


def time_full_size(problem: Problem, links: Links, timed: list[tuple[Encoded, Kernel]]) -> FullSize:
    """Return what full size adds, from searches through the real graph, one query at a time.

    Few links and many are timed at two ef_search each; a distance of each codec and a hop are fitted.

    Args:
        timed: codes of all rows, and what they cost in the small graph: one codec or two.
    """
    Ms = problem.options.space.M
    few, many = min(Ms), min(Ms, key=lambda M: abs(M - MANY_LINKS))
    counted, seconds = [], []
    for number, (encoded, kernel) in enumerate(timed):
        for M in {few, many} if number == 0 else {few}:
            for ndis, hops, took in _searches(problem, links, M, encoded):
                distances = [0.0] * len(timed)
                distances[number] = ndis
                counted.append([*distances, hops])
                seconds.append(max(0.0, took - kernel.query_s))
    *distance_s, hop_s = (float(price) for price in nnls(np.array(counted), np.array(seconds))[0])
    extra = [
        max(0.0, at_full_size - _alone(kernel, hop_s))
        for at_full_size, (_, kernel) in zip(distance_s, timed, strict=True)
    ]
    lines = [kernel.lines for _, kernel in timed]
    if len(timed) < 2 or lines[0] == lines[1]:
        return FullSize(hop_s, 0.0, extra[0] / max(1, lines[0]))
    line_s = max(0.0, (extra[0] - extra[1]) / (lines[0] - lines[1]))
    fewest = int(np.argmin(lines))
    return FullSize(hop_s, max(0.0, extra[fewest] - line_s * (lines[fewest] - 1)), line_s)


def _searches(problem: Problem, links: Links, M: int, encoded: Encoded) -> list[tuple[float, float, float]]:
    """Return distances, hops and seconds a query at each ef_search."""
    k = problem.options.k
    queries = encoded.encoder.transform(problem.queries[problem.tune[:TIMED_QUERIES]])
    index = transplant(links, M, problem.links_path, encoded.encoder.empty(M), encoded.codes)
    index.hnsw.efSearch = max(TIMED_EF)
    index.search(queries, k)  # fetches every page that will be touched
    found = []
    with one_core():
        for ef in TIMED_EF:
            index.hnsw.efSearch = ef
            faiss.cvar.hnsw_stats.reset()
            start = time.perf_counter()
            for number in range(len(queries)):
                index.search(queries[number : number + 1], k)
            took = (time.perf_counter() - start) / len(queries)
            found.append((faiss.cvar.hnsw_stats.ndis / len(queries), float(max(ef, k)), took))
    del index
    problem.base.release()
    return found


def _alone(kernel: Kernel, hop_s: float) -> float:
    """Return a kernel's seconds a distance without its share of the hops, which it was timed with."""
    share_s = CACHED_HOP * hop_s * HOPS_A_DISTANCE
    return max(LEAST_SHARE * kernel.distance_s, kernel.distance_s - share_s)


def prices_of(kernel: Kernel, full: FullSize, rerankings: dict[str, Reranking]) -> Prices:
    """Return what a codec costs at full size."""
    return Prices(
        distance_s=_alone(kernel, full.hop_s) + full.fetch_s(kernel.lines),
        hop_s=full.hop_s,
        query_s=kernel.query_s,
        rerank_s={key: cost.candidate_s + full.fetch_s(cost.lines) for key, cost in rerankings.items()},
        rerank_query_s={key: cost.query_s for key, cost in rerankings.items()},
    )
