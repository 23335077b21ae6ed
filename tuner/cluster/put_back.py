"""Rows that were held out as queries go back into their shards before the index is handed over.

As on one machine: the rows of one half of the queries are added and the other half is asked, then the halves
change places. The merged answers count against the truth of all shards with the added rows in it, which is a
merge like any other: the added rows are one more list of near rows.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.cluster.measure import OnAllShards, ShardedPoint, TimedShards, answer_among, number_of
from tuner.cluster.merge import merged_hits, merged_truth
from tuner.cluster.pose import PosedShards
from tuner.cluster.shard import Near, nearest_among
from tuner.cluster.shard_index import Asked, Written
from tuner.cluster.shard_whole import HandedShard, hand_over_shard, search_halves
from tuner.cluster.stages import across
from tuner.data.base import in_prepared_space
from tuner.recall.truth import MARGIN, Truth
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.sweep.answer import Answer, closest
from tuner.sweep.problem import Problem
from tuner.sweep.whole_index import at_speed, certified_with_rows
from tuner.types import Event, FloatArray, IdArray, Latency, OperatingPoint, Steps, WholeIndex


@dataclass(frozen=True)
class HandedOver:
    """The answer as it is handed over.

    Attributes:
        answer: the answer, its preferred point measured once more if rows were added to its index.
        chosen: the preferred point; None where nothing reaches the target.
        of_slowest: latency of the slowest shard alone.
        written: what lies in the folder of each shard, of a point that is too slow then if none is chosen.
        whole: the index with the rows that had been held out, None where queries were given.
    """

    answer: Answer
    chosen: ShardedPoint | None = None
    of_slowest: Latency | None = None
    written: tuple[Written, ...] = ()
    whole: WholeIndex | None = None


@dataclass(frozen=True)
class CertifiedShards:
    """A point with half of the rows put back.

    Attributes:
        point: the point at the least ef_search that holds.
        fell: mean recall that half of the rows cost.
        ndis: distance computations a query of each shard.
    """

    point: OperatingPoint
    fell: float
    ndis: tuple[float, ...]


def with_every_row(
    journal: Journal,
    posed: PosedShards,
    on_all: OnAllShards,
    measured: TimedShards,
    folders: Sequence[Path],
) -> Generator[Event, None, HandedOver]:
    """Yield events; write the index of every shard with the held-out rows in it; return the answer then.

    A point that no longer holds once they are in is none; the next one that would be named takes its place.

    Args:
        folders: folder of the index of each shard.
    """
    problem, noise = replace(on_all.whole, quantile=measured.quantile), measured.noise_floor
    points, truth = list(measured.points), truth_of_halves(posed)
    answer, written, again = answer_among(problem, points, noise), tuple[Written, ...](), ""
    while answer.found:
        number = number_of(answer, points, problem.options.prefer)
        before = points[number]
        certified = yield from journal.stage(
            f"halves{again}",
            "put the held-out rows back, half of them at a time",
            CertifiedShards,
            partial(_certified, on_all, problem, truth, before),
        )
        found, whole, slower = certified.point, None, 1.0
        if found.reaches_target:
            handed = yield from _handed(f"deliver{again}", journal, on_all, before, found, folders)
            written = tuple(each.written for each in handed)
            slower = float(np.median([each.times_slower for each in handed]))
            slower = slower if abs(slower - 1) > noise else 1.0
            found = at_speed(problem, found, slower)
            whole = _among_all(posed, problem, handed, certified.fell, slower)
        points[number] = replace(before, point=found, ndis=certified.ndis)
        if found.reaches_target:
            now = tuple(found if point is before.point else point for point in answer.points)
            of_slowest = measured.one_shard[number].scaled(slower)
            return HandedOver(replace(answer, points=now), points[number], of_slowest, written, whole)
        answer = answer_among(problem, points, noise)
        again += "-next"
    every = tuple(each.point for each in points)
    return HandedOver(closest(problem, list(every), every), written=written)


def _certified(
    on_all: OnAllShards, problem: Problem, truth: Truth, chosen: ShardedPoint
) -> Steps[CertifiedShards]:
    """Yield the share done; return a point at the least ef_search that holds with the rows in.

    Args:
        truth: exact neighbours among all rows and those of the other half of the queries.
    """
    ndis: dict[int, tuple[float, ...]] = {}

    def found(ef_search: int) -> tuple[NDArray[np.int64], float]:
        asked = _asked(on_all, chosen, ef_search)
        answers = result_of(on_all.workers.spread(search_halves, asked))
        ndis[ef_search] = tuple(each.ndis for each in answers)
        return merged_hits(answers, truth), sum(ndis[ef_search])

    point, fell = certified_with_rows(problem, chosen.point, found)
    yield 1.0
    return CertifiedShards(point, fell, ndis[point.ef_search])


def _handed(
    name: str,
    journal: Journal,
    on_all: OnAllShards,
    before: ShardedPoint,
    found: OperatingPoint,
    folders: Sequence[Path],
) -> Generator[Event, None, list[HandedShard]]:
    """Yield events; return what was measured of the finished index of every shard, which is written."""
    asked = _asked(on_all, before, found.ef_search)
    ef_search = before.point.ef_search
    items = [
        (each, ef_search, memory, folder)
        for each, memory, folder in zip(asked, before.memory, folders, strict=True)
    ]
    title = "put all of them back, write the index of every shard and check it in a fresh process"
    return (yield from across(journal, on_all.workers, name, title, HandedShard, hand_over_shard, items))


def _asked(on_all: OnAllShards, point: ShardedPoint, ef_search: int) -> list[Asked]:
    what, tuned, k = point.point.configuration, on_all.tuned, point.k_per_shard
    return [Asked(shard, what, tuned.proxy, tuned.trained, ef_search, k) for shard in on_all.shards]


def _among_all(
    posed: PosedShards, problem: Problem, handed: Sequence[HandedShard], fell: float, slower: float
) -> WholeIndex:
    """Return what the finished shards find: the queries are rows of them, and none is its own answer."""
    answers = [each.answered for each in handed]
    everyone = np.arange(problem.n_queries)
    hits = merged_hits(answers, _truth_with(posed, [(everyone, everyone)]))
    return WholeIndex(
        n_added=problem.n_queries,
        fell=fell,
        latency_ratio=slower,
        recall=problem.recall(hits),
        ndis_per_query=sum(each.ndis for each in answers),
        hits=tuple(hits.tolist()),
    )


def truth_of_halves(posed: PosedShards) -> Truth:
    """Return the truth of each half of the queries once the rows of the other half are there."""
    first, second = posed.problem.halves
    return _truth_with(posed, [(first, second), (second, first)])


def _truth_with(posed: PosedShards, groups: Sequence[tuple[IdArray, IdArray]]) -> Truth:
    """Return the truth of the queries once rows that were held out can be found, but not their own.

    Args:
        groups: positions of queries that are asked, and of those whose rows are there then.
    """
    problem, profile = posed.problem, posed.looked.profile
    x = in_prepared_space(problem.raw, profile.metric, profile.norm_max)
    rows = np.array(posed.query_set.held_out_rows, dtype=np.int64)
    return merged_truth([*posed.near, near_held_out(problem, x, rows, groups)], problem.options.k)


def near_held_out(
    problem: Problem, x: FloatArray, rows: IdArray, groups: Sequence[tuple[IdArray, IdArray]]
) -> Near:
    """Return the nearest of the rows that were held out, no query's own; -1 infinitely far where few are.

    Args:
        x: (nq, d) float32 prepared row that each query is.
        rows: (nq,) their numbers in the source, ascending.
        groups: positions of queries that are asked, and of those whose rows are there then.
    """
    depth = problem.options.k + MARGIN + 1
    numbers = np.full((problem.n_queries, depth), -1)
    distances = np.full(numbers.shape, np.inf)
    for theirs, added in groups:
        there = np.sort(added)
        found = result_of(nearest_among(x[there], rows[there], problem.queries[theirs], depth))
        own, width = found.rows == rows[theirs, None], found.rows.shape[1]
        numbers[theirs, :width] = np.where(own, -1, found.rows)
        distances[theirs, :width] = np.where(own, np.inf, found.distances)
    return Near(numbers, distances)
