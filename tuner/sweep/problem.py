"""What every stage of a sweep works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.recall.metric import without_rows
from tuner.recall.target import Target, summarize
from tuner.recall.truth import Truth
from tuner.types import FloatArray, IdArray, Options, Recall


@dataclass(frozen=True)
class Problem:
    """The data, the queries and the target of one run.

    Attributes:
        raw: (nq, d) float32 queries as the user's index will get them.
        queries: (nq, d') float32 in the prepared space.
        truth: exact neighbours of all queries.
        tune: positions of the half that parameters are chosen on.
        validate: positions of the half that is reported.
        links_path: level 0 lists of the one graph.
        measured_aim: ``aim``, once the spread of hits over queries is known.
        own: (nq,) prepared row that each query is itself, which is no answer; None where queries are no rows.
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
    own: IdArray | None = None

    @property
    def extra(self) -> int:
        """Answers asked for beyond k: the query itself may be among them."""
        return 0 if self.own is None else 1

    def hits(self, ids: IdArray, half: IdArray) -> NDArray[np.int64]:
        """Return tie-aware hits per query of ids (nq, >= k + extra) that were returned for one half."""
        ids = self.without_themselves(ids, half)
        return self.truth.part(half).hits(self.base.x, self.queries[half], ids)

    def without_themselves(self, ids: IdArray, half: IdArray) -> IdArray:
        """Return answers (nq, m) without the row that each query is itself, -1 last in its place."""
        return ids if self.own is None else without_rows(ids, self.own[half])

    def recall(self, hits: NDArray[np.int64]) -> Recall:
        """Return recall with its bound."""
        return summarize(hits, self.options.k, self.options.confidence)

    @property
    def target(self) -> Target:
        """The target with the sizes of the two halves."""
        return Target(
            recall=self.options.recall,
            k=self.options.k,
            confidence=self.options.confidence,
            n_tune=len(self.tune),
            n_validate=len(self.validate),
        )

    def needed(self, tune_hits: NDArray[np.int64]) -> float:
        """Return the mean recall from which on a point's tune half is good enough to choose it."""
        return self.target.needed(tune_hits)

    def validated(self, recall: Recall) -> bool:
        """Return whether the held-out half supports the target."""
        return recall.lower >= self.options.recall

    @property
    def aim(self) -> float:
        """Mean recall that predictions are made for: the target, and a margin until that is measured."""
        return self.target.usual_aim if self.measured_aim is None else self.measured_aim

    def aim_of(self, hits: NDArray[np.int64]) -> float:
        """Return the aim that the spread of some queries' hits, near the target, asks for."""
        return self.target.aim_of(hits)

    def max_memory_bytes(self) -> float:
        """Return the limit on resident bytes, infinite without one."""
        limits = [float("inf")]
        if self.options.max_memory_bytes is not None:
            limits.append(float(self.options.max_memory_bytes))
        if self.options.max_memory_per_vector is not None:
            limits.append(self.options.max_memory_per_vector * self.base.n_delivered)
        return min(limits)
