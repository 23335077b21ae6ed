"""A configuration measured at full size: its ef_search bisected as an integer, its recall on both halves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.backends.faiss_hnsw import Served
from tuner.curves import FARTHEST, ef_towards, misses, search_counted
from tuner.surface import Prices
from tuner.sweep.problem import Problem
from tuner.types import Memory, OperatingPoint

PLATEAU = 0.0005
FINENESS = 50
FAR_ABOVE = 8
"""Times the first guess: below it, a plateau is not believed to be the end."""


@dataclass(frozen=True)
class Tuned:
    """What the tune half says of one ef_search.

    Attributes:
        hits: (nq,) int64 right answers of each query.
        recall: their mean share.
        needed: recall from which on the tune half is good enough, which depends on their spread.
    """

    ef_search: int
    hits: NDArray[np.int64]
    ndis: float
    hops: float
    recall: float
    needed: float

    @property
    def passes(self) -> bool:
        """Whether the tune half is good enough to choose it."""
        return self.recall >= self.needed

    @property
    def lead(self) -> float:
        """How far it lies above what is needed, in -log(1 - recall)."""
        return float(misses(self.recall) - misses(self.needed))


def tune_ef(problem: Problem, served: Served, guess: int, ef_max: int) -> Tuned:
    """Return the smallest ef_search (within 2 % above 100) whose tune half passes, or the best found.

    Args:
        guess: where to look first.
    """
    least = problem.options.k * served.configuration.rerank_factor
    guess = max(least, min(guess, ef_max))
    return bisect(lambda ef: measure_at(problem, served, ef), least, guess, max(least, ef_max))


def measure_at(problem: Problem, served: Served, ef_search: int) -> Tuned:
    """Return what the tune half says of one ef_search."""
    served.set_ef(ef_search)
    ids, ndis, hops = search_counted(served.index, problem.raw[problem.tune], problem.options.k)
    return judged(problem, ef_search, problem.hits(ids, problem.tune), ndis, hops)


def judged(problem: Problem, ef_search: int, hits: NDArray[np.int64], ndis: float, hops: float) -> Tuned:
    """Return the hits of the tune half beside what they need to be."""
    recall = float(hits.mean()) / problem.options.k
    return Tuned(ef_search, hits, ndis, hops, recall, problem.needed(hits))


def bisect(at: Callable[[int], Tuned], least: int, guess: int, most: int) -> Tuned:
    """Return the result of the smallest ef in [least, most] that passes, starting from ``guess``.

    Exact below 2 x FINENESS, above that no more than 1 / FINENESS too large. Each step goes where the
    line through the last ones meets what is needed (regula falsi), so that three or four do.

    Recall is taken to grow with ef. Where it stops growing before it passes, the last one tried is
    returned.
    """
    tried: list[Tuned] = []
    low, best, ef = least - 1, None, guess
    n_inside = 0
    while True:
        tried.append(last := at(ef))
        if last.passes:
            best = last
        else:
            low = last.ef_search
        if best is None:
            if low >= most or _is_flat(tried, guess):
                return last
            step = _step(low, len(tried))
            ef = min(most, _between(_line(tried) * (1 + 1 / FINENESS), low + step, FARTHEST * low))
            continue
        width = max(1, best.ef_search // FINENESS)
        if best.ef_search - low <= width:
            return best
        if low < least:
            step = _step(best.ef_search, len(tried))
            lowest = best.ef_search / FARTHEST
            ef = max(least, _between(_line(tried) * (1 - 1 / FINENESS), lowest, best.ef_search - step))
            continue
        n_inside += 1
        # now and then the middle, so that a crooked line cannot make it crawl
        line = _line(tried) + width / 2 if n_inside % 3 else (low * best.ef_search) ** 0.5
        ef = max(low + 1, _between(line, low + width, best.ef_search - width))


def _step(ef_search: int, n_tried: int) -> int:
    """Return the least step while only one side of the answer is known: it doubles."""
    return max(1, ef_search // FINENESS) << (n_tried - 1)


def _line(tried: list[Tuned]) -> float:
    return ef_towards([(each.ef_search, each.lead) for each in tried], 0.0)


def _between(value: float, low: float, high: float) -> int:
    """Return ``value`` in [low, high] as an integer; the upper end wins where they cross."""
    return int(min(max(value, low), high))


def _is_flat(tried: list[Tuned], guess: int) -> bool:
    """Return whether twice the ef_search gained next to nothing, far above the guess."""
    last = tried[-1]
    before = [each.recall for each in tried if 2 * each.ef_search <= last.ef_search]
    return last.ef_search >= FAR_ABOVE * guess and bool(before) and last.recall - max(before) < PLATEAU


def operating_point(
    problem: Problem,
    served: Served,
    tuned: Tuned,
    memory: Memory,
    predicted_recall: float | None,
    prices: Prices,
) -> OperatingPoint:
    """Return the measured point; the held-out half is searched here, and decides nothing here."""
    k = problem.options.k
    configuration = served.configuration
    served.set_ef(tuned.ef_search)
    ids, _, _ = search_counted(served.index, problem.raw[problem.validate], k)
    validated = problem.recall(problem.hits(ids, problem.validate))
    reads = k * configuration.rerank_factor if configuration.rerank else 0
    links = tuned.hops * 2 * configuration.M * 4
    store_bytes = (memory.rerank_bytes + memory.disk_bytes) / problem.base.n
    return OperatingPoint(
        configuration=configuration,
        ef_search=tuned.ef_search,
        recall=problem.recall(tuned.hits),
        ndis_per_query=tuned.ndis,
        bytes_read_per_query=tuned.ndis * memory.codes_bytes / problem.base.n + links + reads * store_bytes,
        memory=memory,
        predicted_recall=predicted_recall,
        modelled_latency_s=prices.latency_s(
            tuned.ndis, tuned.ef_search, configuration.rerank, k * configuration.rerank_factor
        ),
        reads_per_query=float(reads) if configuration.rerank_at == "disk" else 0.0,
        validated=validated,
        reaches_target=tuned.passes and problem.validated(validated),
    )
