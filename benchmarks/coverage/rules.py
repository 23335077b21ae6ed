"""How a recommendation is decided from hits: today's rule, and rules that use every query for everything.

A decision is an index and an ef_search, the mean that is printed and the bound that is promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from tuner.recall.target import CHANCE_TO_VALIDATE

CONFIDENCE = 0.95
MULTIPLIERS = 400
"""Draws of the multiplier bootstrap."""
Hits = NDArray[np.float32]
Costs = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """What a rule recommends.

    Attributes:
        index: position of the index in the pool.
        ef: position of its ef_search.
        lower: lower bound of recall that is promised.
    """

    index: int
    ef: int
    lower: float


@dataclass(frozen=True)
class Sample:
    """Some queries, drawn from the pool: all that a rule sees.

    Attributes:
        share: (indexes, efs, n) share of right answers of each query.
        target: target recall.
        k: neighbours asked for.
        rng: generator for rules that draw themselves.
    """

    share: Hits
    target: float
    k: int
    rng: np.random.Generator

    @property
    def n(self) -> int:
        """Number of queries."""
        return int(self.share.shape[2])

    @cached_property
    def all(self) -> Means:
        """Means over all of them."""
        return Means.of(self.share)


@dataclass(frozen=True)
class Means:
    """Means over queries, one imaginary query that finds nothing included, as in the bound of a report.

    Attributes:
        plain: (indexes, efs) mean without the imaginary query.
        mean: (indexes, efs) mean with it.
        error: (indexes, efs) standard error of that mean.
        n: number of queries.
    """

    plain: Costs
    mean: Costs
    error: Costs
    n: int

    @classmethod
    def of(cls, share: Hits) -> Means:
        """Return the means of ``share`` (indexes, efs, n)."""
        n = share.shape[2]
        total, squares = share.sum(axis=2), np.einsum("jen,jen->je", share, share)
        mean = total / (n + 1)
        variance = np.maximum(squares - (n + 1) * mean**2, 0) / n
        return cls(total / n, mean, np.sqrt(variance / (n + 1)), n)

    def lower(self, quantile: float | None = None) -> Costs:
        """Return the lower bound at a quantile; None is that of one index on its own."""
        return self.mean - (float(stdtrit(self.n, CONFIDENCE)) if quantile is None else quantile) * self.error

    def upper(self) -> Costs:
        """Return the upper bound of one index on its own."""
        return self.mean + float(stdtrit(self.n, CONFIDENCE)) * self.error


Rule = Callable[[Sample, Costs], "Decision | None"]
"""From a sample and the costs (indexes, efs) to a decision."""


def first_from_the_top(good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return for each row the first column from which on all are true; the number of columns where none is.

    Example:
        >>> first_from_the_top(np.array([[True, False, True, True], [True, True, True, False]])).tolist()
        [2, 4]
    """
    holds = np.logical_and.accumulate(good[:, ::-1], axis=1).sum(axis=1)
    found: NDArray[np.int64] = good.shape[1] - holds
    return found


def cheapest(costs: Costs, efs: NDArray[np.int64], lower: Costs) -> Decision | None:
    """Return the cheapest index at its ef_search, or None where no index has one."""
    known = np.flatnonzero(efs < costs.shape[1])
    if not len(known):
        return None
    best = known[np.argmin(costs[known, efs[known]])]
    return Decision(int(best), int(efs[best]), float(lower[best, efs[best]]))


def by_halves(sample: Sample, costs: Costs) -> Decision | None:
    """Today's rule: one half chooses with a margin, the other half says yes or no."""
    middle, n_efs = (sample.n + 1) // 2, costs.shape[1]
    tune, validate = (Means.of(part) for part in np.split(sample.share, [middle], axis=2))
    other = tune.error * (tune.n / validate.n) ** 0.5
    margin = float(ndtri(CONFIDENCE)) * other + 1 / (validate.n + 1)
    margin = margin + CHANCE_TO_VALIDATE * np.hypot(tune.error, other)
    passes = tune.plain >= np.minimum(1.0, sample.target + margin)
    lower = validate.lower()
    holds = passes & (lower >= sample.target)
    efs = np.where(passes.any(axis=1), passes.argmax(axis=1), n_efs)
    agreed = np.where(holds[np.arange(len(efs)), np.minimum(efs, n_efs - 1)], efs, n_efs)
    if (agreed == n_efs).all():  # ef_search is raised until the other half agrees
        agreed = np.where(holds.any(axis=1), holds.argmax(axis=1), n_efs)
    return cheapest(costs, agreed, lower)


def by_the_mean(sample: Sample, costs: Costs) -> Decision | None:
    """A planted fault: the mean is taken for the bound."""
    return cheapest(costs, first_from_the_top(sample.all.plain >= sample.target), sample.all.plain)


def each_on_its_own(sample: Sample, costs: Costs) -> Decision | None:
    """Every query, and the bound of one index: nothing is allowed for choosing among many."""
    lower = sample.all.lower()
    return cheapest(costs, first_from_the_top(lower >= sample.target), lower)


def all_at_once(sample: Sample, costs: Costs) -> Decision | None:
    """Every query, and a bound that holds for all indexes of the pool together."""
    efs = first_from_the_top(sample.all.lower() >= sample.target)
    known = np.flatnonzero(efs < costs.shape[1])
    if not len(known):
        return None
    lower = sample.all.lower(simultaneous(sample.share[known, efs[known]], sample.rng))
    return cheapest(costs, first_from_the_top(lower >= sample.target), lower)


def contenders_at_once(sample: Sample, costs: Costs) -> Decision | None:
    """Every query, and a bound that holds together for those indexes that could still be the cheapest.

    An index can be named by luck only if it would be the cheapest at the least ef_search that its queries
    leave possible: the others are struck off, and the bound is taken again for those that are left.
    """
    n_efs, means = costs.shape[1], sample.all
    efs = first_from_the_top(means.lower() >= sample.target)
    least = np.minimum(first_from_the_top(means.upper() >= sample.target), n_efs - 1)
    left = np.flatnonzero(efs < n_efs)
    while len(left):
        lower = means.lower(simultaneous(sample.share[left, efs[left]], sample.rng))
        certified = np.full(len(costs), n_efs)
        certified[left] = first_from_the_top(lower[left] >= sample.target)
        named = cheapest(costs, certified, lower)
        if named is None:
            return None
        kept = left[costs[left, least[left]] <= costs[named.index, named.ef]]
        if len(kept) == len(left):
            return named
        left = kept
    return None


def simultaneous(share: Hits, rng: np.random.Generator) -> float:
    """Return the quantile that bounds the largest of several studentized means on the same queries.

    Multiplier bootstrap (Chernozhukov, Chetverikov and Kato 2013, Annals of Statistics 41).

    Args:
        share: (indexes, n) share of right answers.
    """
    centred = share - share.mean(axis=1, keepdims=True)
    spread = np.linalg.norm(centred, axis=1)
    centred = centred[spread > 0] / spread[spread > 0, None]
    n = share.shape[1]
    usual = float(stdtrit(n, CONFIDENCE))
    if len(centred) < 2:
        return usual
    largest = (rng.standard_normal((MULTIPLIERS, n)) @ centred.T).max(axis=1)
    return max(usual, float(np.quantile(largest, CONFIDENCE)))


RULES: dict[str, Rule] = {
    "today: two halves": by_halves,
    "each on its own": each_on_its_own,
    "contenders at once": contenders_at_once,
    "all at once": all_at_once,
    "planted fault: the mean": by_the_mean,
}
