"""Stage 1: inputs checked, resources checked, the problem posed."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from tuner.data.checks import check_inputs
from tuner.data.ids import describe_rows
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters, GivenFilters
from tuner.runtime.journal import Journal
from tuner.runtime.machine import describe_versions
from tuner.runtime.process import use_threads
from tuner.sweep.claims import distance_doubts, neighbour_doubts
from tuner.sweep.codec_space import sensible
from tuner.sweep.doubts import MOST_COLUMNS_A_ROW, Doubt
from tuner.sweep.filters.bands import refuse_small_shares, with_enough_rows
from tuner.sweep.plan import Plan, check_resources, plan
from tuner.sweep.pose import PosedProblem, pose, read_profile
from tuner.sweep.problem import Problem
from tuner.sweep.whole_file import WholeRows
from tuner.text import counted
from tuner.types import Estimated, Event, Note, Options, Profile, QuerySet, StoreAt, Warned

SHORTEST = 1e-12
"""Squared distances of shorter rows are lost in float32."""
MOST_NORM = 60.0
"""Inner product becomes L2 with a column of the size of the longest row; measured: at 100 times the mean,
rounding in that column makes wrong neighbours count as right."""


@dataclass(frozen=True)
class Prepared:
    """The posed problem of a sweep.

    Attributes:
        journal: finished stages.
        plan: what the run was expected to need.
        posed: the problem with its profile and queries.
        warnings: doubts about the data.
        started_s: clock at the start of the run, as ``time.perf_counter`` gives it.
        whole: all rows, where the base has some of them; None where it has all.
        filters: filters of the queries, over the prepared rows; None where the user gave none.
    """

    journal: Journal
    plan: Plan
    posed: PosedProblem
    warnings: tuple[Warned, ...]
    started_s: float
    whole: WholeRows | None = None
    filters: Filters | None = None

    @property
    def problem(self) -> Problem:
        """The problem, its aim not measured yet."""
        return self.posed.problem


def prepare(
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    work: Path,
    *,
    resume: bool,
    filters: GivenFilters | None = None,
) -> Generator[Event, None, Prepared]:
    """Yield events; return the posed problem, every input checked.

    Args:
        base: vectors to index.
        queries: the user's queries, or None to hold some of the base out.
        options: what the user asked for.
        work: scratch folder; emptied unless resuming.
        resume: go on from what an earlier run left in ``work``.
        filters: filters of the queries, None without any.

    Raises:
        InputError: base, queries and options do not fit.
        ResourceError: too little memory, disk or time.
    """
    started_s = time.perf_counter()
    check_inputs(base, queries, options)
    refuse_with_filters(options, filters)
    refuse_small_shares(options, base.n)
    options = yield from with_sensible_space(options, base.d)
    needed = plan(base, queries, options, work, filtered=filters is not None)
    check_resources(needed, options, work)
    yield Estimated(needed.estimate_s, needed.stages)
    use_threads(options.threads)
    journal = Journal(work, identity(base, queries, options, filters), resume=resume)
    profile = yield from read_profile(journal, base, queries, options, title="read and profile the vectors")
    accept = partial(accept_data, base, options.rerank_store)
    posed = yield from pose(
        journal, base, queries, options, work, profile=profile, accept=accept, put_back=True
    )
    of_the_file = neighbour_doubts(base, queries, posed)
    yield from of_the_file
    doubts = (*doubts_of(base, profile, posed.query_set), *of_the_file)
    allowed = None if filters is None else _over_prepared_rows(filters, posed)
    return Prepared(journal, needed, posed, doubts, started_s, filters=allowed)


def _over_prepared_rows(given: GivenFilters, posed: PosedProblem) -> Filters:
    """Return the filters of all queries over the rows that are indexed.

    Raises:
        InputError: too few queries have filters that allow k rows.
    """
    held_out = np.array(posed.query_set.held_out_rows, dtype=np.int64)
    filters = given.filters(held_out).among(posed.rows)
    with_enough_rows(posed.problem, filters)
    return filters


def refuse_with_filters(options: Options, filters: GivenFilters | None, *, sample: bool = False) -> None:
    """Raise InputError if the user asked for what a sweep with filters does not do.

    Args:
        sample: whether a sample of the rows is tuned.
    """
    if filters is None and not options.selectivity:
        return
    if filters is not None and options.selectivity:
        raise InputError(f"{filters.source} gives filters and --selectivity makes them up: use one of them")
    refused = {
        "--duplicates collapse": options.duplicates == "collapse",
        "--rerank-store disk": options.rerank_store == "disk",
        "--exhaustive": options.exhaustive,
        "--time-budget or --memory-limit, which make it a sample,": sample,
    }
    found = [name for name, asked in refused.items() if asked]
    if found:
        raise InputError(f"{found[0]} is not for filtered search: leave it out, or run without filters")


def with_sensible_space(options: Options, d: int) -> Generator[Event, None, Options]:
    """Yield what is left out of the space at ``d`` dimensions; return the options with what is left."""
    asked = options.space.M
    options = replace(options, space=sensible(options.space, d))
    if asked != options.space.M:
        left_out = ", ".join(str(M) for M in asked if M not in options.space.M)
        yield Note(f"M {left_out} left out: their links would take more bytes than the vectors in float32")
    return options


def accept_data(base: Vectors, store_at: StoreAt, profile: Profile, query_set: QuerySet) -> Iterable[Event]:
    """Yield what is known of the data before anything that takes long; refuse what float32 cannot hold."""
    yield from describe_profile(profile)
    if remark := describe_rows(base):
        yield Note(remark)
    check_norms(base, profile)
    if profile.n_left_out and store_at == "disk":
        raise InputError(
            f"{base.source}: {profile.n_left_out:,} of its rows are zero and left out of an index, and an "
            "index whose store lies on disk answers with positions: take these rows out of the file first"
        )
    yield from doubts_of(base, profile, query_set)


def doubts_of(base: Vectors, profile: Profile, query_set: QuerySet) -> tuple[Warned, ...]:
    """Return what the user should know of vectors and queries before trusting a figure."""
    doubts = [*distance_doubts(base, profile.metric)]
    if profile.d > MOST_COLUMNS_A_ROW * profile.n:
        doubts.append(Doubt.ON_ITS_SIDE.about(n=profile.n, d=profile.d))
    if profile.n_left_out:
        doubts.append(Doubt.ZERO_ROWS.about(n_left_out=profile.n_left_out, n=profile.n))
    if query_set.n_in_base:
        doubts.append(Doubt.QUERIES_IN_BASE.about(n_in_base=query_set.n_in_base, n_queries=query_set.n))
    return tuple(doubts)


def describe_profile(profile: Profile) -> Iterator[Note]:
    """Yield what the user should know of the vectors."""
    yield Note(
        f"{profile.n:,} x {profile.d} {profile.dtype}; metric {profile.metric}: {profile.metric_reason}"
    )
    if profile.n_duplicate_rows:
        yield Note(
            f"{profile.n_duplicate_rows:,} rows ({profile.n_duplicate_rows / profile.n:.1%}) repeat another; "
            f"the largest group has {profile.largest_duplicate_group:,}"
        )
    if profile.dead_dimensions:
        yield Note(
            f"{counted(len(profile.dead_dimensions), 'dimension')} of {profile.d} without any variance"
        )


def check_norms(base: Vectors, profile: Profile) -> None:
    """Raise InputError where squared distances of the rows are lost in float32."""
    if profile.metric != "cosine" and profile.norm_max < SHORTEST:
        raise InputError(
            f"{base.source}: the longest row has norm {profile.norm_max:.3g}, too short to be squared "
            "in float32: multiply base and queries by a constant"
        )
    if profile.metric == "ip" and profile.norm_max > MOST_NORM * profile.norm_mean:
        raise InputError(
            f"{base.source}: the longest row has norm {profile.norm_max:.3g}, {MOST_NORM:g} times the mean "
            f"of {profile.norm_mean:.3g} or more: beside it the inner products of the others cannot be told "
            "apart in float32; take such rows out or scale them down"
        )


def identity(
    base: Vectors, queries: Vectors | None, options: Options, filters: GivenFilters | None = None
) -> dict[str, str]:
    """Return what the stages of a journal depend on."""
    settings = msgspec.to_builtins(options)
    settings.pop("threads")
    return {
        "data": base.fingerprint,
        "ids": "rows" if base.ids is None else hashlib.blake2b(base.ids.tobytes()).hexdigest(),
        "queries": queries.fingerprint if queries is not None else "held out",
        "options": msgspec.json.encode(settings).decode(),
        "filters": "none" if filters is None else filters.fingerprint,
        "versions": msgspec.json.encode(describe_versions()).decode(),
    }
