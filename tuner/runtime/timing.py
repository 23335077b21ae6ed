"""Seconds that can be compared: interleaved rounds, one query at a time, one thread, one core.

Seconds are those of the processor in the thread that searches, which a neighbour on the processor does not
lengthen; seconds on the wall stand beside them, to tell that there was one. Where the system counts a
thread's seconds too coarsely, all are seconds on the wall.

Absolute latency on a shared machine is not repeatable all the same, ratios from the same moment are. So a
round goes through the queries in small blocks, every contestant takes its turn at each block, in random
order, and what is compared are ratios to a reference that has its turn too. Measured: the same index
entered twice differs by 4 % after 6 blocks, 3 % after 12 and 1.4 % after 20. Smaller blocks settle
sooner, but contestants take each other's place in the shared cache: an index that was 1.9 times as fast
as a larger one alone was 1.4 times as fast beside it in blocks of 32 queries, 1.75 in blocks of 128
after a few queries that are not timed.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.runtime.process import use_threads
from tuner.types import FloatArray, Latency

Search = Callable[[FloatArray], object]
"""Searches queries (nq, d); one at a time when it is timed."""

FEWEST_ROUNDS = 6
MOST_ROUNDS = 9
ROUNDS = (FEWEST_ROUNDS, MOST_ROUNDS)
ALIKE = 0.03
"""The same index entered twice may differ by this share when rounds end."""
BLOCK, FEWEST_A_TURN, WARM_UP = 128, 32, 16
"""Queries that a contestant answers in one turn, a few ms, and others that it answers before, not timed."""
WIDE, USUAL = 1024, 512
"""Vectors of so many dimensions take so much longer than usual ones that fewer queries tell as much."""
WILD = 3.0
"""Blocks whose ratio is more standard deviations than this from the median are clipped to it."""
COARSEST_S = 2e-6
"""Steps of a thread's clock that are coarser than this cannot time a search."""
SETTLED = 0.02
"""Rounds end when the standard error of every ratio is below this share."""


