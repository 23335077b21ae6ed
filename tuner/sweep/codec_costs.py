"""Seconds that codecs cost at full size.

A small index fits in the cache, a large one does not, and how much that costs is the codec's own: one
whose code takes long to decode waits for each of its cache lines in turn, where a simple one has all of
them under way at once (SQ6 was seen to be 1.1 times as slow as SQ8 in a small graph, 1.5 times in a large
one). So a codec that could be worth an index is timed through the real graph, beside the codec that the
graph was built on; before that its cost is guessed from the small graph and its cache lines.
"""

from __future__ import annotations

import faiss
import numpy as np
from scipy.optimize import nnls

from tuner.index.assemble import Encoded
from tuner.index.encoders import Encoder
from tuner.index.graph import DerivableGraph, transplant
from tuner.index.projections import behind
from tuner.prediction.curves import search_counted
from tuner.prediction.kernel_costs import KernelCost, Reranking, SmallGraph, searcher
from tuner.prediction.surface import CodecCost
from tuner.runtime.process import return_freed_memory
from tuner.runtime.timing import call_overhead_s, interleave, queries_a_turn, thinned
from tuner.sweep.problem import Problem
from tuner.types import FloatArray

TIMED_EF = (32, 96)
TIMED_QUERIES, FEWEST_QUERIES = 768, 128
ROUNDS = 6
"""Rounds of a codec's cost: it decides what is measured, not what is reported."""
MANY_LINKS = 16
HOPS_A_DISTANCE = 0.1
"""In the small graph that kernels are timed through: 64 hops for about 600 distances."""
LEAST_SHARE = 0.3
"""Share of the seconds of a kernel, or of a search at full size, that are surely distances."""
CACHED_HOP = 0.5
"""Share of a hop's seconds that is left where the graph fits in the cache."""
FIRST_LINE = 0.5
"""Least share of what cache misses add to the codec that the graph was built on: measured from .6 to 1.1 for
codes of one or two lines, and 1 to 2 for longer ones."""
FACTOR = 8
"""Candidates re-ranked when that is timed, as a multiple of k."""


class Contestant:
    """An index at one ef_search that is asked by the number of a query, whose form is its own."""

    def __init__(
        self, index: faiss.Index, queries: FloatArray, k: int, hnsw: faiss.IndexHNSW, ef: int
    ) -> None:
        self.index, self.queries, self.k = index, queries, k
        self.hnsw, self.ef_search = hnsw, max(ef, k)
        hnsw.hnsw.efSearch = ef
        self.ndis = search_counted(index, queries, k)[1]

    def search(self, numbers: FloatArray) -> None:
        """Search at its own ef_search: others share the graph."""
        self.hnsw.hnsw.efSearch = self.ef_search
        first, last = int(numbers[0, 0]), int(numbers[-1, 0])
        self.index.search(self.queries[first : last + 1], self.k)


