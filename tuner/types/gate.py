"""What the recall gate is asked, what it compares with, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.types.data import Profile, QuerySet
from tuner.types.points import Configuration, Recall
from tuner.types.verdict import Line
from tuner.types.words import Metric

BASELINE_SCHEMA_VERSION = 1
STRUCTURE = ("configuration", "graph", "content", "index used")
"""Lines that judge the index itself, not its figures."""


@dataclass(frozen=True)
class Drop:
    """How far mean recall fell.

    Attributes:
        mean: recall before less recall after; negative where it rose.
        lower: one-sided lower confidence bound: it fell by at least this.
        upper: one-sided upper bound.
        variance: variance of one query's difference.
        n_changed: number of queries whose right answers changed in number.
        n_queries: number of queries.
    """

    mean: float
    lower: float
    upper: float
    variance: float
    n_changed: int
    n_queries: int


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may change before it is a regression.

    Attributes:
        recall: points of recall that may be lost, as a share: .005 is half a point.
        ndis: share by which distance computations per query may rise.
        memory: share by which the bytes of the index may rise.
    """

    recall: float = 0.005
    ndis: float = 0.20
    memory: float = 0.05


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What the user asked for.

    Attributes:
        limits: changes that are no regression.
        index: faiss index file; None builds the frozen configuration again.
        ef_search: ef_search instead of what the index file or the baseline says.
        new_data: whether the vectors changed on purpose: other fingerprints are no mistake.
        threads: threads for building and for exact neighbours; 0 means all cores.
    """

    limits: Limits = field(default_factory=Limits)
    index: Path | None = None
    ef_search: int | None = None
    new_data: bool = False
    threads: int = 0


@dataclass(frozen=True, kw_only=True)
class BaselineData:
    """Which vectors the decision was made on.

    Attributes:
        fingerprint: digest of the file's content.
        n: rows.
        d: columns.
        dtype: numpy's name of the stored type.
        metric: metric that ranks neighbours.
    """

    fingerprint: str
    n: int
    d: int
    dtype: str
    metric: Metric

    @classmethod
    def of(cls, profile: Profile) -> BaselineData:
        """Return what is kept of the vectors of a run."""
        return cls(
            fingerprint=profile.fingerprint,
            n=profile.n,
            d=profile.d,
            dtype=profile.dtype,
            metric=profile.metric,
        )


@dataclass(frozen=True, kw_only=True)
class BaselineQueries:
    """Which queries it was measured on.

    Attributes:
        fingerprint: digest of the queries.
        n: number of queries in both halves.
        n_validate: number of queries in the half that ``hits`` belong to.
        held_out: whether they are rows of the base, left out of the index.
        split: digest of which rows and positions they are.
    """

    fingerprint: str
    n: int
    n_validate: int
    held_out: bool
    split: str = ""

    @classmethod
    def of(cls, queries: QuerySet) -> BaselineQueries:
        """Return what is kept of the queries of a run."""
        return cls(
            fingerprint=queries.fingerprint,
            n=queries.n_tune + queries.n_validate,
            n_validate=queries.n_validate,
            held_out=bool(queries.held_out_rows),
            split=queries.split,
        )


@dataclass(frozen=True, kw_only=True)
class GateBaseline:
    """A decision and what it measured.

    Attributes:
        recall: target recall@k.
        graph_M: links per node of the graph that the index's were derived from.
        seed: random seed of the split of the queries, and of the build.
        bytes: bytes of the index by part; ``total`` is what must stay in memory.
        latency_s: mean seconds per query on ``machine``, or None.
        hits: right answers of each held-out query.
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
    hits: tuple[int, ...]

    @property
    def n_indexed(self) -> int:
        """Vectors in the index: all but those that became queries."""
        return self.data.n - (self.queries.n if self.queries.held_out else 0)

    @property
    def code_bytes(self) -> int:
        """Bytes of one vector's code."""
        return self.bytes.get("codes", 0) // self.n_indexed

    @property
    def hit_array(self) -> NDArray[np.int64]:
        """Right answers of each held-out query, (n_validate,)."""
        return np.array(self.hits, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """A finished check.

    Attributes:
        lines: everything that was looked at, each with its decision.
        label: short name of the frozen configuration.
        hits: right answers of each held-out query.
        visible_drop: drop that this check sees with 95 % power; infinite if none.
        latency_s: mean seconds per query, or None where it was not timed.
        updated: baseline as it would be frozen now.
    """

    lines: tuple[Line, ...]
    label: str
    recall: Recall
    drop: Drop
    ndis_per_query: float
    index_bytes: int
    visible_drop: float
    hits: tuple[int, ...]
    updated: GateBaseline
    latency_s: float | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def broken(self) -> str:
        """Fault of the index itself, with which its figures are no baseline; empty if there is none."""
        wrong = (line for line in self.lines if line.status == "fail" and line.name in STRUCTURE)
        return next((f"{line.name}: {line.text}" for line in wrong), "")

    @property
    def passed(self) -> bool:
        """Whether nothing that was looked at is a regression."""
        return all(line.status != "fail" for line in self.lines)
