"""A run rehearsed, ``--dry-run``: whatever can be checked in seconds is, and nothing is built or written."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import numpy as np

from tuner.data.checks import check_inputs
from tuner.data.profile import check_queries, rows_without_direction, scan
from tuner.data.vectors import Vectors
from tuner.recall.allowed import GivenFilters
from tuner.runtime.journal import Journal
from tuner.sweep.plan import check_resources
from tuner.sweep.pose import draw_queries
from tuner.sweep.prepare import accept_data, refuse_with_filters, with_sensible_space
from tuner.sweep.sample_size import plan_of_sample, rows_that_fit
from tuner.types import Event, Note, Options, Profile


def rehearse(
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    work: Path,
    scratch: Path,
    filters: GivenFilters | None = None,
) -> Generator[Event, None, tuple[str, ...]]:
    """Yield what is known of the data; return the lines of the plan, everything checked but the building.

    Args:
        work: scratch folder of the run, which is not made.
        scratch: empty folder of the rehearsal itself, which the caller removes.
        filters: filters of the queries, None without any.

    Raises:
        InputError: base, queries and options do not fit, or no index could meet the limits.
        ResourceError: too little memory, disk or time.
    """
    check_inputs(base, queries, options)
    options = yield from with_sensible_space(options, base.d)
    n = rows_that_fit(base, queries, options, work)
    refuse_with_filters(options, filters, sample=n is not None)
    needed = plan_of_sample(base, queries, options, work, n or base.n)
    check_resources(needed, options, work)
    journal = Journal(scratch, {}, resume=False)
    reading = partial(scan, base, options.metric, seed=options.seed)
    profile = yield from journal.stage("profile", "read and profile the vectors", Profile, reading)
    if queries is not None:
        check_queries(base, queries, profile.metric)
    _, query_set, _ = draw_queries(base, queries, profile, options, rows_without_direction(base, profile))
    yield from accept_data(base, options.rerank_store, profile, query_set)
    if filters is not None:
        held_out = np.array(query_set.held_out_rows, dtype=np.int64)
        yield Note(filters.filters(held_out).described)
    return needed.lines
