"""Finalists built and searched on every shard: recall of the merged answer, and the time of the slowest."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from tuner.cluster.merge import k_of_each, merged_hits
from tuner.cluster.representative import ShardSweep
from tuner.cluster.shard import Shard
from tuner.cluster.shard_index import Asked, Timed, search_shard, time_shard
from tuner.cluster.stages import across
from tuner.index.codec_view import CodecView
from tuner.recall.truth import Truth
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of, scaled
from tuner.runtime.workers import Workers
from tuner.sweep.answer import Answer, answer_of
from tuner.sweep.ef_search import EfResult, find_min_ef, judged, measured_point
from tuner.sweep.finalists import quantile_of
from tuner.sweep.problem import Problem
from tuner.sweep.tried import with_tries_of, with_wider_bounds
from tuner.types import Configuration, Event, IdArray, Latency, Memory, OperatingPoint, Steps

OF_ONE = 0.6
"""Share of a single shard's ef_search at which the merged answer is tried first: the true neighbours of all
rows are the very nearest of their shard, which are found first."""
FEWER = 0.01
"""Share of the misses at the target that may come from asking each shard for fewer than k."""


@dataclass(frozen=True)
class ShardedPoint:
    """A configuration on all shards.

    Attributes:
        point: what it finds, needs and takes: bytes and distances are those of all shards, seconds those of
            the slowest of them.
        memory: bytes of each shard's index.
        ndis: distance computations a query of each shard.
        k_per_shard: neighbours asked of each shard.
    """

    point: OperatingPoint
    memory: tuple[Memory, ...]
    ndis: tuple[float, ...]
    k_per_shard: int


@dataclass(frozen=True)
class OfShards:
    """What is kept of a search: bytes of each shard's index, and its distance computations a query."""

    memory: tuple[Memory, ...]
    ndis: tuple[float, ...]


@dataclass(frozen=True)
class OnAllShards:
    """What the shards together say of configurations.

    Attributes:
        whole: the problem of all rows, of which only the number is here.
        tuned: what the representative shard said.
        shard_of: (nq, k) shard of each of the nearest rows.
    """

    workers: Workers
    shards: list[Shard]
    whole: Problem
    tuned: ShardSweep
    shard_of: IdArray

    @property
    def truth(self) -> Truth:
        """Exact neighbours among all rows."""
        return self.whole.truth

    def _merged(
        self, problem: Problem, what: Configuration, ef_search: int, k: int
    ) -> Steps[tuple[EfResult, OfShards]]:
        """Yield the share done; return what the merged answers of all shards say of one ef_search."""
        tuned = self.tuned
        asked = [Asked(shard, what, tuned.proxy, tuned.trained, ef_search, k) for shard in self.shards]
        answers = yield from self.workers.spread(search_shard, asked)
        of_shards = OfShards(tuple(each.memory for each in answers), tuple(each.ndis for each in answers))
        hops = sum(each.hops for each in answers)
        hits = merged_hits(answers, self.truth)
        return judged(problem, ef_search, hits, sum(of_shards.ndis), hops), of_shards

    def least_ef(
        self, problem: Problem, what: Configuration, guess: int, k: int, known: ShardedPoint | None = None
    ) -> Steps[ShardedPoint]:
        """Yield the share done; return a configuration at the least ef_search that the queries certify.

        Args:
            problem: the problem of all rows, with the quantile of its bounds.
            guess: where to look first.
            k: neighbours asked of each shard.
            known: what these queries said of it before.
        """
        tried: dict[int, tuple[EfResult, OfShards]] = {}

        def at(ef_search: int) -> EfResult:
            if known is not None and ef_search == known.point.ef_search:
                return judged(problem, ef_search, np.array(known.point.hits), known.point.ndis_per_query, 0.0)
            tried[ef_search] = result_of(self._merged(problem, what, ef_search, k))
            return tried[ef_search][0]

        least = k * what.rerank_factor
        most = max(least, problem.options.space.ef_search_max)
        found = find_min_ef(at, least, min(most, max(least, guess)), most)
        yield 1.0
        if found.ef_search not in tried and known is not None:
            point = replace(
                known.point,
                recall=problem.recall(found.hits),
                reaches_target=found.passes,
                tried=with_wider_bounds(problem, known.point.tried),
            )
            return replace(known, point=point)
        others = {ef: result for ef, (result, _) in tried.items() if ef != found.ef_search}
        made = self._point(problem, what, found, tried[found.ef_search][1], others, k)
        if known is None:
            return made
        return replace(made, point=with_tries_of(problem, made.point, known.point))

    def certified(self, problem: Problem, known: ShardedPoint, *, needs_no_more: bool) -> Steps[ShardedPoint]:
        """Yield the share done; return a point at the ef_search that bounds of all finalists ask for.

        Each shard is asked for fewer than k where so few neighbours lie in one that the bound still holds.

        Args:
            problem: the problem of all rows, with the quantile of its bounds.
            known: the point as its own bound certified it.
            needs_no_more: whether it is the only one, and certified already.
        """
        what, k, found = known.point.configuration, problem.options.k, known
        if not needs_no_more:
            guess = known.point.ef_search
            found = yield from scaled(self.least_ef(problem, what, guess, k, known), 0.0, 0.8)
        few = k_of_each(self.truth, self.shard_of, len(self.shards), FEWER * (1 - problem.options.recall))
        if len(self.shards) == 1 or few == k or not found.point.reaches_target:
            return found
        asked, of_shards = yield from self._merged(problem, what, found.point.ef_search, few)
        if not asked.passes:
            return found
        fewer = self._point(problem, what, asked, of_shards, {}, few)
        return replace(fewer, point=replace(fewer.point, tried=found.point.tried))

    def _point(
        self,
        problem: Problem,
        what: Configuration,
        found: EfResult,
        of_shards: OfShards,
        others: dict[int, EfResult],
        k: int,
    ) -> ShardedPoint:
        cost = dict(self.tuned.costs)[CodecView.of(what)]
        memory, ndis = of_shards.memory, of_shards.ndis
        slowest = max(ndis) / max(sum(ndis), 1.0)  # its share of all distances

        def seconds(of: EfResult) -> float:
            return cost.latency_s(of.ndis * slowest, of.ef_search, what.rerank, k * what.rerank_factor)

        found = replace(found, tried=tuple(others[ef] for ef in sorted(others)))
        n_reranked = len(memory) * k * what.rerank_factor
        point = measured_point(problem, what, found, sum_of(memory), None, seconds, n_reranked)
        return ShardedPoint(point, memory, ndis, k)


