"""What was measured in an engine, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tuner.engines import EngineConfig, Exported, ReportedConfig
from tuner.types import Latency, Options, Preference, Recall, Result

SAME = 0.05
"""Times of two searches after each other differ by this much on a quiet machine: no reason to choose."""


@dataclass(frozen=True, kw_only=True)
class EnginePoint:
    """Settings, built and searched in the engine at full size.

    Attributes:
        recall: on the half that chose ef_search and the oversampling.
        validated: on the other half.
        predicted_recall, predicted_bytes: by the sweep, from faiss's nearest codec; None where it has none.
        load_s: wall seconds of loading and building.
        reaches_target: both halves support the target, and the engine says that its index was used as asked.
        raised: whether the held-out half took part in choosing ef_search.
    """

    settings: EngineConfig
    recall: Recall
    validated: Recall
    index_bytes: int
    latency: Latency
    applied: ReportedConfig
    load_s: float
    predicted_recall: float | None
    predicted_bytes: int | None
    reaches_target: bool
    raised: bool = False


@dataclass(frozen=True, kw_only=True)
class DefaultComparison:
    """The engine's own default configuration at the same target, timed in turns with the chosen one.

    Attributes:
        memory_ratio: its bytes over those of the chosen one.
        latency_ratio: its mean latency over that of the chosen one.
    """

    point: EnginePoint
    memory_ratio: float
    latency_ratio: float


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """The answer for one engine.

    Attributes:
        status: ``reached`` in the engine; ``exported`` from faiss's measurements, the engine does not run
            here; ``not_reached``; ``exact``: so few vectors that exact search is the answer.
        sweep: what chose M and ef_construction.
        excluded: engine's codecs that were not built at full size, and why.
        warnings: doubts that the user should act on.
    """

    status: Literal["reached", "exported", "not_reached", "exact"]
    engine: str
    sweep: Result
    points: tuple[EnginePoint, ...] = ()
    excluded: dict[str, str]
    chosen: EnginePoint | None = None
    beside: DefaultComparison | None = None
    exported: Exported | None = None
    warnings: tuple[str, ...] = ()


def weighed(size: float, seconds: float, prefer: Preference) -> float:
    """Return what a preference weighs: bytes, seconds, or both multiplied."""
    return {"smallest": size, "fastest": seconds, "balanced": size * seconds}[prefer]


def within(point: EnginePoint, options: Options, n: int) -> bool:
    """Return whether a point reaches the target within the user's limits."""
    per_vector = options.max_memory_per_vector
    limits = [options.max_memory_bytes, None if per_vector is None else per_vector * n]
    small = all(limit is None or point.index_bytes <= limit for limit in limits)
    fast = options.max_latency_s is None or point.latency.p95_s <= options.max_latency_s
    return point.reaches_target and small and fast


def best_of(points: list[EnginePoint], options: Options, n: int) -> EnginePoint | None:
    """Return the point within the limits at the least bytes, seconds, or both; of near ones the smaller."""
    good = [point for point in points if within(point, options, n)]
    if not good:
        return None

    def cost(point: EnginePoint) -> float:
        return weighed(float(point.index_bytes), point.latency.mean_s, options.prefer)

    least = min(map(cost, good))
    near = [point for point in good if cost(point) <= least * (1 + SAME)]
    return min(near, key=lambda point: (point.index_bytes, cost(point)))
