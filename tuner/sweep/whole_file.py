"""The whole file behind a sample: what its codecs would lose among all rows, measured and not extrapolated.

What a codec loses grows with the rows, because neighbours come closer to each other. An exact search of all
rows costs little, so ceilings are those of the whole file although graph and curves are of the sample.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from tuner.data.base import Base, in_prepared_space, prepared_blocks
from tuner.data.vectors import Vectors
from tuner.prediction.ceilings import Pool, make_pool
from tuner.recall.truth import judged, nearest_ids
from tuner.runtime.journal import Journal, about, rename_synced
from tuner.runtime.steps import scaled
from tuner.sweep.pose import FEWEST_POOL_QUERIES, WHOLE_POOL, is_whole, pool_shape, work_of
from tuner.sweep.problem import Problem
from tuner.types import Event, IdArray, Profile, Steps

ROWS = 4096
"""Rows read at once while the pool is written."""


class WholeRows(Protocol):
    """All rows, of which the problem has some."""

    def pool(self, journal: Journal, problem: Problem) -> Generator[Event, None, tuple[Pool, Base]]:
        """Yield events; return the pool of exact neighbours among all rows, and the rows that it names.

        Args:
            problem: the problem of some rows, whose queries are asked.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class WholeFile:
    """The file that a sample was drawn from.

    Attributes:
        vectors: all its rows.
        profile: what one pass over them said.
        left_out: rows that no answer may be: queries and rows without a direction, ascending.
    """

    vectors: Vectors
    profile: Profile
    left_out: IdArray

    @property
    def n(self) -> int:
        """Number of vectors that an index of the whole file holds."""
        return self.profile.n_indexed

    def pool(self, journal: Journal, problem: Problem) -> Generator[Event, None, tuple[Pool, Base]]:
        """Yield events; return the pool of exact neighbours among all rows, and the rows that it names."""
        path = work_of(problem) / WHOLE_POOL
        d = problem.base.d
        pool = yield from journal.stage(
            "pool-whole",
            f"exact neighbours among all {self.n:,} rows, for ceilings",
            Pool,
            partial(_draw, problem, self, path),
            intact=lambda pool: is_whole(path, 4 * len(pool.rows) * d),
        )
        return pool, mapped_rows(path, len(pool.rows), problem.base)


def pool_queries(problem: Problem) -> int:
    """Return how many queries have a pool among all rows: its rows take no more memory than the sample."""
    n_queries, depth = pool_shape(problem.options, problem.base.d)
    return min(n_queries, max(FEWEST_POOL_QUERIES, problem.base.n // depth))


def _draw(problem: Problem, whole: WholeFile, path: Path) -> Steps[Pool]:
    metric, radius = problem.base.metric, whole.profile.norm_max
    _, depth = pool_shape(problem.options, problem.base.d)
    queries = problem.queries[problem.sample(pool_queries(problem))]
    blocks = prepared_blocks(whole.vectors, metric, whole.left_out, radius)
    depth = min(depth, whole.vectors.n - len(whole.left_out))
    nearest = yield from scaled(nearest_ids(blocks, whole.vectors.n, queries, depth), 0.0, 0.9)
    rows = np.unique(nearest)
    partial_file = path.with_suffix(".partial")
    with about(path), partial_file.open("wb") as out:
        for start in range(0, len(rows), ROWS):
            some = in_prepared_space(whole.vectors.rows(rows[start : start + ROWS]), metric, radius)
            out.write(np.ascontiguousarray(some).data)
    rename_synced(partial_file, path)
    base = mapped_rows(path, len(rows), problem.base)
    found = judged(np.searchsorted(rows, nearest), base.x, queries, problem.options.k)
    yield 1.0
    return make_pool(base, queries, found)


def mapped_rows(path: Path, m: int, sample: Base) -> Base:
    """Return ``m`` prepared rows of a file as a base like that of the sample."""
    x = np.memmap(path, dtype=np.float32, mode="r", shape=(m, sample.d))
    return Base(x=x, rows=None, metric=sample.metric, radius=sample.radius)
