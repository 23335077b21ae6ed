"""What the recall gate is asked, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tuner.types.gate_baseline import GateBaseline
from tuner.types.points import Recall
from tuner.types.verdict import Line

STRUCTURE = ("configuration", "graph", "content", "index used", "copies", "filter policy")
"""Lines that judge the index itself, not its figures."""


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
        no_filters: whether frozen bands of filters are not checked.
    """

    limits: Limits = field(default_factory=Limits)
    index: Path | None = None
    ef_search: int | None = None
    new_data: bool = False
    threads: int = 0
    no_filters: bool = False


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
class CheckResult:
    """A finished check.

    Attributes:
        lines: everything that was looked at, each with its decision.
        label: short name of the frozen configuration.
        recall: recall on the queries.
        drop: how far it fell below the frozen one, query by query.
        ndis_per_query: distance computations per query.
        index_bytes: bytes of the index that was checked.
        hits: right answers of each query.
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
