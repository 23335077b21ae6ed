"""A problem whose queries are rows of the index itself, each without itself among its answers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from tuner.data.base import prepared_queries
from tuner.data.profile import rows_without_direction
from tuner.data.vectors import Vectors
from tuner.index.opened import prepared_rows
from tuner.recall.truth import MARGIN, Truth, search_exactly, without_own
from tuner.runtime.journal import Journal
from tuner.sweep.pose import WHOLE, PosedProblem, prepared_base, problem_of
from tuner.types import Event, IdArray, Options, Profile, QuerySet


def pose_within(
    journal: Journal,
    base: Vectors,
    profile: Profile,
    rows: IdArray,
    query_set: QuerySet,
    order: IdArray,
    options: Options,
    work: Path,
) -> Generator[Event, None, PosedProblem]:
    """Yield events; return the problem, with the exact neighbours of every query among all other rows.

    Args:
        rows: rows of the file that are the queries.
        query_set: what is known of these queries.
        order: positions of the queries in random order.
    """
    whole = yield from prepared_base(
        journal, base, profile, rows_without_direction(base, profile), work, name=WHOLE
    )
    raw, k = base.rows(rows), options.k
    queries, own = prepared_queries(raw, profile.metric), prepared_rows(rows, whole)
    truth = yield from journal.stage(
        "truth-within",
        "exact neighbours of every query",
        Truth,
        lambda: search_exactly(whole.x, queries, k + 1 + MARGIN, k + 1),
    )
    theirs = without_own(truth, own, whole.x, queries, k)
    problem = problem_of(options, whole, raw, queries, theirs, order, work)
    return PosedProblem(replace(problem, own=own), profile, query_set, base)
