"""How much the mean recall of a point owes to having been chosen by the queries that it is the mean of."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tuner.types import IdArray

FOLDS = 10


def flattery(
    shares: NDArray[np.float64],
    seconds: Sequence[float],
    order: IdArray,
    choose: Callable[[Sequence[float]], int],
) -> float:
    """Return mean recall of the chosen point less what new queries can expect, by cross-fitting; at least 0.

    Without a tenth of the queries the point is chosen again, and those are counted on it. Each point then
    has as much more or less ef_search as keeps its mean on the others, and so finds as much more or less;
    time follows ef_search, and misses fall about as it grows.

    Args:
        shares: (points, nq) share of right answers of each query, of the points that are compared.
        seconds: seconds a query of each point.
        order: positions of the queries in random order.
        choose: from the seconds of each point to the position of the one that is named.
    """
    mean, n = shares.mean(axis=1), shares.shape[1]
    misses = np.maximum(1 - mean, 1 / n)
    found: float = 0.0
    for fold in np.array_split(order, min(FOLDS, n)):
        others = np.delete(shares, fold, axis=1).mean(axis=1)
        lost = mean - others
        chosen = choose((np.array(seconds) * np.exp(lost / misses)).tolist())
        found += float(shares[chosen, fold].sum()) + len(fold) * float(lost[chosen])
    expected: float = found / n
    return max(0.0, float(mean[choose(seconds)]) - expected)
