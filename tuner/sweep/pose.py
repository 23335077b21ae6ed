"""From the user's files to a problem: inputs checked, queries split, the base prepared, exact neighbours.

Every job poses its problem here: the sweep, the recall gate, the diagnosis, jobs in a running engine.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuner.data.base import Base, open_prepared, prepare, prepared_queries
from tuner.data.checks import check_inputs
from tuner.data.profile import check_queries, rows_without_direction, scan
from tuner.data.split import count_in_base, drawn_of, held_out_rows, random_order
from tuner.data.vectors import Vectors
from tuner.prediction.ceilings import Pool, make_pool
from tuner.recall.truth import Truth, cached
from tuner.runtime.journal import Journal
from tuner.runtime.machine import available_cores
from tuner.runtime.process import use_threads
from tuner.runtime.timing import thinned
from tuner.sweep.problem import Problem
from tuner.sweep.rows_indexed import NO_ROWS, RowsIndexed, groups_among, rows_indexed
from tuner.types import Event, FloatArray, IdArray, Note, Options, Profile, QuerySet, Steps

PREPARED, WHOLE, LINKS, ADDED_LINKS = "base.f32", "whole.f32", "links.i32", "links-added.i32"
WHOLE_POOL, PART_LINKS = "pool-whole.f32", "links-part.i32"
"""Scratch files beside the journal."""
POOL_QUERIES, FEWEST_POOL_QUERIES = 192, 64
POOL_DEPTH_K, DEEPER = 80, 5
"""Depth of the pool, as multiples of k and of the most candidates re-ranked."""


@dataclass(frozen=True)
class PosedProblem:
    """A problem, and what is known of the data it was made of.

    Attributes:
        vectors: the user's rows, as they are.
        groups: (n,) number of the vector that each of them holds; None where each has a node of its own.
    """

    problem: Problem
    profile: Profile
    query_set: QuerySet
    vectors: Vectors
    groups: IdArray | None = None

    @property
    def rows(self) -> IdArray | None:
        """Rows of the user's file that are indexed, None for all; ids of an index are positions in it."""
        return self.problem.base.rows

    @property
    def n(self) -> int:
        """Number of vectors that are indexed."""
        return self.problem.base.n

    @property
    def everyone(self) -> IdArray:
        """Positions of all queries."""
        return np.arange(self.problem.n_queries)

    def raw(self, some: IdArray) -> FloatArray:
        """Return some of the queries as the user has them, by position."""
        return self.problem.raw[some]


def read_profile(
    journal: Journal,
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    *,
    title: str = "read the vectors",
) -> Generator[Event, None, Profile]:
    """Yield events; return the profile of the base, inputs checked and threads set.

    Raises:
        InputError: base, queries and options do not fit.
    """
    check_inputs(base, queries, options)
    use_threads(options.threads)
    profile = yield from journal.stage(
        "profile", title, Profile, lambda: scan(base, options.metric, seed=options.seed)
    )
    return profile


def accept_any(profile: Profile, query_set: QuerySet) -> Iterable[Event]:
    """Return no event: any data are welcome."""
    return ()


def pose(
    journal: Journal,
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    work: Path,
    *,
    profile: Profile | None = None,
    accept: Callable[[Profile, QuerySet], Iterable[Event]] = accept_any,
    put_back: bool = False,
    held_out: IdArray = NO_ROWS,
) -> Generator[Event, None, PosedProblem]:
    """Yield events; return the problem, with the exact neighbours of every query.

    Args:
        journal: finished stages of the job.
        base: vectors to index.
        queries: the user's queries, or None to hold some of the base out.
        options: options of the job.
        work: scratch folder of the prepared base and the links.
        profile: profile of the base where ``read_profile`` has read it already.
        accept: events to yield once the data are known, before anything that takes long; it raises
            InputError where the job cannot use them.
        put_back: whether the index handed over will hold rows that are held out now.
        held_out: rows, ascending, that queries are which are given all the same; none where these are drawn.

    Raises:
        InputError: base, queries and options do not fit.
    """
    if profile is None:
        profile = yield from read_profile(journal, base, queries, options)
    nowhere = rows_without_direction(base, profile)
    raw, query_set, order = draw_queries(base, queries, profile, options, nowhere, held_out)
    query_set = replace(query_set, indexed=put_back and bool(query_set.held_out_rows))
    yield from accept(profile, query_set)
    if queries is not None:
        check_queries(base, queries, profile.metric)
    groups = yield from groups_among(journal, base, profile, nowhere, options)
    rows = np.array(query_set.held_out_rows, dtype=np.int64)
    indexed = rows_indexed(base.n, nowhere, rows, groups, put_back=put_back)
    prepared = yield from prepared_base(journal, base, profile, indexed, work)
    wanted = prepared_queries(raw, profile.metric)
    truth, from_cache = yield from journal.stage(
        "truth",
        "exact neighbours of every query",
        tuple[Truth, bool],
        lambda: cached(
            _truth_key(profile, query_set, "truth", prepared),
            prepared.x,
            wanted,
            options.k,
            options.k,
            prepared.weights,
        ),
    )
    if from_cache:
        yield Note("exact neighbours came from the cache of an earlier run")
    problem = problem_of(options, prepared, raw, wanted, truth, order, work)
    return PosedProblem(problem, profile, query_set, base, groups)


