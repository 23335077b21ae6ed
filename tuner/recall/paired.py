"""Recall before and after on the same queries: how much it fell, and what fall would have been seen.

The unit is the query. Two searches of the same query share its difficulty, which is most of what makes
recall vary, so their difference says far more than two means do.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from tuner.types import Drop

POWER = 0.95
"""How surely a drop must be seen to be called visible."""
HitArray = NDArray[np.int64]


def drop_between(before: HitArray, after: HitArray, k: int, confidence: float) -> Drop:
    """Return the drop from ``before`` to ``after``, right answers (nq,) of the same queries in one order.

    Student's t on the differences; where all are the same there is nothing to doubt.
    """
    from scipy.stats import ttest_1samp  # noqa: PLC0415 - 25 MB that only a check needs

    lost = (before - after) / k
    mean = float(lost.mean())
    if np.ptp(lost) == 0:
        lower = upper = mean
    else:
        lower = float(ttest_1samp(lost, 0.0, alternative="greater").confidence_interval(confidence).low)
        upper = float(ttest_1samp(lost, 0.0, alternative="less").confidence_interval(confidence).high)
    return Drop(
        mean=mean,
        lower=lower,
        upper=upper,
        variance=float(lost.var(ddof=1)),
        n_changed=int(np.count_nonzero(lost)),
        n_queries=len(lost),
    )


def visible_shortfall(hits: HitArray, k: int, confidence: float, power: float = POWER) -> float:
    """Return how far mean recall must lie below a threshold to be called below it with that chance."""
    from scipy.stats import t  # noqa: PLC0415

    freedom = len(hits) - 1
    errors = float(t.ppf(confidence, freedom) + t.ppf(power, freedom))
    spread = float((hits / k).std(ddof=1))
    return errors * spread / sqrt(len(hits))


def upper_bound(hits: HitArray, k: int, confidence: float) -> float:
    """Return the one-sided upper confidence bound on mean recall."""
    from scipy.stats import ttest_1samp  # noqa: PLC0415

    share = hits / k
    if np.ptp(share) == 0:
        return float(share.mean())
    return float(ttest_1samp(share, 0.0, alternative="less").confidence_interval(confidence).high)


@dataclass(frozen=True)
class Power:
    """What drops a paired check of so many queries sees.

    A drop is seen where its lower bound exceeds what is allowed. The variance of a query's difference is
    what an unchanged index shows anyway and, for each point lost, what lost hits showed when ef_search was
    lowered: they come in bunches, because hard queries lose first.

    Attributes:
        n_queries: number of queries.
        allowed: largest drop that is not called one.
        confidence: confidence level at which a drop is called one.
        churn: variance of a query's difference that is there without a drop.
        per_drop: variance that a drop of 1 would add.
    """

    n_queries: int
    allowed: float
    confidence: float
    churn: float
    per_drop: float

    def chance(self, drop: float) -> float:
        """Return the chance that a true drop is called one (noncentral t)."""
        from scipy.stats import nct, t  # noqa: PLC0415

        error = ((self.churn + self.per_drop * max(drop, 0.0)) / self.n_queries) ** 0.5
        if error == 0:
            return float(drop > self.allowed)
        freedom = self.n_queries - 1
        needed = float(t.ppf(self.confidence, freedom))
        distance = (drop - self.allowed) / error
        if abs(distance) > 30:  # nct loses its digits there, and they are all 0 or 1
            return float(distance > 0)
        return float(nct.sf(needed, freedom, distance))

    def visible(self, power: float = POWER) -> float:
        """Return the least drop that is called one with that chance; infinite if none up to 1 is."""
        if self.chance(1.0) < power:
            return inf
        low = max(self.allowed, 0.0)
        return float(brentq(lambda drop: self.chance(drop) - power, low, 1.0, xtol=1e-6))

    def queries_for(self, drop: float, power: float = POWER) -> int:
        """Return how many queries would see ``drop`` with that chance (normal approximation)."""
        from scipy.stats import norm  # noqa: PLC0415

        if drop <= self.allowed:
            raise ValueError(f"a drop of {drop} is allowed, no number of queries calls it one")
        errors = float(norm.ppf(self.confidence) + norm.ppf(power))
        variance = self.churn + self.per_drop * drop
        return max(2, ceil(variance * (errors / (drop - self.allowed)) ** 2))


def churn_beside(drop: Drop, per_drop: float) -> float:
    """Return the variance of a query's difference that is there without the drop itself."""
    return max(0.0, drop.variance - per_drop * max(drop.mean, 0.0))


def variance_per_drop(before: HitArray, after: HitArray, k: int) -> float | None:
    """Return variance over mean of what was lost between two searches, or None if nothing was."""
    lost = (before - after) / k
    mean = float(lost.mean())
    return float(lost.var(ddof=1)) / mean if mean > 0 else None
