"""A problem whose queries are rows of the index itself, each without itself among its answers."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from tuner.data.base import prepared_queries
from tuner.data.profile import rows_without_direction
from tuner.data.vectors import Vectors
from tuner.recall.truth import MARGIN, Truth, search_exactly, without_own
from tuner.runtime.journal import Journal
from tuner.sweep.added_rows import nodes_of
from tuner.sweep.pose import WHOLE, PosedProblem, prepared_base, problem_of
from tuner.sweep.rows_indexed import NO_ROWS, groups_among, rows_indexed
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
    nowhere = rows_without_direction(base, profile)
    groups = yield from groups_among(journal, base, profile, nowhere, options)
    indexed = rows_indexed(base.n, nowhere, NO_ROWS, groups, put_back=False)
    whole = yield from prepared_base(journal, base, profile, indexed, work, name=WHOLE)
    raw, k = base.rows(rows), options.k
    queries, own = prepared_queries(raw, profile.metric), nodes_of(rows, whole)
    truth = yield from journal.stage(
        "truth-within",
        "exact neighbours of every query",
        Truth,
        lambda: search_exactly(whole.x, queries, k + 1 + MARGIN, k + 1, whole.weights),
    )
    theirs = without_own(truth, own, whole.x, queries, k)
    problem = problem_of(options, whole, raw, queries, theirs, order, work)
    return PosedProblem(replace(problem, own=own), profile, query_set, base, groups)