class FullSize:
    """What searches of all rows cost, in the seconds of the rounds that the kernels were timed in.

    Args:
        problem: data and queries.
        graph: the one graph.
        small: graph of a few rows that kernels are timed through.
        own: codec that the graph was built on, with the codes of all rows.
        kernel: cost of that codec in the small graph.

    Attributes:
        hop_s: seconds an expanded node.
        own_s: seconds a distance of the codec that the graph was built on.
    """

    def __init__(
        self, problem: Problem, graph: DerivableGraph, small: SmallGraph, own: Encoded, kernel: KernelCost
    ) -> None:
        self.problem, self.graph, self.own, self.kernel = problem, graph, own, kernel
        self.prepared = problem.queries[
            problem.sample(thinned(TIMED_QUERIES, problem.base.d, FEWEST_QUERIES))
        ]
        self.a_round = queries_a_turn(problem.base.d)
        self.numbers = np.arange(len(self.prepared), dtype=np.float32)[:, None]
        self.call_s = call_overhead_s(own.encoder.codec.width)
        Ms = problem.options.space.M
        few, many = min(Ms), min(Ms, key=lambda M: abs(M - MANY_LINKS))
        k, queries = problem.options.k, own.encoder.transform(self.prepared)
        graphs = [self._graph(own, M) for M in sorted({few, many})]
        asked = [Contestant(index, queries, k, index, ef) for index in graphs for ef in TIMED_EF]
        bare = searcher(small, own.encoder)[1][1]  # without the transforms in front of it
        cached = Contestant(bare, queries, k, bare, bare.hnsw.efSearch)
        timings = interleave(
            [each.search for each in (cached, *asked)],
            self.numbers,
            problem.options.seed,
            a_round=self.a_round,
        )
        then_s = self.call_s + cached.ndis * kernel.distance_s
        took = [then_s * timings.ratio(number + 1, 0) - self.call_s for number in range(len(asked))]
        counted = np.array([[each.ndis, each.ef_search] for each in asked])
        self.own_s, self.hop_s = (float(s) for s in nnls(counted, np.maximum(took, 0.0))[0])
        self.reference = asked[len(TIMED_EF) - 1]
        self.reference_s = took[len(TIMED_EF) - 1] + self.call_s
        problem.base.release()

    def guess_s(self, kernel: KernelCost) -> float:
        """Return seconds a distance of a codec that is not timed at full size, rather too few than too many.

        What a code's first cache line costs is most of it: the lines after it are under way by then.
        """
        extra = max(0.0, self.own_s - self._alone(self.kernel))
        lines = min(1.0, kernel.lines / self.kernel.lines)
        return self._alone(kernel) + extra * (FIRST_LINE + (1 - FIRST_LINE) * lines)

    def time(self, encoded: Encoded) -> tuple[float, float]:
        """Return seconds a distance, and distances for one of the codec that the graph was built on."""
        index = self._graph(encoded, min(self.problem.options.space.M))
        queries = encoded.encoder.transform(self.prepared)
        rival = Contestant(index, queries, self.problem.options.k, index, max(TIMED_EF))
        took = self._ratio(rival) * self.reference_s - self.call_s
        self.problem.base.release()
        distance_s = max(LEAST_SHARE * took, took - rival.ef_search * self.hop_s) / rival.ndis
        return distance_s, rival.ndis / self.reference.ndis

    def fetch_s(self, store: Encoded, small: Reranking) -> float:
        """Return seconds that fetching adds to each candidate that is re-ranked.

        Args:
            store: float32, which is there without being encoded.
            small: what it costs in the small graph.
        """
        k = self.problem.options.k
        inner, chain = self.reference.hnsw, self.own.encoder.chain
        outer = behind(chain, inner) if chain else inner
        exact = store.encoder.storage_over(store.codes)
        refine = faiss.IndexRefine(outer, exact)
        refine.k_factor = float(FACTOR)
        ef = max(*TIMED_EF, FACTOR * k)
        contestants = [Contestant(index, self.prepared, k, inner, ef) for index in (outer, refine)]
        ratios = [self._ratio(each) * self.reference_s for each in contestants]
        self.problem.base.release()
        return max(0.0, (ratios[1] - ratios[0]) / (FACTOR * k) - small.candidate_s)

    def _graph(self, encoded: Encoded, M: int) -> faiss.IndexHNSW:
        return_freed_memory()  # what training left behind, before links and codes come
        empty = encoded.encoder.empty(M)
        return transplant(self.graph, M, self.problem.links_path, empty, encoded.codes)

    def _ratio(self, rival: Contestant) -> float:
        timings = interleave(
            [self.reference.search, rival.search],
            self.numbers,
            self.problem.options.seed,
            a_round=self.a_round,
            fewest=ROUNDS,
            most=ROUNDS,
        )
        return timings.ratio(1, 0)

    def _alone(self, kernel: KernelCost) -> float:
        """Return a kernel's seconds a distance without its share of the hops, which it was timed with."""
        share_s = CACHED_HOP * self.hop_s * HOPS_A_DISTANCE
        return max(LEAST_SHARE * kernel.distance_s, kernel.distance_s - share_s)


def codec_cost_of(
    kernel: KernelCost,
    distance_s: float,
    distances: float,
    hop_s: float,
    rerankings: dict[str, Reranking],
    fetch_s: float,
) -> CodecCost:
    """Return what a codec costs at full size.

    Args:
        fetch_s: what fetching adds to a candidate that is re-ranked.
    """
    return CodecCost(
        distance_s=distance_s,
        hop_s=hop_s,
        query_s=kernel.query_s,
        rerank_s={key: cost.candidate_s + fetch_s for key, cost in rerankings.items()},
        rerank_query_s={key: cost.query_s for key, cost in rerankings.items()},
        distances=distances,
    )


def exact_codes(encoder: Encoder, problem: Problem) -> Encoded:
    """Return the mapped base as the codes of float32."""
    return Encoded(encoder, problem.base.x.view(np.uint8))
