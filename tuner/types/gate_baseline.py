"""What the recall gate compares with: a decision, and what it measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.types.data import Profile, QuerySet
from tuner.types.filters import FilterKind
from tuner.types.options import Generation
from tuner.types.points import Configuration
from tuner.types.words import Duplicates, Metric

BASELINE_SCHEMA_VERSION = 2
"""1 held the hits of half the queries."""


@dataclass(frozen=True, kw_only=True)
class BaselineData:
    """Which vectors the decision was made on.

    Attributes:
        fingerprint: digest of the file's content.
        n: rows.
        d: columns.
        dtype: numpy's name of the stored type.
        metric: metric that ranks neighbours.
        n_left_out: number of rows that no index holds: zero rows under cosine.
        n_copies: number of rows that repeat a row of the index, which a list beside it has; 0 where each row
            has a node of its own.
    """

    fingerprint: str
    n: int
    d: int
    dtype: str
    metric: Metric
    n_left_out: int = 0
    n_copies: int = 0

    @classmethod
    def of(cls, profile: Profile, n_copies: int) -> BaselineData:
        """Return what is kept of the vectors of a run."""
        return cls(
            fingerprint=profile.fingerprint,
            n=profile.n,
            d=profile.d,
            dtype=profile.dtype,
            metric=profile.metric,
            n_left_out=profile.n_left_out,
            n_copies=n_copies,
        )


@dataclass(frozen=True, kw_only=True)
class BaselineQueries:
    """Which queries it was measured on.

    Attributes:
        fingerprint: digest of the queries.
        n: number of queries.
        held_out: whether they are rows of the base.
        drawn: digest of which rows they are.
        indexed: whether the index holds these rows too: then none of them counts as its own answer.
    """

    fingerprint: str
    n: int
    held_out: bool
    drawn: str = ""
    indexed: bool = False

    @classmethod
    def of(cls, queries: QuerySet) -> BaselineQueries:
        """Return what is kept of the queries of a run."""
        return cls(
            fingerprint=queries.fingerprint,
            n=queries.n,
            held_out=bool(queries.held_out_rows),
            drawn=queries.drawn,
            indexed=queries.indexed,
        )

    @property
    def n_not_indexed(self) -> int:
        """Queries that are rows of the base and in no index."""
        return self.n if self.held_out and not self.indexed else 0


@dataclass(frozen=True, kw_only=True)
class FrozenBand:
    """What queries of one kind of filter found in a band.

    Attributes:
        least_rows: smallest number of rows that a filter of the band allows.
        ef_search: candidates kept while searching; None where the allowed rows are scanned.
        recall: recall@k among the allowed rows.
        hits: right answers of each of its queries.
    """

    least_rows: int
    ef_search: int | None
    kind: FilterKind
    recall: float
    hits: tuple[int, ...]

    @property
    def hit_array(self) -> NDArray[np.int64]:
        """Right answers of each query, (nq,)."""
        return np.array(self.hits, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class FrozenFilters:
    """A policy for queries with filters, and what it measured.

    Attributes:
        source: where the filters come from.
        fingerprint: digest of the user's filters; empty where they are made up.
        n: number of rows of the index.
        scan_below_rows: filters that allow fewer rows than this are answered by a scan of these rows.
        bands: bands by falling number of rows, each kind of filter by itself.
    """

    source: str
    fingerprint: str
    n: int
    scan_below_rows: int
    bands: tuple[FrozenBand, ...]

    @property
    def searched(self) -> tuple[tuple[float, int], ...]:
        """Smallest share of each band that is searched, falling, and its ef_search."""
        found = {band.least_rows: band.ef_search for band in self.bands if band.ef_search is not None}
        return tuple((rows / self.n, found[rows]) for rows in sorted(found, reverse=True))


@dataclass(frozen=True, kw_only=True)
class GateBaseline:
    """A decision and what it measured.

    Attributes:
        recall: target recall@k.
        duplicates: whether rows that repeat another are nodes of their own, or one stands for all of them.
        generations: the file each time that it was tuned, whose queries stayed; empty if it was tuned once.
        graph_M: links per node of the graph that the index's were derived from.
        seed: random seed of the split of the queries, and of the build.
        bytes: bytes of the index by part; ``total`` is what must stay in memory.
        latency_s: mean seconds per query on ``machine``, or None.
        filters: the policy for queries with filters; None without one.
        hits: right answers of each query.
    """

    schema_version: int = BASELINE_SCHEMA_VERSION
    created: str
    label: str
    recall: float
    k: int
    confidence: float
    seed: int
    configuration: Configuration
    ef_search: int
    graph_M: int
    data: BaselineData
    queries: BaselineQueries
    measured_recall: float
    measured_lower: float
    ndis_per_query: float
    bytes: dict[str, int]
    latency_s: float | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    generations: tuple[Generation, ...] = ()
    duplicates: Duplicates = "keep"
    filters: FrozenFilters | None = None
    hits: tuple[int, ...]

    @property
    def n_indexed(self) -> int:
        """Vectors in the index."""
        return self.data.n - self.data.n_left_out - self.data.n_copies - self.queries.n_not_indexed

    @property
    def code_bytes(self) -> int:
        """Bytes of one vector's code."""
        return self.bytes.get("codes", 0) // self.n_indexed

    @property
    def hit_array(self) -> NDArray[np.int64]:
        """Right answers of each query, (nq,)."""
        return np.array(self.hits, dtype=np.int64)