def problem_of(
    options: Options,
    prepared: Base,
    raw: FloatArray,
    queries: FloatArray,
    truth: Truth,
    order: IdArray,
    work: Path,
) -> Problem:
    """Return the problem of prepared data.

    Args:
        raw: (nq, d) float32 queries as the user has them.
        queries: (nq, d') float32 queries in the prepared space.
        order: positions of the queries in random order.
        work: scratch folder of the links.
    """
    return Problem(
        options=options,
        base=prepared,
        raw=raw,
        queries=queries,
        truth=truth,
        order=order,
        links_path=work / LINKS,
        threads=options.threads or available_cores(),
    )


def draw_queries(
    base: Vectors,
    queries: Vectors | None,
    profile: Profile,
    options: Options,
    nowhere: IdArray,
    held_out: IdArray = NO_ROWS,
) -> tuple[FloatArray, QuerySet, IdArray]:
    """Return the raw queries, what is known of them, and their positions in random order.

    Args:
        nowhere: rows that no index holds, which are no queries either, ascending.
        held_out: rows, ascending, that the base lacks where queries are given.
    """
    if queries is None:
        rows = held_out_rows(base.n, nowhere, options.n_queries, options.seed, options.earlier)
        raw, source, fingerprint = base.rows(rows), "held out of the base", profile.fingerprint
    else:
        rows = held_out
        raw, source, fingerprint = queries.read(0, queries.n), queries.source, queries.fingerprint
    order = random_order(len(raw), options.seed)
    query_set = QuerySet(
        source=source,
        fingerprint=fingerprint,
        n=len(raw),
        held_out_rows=tuple(int(row) for row in rows),
        n_in_base=count_in_base(base, raw, np.union1d(rows, nowhere)),
        drawn=drawn_of(rows, order),
    )
    return raw, query_set, order


def prepared_base(
    journal: Journal,
    base: Vectors,
    profile: Profile,
    indexed: RowsIndexed,
    work: Path,
    *,
    name: str = PREPARED,
) -> Generator[Event, None, Base]:
    """Yield events; return the prepared base, written once and mapped.

    Args:
        indexed: rows of the file that it is made of.
        name: name of the scratch file.
    """
    path, left_out = work / name, indexed.left_out

    def write() -> Steps[tuple[int, int]]:
        prepared = yield from prepare(base, profile.metric, left_out, profile.norm_max, path)
        return prepared.n, prepared.d

    n, d = yield from journal.stage(
        "prepare" if name == PREPARED else f"prepare-{name}",
        "write the prepared base",
        tuple[int, int],
        write,
        intact=lambda shape: is_whole(path, 4 * shape[0] * shape[1]),
    )
    prepared = open_prepared(
        path, n, d, profile.metric, left_out, profile.norm_max, added=indexed.added, own_ids=base.ids
    )
    return replace(prepared, copies=indexed.copies, answers=indexed.answers)


def work_of(problem: Problem) -> Path:
    """Return the scratch folder of a problem."""
    return problem.links_path.parent


def whole_base(journal: Journal, posed: PosedProblem) -> Generator[Event, None, Base]:
    """Yield events; return the prepared base of every row that an index can hold."""
    vectors, profile, work = posed.vectors, posed.profile, work_of(posed.problem)
    nowhere = rows_without_direction(vectors, profile)
    indexed = rows_indexed(vectors.n, nowhere, NO_ROWS, posed.groups, put_back=False)
    return (yield from prepared_base(journal, vectors, profile, indexed, work, name=WHOLE))


def truth_pool(problem: Problem, profile: Profile, query_set: QuerySet) -> Steps[Pool]:
    """Yield the share done; return the pool that ceilings are measured on."""
    n_queries, depth = pool_shape(problem.options, problem.base.d)
    queries = problem.queries[problem.sample(n_queries)]
    key, weights = _truth_key(profile, query_set, "pool", problem.base), problem.base.weights
    truth, _ = yield from cached(key, problem.base.x, queries, depth, problem.options.k, weights)
    return make_pool(problem.base, queries, truth)


def pool_shape(options: Options, d: int) -> tuple[int, int]:
    """Return how many queries have a pool of prepared rows of ``d`` columns, and how many rows each."""
    n_queries = thinned(POOL_QUERIES, d, FEWEST_POOL_QUERIES)
    return n_queries, options.k * max(POOL_DEPTH_K, DEEPER * max(options.space.rerank_factors))


def is_whole(path: Path, size: int) -> bool:
    """Return whether a scratch file is there with all its bytes."""
    return path.exists() and path.stat().st_size == size


def _truth_key(profile: Profile, query_set: QuerySet, what: str, base: Base) -> tuple[object, ...]:
    return (
        what if base.copies is None else f"{what} of distinct rows",
        profile.fingerprint,
        profile.metric,
        query_set.fingerprint,
        query_set.held_out_rows,
        query_set.n,
    )
