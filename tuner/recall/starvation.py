"""Proof that an index answered: a search that is starved (k = 1, least ef_search) does less, or finds less.

One rule for every job. An index that steers its searches computes fewer distances when it is starved; where
nobody counts distances, it finds fewer nearest neighbours, by more than chance. A search that does neither is
exhaustive, or ignores its search parameter; or the data are so easy that starving does nothing to any graph,
which one of the same rows beside it shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tuner.recall.metric import exact_distances, is_right
from tuner.recall.truth import Truth
from tuner.types import FloatArray, IdArray

CHANCE = 0.01
"""Level of the sign test: queries lost are more than queries gained by more than this chance allows."""
STARVED = 0.9
"""Share of its distances that a search needs when it is starved, if the search parameter steers it at all."""
WELL_BELOW = 0.5
"""Share of the base that a graph looks at where it is worth having."""

Finding: TypeAlias = Literal[
    "partly indexed", "not named", "nothing compared", "unmoved", "doubtful", "too easy", "costly", "used"
]
"""``used`` and ``costly`` (as dear as exact search) prove an index; ``doubtful`` is too few queries to be
sure, ``too easy`` data on which starving shows nothing of any graph; all others prove that none answered, or
not one of all vectors."""


@dataclass(frozen=True)
class Starvation:
    """What a search finds and what it finds when it is starved, query by query.

    Attributes:
        found: Share of right answers with the settings as they are.
        starved: Share of right answers when starved.
        n_lost: Queries that find less when starved.
        n_gained: Queries that find more when starved.

    Example:
        >>> fed, thin = np.ones(20, dtype=bool), np.arange(20) < 12
        >>> Starvation.between(fed, thin).falls
        True
    """

    found: float
    starved: float
    n_lost: int
    n_gained: int

    @classmethod
    def between(cls, fed: NDArray[np.generic], thin: NDArray[np.generic], k: int = 1) -> Starvation:
        """Return the comparison of right answers (nq,) of the same queries, out of k each."""
        before, after = fed.astype(np.int64), thin.astype(np.int64)
        return cls(
            found=float(before.mean()) / k,
            starved=float(after.mean()) / k,
            n_lost=int((after < before).sum()),
            n_gained=int((after > before).sum()),
        )

    @property
    def falls(self) -> bool:
        """Whether the starved search lost more than chance would (one-sided sign test)."""
        from scipy.stats import binomtest  # noqa: PLC0415 - 25 MB that only this needs

        total = self.n_lost + self.n_gained
        return bool(total and binomtest(self.n_lost, total, alternative="greater").pvalue < CHANCE)

    @property
    def seems_to_fall(self) -> bool:
        """Whether it lost something, though perhaps by chance."""
        return self.n_lost > self.n_gained


@dataclass(frozen=True, kw_only=True)
class IndexUse:
    """Everything that is known of whether an index answered; None where nobody says.

    Attributes:
        n: Vectors that should be indexed.
        ndis: Distances computed a query.
        starved_ndis: Distances computed a query when starved.
        n_indexed: Vectors that the engine says it has indexed.
        named: Whether the engine's plan of the search names the index.
        control: What starving does to a graph of the same rows that surely answers.
    """

    n: int
    starvation: Starvation
    ndis: float | None = None
    starved_ndis: float | None = None
    n_indexed: int | None = None
    named: bool | None = None
    control: Starvation | None = None

    @property
    def says_so(self) -> bool:
        """Whether the engine says that its index answers: by its plan, or where it has none by its count."""
        return self.n_indexed is not None and self.n_indexed >= self.n if self.named is None else self.named

    @property
    def needs_control(self) -> bool:
        """Whether only a graph beside it tells an index on easy data from one that ignores ef_search."""
        return self.finding == "unmoved" and self.says_so and self.control is None

    @property
    def finding(self) -> Finding:
        """The rule: what an engine says against itself first, then distances, then answers."""
        if self.n_indexed is not None and self.n_indexed < self.n:
            return "partly indexed"
        if self.named is False:
            return "not named"
        if self.ndis is not None and self.starved_ndis is not None:
            return self._by_distances(self.ndis, self.starved_ndis)
        if self.starvation.falls:
            return "used"
        if self.starvation.seems_to_fall:
            return "doubtful"
        no_power = self.control is not None and not self.control.falls
        return "too easy" if no_power and self.says_so else "unmoved"

    def _by_distances(self, ndis: float, starved_ndis: float) -> Finding:
        if ndis <= 0:
            return "nothing compared"
        exhaustive = ndis > WELL_BELOW * self.n
        if starved_ndis > STARVED * ndis and (exhaustive or not self.starvation.falls):
            return "unmoved"
        return "costly" if exhaustive else "used"


def nearest_distance(truth: Truth, base: FloatArray, queries: FloatArray) -> NDArray[np.float64]:
    """Return the exact squared distance (nq,) of each query's nearest row."""
    near = truth.ids[:, : truth.right.shape[1]]
    nearest: NDArray[np.float64] = exact_distances(base, queries, near).min(axis=1)
    return nearest


def finds_nearest(truth: Truth, base: FloatArray, queries: FloatArray, ids: IdArray) -> NDArray[np.bool_]:
    """Return for which queries (nq,) the first of the ids (nq, >= 1) is as near as the nearest row."""
    distances = exact_distances(base, queries, ids[:, :1])
    return is_right(distances, nearest_distance(truth, base, queries))[:, 0]
