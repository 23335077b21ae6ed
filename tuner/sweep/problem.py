"""What every stage of a sweep works on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.recall.metric import without_rows
from tuner.recall.target import Target
from tuner.recall.truth import Truth
from tuner.types import FloatArray, IdArray, Options, Recall


@dataclass(frozen=True)
class Problem:
    """The data, the queries and the target of one run.

    Attributes:
        raw: (nq, d) float32 queries as the user's index will get them.
        queries: (nq, d') float32 in the prepared space.
        truth: exact neighbours of all queries.
        order: positions of all queries in random order: the first few are a sample.
        links_path: level 0 lists of the one graph.
        measured_aim: ``aim``, once the spread of hits over queries is known.
        quantile: standard errors between mean and bound, once it is known how many indexes it must hold for;
            None is that of one index.
        own: (nq,) prepared row that each query is itself, which is no answer; None where queries are no rows.
    """

    options: Options
    base: Base
    raw: FloatArray
    queries: FloatArray
    truth: Truth
    order: IdArray
    links_path: Path
    threads: int
    measured_aim: float | None = None
    quantile: float | None = None
    own: IdArray | None = None

    @property
    def extra(self) -> int:
        """Answers asked for beyond k: the query itself may be among them."""
        return 0 if self.own is None else 1

    @property
    def n_queries(self) -> int:
        """Number of queries."""
        return len(self.raw)

    def sample(self, n: int) -> IdArray:
        """Return positions of at most ``n`` queries, drawn at random."""
        return self.order[:n]

    def part(self, some: IdArray) -> Problem:
        """Return the problem with some of the queries, by position, in the order in which they are given."""
        return replace(
            self,
            raw=self.raw[some],
            queries=self.queries[some],
            truth=self.truth.part(some),
            order=np.arange(len(some)),
            own=None if self.own is None else self.own[some],
        )

    @property
    def halves(self) -> tuple[IdArray, IdArray]:
        """Positions of two halves of the queries, drawn at random; the first has the odd one."""
        middle = (len(self.order) + 1) // 2
        return self.order[:middle], self.order[middle:]

    def hits(self, ids: IdArray, some: IdArray | None = None) -> NDArray[np.int64]:
        """Return tie-aware hits per query of ids (nq, >= k + extra) that were returned.

        Args:
            some: positions of the queries that were asked; None for all.
        """
        ids = self.without_themselves(ids, some)
        if some is None:
            return self.truth.hits(self.base.x, self.queries, ids)
        return self.truth.part(some).hits(self.base.x, self.queries[some], ids)

    def without_themselves(self, ids: IdArray, some: IdArray | None = None) -> IdArray:
        """Return answers (nq, m) without the row that each query is itself, -1 last in its place."""
        if self.own is None:
            return ids
        own = self.own if self.truth.own is None else self.truth.never_answers
        return without_rows(ids, np.asarray(own if some is None or own is None else own[some]))

    def recall(self, hits: NDArray[np.int64]) -> Recall:
        """Return recall with its bound."""
        return self.target.summarize(hits)

    @property
    def target(self) -> Target:
        """The target with the number of queries that must show it."""
        return Target(
            recall=self.options.recall,
            k=self.options.k,
            confidence=self.options.confidence,
            n_queries=self.n_queries,
            quantile=self.quantile,
        )

    def certified(self, recall: Recall) -> bool:
        """Return whether the lower bound meets the target."""
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
        return self.options.memory_limit(self.base.n_answers)
