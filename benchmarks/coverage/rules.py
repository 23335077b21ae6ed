"""How a recommendation is decided from hits: the tuner's rule, what it was before, and others beside it.

A decision is an index and an ef_search, the mean that is printed and the bound that is promised.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from tuner.recall.target import UNSEEN, Target
from tuner.recall.together import quantile_for_choice, quantile_together
from tuner.sweep.flattery import flattery

CONFIDENCE = 0.95
CHANCE_TO_VALIDATE = 1.282
"""Of the rule before: normal quantile of .9, how surely what passes on one half passes on the other."""
Hits = NDArray[np.float32]
Costs = NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """What a rule recommends.

    Attributes:
        index: position of the index in the pool.
        ef: position of its ef_search.
        lower: lower bound of recall that is promised.
        mean: mean recall that is printed.
    """

    index: int
    ef: int
    lower: float
    mean: float


@dataclass(frozen=True)
class Sample:
    """Some queries, drawn from the pool: all that a rule sees.

    Attributes:
        share: (indexes, efs, n) share of right answers of each query.
        bytes: (indexes,) bytes of each.
        ndis: (indexes, efs) distances a query.
        target: target recall.
        k: neighbours asked for.
        seed: seed for rules that draw themselves.
    """

    share: Hits
    bytes: Costs
    ndis: Costs
    target: float
    k: int
    seed: int = 0

    @property
    def n(self) -> int:
        """Number of queries."""
        return int(self.share.shape[2])

    @cached_property
    def all(self) -> Means:
        """Means over all of them."""
        return Means.of(self.share)

    @cached_property
    def alone(self) -> NDArray[np.int64]:
        """Position of the least ef_search that each index is certified at on its own."""
        return first_from_the_top(self.all.lower() >= self.target)

    @cached_property
    def chosen_quantile(self) -> float:
        """The tuner's quantile: bounds hold for all indexes together that luck might name."""
        known = np.flatnonzero(self.alone < self.share.shape[1])
        if not len(known):
            return float(stdtrit(self.n, CONFIDENCE))
        target = Target(recall=self.target, k=self.k, confidence=CONFIDENCE, n_queries=self.n)
        at = self.alone[known]
        hits, ndis = self.share[known, at] * self.k, self.ndis[known, at]
        return quantile_for_choice(hits, list(self.bytes[known]), (list(ndis),), target, self.seed)


@dataclass(frozen=True)
class Means:
    """Means over queries, what is imaginary of them included, as in the bound of a report.

    Attributes:
        plain: (indexes, efs) mean of the queries alone.
        mean: (indexes, efs) mean with it.
        error: (indexes, efs) standard error of that mean.
        n: number of queries.
    """

    plain: Costs
    mean: Costs
    error: Costs
    n: int

    @classmethod
    def of(cls, share: Hits, unseen: float = UNSEEN) -> Means:
        """Return the means of ``share`` (indexes, efs, n) and a query of such weight that finds nothing."""
        n = share.shape[2]
        total, squares = share.sum(axis=2), np.einsum("jen,jen->je", share, share)
        mean = total / (n + unseen)
        variance = np.maximum(squares - (n + unseen) * mean**2, 0) / n
        return cls(total / n, mean, np.sqrt(variance / (n + unseen)), n)

    def lower(self, quantile: float | None = None) -> Costs:
        """Return the lower bound at a quantile; None is that of one index on its own."""
        return self.mean - (float(stdtrit(self.n, CONFIDENCE)) if quantile is None else quantile) * self.error


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


def cheapest(costs: Costs, efs: NDArray[np.int64], lower: Costs, mean: Costs) -> Decision | None:
    """Return the cheapest index at its ef_search, or None where no index has one."""
    known = np.flatnonzero(efs < costs.shape[1])
    if not len(known):
        return None
    best = known[np.argmin(costs[known, efs[known]])]
    at = best, efs[best]
    return Decision(int(best), int(efs[best]), float(lower[at]), float(mean[at]))


def by_halves(sample: Sample, costs: Costs) -> Decision | None:
    """The rule before: one half chooses with a margin, the other half says yes or no."""
    middle, n_efs = (sample.n + 1) // 2, costs.shape[1]
    tune, validate = (Means.of(part, 1.0) for part in np.split(sample.share, [middle], axis=2))
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
    return cheapest(costs, agreed, lower, validate.plain)


def by_the_mean(sample: Sample, costs: Costs) -> Decision | None:
    """A planted fault: the mean is taken for the bound."""
    mean = sample.all.plain
    return cheapest(costs, first_from_the_top(mean >= sample.target), mean, mean)


def each_on_its_own(sample: Sample, costs: Costs) -> Decision | None:
    """Every query, and the bound of one index: nothing is allowed for choosing among many."""
    return cheapest(costs, sample.alone, sample.all.lower(), sample.all.plain)


def all_at_once(sample: Sample, costs: Costs) -> Decision | None:
    """Every query, and a bound that holds for all indexes of the pool together."""
    known = np.flatnonzero(sample.alone < costs.shape[1])
    if not len(known):
        return None
    quantile = quantile_together(sample.share[known, sample.alone[known]], CONFIDENCE, sample.seed)
    lower = sample.all.lower(quantile)
    return cheapest(costs, first_from_the_top(lower >= sample.target), lower, sample.all.plain)


def by_the_tuner(sample: Sample, costs: Costs) -> Decision | None:
    """The tuner's rule: bounds that hold together for what luck might name, and a cross-fitted mean."""
    lower = sample.all.lower(sample.chosen_quantile)
    efs = first_from_the_top(lower >= sample.target)
    named = cheapest(costs, efs, lower, sample.all.plain)
    if named is None:
        return None
    known = np.flatnonzero(efs < costs.shape[1])
    share = sample.share[known, efs[known]].astype(np.float64)
    flattered = flattery(
        share, costs[known, efs[known]].tolist(), np.arange(sample.n), lambda now: int(np.argmin(now))
    )
    return replace(named, mean=named.mean - flattered)


RULES: dict[str, Rule] = {
    "before: two halves": by_halves,
    "each on its own": each_on_its_own,
    "all at once": all_at_once,
    "the tuner": by_the_tuner,
    "planted fault: the mean": by_the_mean,
}
