"""One promise for many indexes: how wide bounds are that hold for all of them together.

Who measures a dozen indexes and takes the cheapest that is certified favours the lucky ones. All of them
answer the same queries, so their luck is nearly the same, and bounds that hold together are only a little
wider than those of a single index.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from tuner.recall.target import Target, usual_quantile

BY_LUCK = 2.33
"""Standard errors of a difference in cost that luck may have made: one in a hundred is larger."""
DRAWS = 100_000
"""Draws of the bootstrap: the quantile is known to about .006."""


def quantile_together(hits: ArrayLike, confidence: float, seed: int) -> float:
    """Return how many standard errors below its mean each of several indexes has its bound.

    The quantile of the largest studentized mean, by a multiplier bootstrap over queries: Chernozhukov,
    Chetverikov and Kato 2013, Annals of Statistics 41. Never less than that of one index.

    Args:
        hits: (indexes, nq) right answers of the same queries.
        confidence: confidence level of all bounds together.
        seed: seed of the multipliers.

    Example:
        >>> easy, hard = [9, 10, 8, 10] * 50, [10, 8, 10, 9] * 50
        >>> one, two = quantile_together([easy], 0.95, 0), quantile_together([easy, hard], 0.95, 0)
        >>> round(one, 2), round(two, 2)
        (1.65, 1.97)
    """
    share = np.asarray(hits, dtype=np.float64)
    usual = usual_quantile(share.shape[1], confidence)
    varying = share[np.ptp(share, axis=1) > 0]
    if len(varying) < 2:
        return usual
    # normal multipliers of the queries make the means jointly normal, with the correlations of the hits
    correlations = np.corrcoef(varying)
    rng = np.random.default_rng(seed)
    largest = rng.multivariate_normal(np.zeros(len(varying)), correlations, DRAWS, method="eigh").max(axis=1)
    return usual * max(1.0, float(np.quantile(largest, confidence)) / float(ndtri(confidence)))


def quantile_for_choice(
    hits: ArrayLike,
    memory: Sequence[float],
    times: Sequence[Sequence[float]],
    target: Target,
    seed: int,
) -> float:
    """Return the quantile at which the bound of a certified point holds although it was chosen by its cost.

    It holds for the fastest and for that of the least memory x time. What is beaten so clearly that luck did
    not make it so takes no part (a step down, as Romano and Wolf 2005, Econometrica 73). The smallest is no
    matter of luck: its bytes are known.

    Args:
        hits: (points, nq) right answers of the same queries.
        memory: bytes of each.
        times: what the time a query of each may be in proportion to, in one way or several.
        target: target that each is certified for on its own.
        seed: seed of the draws.
    """
    if len(memory) < 2:
        return target.width_in_errors
    size = np.asarray(memory, dtype=np.float64)
    shares = np.asarray(hits, dtype=np.float64) / target.k
    return max(
        quantile_together(shares[could_be_cheapest(shares, cost)], target.confidence, seed)
        for time in map(np.asarray, times)
        for cost in (time, size * time)
    )


def could_be_cheapest(shares: NDArray[np.float64], cost: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which points lie so near to the cheapest that other queries might have put them first.

    Time follows ef_search, and misses fall about as it grows: a recall that is by chance as much lower as a
    share of its misses asks for that share of the time more. Luck of two points is compared on the same
    queries.

    Args:
        shares: (points, nq) share of right answers of each query.
        cost: (points,) cost of each.
    """
    mean = shares.mean(axis=1, keepdims=True)
    luck = (shares - mean) / np.maximum(1 - mean, 1 / shares.shape[1])
    best = int(np.argmin(cost))
    error = (luck - luck[best]).std(axis=1) / shares.shape[1] ** 0.5
    near: NDArray[np.bool_] = np.log(cost / cost[best]) <= BY_LUCK * error
    return near
