"""An index under filters on queries and filters that tuned nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.score import ScoringQueries
from tuner.recall.allowed import Filters
from tuner.recall.filtered_truth import filtered_hits, filtered_truth
from tuner.recall.truth import Truth, nearest_in
from tuner.runtime.process import kept_threads, use_threads
from tuner.runtime.steps import result_of
from tuner.runtime.timing import interleave
from tuner.search import Allowed, FilteredIndex
from tuner.sweep.filters.costs import graph_search, scan_of
from tuner.sweep.filters.made_up import FilterMaker
from tuner.types import FilterKind, FloatArray

K, DEPTH = 10, 1_000
TIMED_FILTERS, TIMED_QUERIES = 32, 64


@dataclass(frozen=True, eq=False)
class Fresh:
    """Fresh queries of one share and kind of filter."""

    kind: FilterKind
    share: float
    raw: FloatArray
    asked: ScoringQueries
    filters: Filters
    truth: Truth

    def allowed(self, number: int) -> Allowed:
        """Return the rows of a filter."""
        return Allowed(self.filters.n, bits=self.filters.bits[number])

    def recall(self, index: FilteredIndex, ef_search: int | None = None) -> float:
        """Return mean recall: under the policy, or of the graph at an ef_search."""
        ids = np.full((len(self.raw), K), -1, dtype=np.int64)
        with kept_threads():
            use_threads(1)
            for number in range(len(self.filters.bits)):
                some = self.allowed(number)
                mine = np.flatnonzero(self.filters.of_query == number)
                if not len(mine):
                    continue
                if ef_search is None:
                    ids[mine] = index.search(self.raw[mine], K, allowed=some)[1]
                else:
                    ids[mine] = index.search_graph(self.raw[mine], K, some, ef_search)[1]
        hits = filtered_hits(self.truth, self.filters, self.asked.base.x, self.asked.queries, ids)
        return float(hits.mean()) / K

    def seconds(self, index: FilteredIndex, ways: list[int | None], seed: int) -> list[float]:
        """Return mean seconds of a query, in turns: of the graph at each ef_search, None for a scan."""
        some = [self.allowed(number) for number in range(min(TIMED_FILTERS, len(self.filters.bits)))]
        searches = [
            scan_of(index, K, some) if ef is None else graph_search(index, K, some, ef) for ef in ways
        ]
        timings = interleave(searches, self.raw[:TIMED_QUERIES], seed)
        return [timings.latency(place, 0).mean_s for place in range(len(ways))]

    def way_of(self, index: FilteredIndex) -> int | None:
        """Return the ef_search that the policy has for these filters, None where it scans."""
        rows = float(self.filters.counts.mean())
        if rows < index.scan_below:
            return None
        share = rows / self.filters.n
        return next((ef for least, ef in index.bands if share >= least * 0.999), index.bands[-1][1])


class FreshMaker:
    """Makes fresh filters of any share for the same fresh queries."""

    def __init__(self, raw: FloatArray, asked: ScoringQueries, seed: int) -> None:
        self.raw, self.asked = raw, asked
        base = asked.base
        self.maker = FilterMaker(base.x, len(raw), seed)
        self.deep: NDArray[np.int64] = result_of(nearest_in(base.x, asked.queries, min(DEPTH, base.n)))

    def make(self, kind: FilterKind, share: float) -> Fresh:
        """Return the queries with filters of a kind and share."""
        filters = self.maker.make(kind, share)
        truth = result_of(filtered_truth(self.asked.base.x, self.asked.queries, filters, K, self.deep))
        return Fresh(kind, share, self.raw, self.asked, filters, truth)
