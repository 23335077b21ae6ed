"""Copies of one vector, which cut a graph into groups: an index of each distinct row, which stands for them.

A node links to its nearest, and the nearest of a copy are the other copies. Where these take all its links,
or an engine prunes what is no nearer to the node than to its copy, no walk leads out of a group. An index of
the distinct rows is no such graph; what it finds of all rows says whether copies were the cause.
"""

from __future__ import annotations

from dataclasses import replace

from tuner.data.copies import Copies
from tuner.data.vectors import Vectors
from tuner.engines import Deployment, EngineConfig, EngineProcess, ReportedConfig
from tuner.engines.protocol import Answers
from tuner.types import FloatArray, IdArray, Steps


class DistinctRows(EngineProcess):
    """An engine's index of each distinct row, whose answers are all rows that these stand for.

    Args:
        copies: all rows by what they hold.
    """

    def __init__(self, config: EngineConfig, deployment: Deployment, copies: Copies) -> None:
        super().__init__(config, replace(deployment, n=len(copies.first)))
        self.copies = copies

    def load(self, vectors: Vectors, rows: IdArray | None, order: IdArray | None = None) -> Steps[float]:
        """Yield the share done; load the distinct ones of the rows, build, and return wall seconds.

        Args:
            vectors: the user's file.
            rows: rows of it that are indexed, None for all.
            order: positions among the distinct rows in the order in which they are loaded.
        """
        return super().load(vectors, self.copies.first if rows is None else rows[self.copies.first], order)

    def search(self, queries: FloatArray, k: int) -> Answers:
        """Return what queries (nq, d), asked one at a time, get, copies included."""
        answers = super().search(queries, k)
        return replace(answers, ids=self.copies.expanded(answers.ids, k))

    def applied(self) -> ReportedConfig:
        """Return what the engine says it did; a vector that is indexed stands for its copies too."""
        reported = super().applied()
        whole = reported.n_indexed == len(self.copies.first)
        return replace(reported, n_indexed=len(self.copies.members)) if whole else reported
