"""Rows that were held out as queries, added to the one graph: where they stand, and the graphs then."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import faiss
import numpy as np

from tuner.data.base import Base, view_codes
from tuner.index.assemble import SearchableIndex, wrap
from tuner.index.encoders import Encoder
from tuner.index.graph import INSERTED
from tuner.index.insertion import insert, over_codes, renumber
from tuner.index.opened import prepared_rows
from tuner.runtime.steps import scaled
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.types import Configuration, FloatArray, IdArray, QuerySet, Steps


@dataclass(frozen=True)
class Places:
    """Where rows stand in the prepared base of every row of the file.

    Attributes:
        whole: every row that an index can hold.
        kept: (n,) place of each row of the problem's base.
        queries: (nq,) place of the row that each query is, or that stands for it; -1 where that is elsewhere.
    """

    whole: Base
    kept: IdArray
    queries: IdArray

    @classmethod
    def of(cls, problem: Problem, query_set: QuerySet, whole: Base) -> Places:
        """Return the places of a problem whose queries are rows of the file."""
        rows = problem.base.rows
        held_out = np.array(query_set.held_out_rows, dtype=np.int64)
        kept = np.arange(problem.base.n) if rows is None else nodes_of(rows, whole)
        return cls(whole, kept, nodes_of(held_out, whole))

    def fresh(self, halves: Sequence[IdArray]) -> list[IdArray]:
        """Return the places of the rows that each half of the queries adds, one half after the other.

        A row whose like is there already adds none.

        Args:
            halves: positions of the queries of each.
        """
        if self.whole.copies is None:
            return [places[places >= 0] for places in (self.queries[half] for half in halves)]
        there = np.zeros(self.whole.n, dtype=bool)
        there[self.kept] = True
        found = []
        for half in halves:
            places = self.queries[half]
            _, first = np.unique(places, return_index=True)
            places = places[np.sort(first)]
            found.append(places[~there[places]])
            there[places] = True
        return found


def nodes_of(rows: IdArray, base: Base) -> IdArray:
    """Return the prepared row (m,) that stands for each of some rows of the file, all of which it has."""
    if base.copies is None:
        return prepared_rows(rows, base)
    return base.copies.numbers[rows]


@dataclass(frozen=True)
class Graphs:
    """One graph before and after the held-out rows were added, over the places of all rows.

    Attributes:
        before: without any of them.
        halves: with those of one half of the queries, and of the other.
        all: with all.
    """

    before: faiss.IndexHNSW
    halves: tuple[faiss.IndexHNSW, faiss.IndexHNSW]
    all: faiss.IndexHNSW


def graphs_of(
    problem: Problem, places: Places, builder: IndexBuilder, what: Configuration, proxy: Encoder
) -> Steps[Graphs]:
    """Yield the share done; return the graphs of a configuration, each in an empty index of its codec.

    Args:
        proxy: codec that rows are inserted by.
    """
    before = builder.encoder_of(what).empty(what.M)
    renumber(builder.graph_of(what), places.kept, places.whole.n, before.hnsw)
    builder.keep_codecs(0)
    growing = grown(problem, places, builder, what, proxy, places.fresh(problem.halves))
    with_first, with_all = yield from scaled(growing, 0.1, 0.7)
    growing = grown(problem, places, builder, what, proxy, places.fresh(problem.halves[1:]))
    (with_second,) = yield from scaled(growing, 0.7, 1.0)
    return Graphs(before, (with_first, with_second), with_all)


def grown(
    problem: Problem,
    places: Places,
    builder: IndexBuilder,
    what: Configuration,
    proxy: Encoder,
    groups: list[IdArray],
) -> Steps[list[faiss.IndexHNSW]]:
    """Yield the share done; return a configuration's graph after each of several groups of rows was added.

    Rows are inserted into the one large graph, and its links are ordered and cut again: a graph that was cut
    before they came would lose the links that ordering had put into its lists.

    Args:
        proxy: codec that rows are inserted by.
        groups: places of the rows of each group.
    """
    large = builder.large_graph(what)
    index = over_codes(proxy, large.nb_neighbors(1), problem.base.n, blocks_of(problem.base))
    index.hnsw = large
    del large
    numbers, stages = places.kept, []
    for number, rows in enumerate(groups):
        adding = _inserted(index, proxy, places.whole, rows)
        yield from scaled(adding, number / len(groups), (number + 0.8) / len(groups))
        numbers = np.append(numbers, rows)
        stages.append(builder.encoder_of(what).empty(what.M))
        renumber(builder.cut(index, what), numbers, places.whole.n, stages[-1].hnsw)
    return stages


def _inserted(index: faiss.IndexHNSW, proxy: Encoder, whole: Base, rows: IdArray) -> Steps[None]:
    """Yield the share done; insert rows, a block at a time."""
    for start in range(0, len(rows), INSERTED):
        block = whole.x[rows[start : start + INSERTED]]
        whole.release()
        insert(index, proxy, block)
        yield start / len(rows)


def blocks_of(base: Base, n: int | None = None) -> Iterator[FloatArray]:
    """Yield prepared rows in their order, the first ``n`` or all, a block at a time."""
    n = base.n if n is None else n
    for start in range(0, n, INSERTED):
        yield np.array(base.x[start : min(n, start + INSERTED)])
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
