"""What more vectors do to recall at the same parameters: extrapolated from graphs of nested samples.

The loss of recall of a graph at a fixed ef_search grows with the number of vectors so that
``asin(sqrt(1 - recall))``, whose spread over samples does not depend on recall (Anscombe 1948), is very
nearly a straight line in log n. On three sets of real embeddings, five M and ten ef_search each, from 1/20
of the rows to all: mean curvature 0, of single cases ``CURVATURE``. That is the prior of the curvature here;
what the graphs themselves say of it comes to it. Two graphs of the same size differ, on some data by three
points of recall; so there are several samples of a size, and the error bar is that of the next graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import asin, sqrt

import numpy as np
from numpy.typing import NDArray

from tuner.types import Extrapolated

CURVATURE = 0.0025
"""Standard deviation of the coefficient of ``log2(n)**2``, on the sets above."""
CONFIDENCE = 0.95
LEAST_SPREAD = 1e-3
"""Standard deviation of a graph that is believed at least: few graphs may agree by chance."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RecallTrend:
    """``asin(sqrt(1 - recall))`` against log2 n: a line with a curvature that is believed to be small.

    Attributes:
        middle: log2 of the size that the coefficients are written around.
        coefficients: (3,) of 1, x and x².
        covariance: (3, 3) covariance of the coefficients.
        spread: standard deviation of one graph around the trend.
        width: Student's t of the confidence.
    """

    middle: float
    coefficients: Array
    covariance: Array
    spread: float
    width: float

    @property
    def slope(self) -> float:
        """Change of the height each time n doubles, around the middle."""
        return float(self.coefficients[1])

    def at(self, n: int) -> Extrapolated:
        """Return the recall of another graph of n vectors."""
        return self._with_bar(n, *self.height_at(n))

    def beyond(self, n_now: int, recall: float, n: int) -> Extrapolated:
        """Return the recall at n vectors of an index that has this recall at ``n_now``."""
        change = self._powers(n) - self._powers(n_now)
        height = height_of(recall) + float(self.coefficients @ change)
        return self._with_bar(n, height, self._half(change))

    def height_at(self, n: int) -> tuple[float, float]:
        """Return the height at n vectors, and half the width of its error bar."""
        powers = self._powers(n)
        return float(self.coefficients @ powers), self._half(powers)

    def _powers(self, n: int) -> Array:
        x = float(np.log2(n)) - self.middle
        return np.array([1.0, x, x**2])

    def _half(self, powers: Array) -> float:
        return self.width * sqrt(float(powers @ self.covariance @ powers) + self.spread**2)

    def _with_bar(self, n: int, height: float, half: float) -> Extrapolated:
        recall, high, low = (recall_of(height + off) for off in (0.0, -half, half))
        return Extrapolated(n=n, recall=recall, low=low, high=high)


def fit_trend(sizes: Sequence[int], recalls: Sequence[float]) -> RecallTrend:
    """Return the trend through recalls of graphs of some sizes, at least two sizes and three graphs.

    The spread is that around a straight line; least squares with a normal prior on the curvature.

    Example:
        >>> trend = fit_trend([4_000, 2_000, 2_000, 1_000], [0.95, 0.96, 0.96, 0.97])
        >>> 0.92 < trend.at(8_000).recall < 0.95
        True
    """
    from scipy.special import stdtrit  # noqa: PLC0415 - 25 MB that an ordinary sweep does not need

    x = np.log2(np.array(sizes, dtype=np.float64))
    y = np.array([height_of(recall) for recall in recalls])
    middle = float(x.mean())
    design = np.vander(x - middle, 3, increasing=True)
    straight = design[:, :2]
    residuals = y - straight @ np.linalg.lstsq(straight, y, rcond=None)[0]
    freedom = len(x) - 2
    spread = max(LEAST_SPREAD, float((residuals @ residuals) / freedom) ** 0.5)
    precision = design.T @ design / spread**2
    precision[2, 2] += 1 / CURVATURE**2
    covariance = np.linalg.inv(precision)
    coefficients = covariance @ (design.T @ y) / spread**2
    width = float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    return RecallTrend(middle, coefficients, covariance, spread, width)


def height_of(recall: float) -> float:
    """Return ``asin(sqrt(1 - recall))``."""
    return asin(sqrt(1 - recall))


def recall_of(height: float) -> float:
    """Return the recall at a height."""
    return float(1 - np.sin(np.clip(height, 0, np.pi / 2)) ** 2)
