"""What has its turn in every timing, so that timings minutes apart can be compared."""

from __future__ import annotations

import faiss
import numpy as np

from tuner.backends.faiss_hnsw import Served
from tuner.sweep.measure import Tuned
from tuner.sweep.problem import Problem
from tuner.timing import FEWEST_ROUNDS, Search, Yardstick, interleave
from tuner.types import FloatArray, Steps

A_ROUND = 128
QUICK_ROUNDS = 3
WINDOW_BYTES = 16 << 20
WINDOW_SHARE = 0.25
DISTANCES = 1000
SETS = 64


def yardstick_search(problem: Problem) -> Search:
    """Return a search of 1,000 random rows of the base: what a graph search does, without a graph.

    It must slow down when a neighbour takes the shared cache, as the indexes do that are timed beside it:
    an index that fits in the core's own cache did not notice when they took half as long again. Its rows
    lie in a window of the mapped base, and no index of its own takes memory.
    """
    base = problem.base
    flat = base.flat()
    window = min(base.n, int(min(WINDOW_BYTES, WINDOW_SHARE * 4 * base.n * base.d)) // (4 * base.d))
    rng = np.random.default_rng(problem.options.seed)
    labels = rng.integers(0, window, size=(SETS, DISTANCES))
    distances = np.empty(DISTANCES, dtype=np.float32)
    queries = np.ascontiguousarray(problem.queries[problem.tune[:SETS]])

    def search(asked: FloatArray) -> None:
        for number in range(len(asked)):
            turn = number if len(asked) > 1 else int(rng.integers(SETS))
            flat.compute_distance_subset(
                1,
                faiss.swig_ptr(queries[turn % len(queries)]),
                DISTANCES,
                faiss.swig_ptr(distances),
                faiss.swig_ptr(labels[turn % SETS]),
            )

    return search


def time_yardstick(problem: Problem, search: Search) -> Steps[float]:
    """Return its seconds a query."""
    queries = problem.raw[problem.tune]
    timings = interleave([search], queries, problem.options.seed, a_round=A_ROUND, most=FEWEST_ROUNDS)
    yield 1.0
    return timings.latency(0, 0).mean_s


def quick_latency(problem: Problem, served: Served, tuned: Tuned, yardstick: Yardstick) -> float:
    """Return seconds a query: the ratio to the yardstick in a few rounds, times the yardstick's."""
    served.set_ef(tuned.ef_search)
    k = problem.options.k
    timings = interleave(
        [yardstick.search, lambda q: served.index.search(q, k)],
        problem.raw[problem.tune[: A_ROUND * QUICK_ROUNDS]],
        problem.options.seed,
        a_round=A_ROUND,
        fewest=QUICK_ROUNDS,
        most=QUICK_ROUNDS,
    )
    return timings.ratio(1, 0) * yardstick.mean_s
