"""What every stage of a sweep works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from tuner.data.base import Base
from tuner.recall.metric import standard_error, summarize
from tuner.recall.truth import Truth
from tuner.types import FloatArray, IdArray, Options, Recall

CHANCE_TO_VALIDATE = 1.282
"""Standard normal quantile of .9: how surely a point that passes on one half passes on the other."""
USUAL_SPREAD = 1.5
"""Standard deviation of recall over queries, as a multiple of what independent hits would have."""


@dataclass(frozen=True)
class Problem:
    """The data, the queries and the target of one run.

    Attributes:
        raw: (nq, d) float32 queries as the user's index will get them.
        queries: (nq, d') float32 in the prepared space.
        truth: of all queries.
        tune: positions of the half that parameters are chosen on.
        validate: positions of the half that is reported.
        links_path: level 0 lists of the one graph.
        measured_aim: ``aim``, once the spread of hits over queries is known.
    """

    options: Options
    base: Base
    raw: FloatArray
    queries: FloatArray
    truth: Truth
    tune: IdArray
    validate: IdArray
    links_path: Path
    threads: int
    measured_aim: float | None = None

    def hits(self, ids: IdArray, half: IdArray) -> NDArray[np.int64]:
        """Return tie-aware hits per query of ids that were returned for one half."""
        return self.truth.part(half).hits(self.base.x, self.queries[half], ids)

    def recall(self, hits: NDArray[np.int64]) -> Recall:
        """Return recall with its bound."""
        return summarize(hits, self.options.k, self.options.confidence)

    def margin(self, tune_hits: NDArray[np.int64]) -> float:
        """Return how far tune recall must lie above the target.

        So that the lower bound on the validation half meets the target nine times in ten, the mean
        of the tune half must exceed it by the bound's own width and by the spread of the difference
        of the two halves.
        """
        on_tune = standard_error(tune_hits, self.options.k)
        on_validate = on_tune * float((len(self.tune) / len(self.validate)) ** 0.5)
        bound = float(ndtri(self.options.confidence)) * on_validate + 1 / (len(self.validate) + 1)
        return bound + CHANCE_TO_VALIDATE * float(np.hypot(on_tune, on_validate))

    def needed(self, tune_hits: NDArray[np.int64]) -> float:
        """Return the mean recall from which on a point's tune half is good enough to choose it."""
        return min(1.0, self.options.recall + self.margin(tune_hits))

    def validated(self, recall: Recall) -> bool:
        """Return whether the held-out half supports the target."""
        return recall.lower >= self.options.recall

    @property
    def best_bound(self) -> float:
        """Return the lower bound that perfect recall would have on the held-out half."""
        perfect = np.full(len(self.validate), self.options.k, dtype=np.int64)
        return self.recall(perfect).lower

    @property
    def aim(self) -> float:
        """Mean recall that predictions are made for: the target, and a margin until that is measured."""
        if self.measured_aim is not None:
            return self.measured_aim
        target, k = self.options.recall, self.options.k
        return self._aim(USUAL_SPREAD * float((target * (1 - target) / k) ** 0.5))

    def aim_of(self, hits: NDArray[np.int64]) -> float:
        """Return the aim that the spread of some queries' hits, near the target, asks for."""
        return self._aim(float((hits / self.options.k).std(ddof=1)))

    def _aim(self, spread: float) -> float:
        target, n_tune, n_validate = self.options.recall, len(self.tune), len(self.validate)
        spread = float(np.hypot(spread, n_tune**-0.5))  # the imaginary query that fails, as in the bound
        errors = spread / n_tune**0.5, spread / n_validate**0.5
        bound = float(ndtri(self.options.confidence)) * errors[1] + 1 / (n_validate + 1)
        margin = bound + CHANCE_TO_VALIDATE * float(np.hypot(*errors))
        return float(min(target + margin, 1 - 0.3 * (1 - target)))

    def max_memory_bytes(self) -> float:
        """Return the limit on resident bytes, infinite without one."""
        limits = [float("inf")]
        if self.options.max_memory_bytes is not None:
            limits.append(float(self.options.max_memory_bytes))
        if self.options.max_memory_per_vector is not None:
            limits.append(self.options.max_memory_per_vector * self.base.n)
        return min(limits)
