"""An index under filters on queries and filters that tuned nothing: strata as a run has them."""

from __future__ import annotations

from benchmarks.sweep.score import ScoringQueries
from tuner.recall.filtered_truth import DEPTH, filtered_truth
from tuner.recall.target import Target
from tuner.recall.truth import nearest_in
from tuner.runtime.steps import result_of
from tuner.runtime.timing import interleave
from tuner.search import FilteredIndex
from tuner.sweep.filters.costs import graph_search, scan_of
from tuner.sweep.filters.made_up import FilterMaker
from tuner.sweep.filters.stratum import Stratum
from tuner.types import FilterKind, FloatArray

K, TIMED_FILTERS, TIMED_QUERIES = 10, 32, 64


class FreshMaker:
    """Makes fresh filters of any share for the same fresh queries.

    Args:
        raw: (nq, d) float32 queries as the index gets them.
        asked: the same with their exact neighbours.
        recall: target recall.
        seed: seed of the filters.
    """

    def __init__(self, raw: FloatArray, asked: ScoringQueries, recall: float, seed: int) -> None:
        self.raw, self.asked = raw, asked
        self.target = Target(recall=recall, k=K, confidence=0.95, n_queries=len(raw))
        self.maker = FilterMaker(asked.base.x, len(raw), seed)
        self.deep = result_of(nearest_in(asked.base.x, asked.queries, min(DEPTH, asked.base.n)))

    def make(self, kind: FilterKind, share: float) -> Stratum:
        """Return the queries with filters of a kind and share."""
        filters, base, queries = self.maker.make(kind, share), self.asked.base, self.asked.queries
        truth = result_of(filtered_truth(base.x, queries, filters, K, self.deep))
        return Stratum(kind, base, self.raw, queries, filters, truth, self.target)


def recall_of(stratum: Stratum, index: FilteredIndex) -> float:
    """Return mean recall as an index answers by its policy."""
    return float(stratum.answered(index).mean()) / K


def seconds_of_ways(stratum: Stratum, index: FilteredIndex, ways: list[int | None], seed: int) -> list[float]:
    """Return mean seconds of a query, in turns: of the graph at each ef_search, None for a scan."""
    some = [stratum.allowed(number) for number in range(min(TIMED_FILTERS, len(stratum.filters.bits)))]
    searches = [scan_of(index, K, some) if ef is None else graph_search(index, K, some, ef) for ef in ways]
    timings = interleave(searches, stratum.raw[:TIMED_QUERIES], seed)
    return [timings.latency(place, 0).mean_s for place in range(len(ways))]


def way_of(stratum: Stratum, index: FilteredIndex) -> int | None:
    """Return the ef_search that the policy has for the filters of a stratum, None where it scans."""
    if stratum.rows < index.scan_below:
        return None
    return next((ef for least, ef in index.bands if stratum.share >= least * 0.999), index.bands[-1][1])
