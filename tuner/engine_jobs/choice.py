"""Which measured point is chosen: within the user's limits, at the least bytes, seconds, or both."""

from __future__ import annotations

from tuner.types import EnginePoint, Options, Preference

SAME = 0.05
"""Times of two searches after each other differ by this much on a quiet machine: no reason to choose."""


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