def thinned(count: int, d: int, least: int) -> int:
    """Return how many queries or rows to measure with: as many fewer as wide vectors are wider than usual.

    >>> thinned(128, 768, 16), thinned(128, 1536, 16), thinned(128, 4096, 32)
    (128, 42, 32)

    Args:
        count: number that usual vectors get.
        d: dimensions.
        least: number that there are at least.
    """
    return count if d < WIDE else min(count, max(least, count * USUAL // d))


def queries_a_turn(d: int) -> int:
    """Return the queries of one turn of vectors of ``d`` dimensions.

    >>> queries_a_turn(384), queries_a_turn(4096)
    (128, 32)
    """
    return thinned(BLOCK, d, FEWEST_A_TURN)


@dataclass(frozen=True)
class Timings:
    """Per-query seconds of each contestant.

    Attributes:
        seconds: (contestants, rounds, queries a round) float64, the processor's.
        n_slices: every so many rounds the same queries come again.
        wall: seconds on the wall, likewise, or None where they are the same.
    """

    seconds: NDArray[np.float64]
    n_slices: int = 1
    wall: NDArray[np.float64] | None = None

    @property
    def waited(self) -> float:
        """Share of the seconds on the wall in which something else had the processor."""
        return 0.0 if self.wall is None else max(0.0, 1 - float(self.seconds.sum() / self.wall.sum()))

    def ratio(self, contestant: int, reference: int) -> float:
        """Return mean latency over the reference's: sums over blocks, those that were disturbed clipped."""
        ratios, weights = self._ratios(contestant, reference)
        return float(ratios @ weights)

    def settled(self, reference: int) -> bool:
        """Return whether every ratio's standard error is small."""
        return all(self.error(number, reference) < SETTLED for number in range(len(self.seconds)))

    def error(self, contestant: int, reference: int) -> float:
        """Return the relative standard error of a ratio, from its spread over blocks and rounds."""
        ratios, weights = self._ratios(contestant, reference)
        return float(_spread(ratios) * np.linalg.norm(weights) / (ratios @ weights))

    def _ratios(self, contestant: int, reference: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the ratio to the reference of every block of every round, clipped, and its weight."""
        starts = np.arange(0, self.seconds.shape[2], BLOCK)
        own, others = (
            np.add.reduceat(self.seconds[i], starts, axis=1).ravel() for i in (contestant, reference)
        )
        ratios, typical = own / others, np.median(others)
        middle, width = np.median(ratios), WILD * _spread(ratios)
        # a reference that was disturbed itself would count for more than its queries
        weights = np.minimum(others, WILD * typical)
        return np.clip(ratios, middle - width, middle + width), weights / weights.sum()

    def latency(self, contestant: int, reference: int, queries_per_second: float | None = None) -> Latency:
        """Return the contestant's latency: its ratio times the reference's typical round.

        Percentiles are over the queries, the least of each query's visits, scaled so that they belong to
        the same typical round.
        """
        mean = self._mean_s(contestant, reference)
        p50, p95, p99 = np.percentile(self.by_query(contestant, reference), [50, 95, 99])
        return Latency(
            mean_s=mean,
            p50_s=float(p50),
            p95_s=float(p95),
            p99_s=float(p99),
            n_rounds=self.seconds.shape[1],
            queries_per_second=queries_per_second,
        )

    def by_query(self, contestant: int, reference: int) -> NDArray[np.float64]:
        """Return the seconds of each query, the least of its visits, scaled to the contestant's mean."""
        own = self.seconds[contestant]
        least = np.concatenate(
            [own[slice_ :: self.n_slices].min(axis=0) for slice_ in range(min(self.n_slices, len(own)))]
        )
        scaled: NDArray[np.float64] = least * (self._mean_s(contestant, reference) / least.mean())
        return scaled

    def _mean_s(self, contestant: int, reference: int) -> float:
        typical = float(np.median(self.seconds[reference].mean(axis=1)))
        return typical * self.ratio(contestant, reference)


def _spread(values: NDArray[np.float64]) -> float:
    """Return a standard deviation that outliers do not move: the median absolute deviation, scaled."""
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


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
    a_round: int | None = None,
    reference: int = 0,
    twins: tuple[int, int] | None = None,
    fewest: int = FEWEST_ROUNDS,
    most: int = MOST_ROUNDS,
) -> Timings:
    """Time every contestant on every query, block by block in random order, until the ratios are settled.

    Args:
        contestants: searches to time.
        queries: (nq, d) float32, searched one at a time.
        seed: random seed of the order.
        a_round: queries of one round, all if None. The next round takes the next ones: a query that
            comes again soon finds its rows in the cache, which flatters what fits in there.
        reference: the contestant that ratios are taken to.
        twins: two entries of the same index (A/A): rounds go on while they still differ.
        fewest: smallest number of rounds.
        most: largest number of rounds.
    """
    rng = np.random.default_rng(seed)
    size = min(len(queries), a_round or len(queries))
    n_slices = len(queries) // size
    rounds: list[NDArray[np.float64]] = []
    clock = processor_clock()
    with one_core():
        for search in contestants:
            search(queries[:size])  # fetches most pages that the rounds will touch
        while len(rounds) < most:
            first = size * (len(rounds) % n_slices)
            rounds.append(_round(contestants, queries[first : first + size], rng, clock))
            so_far = _timings(rounds, n_slices)
            alike = twins is None or abs(so_far.ratio(*twins) - 1) < ALIKE
            if len(rounds) >= fewest and alike and so_far.settled(reference):
                break
    return so_far


def _timings(rounds: list[NDArray[np.float64]], n_slices: int) -> Timings:
    seconds, wall = np.stack(rounds, axis=2)
    return Timings(seconds, n_slices, wall)


def _round(
    contestants: list[Search], queries: FloatArray, rng: np.random.Generator, clock: Clock
) -> NDArray[np.float64]:
    """Return seconds of the processor and on the wall, (2, contestants, queries)."""
    seconds = np.empty((2, len(contestants), len(queries)))
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        before = queries.take(range(start - WARM_UP, start), axis=0, mode="wrap")
        for number in rng.permutation(len(contestants)):
            _time_queries(contestants[number], before, clock)
            seconds[:, number, block] = _time_queries(contestants[number], queries[block], clock)
    return seconds


def _time_queries(search: Search, queries: FloatArray, clock: Clock) -> NDArray[np.float64]:
    """Return seconds of the processor and on the wall, (2, queries)."""
    on_wall, of_thread = time.perf_counter, clock.read
    out = np.empty((2, len(queries)))
    for number in range(len(queries)):
        query = queries[number : number + 1]
        began, start = on_wall(), of_thread()
        search(query)
        out[0, number] = of_thread() - start
        out[1, number] = on_wall() - began
    out[0] = np.maximum(out[0] - clock.costs_s, 0.0)
    out[1] = np.maximum(out[1] - 2 * clock.costs_s, out[0])
    return out


@dataclass(frozen=True)
class Clock:
    """A clock of seconds, and what reading it adds to them."""

    read: Callable[[], float]
    costs_s: float


@cache
def processor_clock() -> Clock:
    """Return the clock of the processor's seconds in this thread, or of the wall's where it is too coarse."""
    for read in (time.thread_time, time.perf_counter):
        steps = []
        for _ in range(200):
            start = now = read()
            while now == start:
                now = read()
            steps.append(now - start)
        if min(steps) < COARSEST_S:
            break
    return Clock(read, float(np.median(steps)))


def call_overhead_s(d: int) -> float:
    """Return the median seconds of a search that has nothing to do: Python's and faiss's call."""
    clock = processor_clock()
    index = faiss.IndexFlatL2(d)
    index.add(np.zeros((1, d), dtype=np.float32))
    query = np.zeros((1, d), dtype=np.float32)
    with one_core():
        took = [_time_queries(lambda q: index.search(q, 1), query, clock)[0, 0] for _ in range(200)]
        return float(np.median(took))


def throughput(search: Search, queries: FloatArray, threads: int) -> float:
    """Return queries a second of one batch on ``threads`` threads, the better of two."""
    use_threads(threads)
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        search(queries)
        seconds.append(time.perf_counter() - start)
    return len(queries) / min(seconds)
