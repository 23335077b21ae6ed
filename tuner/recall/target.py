"""The target, once: the lower bound that a recall has, and how far above the target one must aim.

An ef_search is chosen and certified on the same queries. Recall grows with ef_search, so whoever goes down
from the largest and stops before the first whose lower bound misses the target recommends one below the
target no more often than a single bound is wrong (fixed-sequence testing: Angelopoulos and others 2021,
*Learn then Test*, arXiv 2110.01052).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tuner.types import Recall

UNSEEN = 0.5
"""Weight of the imaginary query: as much as Jeffreys' prior gives an event that was never seen."""
USUAL_SPREAD = 1.5
"""Standard deviation of recall over queries, as a multiple of what independent hits would have."""
LEAST_MISSES = 0.3
"""Share of the target's misses that an aim leaves: beyond that it would be out of a graph's reach."""


def usual_quantile(nq: int, confidence: float) -> float:
    """Return Student's t quantile of the mean of ``nq`` queries and an imaginary one."""
    return float(stdtrit(nq, confidence))


def summarize(hits: NDArray[np.int64], k: int, confidence: float, quantile: float | None = None) -> Recall:
    """Return mean recall with its one-sided lower bound.

    Student's t over queries, with half an imaginary query that finds nothing among them: it stands for the
    hard queries that a sample this small may not hold. No bound claims more than the rule of three, which
    holds where all of nq queries are perfect.

    Args:
        hits: (nq,) int64, right answers of each query.
        k: neighbours asked for.
        confidence: confidence level of the bound.
        quantile: standard errors between mean and bound, where it holds for several indexes together
            (``tuner.recall.together``); None is that of one index.

    >>> summarize(np.full(100, 10), k=10, confidence=0.95).lower > 0.97
    True
    """
    share = hits / k
    nq = len(share)
    quantile = usual_quantile(nq, confidence) if quantile is None else quantile
    lower = float(share.sum()) / (nq + UNSEEN) - quantile * standard_error(hits, k)
    return Recall(
        mean=float(share.mean()),
        lower=max(0.0, min(lower, 1 + log(1 - confidence) / nq)),
        p5=float(np.percentile(share, 5)),
        share_below_half=float((share < 0.5).mean()),
        n_queries=nq,
    )


def standard_error(hits: NDArray[np.int64], k: int) -> float:
    """Return the standard error of mean recall over queries, what is imaginary of them included."""
    share = hits / k
    n, mean = len(share) + UNSEEN, float(share.sum()) / (len(share) + UNSEEN)
    squares = float((share - mean) @ (share - mean)) + UNSEEN * mean**2
    return float((squares / len(share) / n) ** 0.5)


def widened(mean: float, lower: float, nq: int, wider: float) -> float:
    """Return a lower bound of ``summarize`` so many times as far from its centre.

    Example:
        >>> round(widened(0.96, 0.95, 1000, 1.2), 4)
        0.9481
    """
    centre = mean * nq / (nq + UNSEEN)
    return max(0.0, min(lower, centre - wider * (centre - lower)))


def spread_over_queries(recall: Recall, confidence: float) -> float:
    """Return the standard deviation of recall over queries, as its bound shows it.

    What is imaginary of them is taken out again.

    Args:
        recall: recall with the bound of ``summarize``.
        confidence: confidence level of that bound.
    """
    nq = recall.n_queries
    n = nq + UNSEEN
    if recall.mean == 1:
        return 0.0
    error = max(0.0, recall.mean * nq / n - recall.lower) / usual_quantile(nq, confidence)
    return float(max(0.0, n * error**2 - recall.mean**2 * UNSEEN / n) ** 0.5)


def least_queries(show: Callable[[int], bool], n_queries: int) -> int:
    """Return how many queries are enough, within 1 %, if so many are not.

    Args:
        show: whether a number of queries is enough; of all larger ones it is then true, too.
        n_queries: number that is not enough.
    """
    low = enough = max(1, n_queries)
    while not show(enough):
        low, enough = enough, 2 * enough
    while enough - low > max(1, enough // 100):
        middle = (low + enough) // 2
        low, enough = (low, middle) if show(middle) else (middle, enough)
    return enough


@dataclass(frozen=True, kw_only=True)
class Target:
    """The target recall@k, and the number of queries that must show it.

    Attributes:
        recall: target recall@k in (0, 1].
        k: neighbours asked for.
        confidence: confidence level of the lower bound.
        n_queries: number of queries.
        quantile: standard errors between mean and bound, None for those of one index.
    """

    recall: float
    k: int
    confidence: float
    n_queries: int
    quantile: float | None = None

    def of_queries(self, n_queries: int) -> Target:
        """Return the same target with another number of queries."""
        return replace(self, n_queries=n_queries)

    def summarize(self, hits: NDArray[np.int64]) -> Recall:
        """Return recall with the bound that this target is held against."""
        return summarize(hits, self.k, self.confidence, self.quantile)

    @property
    def width_in_errors(self) -> float:
        """Standard errors between the mean and its bound."""
        return usual_quantile(self.n_queries, self.confidence) if self.quantile is None else self.quantile

    def needed(self, hits: NDArray[np.int64]) -> float:
        """Return the mean recall from which on hits of this spread show the target.

        Args:
            hits: (nq,) int64, right answers of each query.
        """
        found = self.summarize(hits)
        return self.recall + found.mean - found.lower

    def queries_to_show(self, seen: Recall) -> int | None:
        """Return how many queries would show that the recall which was seen meets the target.

        None if these are enough, or if its mean does not lie above the target, which no queries mend.
        """
        spread = spread_over_queries(seen, self.confidence)

        def show(n_queries: int) -> bool:
            return seen.mean >= self.of_queries(n_queries)._with_width(spread)

        if seen.mean <= self.recall or show(self.n_queries):
            return None
        return least_queries(show, self.n_queries)

    @property
    def best_bound(self) -> float:
        """The lower bound that perfect recall would have."""
        return self.summarize(np.full(self.n_queries, self.k, dtype=np.int64)).lower

    @property
    def usual_aim(self) -> float:
        """The aim before any search has shown how much recall varies over queries."""
        return self._aim(USUAL_SPREAD * float((self.recall * (1 - self.recall) / self.k) ** 0.5))

    def aim_of(self, hits: NDArray[np.int64]) -> float:
        """Return the mean recall to predict for, by the spread of some queries' ``hits`` near the target."""
        return self._aim(float((hits / self.k).std(ddof=1)))

    def _aim(self, spread: float) -> float:
        return float(min(self._with_width(spread), 1 - LEAST_MISSES * (1 - self.recall)))

    def _with_width(self, spread: float) -> float:
        """Return the target and the width of the bound, what is imaginary of the queries included."""
        n = self.n_queries
        error = float(np.hypot(spread, (UNSEEN / n) ** 0.5)) / n**0.5
        width: float = self.width_in_errors * error + UNSEEN / (n + UNSEEN)
        return self.recall + width
