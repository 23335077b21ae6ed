"""What a sweep found, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tuner.types.data import Profile, QuerySet
from tuner.types.options import Options
from tuner.types.points import Ceiling, CurvePoint, Latency, OperatingPoint, Recall
from tuner.types.words import StoreAt

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer, flat, for machines to read."""

    M: int
    ef_construction: int
    ef_search: int
    codec: str
    dims: int
    cut: str
    rerank: str | None
    rerank_factor: int
    rerank_at: StoreAt
    recall: float
    recall_lower: float
    memory_bytes: int
    disk_bytes: int
    memory_per_vector_bytes: float
    latency_mean_s: float
    latency_p50_s: float
    latency_p95_s: float
    latency_p99_s: float
    ndis_per_query: float
    label: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class ReferenceComparison:
    """The index that most people have today, at the same recall.

    Attributes:
        memory_ratio: its bytes over the recommendation's.
        latency_ratio: its mean latency over the recommendation's, on the clock of the same index.
        build_cpu_s: CPU seconds of its build, when it was really built (hnswlib).
    """

    name: str
    ef_search: int
    recall: Recall
    memory_bytes: int
    latency: Latency
    memory_ratio: float
    latency_ratio: float
    build_cpu_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What one stage took; ``cpu_s`` counts all threads."""

    name: str
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the whole run took.

    Attributes:
        ordinary_build_cpu_s: one hnswlib build (M=16, ef_construction=200, float32) with the same
            threads, when it was measured.
        ordinary_builds: ``cpu_s`` over it, the baseline's own seconds not counted.
        n_graph_builds: graphs built from scratch.
    """

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    n_graph_builds: int
    n_indexes_measured: int
    stages: tuple[StageCost, ...]
    ordinary_build_cpu_s: float | None = None
    ordinary_builds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that a run found.

    Attributes:
        status: ``reached``; ``not_reached`` (the honest no); ``exact`` (so few vectors that exact
            search is the answer).
        points: all measured points, the Pareto front first.
        front: positions in ``points``, by memory.
        named: position of the smallest, fastest and balanced point.
        prediction_error: mean absolute error of predicted recall over measured points.
        noise_floor: ratio seen between two entries of the same index (A/A), as a share.
        advice: what would help (not reached), or what another option would save.
    """

    status: Literal["reached", "not_reached", "exact"]
    options: Options
    profile: Profile
    queries: QuerySet
    points: tuple[OperatingPoint, ...]
    front: tuple[int, ...]
    named: dict[str, int]
    recommendation: Recommendation | None
    baseline: ReferenceComparison | None
    ceilings: tuple[Ceiling, ...]
    curves: tuple[CurvePoint, ...]
    n_configurations: int
    prediction_error: float | None
    noise_floor: float | None
    call_overhead_s: float | None
    cost: Cost
    machine: dict[str, Any]
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    created: str = ""
    schema_version: int = SCHEMA_VERSION
