"""Which measured point is chosen: within the user's limits, at the least bytes, seconds, or both."""

from __future__ import annotations

from collections.abc import Sequence

from tuner.prediction.pareto import name_points
from tuner.types import EnginePoint, Options, Preference

SAME = 0.05
"""Times of two searches after each other differ by this much on a quiet machine: no reason to choose."""


def preferred(sizes: Sequence[float], seconds: Sequence[float], prefer: Preference, tie: float = SAME) -> int:
    """Return the position of the point that a preference names; there must be one."""
    return name_points(sizes, seconds, tie)[prefer]


def within(point: EnginePoint, options: Options, n: int) -> bool:
    """Return whether a point reaches the target within the user's limits."""
    per_vector = options.max_memory_per_vector
    limits = [options.max_memory_bytes, None if per_vector is None else per_vector * n]
    small = all(limit is None or point.index_bytes <= limit for limit in limits)
    fast = options.max_latency_s is None or point.latency.p95_s <= options.max_latency_s
    return point.reaches_target and small and fast


def best_of(points: Sequence[EnginePoint], options: Options, n: int) -> EnginePoint | None:
    """Return the point within the limits that the user prefers; of near ones the smaller."""
    good = [point for point in points if within(point, options, n)]
    if not good:
        return None
    sizes, seconds = [point.index_bytes for point in good], [point.latency.mean_s for point in good]
    return good[preferred(sizes, seconds, options.prefer)]


def no_slower(points: Sequence[EnginePoint], default: EnginePoint) -> list[EnginePoint]:
    """Return the points that take no more time than the engine's default, timed apart."""
    return [point for point in points if point.latency.mean_s <= (1 + SAME) * default.latency.mean_s]


def loses_to_default(default: EnginePoint, latency_ratio: float, options: Options, n: int) -> bool:
    """Return whether the engine's default is the better answer: it reaches the target, and is faster.

    Who asks for the smallest index does not mind.

    Args:
        default: engine's default at the same target.
        latency_ratio: time of the default over that of the chosen point, timed in turns.
        options: limits and preference.
        n: number of vectors.
    """
    return options.prefer != "smallest" and within(default, options, n) and latency_ratio < 1 - SAME
