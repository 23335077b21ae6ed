"""Seconds that codecs cost at full size, from small graphs that fit in the cache and two large ones.

A small index fits in the cache, a large one does not. What a fetched code costs beyond that is measured
at full size for the codec that the graph was built on and for float32; for others it lies on the line
through these two, by the cache lines of a code. Small and large are timed in the same rounds: a machine
that others use is faster in one second than in the next.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from scipy.optimize import nnls

from tuner.backends.faiss_hnsw import Encoded
from tuner.curves import search_counted
from tuner.graph import Links, transplant
from tuner.kernels import Kernel, Reranking, SmallGraph, searcher
from tuner.surface import Prices
from tuner.sweep.problem import Problem
from tuner.timing import interleave
from tuner.types import FloatArray

TIMED_EF = (32, 96)
A_ROUND = 128
ROUNDS = 6
MANY_LINKS = 16
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


@dataclass(frozen=True)
class Large:
    """Codes of all rows, and what their codec costs in the small graph."""

    encoded: Encoded
    kernel: Kernel


class Contestant:
    """A graph index at one ef_search, its distances and hops a query counted."""

    def __init__(self, index: faiss.IndexHNSW, ef_search: int, queries: FloatArray, k: int) -> None:
        self.index, self.ef_search, self.k = index, ef_search, k
        index.hnsw.efSearch = ef_search
        self.ndis = search_counted(index, queries, k)[1]
        self.hops = float(max(ef_search, k))

    def search(self, queries: FloatArray) -> None:
        """Search at its own ef_search: others share the index."""
        self.index.hnsw.efSearch = self.ef_search
        self.index.search(queries, self.k)


def time_full_size(
    problem: Problem, links: Links, graph: SmallGraph, large: Large, exact: Large | None
) -> FullSize:
    """Return what full size adds.

    Few links and many are timed at two ef_search each; a distance and a hop are fitted to the four.

    Args:
        graph: the small graph.
        large: the codec that the graph was built on.
        exact: float32, where that is another.
    """
    Ms = problem.options.space.M
    few, many = min(Ms), min(Ms, key=lambda M: abs(M - MANY_LINKS))
    prepared = problem.queries[problem.tune[: A_ROUND * ROUNDS]]
    queries = large.encoded.encoder.transform(prepared)
    indexes = [_transplanted(problem, links, M, large) for M in sorted({few, many})]
    asked = [Contestant(index, ef, queries, problem.options.k) for index in indexes for ef in TIMED_EF]
    small = searcher(graph, large.encoded.encoder)[1][1]  # without the transforms in front of it
    ndis = search_counted(small, queries, problem.options.k)[1]
    timings = interleave(
        [lambda q: small.search(q, problem.options.k), *(each.search for each in asked)],
        queries,
        problem.options.seed,
        a_round=A_ROUND,
        most=ROUNDS,
    )
    # in the seconds of the rounds that the kernels were timed in
    then = large.kernel.query_s + ndis * large.kernel.distance_s
    took = [then * timings.ratio(number + 1, 0) - large.kernel.query_s for number in range(len(asked))]
    counted = np.array([[each.ndis, each.hops] for each in asked])
    distance_s, hop_s = (float(price) for price in nnls(counted, np.maximum(took, 0.0))[0])
    extra_s = max(0.0, distance_s - _alone(large.kernel, hop_s))
    del indexes[1:]
    if exact is None:
        return FullSize(hop_s, 0.0, extra_s / large.kernel.lines)
    k, narrow = problem.options.k, exact.encoded.encoder.codec.width
    rival = Contestant(_transplanted(problem, links, few, exact), max(TIMED_EF), prepared, k)
    same = asked[len(TIMED_EF) - 1]
    both = interleave(
        [same.search, lambda q: rival.search(q[:, :narrow])],
        queries,
        problem.options.seed,
        a_round=A_ROUND,
        most=ROUNDS,
    )
    exact_s = both.ratio(1, 0) * (took[len(TIMED_EF) - 1] + large.kernel.query_s) - exact.kernel.query_s
    exact_extra_s = (exact_s - rival.hops * hop_s) / rival.ndis - _alone(exact.kernel, hop_s)
    more_lines = exact.kernel.lines - large.kernel.lines
    line_s = max(0.0, exact_extra_s - extra_s) / more_lines if more_lines else extra_s / large.kernel.lines
    problem.base.release()
    return FullSize(hop_s, max(0.0, extra_s - line_s * (large.kernel.lines - 1)), line_s)


def _transplanted(problem: Problem, links: Links, M: int, large: Large) -> faiss.IndexHNSW:
    encoder = large.encoded.encoder
    return transplant(links, M, problem.links_path, encoder.empty(M), large.encoded.codes)


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
