"""Copies of one vector, which cut a graph into groups: an index of each distinct row, which stands for them.

A node links to its nearest, and the nearest of a copy are the other copies. Where these take all its links,
or an engine prunes what is no nearer to the node than to its copy, no walk leads out of a group. An index of
the distinct rows is no such graph; what it finds of all rows says whether copies were the cause.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tuner.data.vectors import Vectors, row_groups
from tuner.engines import Deployment, EngineConfig, EngineProcess, ReportedConfig
from tuner.engines.protocol import Answers
from tuner.types import FloatArray, IdArray, Steps

BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class Copies:
    """Rows by the vectors that they hold.

    Attributes:
        first: (m,) position of the first row of each distinct vector, ascending.
        members: (n,) positions, those of one vector together in the order of ``first``.
        starts: (m + 1,) place in ``members`` at which each vector's rows start, and n.
    """

    first: IdArray
    members: IdArray
    starts: IdArray

    @property
    def n_copies(self) -> int:
        """Rows that repeat an earlier one."""
        return len(self.members) - len(self.first)

    def expanded(self, found: IdArray, k: int) -> IdArray:
        """Return the first k rows (nq, k) that distinct vectors (nq, m) stand for, -1 after the last.

        Example:
            >>> copies = Copies(np.array([0, 1]), np.array([0, 2, 1]), np.array([0, 2, 3]))
            >>> copies.expanded(np.array([[1, 0]]), 4)
            array([[ 1,  0,  2, -1]])
        """
        out = np.full((len(found), k), -1, dtype=np.int64)
        for mine, vectors in zip(out, found.tolist(), strict=True):
            rows = np.concatenate([self._rows(vector, k) for vector in vectors])[:k]
            mine[: len(rows)] = rows
        return out

    def _rows(self, vector: int, k: int) -> IdArray:
        """Return at most k rows of a vector; none of -1, which stands for no answer."""
        if vector < 0:
            return self.members[:0]
        return self.members[self.starts[vector] : min(self.starts[vector + 1], self.starts[vector] + k)]


def copies_among(vectors: Vectors, rows: IdArray | None) -> Copies:
    """Return the rows (all if None) by the vectors that they hold, bit for bit."""
    n = vectors.n if rows is None else len(rows)
    chosen = np.arange(n) if rows is None else rows
    step = max(256, BLOCK_BYTES // (4 * vectors.d))
    group = row_groups(vectors.rows(chosen[start : start + step]) for start in range(0, n, step))
    starts = np.concatenate([[0], np.cumsum(np.bincount(group))])
    members = np.argsort(group, kind="stable")
    return Copies(members[starts[:-1]], members, starts)


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
