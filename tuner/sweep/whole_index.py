"""Stage 5: rows that were held out as queries go back into the index before it is handed over.

One half of them is added and the other half is asked, then the halves change places: no query is a row of
the index that it is asked of. What that costs in recall, the other half will cost once more, so the lower
bound is lowered by as much; where it then misses the target, ef_search is raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.index.assemble import SearchableIndex
from tuner.index.encoders import Encoder
from tuner.prediction.curves import search_counted
from tuner.recall.metric import without_rows
from tuner.recall.truth import Truth, with_rows, without_own
from tuner.runtime.steps import scaled
from tuner.runtime.timing import interleave, queries_a_turn
from tuner.sweep.added_rows import Codes, Places, graphs_of
from tuner.sweep.ef_search import EfResult, find_min_ef
from tuner.sweep.ef_table import TABLE_QUERIES, Asked, deep_truth, ef_table
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.index_file import WrittenIndex, check_written, write_and_check
from tuner.sweep.problem import Problem
from tuner.sweep.tried import lowered
from tuner.types import CertifiedEf, FloatArray, IdArray, OperatingPoint, Steps, WholeIndex

TIMED_QUERIES = 512


@dataclass(frozen=True)
class HandedOver:
    """What was measured while the index was made whole, and what was written.

    Attributes:
        point: the chosen point as it is now, ``reaches_target`` included.
        whole: the index with every row.
        written: what lies in the folder; None where the target is missed, and nothing was written.
        ef_table: ef_search of the index for other k and targets.
    """

    point: OperatingPoint
    whole: WholeIndex
    written: WrittenIndex | None
    ef_table: tuple[CertifiedEf, ...] = ()


def make_whole(
    problem: Problem,
    places: Places,
    builder: IndexBuilder,
    proxy: Encoder,
    chosen: OperatingPoint,
    noise: float,
    out: Path,
) -> Steps[HandedOver]:
    """Yield the share done; put the held-out rows back, measure, and write the index if it holds.

    Args:
        builder: maker of the index that was measured.
        proxy: codec that rows are inserted by.
        chosen: the point to hand over.
        noise: the A/A noise floor; a difference in time that is no larger is none.
        out: folder of the index.
    """
    what = chosen.configuration
    graphs = yield from scaled(graphs_of(problem, places, builder, what, proxy), 0.0, 0.6)
    whole = replace(problem, base=places.whole)
    codes = Codes(IndexBuilder(whole, builder.graph, builder.trained), what)
    yield 0.7
    halves = [codes.under(each) for each in graphs.halves]
    point, fell = _certified(problem, places, halves, chosen)
    table: tuple[CertifiedEf, ...] = ()
    if point.reaches_target:
        table = yield from scaled(_ef_table(problem, places, halves, point, fell), 0.7, 0.75)
    del halves
    before, every = codes.under(graphs.before), codes.under(graphs.all)
    before.set_ef(chosen.ef_search)
    every.set_ef(point.ef_search)
    slower = times_slower(problem, before, every)
    slower = slower if abs(slower - 1) > noise else 1.0
    point = at_speed(problem, point, slower)
    del before
    yield 0.8
    found = _among_all(problem, places, every, point, fell, slower)
    yield 0.9
    written = None
    if point.reaches_target:
        written = write_and_check(whole, every, out)
        check_written(written, point.memory)
    places.whole.release()
    return HandedOver(point, found, written, table)


def _certified(
    problem: Problem, places: Places, halves: list[SearchableIndex], chosen: OperatingPoint
) -> tuple[OperatingPoint, float]:
    """Return the point at the least ef_search that holds, and what a half of the rows cost in recall.

    Args:
        halves: index with the rows of one half of the queries, and with those of the other.
    """
    x, asked = places.whole.x, problem.halves[::-1]
    truth = _moved(problem.truth, places)
    truths = [
        with_rows(truth.part(theirs), places.queries[added], x, problem.queries[theirs])
        for theirs, added in zip(asked, problem.halves, strict=True)
    ]

    def found(ef_search: int) -> tuple[NDArray[np.int64], float]:
        _, ids, ndis, _ = answers_of_halves(problem, halves, ef_search, problem.options.k)
        hits = np.zeros(problem.n_queries, dtype=np.int64)
        for theirs, truth in zip(asked, truths, strict=True):
            hits[theirs] = truth.hits(x, problem.queries[theirs], ids[theirs])
        return hits, ndis

    return certified_with_rows(problem, chosen, found)


def answers_of_halves(
    problem: Problem, halves: Sequence[SearchableIndex], ef_search: int, k: int
) -> tuple[FloatArray, IdArray, float, float]:
    """Return what each half of the queries finds in the index that has the rows of the other half.

    Args:
        halves: index with the rows of one half of the queries, and with those of the other.

    Returns:
        Distances (nq, k) float32 as the indexes have them, ids (nq, k), and distance computations and hops a
        query.
    """
    scores = np.empty((problem.n_queries, k), dtype=np.float32)
    ids = np.empty((problem.n_queries, k), dtype=np.int64)
    stats = faiss.cvar.hnsw_stats
    stats.reset()
    for index, theirs in zip(halves, problem.halves[::-1], strict=True):
        index.set_ef(ef_search)
        scores[theirs], ids[theirs] = index.index.search(problem.raw[theirs], k)
    return scores, ids, stats.ndis / problem.n_queries, stats.nhops / problem.n_queries


def certified_with_rows(
    problem: Problem, chosen: OperatingPoint, found: Callable[[int], tuple[NDArray[np.int64], float]]
) -> tuple[OperatingPoint, float]:
    """Return the point at the least ef_search that holds, and what a half of the rows cost in recall.

    Args:
        found: hits (nq,) of each half of the queries when the rows of the other half are there, at an
            ef_search, and distance computations a query.
    """
    options, fell = problem.options, 0.0

    def at(ef_search: int) -> EfResult:
        hits, ndis = found(ef_search)
        recall = float(hits.mean()) / options.k
        return EfResult(ef_search, hits, ndis, 0.0, recall, problem.target.needed(hits) + fell)

    fell = max(0.0, chosen.recall.mean - at(chosen.ef_search).recall)
    most = max(options.space.ef_search_max, chosen.ef_search)
    least = find_min_ef(at, chosen.ef_search, chosen.ef_search, most)
    recall = problem.recall(least.hits)
    point = replace(
        chosen,
        ef_search=least.ef_search,
        ndis_per_query=least.ndis,
        bytes_read_per_query=chosen.bytes_read_per_query * least.ndis / chosen.ndis_per_query,
        recall=replace(recall, lower=recall.lower - fell),
        hits=tuple(least.hits.tolist()),
        reaches_target=least.passes,
    )
    return replace(point, tried=lowered(point, fell)), fell


def _ef_table(
    problem: Problem, places: Places, halves: list[SearchableIndex], point: OperatingPoint, fell: float
) -> Steps[tuple[CertifiedEf, ...]]:
    """Yield the share done; return ef_search for other k and targets, asked as the point was."""
    asked, x = [], places.whole.x
    for index, theirs, added in zip(halves, problem.halves[::-1], problem.halves, strict=True):
        some = theirs[: TABLE_QUERIES // 2]
        truth = _moved((yield from deep_truth(problem, some)), places)
        truth = with_rows(truth, places.queries[added], x, problem.queries[some])
        asked.append(Asked(index, places.whole, some, truth))
    return ef_table(problem, point, asked, fell)


def times_slower(problem: Problem, before: SearchableIndex, every: SearchableIndex) -> float:
    """Return the time of a query of the whole index over that of the index that was measured, in turns."""
    k = problem.options.k
    queries = problem.raw[problem.sample(TIMED_QUERIES)]
    searches = [lambda q: before.index.search(q, k), lambda q: every.index.search(q, k)]
    seed = problem.options.seed
    timings = interleave(searches, queries, seed, a_round=queries_a_turn(problem.base.d))
    return timings.ratio(1, 0)


def at_speed(problem: Problem, point: OperatingPoint, slower: float) -> OperatingPoint:
    """Return the point with its seconds as they are now."""
    most_s = problem.options.max_latency_s
    latency = point.latency.scaled(slower) if point.latency is not None else None
    in_time = most_s is None or latency is None or latency.p95_s <= most_s
    return replace(
        point,
        latency=latency,
        modelled_latency_s=point.modelled_latency_s * slower,
        reaches_target=point.reaches_target and in_time,
    )


def _among_all(
    problem: Problem,
    places: Places,
    every: SearchableIndex,
    point: OperatingPoint,
    fell: float,
    slower: float,
) -> WholeIndex:
    """Return what the whole index finds: the queries are rows of it, and none of them is its own answer."""
    k, queries, x = problem.options.k, problem.queries, places.whole.x
    truth = with_rows(_moved(problem.truth, places), places.queries, x, queries)
    theirs = without_own(truth, places.queries, x, queries, k)
    ids, ndis, _ = search_counted(every.index, problem.raw, k + 1)
    own = places.queries if theirs.never_answers is None else theirs.never_answers
    hits = theirs.hits(x, queries, without_rows(ids, own))
    return WholeIndex(
        n_added=len(places.queries),
        fell=fell,
        latency_ratio=slower,
        recall=problem.recall(hits),
        ndis_per_query=ndis,
        hits=tuple(hits.tolist()),
    )


def _moved(truth: Truth, places: Places) -> Truth:
    """Return the truth with its rows named by their places among all rows."""
    weights = None
    if truth.weights is not None:
        weights = np.zeros(places.whole.n, dtype=np.int64)
        weights[places.kept] = truth.weights
    return replace(truth, ids=places.kept[truth.ids], weights=weights)