@dataclass(frozen=True)
class TimedShards:
    """Finalists on all shards, with their latencies.

    Attributes:
        points: the finalists.
        quantile: standard errors between mean and bound of each of them; None where there is one.
        noise_floor: largest deviation from 1 of the ratio between two entries of the same index.
        waited: largest share of the time that others had a processor.
        one_shard: latency of the slowest shard alone, of each finalist.
    """

    points: tuple[ShardedPoint, ...]
    quantile: float | None
    noise_floor: float
    waited: float
    one_shard: tuple[Latency, ...]


def measure_shards(journal: Journal, on_all: OnAllShards) -> Generator[Event, None, TimedShards]:
    """Yield events; return the finalists, certified by the merged answers and timed on every shard."""
    first = yield from _merged(journal, on_all)
    good = [each for each in first if each.point.reaches_target]
    quantile = quantile_of(on_all.whole, [each.point for each in good]) if len(good) > 1 else None
    problem, points = replace(on_all.whole, quantile=quantile), []
    for each in good:
        what = each.point.configuration
        point = yield from journal.stage(
            f"together-{what.label}",
            f"certify {what.label} together with the others",
            ShardedPoint,
            partial(on_all.certified, problem, each, needs_no_more=quantile is None),
        )
        points.append(point)
    if not points:
        return TimedShards(tuple(first), None, 0.0, 0.0, ())
    tuned = on_all.tuned
    asked = tuple((each.point, each.k_per_shard) for each in points)
    timed = yield from across(
        journal,
        on_all.workers,
        "timing",
        "time the finalists on every shard",
        Timed,
        time_shard,
        [(shard, tuned.proxy, tuned.trained, asked) for shard in on_all.shards],
    )
    return _with_latencies(on_all.whole, points, quantile, timed)


def _merged(journal: Journal, on_all: OnAllShards) -> Generator[Event, None, list[ShardedPoint]]:
    """Yield events; return what the finalists of the representative shard need on all shards."""
    found, k = [], on_all.whole.options.k
    share = OF_ONE if len(on_all.shards) > 1 else 1.0
    for finalist in on_all.tuned.finalists:
        what = finalist.configuration
        point = yield from journal.stage(
            f"merged-{what.label}",
            f"search {what.label} on every shard",
            ShardedPoint,
            partial(on_all.least_ef, on_all.whole, what, round(share * finalist.ef_search), k),
        )
        found.append(point)
    return found


def _with_latencies(
    whole: Problem, points: Sequence[ShardedPoint], quantile: float | None, timed: Sequence[Timed]
) -> TimedShards:
    """Return the points with their latencies: of each query that of the slowest shard, which is a model."""
    scale = [float(np.median([each.anchor_s for each in timed])) / each.anchor_s for each in timed]
    seconds = np.array([each.seconds * factor for each, factor in zip(timed, scale, strict=True)])
    most_s, found = whole.options.max_latency_s, []
    for number, each in enumerate(points):
        latency = latency_of(seconds[:, number].max(axis=0))
        fast = most_s is None or latency.p95_s <= most_s
        point = replace(each.point, latency=latency, reaches_target=each.point.reaches_target and fast)
        found.append(replace(each, point=point))
    means = seconds.mean(axis=2)
    alone = tuple(
        latency_of(seconds[int(means[:, number].argmax()), number]) for number in range(len(points))
    )
    noise = max(each.noise for each in timed)
    return TimedShards(tuple(found), quantile, noise, max(each.waited for each in timed), alone)


def answer_among(problem: Problem, points: Sequence[ShardedPoint], noise: float) -> Answer:
    """Return the answer among finalists: those that meet every constraint make the front.

    Args:
        noise: the A/A noise floor.
    """
    every = tuple(each.point for each in points)
    return answer_of(list(every), every, problem.max_memory_bytes(), noise)


def number_of(answer: Answer, points: Sequence[ShardedPoint], prefer: str) -> int:
    """Return the number of the finalist that is named as the user prefers."""
    named = answer.points[answer.named[prefer]]
    return next(number for number, each in enumerate(points) if each.point is named)


def latency_of(seconds: NDArray[np.float64]) -> Latency:
    """Return the latency of queries whose seconds (nq,) are known."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return Latency(
        mean_s=float(seconds.mean()), p50_s=float(p50), p95_s=float(p95), p99_s=float(p99), n_rounds=1
    )


def sum_of(memory: Sequence[Memory]) -> Memory:
    """Return the bytes of several indexes, part by part."""
    return Memory(**{each.name: sum(getattr(one, each.name) for one in memory) for each in fields(Memory)})
