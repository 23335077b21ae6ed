"""A configuration measured at full size: the least ef_search that the queries certify."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray

from tuner.index.assemble import SearchableIndex
from tuner.prediction.curves import FARTHEST, ef_towards, misses, search_counted
from tuner.prediction.surface import CodecCost
from tuner.sweep.problem import Problem
from tuner.types import Configuration, Memory, OperatingPoint, TriedEf

PLATEAU = 0.0005
FINENESS = 33
"""An ef_search is searched for to 1 / FINENESS: 1,000 queries do not tell finer steps apart."""
NEAR_ENOUGH = 1.15
"""Points at most this far apart in ef_search make a line that is believed between them."""
HEADROOM = 0.2
"""Share of the misses that are taken to be left above what was seen, whatever the ceiling was measured as."""
FAR_ABOVE = 8
"""Times the first guess: below it, a plateau is not believed to be the end."""


@dataclass(frozen=True)
class EfResult:
    """What the queries say of one ef_search.

    Attributes:
        hits: (nq,) int64 right answers of each query.
        recall: their mean share.
        needed: recall from which on their lower bound meets the target, which depends on their spread.
        tried: what they say of every other ef_search that was measured on the way, ascending.
    """

    ef_search: int
    hits: NDArray[np.int64]
    ndis: float
    hops: float
    recall: float
    needed: float
    tried: tuple[EfResult, ...] = ()

    @property
    def passes(self) -> bool:
        """Whether the queries certify it."""
        return self.recall >= self.needed

    def lead(self, ceiling: float) -> float:
        """Return how far it lies above what is needed, in -log(1 - recall / ceiling)."""
        return float(misses(self.recall / ceiling) - misses(self.needed / ceiling))


def tune_ef(
    problem: Problem,
    searchable: SearchableIndex,
    guess: int,
    ef_max: int,
    ceiling: float = 1.0,
    known: EfResult | None = None,
) -> EfResult:
    """Return the smallest ef_search (within 3 %) that the queries certify, or the best found.

    Args:
        guess: where to look first.
        ceiling: recall that no ef_search exceeds.
        known: what these queries said of this index before, which is not searched for again.
    """

    tried: dict[int, EfResult] = {}

    def at(ef_search: int) -> EfResult:
        if known is not None and ef_search == known.ef_search:
            return known
        tried[ef_search] = measure_at(problem, searchable, ef_search)
        return tried[ef_search]

    least = problem.options.k * searchable.configuration.rerank_factor
    guess = max(least, min(guess, ef_max))
    found = find_min_ef(at, least, guess, max(least, ef_max), ceiling)
    if found is known:
        return found
    return replace(found, tried=tuple(tried[ef] for ef in sorted(tried) if ef != found.ef_search))


def measure_at(problem: Problem, searchable: SearchableIndex, ef_search: int) -> EfResult:
    """Return what the queries say of one ef_search."""
    searchable.set_ef(ef_search)
    ids, ndis, hops = search_counted(searchable.index, problem.raw, problem.options.k)
    return judged(problem, ef_search, problem.hits(ids), ndis, hops)


def judged(problem: Problem, ef_search: int, hits: NDArray[np.int64], ndis: float, hops: float) -> EfResult:
    """Return the hits of all queries beside what they need to be."""
    recall = float(hits.mean()) / problem.options.k
    return EfResult(ef_search, hits, ndis, hops, recall, problem.target.needed(hits))


def find_min_ef(
    at: Callable[[int], EfResult],
    least: int,
    guess: int,
    most: int,
    ceiling: float = 1.0,
    fineness: int = FINENESS,
) -> EfResult:
    """Return the result of the smallest ef in [least, most] that passes, starting from ``guess``.

    No more than 1 / ``fineness`` too large, or than 1, by what was tried or by the line through the last two;
    each step goes where that line meets what is needed (regula falsi), so that two or three do.

    Recall is taken to grow with ef. Where it stops growing before it passes, the last one tried is
    returned.

    Args:
        at: what the queries say of an ef_search.
        ceiling: recall that no ef_search exceeds: above it, curves are straight.
        fineness: the inverse of the share by which it may be too large.
    """
    tried: list[EfResult] = []
    low, best, ef = least - 1, None, guess
    n_inside = 0
    while True:
        tried.append(last := at(ef))
        if last.passes:
            best = last
        else:
            low = last.ef_search
        line = _line(tried, ceiling, best or last)
        if best is None:
            if low >= most or _is_flat(tried, guess):
                return last
            step = _step(low, len(tried))
            ef = min(most, _between(line * (1 + 1 / fineness), low + step, FARTHEST * low))
            continue
        width = max(1, best.ef_search // fineness)
        if best.ef_search - low <= width:
            return best
        pair = _pair(tried, ceiling, best)
        known = len(pair) > 1 and abs(log(pair[0].ef_search / pair[1].ef_search)) <= log(NEAR_ENOUGH)
        near = width if known else width / 2  # one point alone does not know its slope
        if (known or len(tried) == 1) and best.recall < 1 and best.ef_search - line < near:
            return best
        if low < least:
            # where nothing is missed there is no line to trust
            step = 1 if known and best.recall < 1 else _step(best.ef_search, len(tried))
            lowest = best.ef_search / FARTHEST
            ef = max(least, _between(line + width / 2, lowest, best.ef_search - step))
            continue
        n_inside += 1
        # now and then the middle, so that a crooked line cannot make it crawl
        towards = line + width / 2 if n_inside % 3 else (low * best.ef_search) ** 0.5
        ef = max(low + 1, _between(towards, low + width, best.ef_search - width))


def _step(ef_search: int, n_tried: int) -> int:
    """Return the least step while only one side of the answer is known: it doubles."""
    return max(1, ef_search // FINENESS) << (n_tried - 1)


def _line(tried: list[EfResult], ceiling: float, around: EfResult) -> float:
    """Return the ef_search where the line through a pair meets what is needed."""
    pair = _pair(tried, ceiling, around)
    return ef_towards([(each.ef_search, each.lead(_above(tried, ceiling))) for each in pair], 0.0)


def _pair(tried: list[EfResult], ceiling: float, around: EfResult) -> list[EfResult]:
    """Return the two that are nearest to what is needed; of equals, those nearest in ef_search."""
    top = _above(tried, ceiling)
    return sorted(
        tried, key=lambda t: (abs(t.lead(top)), abs(log(t.ef_search / around.ef_search)), t.ef_search)
    )[:2]


def _above(tried: list[EfResult], ceiling: float) -> float:
    """Return a ceiling that lies above all that was seen."""
    seen = max(max(each.recall, each.needed) for each in tried)
    return max(ceiling, seen + HEADROOM * (1 - seen))


def _between(value: float, low: float, high: float) -> int:
    """Return ``value`` in [low, high] as an integer; the upper end wins where they cross."""
    return int(min(max(value, low), high))


def _is_flat(tried: list[EfResult], guess: int) -> bool:
    """Return whether twice the ef_search gained next to nothing, far above the guess."""
    last = tried[-1]
    before = [each.recall for each in tried if 2 * each.ef_search <= last.ef_search]
    return last.ef_search >= FAR_ABOVE * guess and bool(before) and last.recall - max(before) < PLATEAU


def operating_point(
    problem: Problem,
    searchable: SearchableIndex,
    ef_result: EfResult,
    memory: Memory,
    predicted_recall: float | None,
    cost: CodecCost,
) -> OperatingPoint:
    """Return the measured point."""
    what = searchable.configuration
    n_reranked = problem.options.k * what.rerank_factor

    def seconds(of: EfResult) -> float:
        return cost.latency_s(of.ndis, of.ef_search, what.rerank, n_reranked)

    return measured_point(problem, what, ef_result, memory, predicted_recall, seconds, n_reranked)


def measured_point(
    problem: Problem,
    configuration: Configuration,
    ef_result: EfResult,
    memory: Memory,
    predicted_recall: float | None,
    seconds: Callable[[EfResult], float],
    n_reranked: int,
) -> OperatingPoint:
    """Return the measured point of a configuration, of one index or of several whose answers are merged.

    Args:
        seconds: modelled seconds a query of what was measured.
        n_reranked: candidates re-ranked a query, where it re-ranks.
    """
    reads = n_reranked if configuration.rerank else 0
    links = ef_result.hops * 2 * configuration.M * 4
    store_bytes = (memory.rerank_bytes + memory.disk_bytes) / problem.base.n_delivered
    return OperatingPoint(
        configuration=configuration,
        ef_search=ef_result.ef_search,
        recall=problem.recall(ef_result.hits),
        ndis_per_query=ef_result.ndis,
        bytes_read_per_query=ef_result.ndis * memory.codes_bytes / problem.base.n_delivered
        + links
        + reads * store_bytes,
        memory=memory,
        predicted_recall=predicted_recall,
        modelled_latency_s=seconds(ef_result),
        reads_per_query=float(reads) if configuration.rerank_at == "disk" else 0.0,
        hits=tuple(ef_result.hits.tolist()),
        reaches_target=ef_result.passes,
        tried=tuple(
            TriedEf(
                ef_search=each.ef_search,
                recall=each.recall,
                lower=problem.recall(each.hits).lower,
                ndis_per_query=each.ndis,
                time_ratio=seconds(each) / seconds(ef_result),
            )
            for each in ef_result.tried
        ),
    )
