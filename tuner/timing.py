"""Clock time that can be compared: interleaved rounds, one query at a time, one thread, one core.

Absolute latency on a shared machine is not repeatable, ratios from the same round are. So every
contestant is timed in every round, in random order, and what is compared are ratios to a reference
that runs in each round too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.machine import use_threads
from tuner.types import FloatArray, Latency

Search = Callable[[FloatArray], object]
"""Searches queries (nq, d); one at a time when it is timed."""

FEWEST_ROUNDS = 4
MOST_ROUNDS = 8
ALIKE = 0.03
"""The same index entered twice may differ by this share when rounds end."""
SETTLED = 0.015
"""Rounds end when the standard error of every ratio is below this share."""


@dataclass(frozen=True)
class Timings:
    """Per-query seconds of each contestant.

    Attributes:
        seconds: (contestants, rounds, queries) float64.
    """

    seconds: NDArray[np.float64]

    def ratio(self, contestant: int, reference: int) -> float:
        """Return the median over rounds of mean latency over the reference's."""
        means = self.seconds.mean(axis=2)
        return float(np.median(means[contestant] / means[reference]))

    def settled(self, reference: int) -> bool:
        """Return whether every ratio's standard error over rounds is small."""
        means = self.seconds.mean(axis=2)
        ratios = means / means[reference]
        rounds = ratios.shape[1]
        spread = np.median(np.abs(ratios - np.median(ratios, axis=1, keepdims=True)), axis=1) * 1.4826
        return bool((spread / np.median(ratios, axis=1) / rounds**0.5 < SETTLED).all())

    def latency(self, contestant: int, reference: int, queries_per_second: float | None = None) -> Latency:
        """Return the contestant's latency: its ratio times the reference's typical round.

        Percentiles are over the queries, each query's median over rounds, scaled so that they belong
        to the same typical round.
        """
        typical = float(np.median(self.seconds[reference].mean(axis=1)))
        mean = typical * self.ratio(contestant, reference)
        by_query = np.median(self.seconds[contestant], axis=0)
        p50, p95, p99 = np.percentile(by_query, [50, 95, 99]) * (mean / by_query.mean())
        return Latency(
            mean_s=mean,
            p50_s=float(p50),
            p95_s=float(p95),
            p99_s=float(p99),
            n_rounds=self.seconds.shape[1],
            queries_per_second=queries_per_second,
        )


@contextmanager
def one_core() -> Iterator[None]:
    """Pin this process to one core and one thread, and undo it afterwards."""
    pinned = hasattr(os, "sched_getaffinity")
    threads = faiss.omp_get_max_threads()
    if pinned:
        cores = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {max(cores)})
    use_threads(1)
    try:
        yield
    finally:
        if pinned:
            os.sched_setaffinity(0, cores)
        use_threads(threads)


def interleave(
    contestants: list[Search],
    queries: FloatArray,
    seed: int,
    *,
    reference: int = 0,
    twin: int | None = None,
    fewest: int = FEWEST_ROUNDS,
    most: int = MOST_ROUNDS,
) -> Timings:
    """Time every contestant on every query, in rounds of random order, until the ratios are settled.

    Args:
        contestants: what to time.
        queries: (nq, d), one at a time.
        seed: of the order.
        reference: the contestant that ratios are taken to.
        twin: the reference's second entry (A/A): rounds go on while the two still differ.
        fewest: rounds at least.
        most: rounds at most.
    """
    rng = np.random.default_rng(seed)
    rounds: list[NDArray[np.float64]] = []
    with one_core():
        for search in contestants:
            search(queries)  # fetches every page that the rounds will touch
        while len(rounds) < most:
            seconds = np.empty((len(contestants), len(queries)))
            for number in rng.permutation(len(contestants)):
                seconds[number] = _time_queries(contestants[number], queries)
            rounds.append(seconds)
            so_far = Timings(np.stack(rounds, axis=1))
            alike = twin is None or abs(so_far.ratio(twin, reference) - 1) < ALIKE
            if len(rounds) >= fewest and alike and so_far.settled(reference):
                break
    return Timings(np.stack(rounds, axis=1))


def _time_queries(search: Search, queries: FloatArray) -> NDArray[np.float64]:
    clock = time.perf_counter
    out = np.empty(len(queries))
    for number in range(len(queries)):
        query = queries[number : number + 1]
        start = clock()
        search(query)
        out[number] = clock() - start
    return out


def call_overhead_s(d: int) -> float:
    """Return the median seconds of a search that has nothing to do: Python's and faiss's call."""
    index = faiss.IndexFlatL2(d)
    index.add(np.zeros((1, d), dtype=np.float32))
    query = np.zeros((1, d), dtype=np.float32)
    with one_core():
        return float(np.median([_time_queries(lambda q: index.search(q, 1), query)[0] for _ in range(200)]))


def throughput(search: Search, queries: FloatArray, threads: int) -> float:
    """Return queries a second of one batch on ``threads`` threads, the best of three."""
    use_threads(threads)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        search(queries)
        seconds.append(time.perf_counter() - start)
    return len(queries) / min(seconds)
