"""What a derived graph is expected to do at a size that was not measured, from graphs of nested samples.

Recall at each ef_search follows its trend; distances computed grow as a power of the number of vectors. More
vectors never make a graph find more of the neighbours, so no error bar says that they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.prediction.recall_trend import fit_trend, height_of
from tuner.types import CurvePoint

Array = NDArray[np.float64]

SAME_ROWS = 0.05
"""Share by which the ef_search of two graphs of the same rows may differ: built again, or cut otherwise."""


@dataclass(frozen=True)
class Bar:
    """A quantity that was not measured, with its 95 % error bar."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ExpectedCurve:
    """Recall and distances of a derived graph at a size that was not measured, by ascending ef_search.

    Attributes:
        log_ef: (m,) logarithms of ef_search.
        height: (m,) ``asin(sqrt(1 - recall))``, made to fall with ef_search.
        half: (m,) half the width of its error bar.
        least: (m,) height of the largest graph that was measured, where the error bar ends below.
        log_ndis: (m,) logarithms of distance computations per query.
    """

    log_ef: Array
    height: Array
    half: Array
    least: Array
    log_ndis: Array

    def ef_for(self, recall: float) -> Bar | None:
        """Return the ef_search that is expected to reach a recall; None where none that was tried does."""
        wanted = height_of(recall)
        if wanted < self.height[-1]:
            return None
        lowest = np.maximum(self.height - self.half, self.least)
        value, low, high = (
            self._where(each, wanted) for each in (self.height, lowest, self.height + self.half)
        )
        below, above = np.hypot(value - low, SAME_ROWS), np.hypot(high - value, SAME_ROWS)
        return Bar(*(float(np.exp(each)) for each in (value, value - below, value + above)))

    def ndis_at(self, ef_search: float) -> float:
        """Return the expected distance computations per query; in proportion to ef_search beyond the last."""
        log_ef = float(np.log(ef_search))
        inside = float(np.interp(log_ef, self.log_ef, self.log_ndis))
        return float(np.exp(inside + max(0.0, log_ef - float(self.log_ef[-1]))))

    def _where(self, heights: Array, wanted: float) -> float:
        """Return log ef_search where falling heights pass what is wanted; the last slope leads on."""
        falling = np.minimum.accumulate(heights)
        if wanted >= falling[-1]:
            return float(np.interp(-wanted, -falling, self.log_ef))
        slope = (falling[0] - falling[-1]) / (self.log_ef[-1] - self.log_ef[0])
        return float(self.log_ef[-1] + (falling[-1] - wanted) / max(slope, 1e-9))


def expected_curve(n: int, graphs: Sequence[tuple[int, Sequence[CurvePoint]]]) -> ExpectedCurve:
    """Return what a graph of n vectors is expected to do.

    Args:
        n: number of vectors, more than any graph has.
        graphs: number of vectors of each graph that was measured, of two sizes and three graphs at least,
            and its points of one M, all of them at the same values of ef_search.
    """
    sizes = [size for size, _ in graphs]
    efs = [point.ef_search for point in graphs[0][1]]
    heights, halves, leasts, distances = [], [], [], []
    for i in range(len(efs)):
        trend = fit_trend(sizes, [points[i].recall for _, points in graphs])
        least, (height, half) = trend.height_at(max(sizes))[0], trend.height_at(n)
        ndis = np.log([points[i].ndis_per_query for _, points in graphs])
        slope, start = np.polyfit(np.log(sizes), ndis, 1)
        heights.append(max(height, least))
        halves.append(half)
        leasts.append(least)
        distances.append(start + slope * np.log(n))
    return ExpectedCurve(
        np.log(efs),
        np.minimum.accumulate(heights),
        np.array(halves),
        np.minimum.accumulate(leasts),
        np.maximum.accumulate(distances),
    )
