"""Which points nothing beats, and which of them get a name."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

NEAR_FASTEST = 1.5
"""``balanced`` takes at most this times the latency of the fastest: few would wait longer for less memory,
and those who would ask for ``smallest``."""


def front(memory: ArrayLike, latency: ArrayLike, tie: float = 0.0) -> NDArray[np.int64]:
    """Return the positions of the Pareto front, by ascending memory.

    A point is on the front if no other has at most its memory and at most its latency and is better
    in one of them; of equal points the first is kept.

    Args:
        tie: more memory must buy at least this share of the latency, or the point is left out.
    """
    memory, latency = np.asarray(memory, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    order = np.lexsort((latency, memory))
    best_before = np.minimum.accumulate(np.concatenate([[np.inf], latency[order][:-1]]))
    on_front = order[latency[order] < best_before]
    kept: list[int] = []
    for position in on_front:
        if not kept or latency[position] < latency[kept[-1]] * (1 - tie):
            kept.append(int(position))
    return np.array(kept, dtype=np.int64)


def dominated_by_more_than(
    memory: ArrayLike, latency: ArrayLike, rivals_memory: ArrayLike, rivals_latency: ArrayLike, slack: float
) -> NDArray[np.bool_]:
    """Return which points a rival beats even if they were faster by the share ``slack``.

    A rival counts when it takes no more memory and less than ``1 - slack`` of the latency.
    """
    memory, latency = np.asarray(memory, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    best = front(rivals_memory, rivals_latency)
    if not len(best):
        return np.zeros(len(memory), dtype=bool)
    rival_memory = np.asarray(rivals_memory, dtype=np.float64)[best]
    rival_latency = np.asarray(rivals_latency, dtype=np.float64)[best]
    # along the front latency falls as memory grows: the last rival that fits is the fastest
    fits = np.searchsorted(rival_memory, memory, side="right") - 1
    return (fits >= 0) & (rival_latency[np.maximum(fits, 0)] < (1 - slack) * latency)


def name_points(memory: ArrayLike, latency: ArrayLike, tie: float) -> dict[str, int]:
    """Return the positions of the ``smallest``, ``fastest`` and ``balanced`` point.

    ``balanced`` has the least product of memory and latency among points within ``NEAR_FASTEST`` times the
    least latency. Latencies and products that differ by less than ``tie`` decide nothing: the point of less
    memory is taken.

    Example:
        >>> name_points([10, 50, 60], [12.0, 1.4, 1.0], 0.04)
        {'smallest': 0, 'fastest': 2, 'balanced': 2}
    """
    memory, latency = np.asarray(memory, dtype=np.float64), np.asarray(latency, dtype=np.float64)
    if not len(memory):
        return {}
    near = np.flatnonzero(latency <= NEAR_FASTEST * latency.min())
    return {
        "smallest": int(np.lexsort((latency, memory))[0]),
        "fastest": _least_with_ties(latency, memory, tie),
        "balanced": int(near[_least_with_ties(memory[near] * latency[near], memory[near], tie)]),
    }


def _least_with_ties(value: NDArray[np.float64], memory: NDArray[np.float64], tie: float) -> int:
    close = np.flatnonzero(value <= value.min() * (1 + tie))
    return int(close[np.lexsort((value[close], memory[close]))[0]])
