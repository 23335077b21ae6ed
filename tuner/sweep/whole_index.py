"""Stage 5: rows that were held out as queries go back into the index before it is handed over.

The half of them that chose the parameters is added first, and the other half is asked: no query is a row of
the index that it is asked of. What that costs in recall, the other half will cost once more when it is added,
so the lower bound is lowered by as much; where it then misses the target, ef_search is raised.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import faiss
import numpy as np

from tuner.data.base import Base, view_codes
from tuner.index.assemble import SearchableIndex, wrap
from tuner.index.encoders import Encoder
from tuner.index.graph import INSERTED
from tuner.index.insertion import insert, over_codes, renumber
from tuner.index.opened import prepared_rows
from tuner.prediction.curves import search_counted
from tuner.recall.metric import without_rows
from tuner.recall.truth import Truth, with_rows, without_own
from tuner.runtime.steps import scaled
from tuner.runtime.timing import interleave, queries_a_turn
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.index_file import WrittenIndex, check_written, write_and_check
from tuner.sweep.problem import Problem
from tuner.types import (
    Configuration,
    FloatArray,
    IdArray,
    OperatingPoint,
    QuerySet,
    Recall,
    Steps,
    WholeIndex,
)

RAISED = (1.0, 1.03, 1.06, 1.12, 1.25, 1.5, 2.0, 3.0, 4.0)
"""Multiples of ef_search that are tried, one after the other, until the lower bound meets the target."""
TIMED_QUERIES = 512


@dataclass(frozen=True)
class Places:
    """Where rows stand in the prepared base of every row of the file.

    Attributes:
        whole: every row that an index can hold.
        kept: (n,) place of each row of the problem's base.
        tune: places of the rows that are queries to tune on.
        validate: places of the rows that are queries to validate on.
    """

    whole: Base
    kept: IdArray
    tune: IdArray
    validate: IdArray

    @classmethod
    def of(cls, problem: Problem, query_set: QuerySet, whole: Base) -> Places:
        """Return the places of a problem whose queries are rows of the file."""
        rows = problem.base.rows
        kept = np.arange(problem.base.n) if rows is None else prepared_rows(rows, whole)
        queries = prepared_rows(np.array(query_set.held_out_rows, dtype=np.int64), whole)
        return cls(whole, kept, queries[problem.tune], queries[problem.validate])


@dataclass(frozen=True)
class Graphs:
    """One graph before and after the held-out rows were added, over the places of all rows.

    Attributes:
        before: without any of them.
        half: with those that are queries to tune on.
        all: with all.
    """

    before: faiss.IndexHNSW
    half: faiss.IndexHNSW
    all: faiss.IndexHNSW


@dataclass(frozen=True)
class HandedOver:
    """What was measured while the index was made whole, and what was written.

    Attributes:
        point: the chosen point as it is now, ``reaches_target`` included.
        whole: the index with every row.
        written: what lies in the folder; None where the target is missed, and nothing was written.
    """

    point: OperatingPoint
    whole: WholeIndex
    written: WrittenIndex | None


def graphs_of(
    problem: Problem, places: Places, builder: IndexBuilder, what: Configuration, proxy: Encoder
) -> Steps[Graphs]:
    """Yield the share done; return the graphs of a configuration, each in an empty index of its codec.

    Rows are inserted into the one large graph, and its links are ordered and cut again: a graph that was cut
    before they came would lose the links that ordering had put into its lists.

    Args:
        proxy: codec that rows are inserted by.
    """
    n, numbers = places.whole.n, places.kept
    stages = [builder.encoder_of(what).empty(what.M) for _ in range(3)]
    renumber(builder.graph_of(what), numbers, n, stages[0].hnsw)
    large = builder.large_graph(what)
    builder.keep_codecs(0)
    grown = over_codes(proxy, large.nb_neighbors(1), problem.base.n, blocks_of(problem.base))
    grown.hnsw = large
    del large
    yield 0.2
    for number, rows in enumerate((places.tune, places.validate), start=1):
        for start in range(0, len(rows), INSERTED):
            block = places.whole.x[rows[start : start + INSERTED]]
            places.whole.release()
            insert(grown, proxy, block)
            yield 0.2 + 0.4 * (number - 1 + start / len(rows))
        numbers = np.append(numbers, rows)
        renumber(builder.cut(grown, what), numbers, n, stages[number].hnsw)
    return Graphs(*stages)


def blocks_of(base: Base) -> Iterator[FloatArray]:
    """Yield prepared rows in their order, a block at a time."""
    for start in range(0, base.n, INSERTED):
        yield np.array(base.x[start : start + INSERTED])
        base.release()


@dataclass(frozen=True)
class Codes:
    """Codes of every row, and the index of a graph over them."""

    builder: IndexBuilder
    configuration: Configuration

    def under(self, graph: faiss.IndexHNSW) -> SearchableIndex:
        """Return the index of one of the graphs, ready to search."""
        builder, what = self.builder, self.configuration
        encoded = builder.encoded(what)
        view_codes(faiss.downcast_index(graph.storage), encoded.codes)
        graph.ntotal, graph.is_trained = len(encoded.codes), True
        return wrap(what, graph, encoded, builder.stored(what), builder.problem.base)


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
    before, half, every = (codes.under(each) for each in (graphs.before, graphs.half, graphs.all))
    yield 0.7
    point, fell = _raised(problem, places, half, chosen)
    before.set_ef(chosen.ef_search)
    every.set_ef(point.ef_search)
    slower = _times_slower(problem, before, every)
    slower = slower if abs(slower - 1) > noise else 1.0
    point = _at_speed(problem, point, slower)
    del before, half
    yield 0.8
    found = _among_all(problem, places, every, point, fell, slower)
    yield 0.9
    written = None
    if point.reaches_target:
        written = write_and_check(whole, every, out)
        check_written(written, point, exact_bytes=builder.exact_bytes)
    places.whole.release()
    return HandedOver(point, found, written)


def _raised(
    problem: Problem, places: Places, half: SearchableIndex, chosen: OperatingPoint
) -> tuple[OperatingPoint, float]:
    """Return the point at the least ef_search that holds, and what the rows added so far cost in recall."""
    options, asked = problem.options, problem.validate
    raw, queries = problem.raw[asked], problem.queries[asked]
    truth = with_rows(_moved(problem.truth.part(asked), places), places.tune, places.whole.x, queries)
    most = max(options.space.ef_search_max, chosen.ef_search)
    fell, point = None, chosen
    for ef_search in sorted({min(most, round(factor * chosen.ef_search)) for factor in RAISED}):
        half.set_ef(ef_search)
        ids, ndis, _ = search_counted(half.index, raw, options.k)
        hits = truth.hits(places.whole.x, queries, ids)
        recall = problem.recall(hits)
        if fell is None:
            fell = max(0.0, _validated(chosen).mean - recall.mean)
        point = replace(
            chosen,
            ef_search=ef_search,
            ndis_per_query=ndis,
            bytes_read_per_query=chosen.bytes_read_per_query * ndis / chosen.ndis_per_query,
            validated=replace(recall, lower=recall.lower - fell),
            validated_hits=tuple(hits.tolist()),
            validated_ndis=ndis,
            reaches_target=recall.lower - fell >= options.recall,
        )
        if point.reaches_target:
            break
    return point, fell or 0.0


def _times_slower(problem: Problem, before: SearchableIndex, every: SearchableIndex) -> float:
    """Return the time of a query of the whole index over that of the index that was measured, in turns."""
    k = problem.options.k
    queries = problem.raw[problem.tune[:TIMED_QUERIES]]
    searches = [lambda q: before.index.search(q, k), lambda q: every.index.search(q, k)]
    seed = problem.options.seed
    timings = interleave(searches, queries, seed, a_round=queries_a_turn(problem.base.d))
    return timings.ratio(1, 0)


def _at_speed(problem: Problem, point: OperatingPoint, slower: float) -> OperatingPoint:
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
    k, asked = problem.options.k, problem.validate
    queries, x = problem.queries[asked], places.whole.x
    truth = _moved(problem.truth.part(asked), places)
    truth = with_rows(truth, np.append(places.tune, places.validate), x, queries)
    theirs = without_own(truth, places.validate, x, queries, k)
    ids, ndis, _ = search_counted(every.index, problem.raw[asked], k + 1)
    hits = theirs.hits(x, queries, without_rows(ids, places.validate))
    return WholeIndex(
        n_added=len(places.tune) + len(places.validate),
        fell=fell,
        latency_ratio=slower,
        recall=problem.recall(hits),
        ndis_per_query=ndis,
        hits=tuple(hits.tolist()),
    )


def _moved(truth: Truth, places: Places) -> Truth:
    """Return the truth with its rows named by their places among all rows."""
    return replace(truth, ids=places.kept[truth.ids])


def _validated(point: OperatingPoint) -> Recall:
    if point.validated is None:
        raise AssertionError("a point was chosen that was not validated")
    return point.validated
