"""Which of several points are on the front, and which of them have a name, where a clock is noisy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tuner.prediction.pareto import dominated_by_more_than, front, name_points

TIE = 0.04
"""Products of memory and latency closer than this are the same: the smaller index is named. Along M the
product is flat near its best, and costs are measured to a few percent."""
GAIN = 0.03
"""More memory must buy at least this share of the latency."""
STRUCK = 0.10
"""The clock strikes out what it shows to be slower by this share than something no larger."""


@dataclass(frozen=True)
class Choice:
    """Positions among the points that were given.

    Attributes:
        front: the Pareto front, by ascending memory.
        named: smallest, fastest and balanced point; empty where there is no point.
    """

    front: tuple[int, ...]
    named: dict[str, int]


def choose(
    memory: Sequence[float], clock_s: Sequence[float], modelled_s: Sequence[float], noise: float
) -> Choice:
    """Return the front and the named points.

    Points of one codec are compared by ndis and ef_search at the one cost that the clock showed for
    it, so that the same data give the same answer on a noisy machine too. The clock of a single point
    only strikes out what it shows to be clearly slower.

    Args:
        memory: resident bytes of each point.
        clock_s: seconds per query of each, as the clock showed them.
        modelled_s: seconds per query of each, at the cost of its codec.
        noise: the A/A noise floor.

    Example:
        >>> choose([100, 200], [2e-4, 1e-4], [2e-4, 1e-4], 0.0).named
        {'smallest': 0, 'fastest': 1, 'balanced': 1}
    """
    slower = dominated_by_more_than(memory, clock_s, memory, clock_s, max(STRUCK, noise))
    good = [number for number, struck in enumerate(slower) if not struck]
    on_front = front([memory[i] for i in good], [modelled_s[i] for i in good], GAIN)
    chosen = [good[int(i)] for i in on_front]
    named = name_points([memory[i] for i in chosen], [modelled_s[i] for i in chosen], TIE)
    return Choice(tuple(chosen), {name: chosen[at] for name, at in named.items()})
