"""Queries whose filters allow about as large a share of the rows, and what an index finds for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.recall.allowed import Filters
from tuner.recall.filtered_truth import filtered_hits, filtered_truth
from tuner.recall.target import Target
from tuner.recall.truth import Truth
from tuner.runtime.process import kept_threads, use_threads
from tuner.search import Allowed, FilteredIndex
from tuner.sweep.ef_search import EfResult
from tuner.sweep.problem import Problem
from tuner.types import FilterKind, FloatArray, IdArray, Steps


@dataclass(frozen=True, eq=False)
class Stratum:
    """Queries of one kind of filter and one band of shares.

    Attributes:
        kind: where the filters come from.
        base: prepared rows.
        raw: (nq, d) float32 queries as the index gets them.
        queries: (nq, d') float32 in the prepared space.
        filters: rows of the base that each query may be answered with, at least k.
        truth: exact neighbours among them.
        target: target that each band is held against, with a bound that holds for all of them together.
    """

    kind: FilterKind
    base: Base
    raw: FloatArray
    queries: FloatArray
    filters: Filters
    truth: Truth
    target: Target

    def allowed(self, number: int) -> Allowed:
        """Return the rows of a filter, made anew each time: those of all would take too much memory."""
        return Allowed(self.filters.n, bits=self.filters.bits[number])

    @property
    def rows(self) -> float:
        """Mean number of rows that a filter allows."""
        return float(self.filters.counts[self.filters.of_query].mean())

    @property
    def share(self) -> float:
        """Mean share of the rows that a filter allows."""
        return self.rows / self.filters.n

    def first(self, n_queries: int) -> Stratum:
        """Return the first few queries, their bound as wide as that of all: they show what all will need."""
        n = len(self.raw)
        if n <= n_queries:
            return self
        some = np.arange(n_queries)
        narrower = self.target.width_in_errors * (n_queries / n) ** 0.5
        return replace(
            self,
            raw=self.raw[:n_queries],
            queries=self.queries[:n_queries],
            filters=self.filters.part(some),
            truth=self.truth.part(some),
            target=replace(self.target, n_queries=n_queries, quantile=narrower),
        )

    def searched(self, index: FilteredIndex, ef_search: int) -> EfResult:
        """Return what the graph finds at an ef_search."""
        k, stats = self.target.k, faiss.cvar.hnsw_stats
        stats.reset()
        ids = self._ask(lambda queries, some: index.search_graph(queries, k, some, ef_search)[1])
        ndis, hops = stats.ndis / len(ids), stats.nhops / len(ids)
        return self._judged(ef_search, ids, ndis, hops)

    def scanned(self, index: FilteredIndex, *, below: float = np.inf) -> EfResult:
        """Return what a scan finds for filters that allow fewer rows than ``below``; others find nothing."""
        k, none = self.target.k, np.full((1, self.target.k), -1)

        def scan(queries: FloatArray, some: Allowed) -> IdArray:
            if len(some.places) >= below:
                return np.repeat(none, len(queries), axis=0)
            return index.scan(queries, k, some)[1]

        return self._judged(0, self._ask(scan), self.rows, 0.0)

    def answered(self, index: FilteredIndex) -> NDArray[np.int64]:
        """Return hits of all queries (nq,) as an index answers them by its policy."""
        ids = self._ask(lambda queries, some: index.answer(queries, self.target.k, some)[1])
        return filtered_hits(self.truth, self.filters, self.base.x, self.queries, ids)

    def judged(self, ef_search: int, hits: NDArray[np.int64], ndis: float, hops: float) -> EfResult:
        """Return hits of all queries beside what they need to be."""
        recall = float(hits.mean()) / self.target.k
        return EfResult(ef_search, hits, ndis, hops, recall, self.target.needed(hits))

    def _judged(self, ef_search: int, ids: IdArray, ndis: float, hops: float) -> EfResult:
        hits = filtered_hits(self.truth, self.filters, self.base.x, self.queries, ids)
        return self.judged(ef_search, hits, ndis, hops)

    def _ask(self, answer: Callable[[FloatArray, Allowed], IdArray]) -> IdArray:
        """Return the answers (nq, k) to all queries, those of one filter together."""
        of_query = self.filters.of_query
        order = np.argsort(of_query, kind="stable")
        ends = np.cumsum(np.bincount(of_query, minlength=len(self.filters.bits)))
        ids = np.full((len(of_query), self.target.k), -1, dtype=np.int64)
        with kept_threads():
            use_threads(1)  # for a few queries, threads wait longer for each other than they work
            for number, mine in enumerate(np.split(order, ends[:-1])):
                if len(mine):
                    ids[mine] = answer(self.raw[mine], self.allowed(number))
        return ids


def stratum_of(
    problem: Problem,
    kind: FilterKind,
    some: IdArray,
    filters: Filters,
    target: Target,
    deep: IdArray,
) -> Steps[Stratum]:
    """Yield the share done; return the stratum of some of the queries, with their exact neighbours.

    Args:
        some: positions of the queries.
        filters: their filters, over the prepared rows.
        target: target with the bound of all bands.
        deep: (len(some), depth) their nearest rows of all.
    """
    queries = problem.queries[some]
    truth = yield from filtered_truth(problem.base.x, queries, filters, problem.options.k, deep)
    problem.base.release()
    of_these = target.of_queries(len(some))
    return Stratum(kind, problem.base, problem.raw[some], queries, filters, truth, of_these)
