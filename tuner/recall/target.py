"""The target, once: the lower bound that a recall has, and how far above the target one must aim.

A point is chosen on one half of the queries and reported on the other. It meets the target where the
lower bound on that other half does, so its mean on the first half must lie above the target by the
bound's own width and by what two halves differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from tuner.types import Recall

CHANCE_TO_VALIDATE = 1.282
"""Standard normal quantile of .9: how surely a point that passes on one half passes on the other."""
USUAL_SPREAD = 1.5
"""Standard deviation of recall over queries, as a multiple of what independent hits would have."""
LEAST_MISSES = 0.3
"""Share of the target's misses that an aim leaves: beyond that it would be out of a graph's reach."""


def summarize(hits: NDArray[np.int64], k: int, confidence: float) -> Recall:
    """Return mean recall with its one-sided lower bound.

    Student's t over queries, with one imaginary query that finds nothing among them: it stands for the
    hard queries that a sample this small may not hold. So no bound claims certainty: where all of nq
    queries are perfect it is about 1 - 2.6 / nq, close to the rule of three.

    Args:
        hits: (nq,) int64, right answers of each query.
        k: neighbours asked for.
        confidence: confidence level of the bound.

    >>> summarize(np.full(100, 10), k=10, confidence=0.95).lower > 0.97
    True
    """
    share = hits / k
    nq = len(share)
    doubted = np.append(share, 0.0)
    width = float(stdtrit(nq, confidence)) * float(doubted.std(ddof=1)) / (nq + 1) ** 0.5
    return Recall(
        mean=float(share.mean()),
        lower=max(0.0, float(doubted.mean()) - width),
        p5=float(np.percentile(share, 5)),
        share_below_half=float((share < 0.5).mean()),
        n_queries=nq,
    )


def standard_error(hits: NDArray[np.int64], k: int) -> float:
    """Return the standard error of mean recall over queries, the imaginary query included."""
    doubted = np.append(hits / k, 0.0)
    return float(doubted.std(ddof=1) / np.sqrt(len(doubted)))


def spread_over_queries(recall: Recall, confidence: float) -> float:
    """Return the standard deviation of recall over queries, as its bound shows it.

    The imaginary query is taken out again.

    Args:
        recall: recall with the bound of ``summarize``.
        confidence: confidence level of that bound.
    """
    n = recall.n_queries
    error = max(0.0, recall.mean * n / (n + 1) - recall.lower) / float(stdtrit(n, confidence))
    squares = n * error**2 * (n + 1) - recall.mean**2 * n / (n + 1)
    return float(max(0.0, squares / n) ** 0.5)


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
    """A target recall@k, and the halves of the queries that it is chosen and confirmed on.

    Attributes:
        recall: target recall@k in (0, 1].
        k: neighbours asked for.
        confidence: confidence level of the lower bound.
        n_tune: queries of the half that parameters are chosen on.
        n_validate: queries of the half that is reported.
    """

    recall: float
    k: int
    confidence: float
    n_tune: int
    n_validate: int

    def of_queries(self, n_queries: int) -> Target:
        """Return the same target, with so many queries in its two halves."""
        return replace(self, n_tune=n_queries - n_queries // 2, n_validate=n_queries // 2)

    def queries_to_show(self, seen: Recall) -> int | None:
        """Return how many queries would most likely show that the recall which was seen meets the target.

        None if these are enough, or if its mean does not lie above the target, which no queries mend.
        """
        spread = spread_over_queries(seen, self.confidence)

        def show(n_queries: int) -> bool:
            return seen.mean >= self.of_queries(n_queries)._with_margin(spread)

        n_queries = self.n_tune + self.n_validate
        if seen.mean <= self.recall or show(n_queries):
            return None
        return least_queries(show, n_queries)

    def margin(self, tune_hits: NDArray[np.int64]) -> float:
        """Return how far mean recall on the tune half must lie above the target.

        Nine times in ten the lower bound on the held-out half then meets the target.

        Args:
            tune_hits: (n_tune,) int64, right answers of each query.
        """
        on_tune = standard_error(tune_hits, self.k)
        on_validate = on_tune * float((self.n_tune / self.n_validate) ** 0.5)
        return self._margin(on_tune, on_validate)

    def needed(self, tune_hits: NDArray[np.int64]) -> float:
        """Return the mean recall from which on a point's tune half is good enough to choose it."""
        return min(1.0, self.recall + self.margin(tune_hits))

    @property
    def best_bound(self) -> float:
        """The lower bound that perfect recall would have on the held-out half."""
        return summarize(np.full(self.n_validate, self.k, dtype=np.int64), self.k, self.confidence).lower

    @property
    def usual_aim(self) -> float:
        """The aim before any search has shown how much recall varies over queries."""
        return self._aim(USUAL_SPREAD * float((self.recall * (1 - self.recall) / self.k) ** 0.5))

    def aim_of(self, hits: NDArray[np.int64]) -> float:
        """Return the mean recall to predict for, by the spread of some queries' ``hits`` near the target."""
        return self._aim(float((hits / self.k).std(ddof=1)))

    def _aim(self, spread: float) -> float:
        return float(min(self._with_margin(spread), 1 - LEAST_MISSES * (1 - self.recall)))

    def _with_margin(self, spread: float) -> float:
        spread = float(np.hypot(spread, self.n_tune**-0.5))  # the imaginary query that fails, as in the bound
        return self.recall + self._margin(spread / self.n_tune**0.5, spread / self.n_validate**0.5)

    def _margin(self, on_tune: float, on_validate: float) -> float:
        """Return the bound's width and what the halves differ, from the standard error on each half."""
        bound = float(ndtri(self.confidence)) * on_validate + 1 / (self.n_validate + 1)
        return bound + CHANCE_TO_VALIDATE * float(np.hypot(on_tune, on_validate))
