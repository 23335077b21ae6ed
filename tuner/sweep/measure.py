"""A configuration measured at full size: its ef_search bisected as an integer, its recall on both halves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.backends.faiss_hnsw import Served
from tuner.curves import search_counted
from tuner.sweep.problem import Problem
from tuner.types import Memory, OperatingPoint

PLATEAU = 0.0005
FINENESS = 50


@dataclass(frozen=True)
class Tuned:
    """What bisecting ef_search found."""

    ef_search: int
    hits: NDArray[np.int64]
    ndis: float
    hops: float
    passes: bool


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
    hits = problem.hits(ids, problem.tune)
    return Tuned(ef_search, hits, ndis, hops, problem.passes(hits))


def bisect(at: Callable[[int], Tuned], least: int, guess: int, most: int) -> Tuned:
    """Return the result of the smallest ef in [least, most] that passes, starting from ``guess``.

    Exact below 2 x FINENESS, above that no more than 1 / FINENESS too large.

    Recall is taken to grow with ef. Where it stops growing before it passes, the last one tried is
    returned.
    """
    step = max(1, guess // 16)
    best = at(guess)
    low = least - 1
    if best.passes:
        while best.ef_search > least:
            lower = max(least, best.ef_search - step)
            tried = at(lower)
            if not tried.passes:
                low = lower
                break
            best, step = tried, step * 2
    else:
        while not best.passes:
            if best.ef_search >= most:
                return best
            low = best.ef_search
            tried = at(min(most, best.ef_search + step))
            gained = float(tried.hits.mean() - best.hits.mean())
            if not tried.passes and step > 2 * guess and gained < PLATEAU * tried.hits.max():
                return tried
            best, step = tried, step * 2
    # to the integer where ef is small, else to 2 %: far inside the noise of a few hundred queries
    while best.ef_search - low > max(1, best.ef_search // FINENESS):
        middle = (best.ef_search + low) // 2
        tried = at(middle)
        if tried.passes:
            best = tried
        else:
            low = middle
    return best


def operating_point(
    problem: Problem,
    served: Served,
    tuned: Tuned,
    memory: Memory,
    predicted_recall: float | None,
    predicted_latency_s: float | None,
    latency_s: float,
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
        predicted_latency_s=predicted_latency_s,
        modelled_latency_s=latency_s,
        reads_per_query=float(reads) if configuration.rerank_at == "disk" else 0.0,
        validated=validated,
        reaches_target=tuned.passes and problem.validated(validated),
    )
