"""The questions that an engine is asked: the user's rows and queries, with their exact neighbours."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tuner.data.checks import check_inputs
from tuner.data.profile import check_queries, scan
from tuner.data.vectors import Vectors
from tuner.runtime.journal import Journal
from tuner.runtime.machine import use_threads
from tuner.sweep.prepare import pose, prepared_base, split
from tuner.sweep.problem import Problem
from tuner.types import Event, FloatArray, IdArray, Options, Profile, QuerySet


@dataclass(frozen=True)
class Questions:
    """What engines are loaded with and asked.

    Attributes:
        vectors: the user's rows, as they are.
        rows: those that are indexed, or None for all; ids of an engine are positions among them.
    """

    problem: Problem
    profile: Profile
    query_set: QuerySet
    vectors: Vectors

    @property
    def rows(self) -> IdArray | None:
        """Rows of the user's file that are indexed, None for all."""
        return self.problem.base.rows

    @property
    def n(self) -> int:
        """Vectors that are indexed."""
        return self.problem.base.n

    @property
    def everyone(self) -> IdArray:
        """Positions of all queries."""
        return np.arange(len(self.problem.raw))

    def raw(self, half: IdArray) -> FloatArray:
        """Return some of the queries as the user has them, by position."""
        return self.problem.raw[half]


def posed(
    journal: Journal, base: Vectors, queries: Vectors | None, options: Options, work: Path
) -> Generator[Event, None, Questions]:
    """Yield events; return the questions.

    Raises:
        InputError: base, queries and options do not fit.
    """
    check_inputs(base, queries, options)
    use_threads(options.threads)
    profile = yield from journal.stage(
        "profile", "read the vectors", Profile, lambda: scan(base, options.metric, seed=options.seed)
    )
    if queries is not None:
        check_queries(base, queries, profile.metric)
    raw, query_set, halves = split(base, queries, profile, options)
    held_out = np.array(query_set.held_out_rows, dtype=np.int64)
    prepared = yield from prepared_base(journal, base, profile, held_out, work)
    problem = yield from pose(journal, options, profile, query_set, prepared, raw, halves, work)
    return Questions(problem, profile, query_set, base)
