"""What an index does for queries with a filter, and the policy that decides how each is answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tuner.types.points import Recall

FilterKind = Literal["given", "independent", "correlated"]
"""Filters of the user, or made-up ones: of rows drawn at random, or of rows on one side of the vectors."""


@dataclass(frozen=True, kw_only=True)
class BandMeasured:
    """What queries of one kind of filter found in a band.

    Attributes:
        kind: where their filters come from.
        n_queries: number of queries.
        share: mean share of the rows that their filters allow.
        recall: recall@k among the allowed rows under the policy; its bound holds for all bands together.
        ndis_per_query: distance computations per query; allowed rows where they are scanned.
        latency_s: mean seconds per query, the making of the selector included.
        unfiltered_recall: what the ef_search of the recommendation without filters finds there.
        unfiltered_ndis_per_query: its distance computations.
        unfiltered_latency_s: its mean seconds per query, in the same rounds.
        hits: right answers of each query under the policy, in their order.
    """

    kind: FilterKind
    n_queries: int
    share: float
    recall: Recall
    ndis_per_query: float
    latency_s: float
    unfiltered_recall: Recall
    unfiltered_ndis_per_query: float
    unfiltered_latency_s: float
    hits: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FilterBand:
    """How queries are answered whose filters allow about as large a share of the rows.

    Attributes:
        least_share: smallest share of the rows in the band; the next band begins below it.
        ef_search: candidates kept while searching; None where the allowed rows are scanned.
        measured: what was measured in it, of each kind of filter.
        reaches_target: whether the lower bound of each reaches the target.
        least_rows: ``least_share`` in rows, which no report rounds.
    """

    least_share: float
    ef_search: int | None
    measured: tuple[BandMeasured, ...]
    reaches_target: bool
    least_rows: int = 0


@dataclass(frozen=True, kw_only=True)
class FilterPolicy:
    """How the recommended index answers queries with filters.

    Attributes:
        source: where the filters come from.
        bands: bands by falling share; a filter that allows more than all of them is of the first.
        scan_below_rows: filters that allow fewer rows than this are answered by a scan of these rows.
        n: number of rows of the index that the shares are of.
        latency_s: mean seconds per query under the policy, over all that was measured.
        scan_s: seconds that a scan takes: of the call, and of each row that is scanned.
        graph_s: seconds that a search takes under a filter: of the call, and of each candidate of ef_search.
        n_left_out: number of queries that were left out, because their filters allow fewer than k rows.
        fingerprint: digest of the user's filters; empty where they are made up.
    """

    source: str
    bands: tuple[FilterBand, ...]
    scan_below_rows: int
    n: int
    latency_s: float
    scan_s: tuple[float, float]
    graph_s: tuple[float, float]
    n_left_out: int = 0
    fingerprint: str = ""

    @property
    def reaches_target(self) -> bool:
        """Whether every band reaches the target."""
        return all(band.reaches_target for band in self.bands)
