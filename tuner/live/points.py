"""What was measured in an engine, and what was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tuner.engines import Applied, Exported, Settings
from tuner.types import Latency, Preference, Recall, Result

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
        reaches_target: both halves support the target.
    """

    settings: Settings
    recall: Recall
    validated: Recall
    index_bytes: int
    latency: Latency
    applied: Applied
    load_s: float
    predicted_recall: float | None
    predicted_bytes: int | None
    reaches_target: bool


@dataclass(frozen=True, kw_only=True)
class Beside:
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
            here;
            ``not_reached``; ``exact``: so few vectors that exact search is the answer.
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
    beside: Beside | None = None
    exported: Exported | None = None
    warnings: tuple[str, ...] = ()


def best_of(points: list[EnginePoint], prefer: Preference) -> EnginePoint | None:
    """Return the point that reaches the target at the least bytes, seconds, or both multiplied."""
    good = [point for point in points if point.reaches_target]

    def cost(point: EnginePoint) -> tuple[float, float]:
        size, seconds = float(point.index_bytes), point.latency.mean_s
        weighed = {"smallest": size, "fastest": seconds, "balanced": size * seconds}[prefer]
        return weighed, size

    if not good:
        return None
    least = min(cost(point)[0] for point in good)
    near = [point for point in good if cost(point)[0] <= least * (1 + SAME)]
    return min(near, key=lambda point: (point.index_bytes, cost(point)[0]))
