"""From the user's files to shards: rows counted, looked at and dealt, exact neighbours of the queries."""

from __future__ import annotations

import shutil
import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from tuner.cluster.deal import deal, most_shards, rows_of
from tuner.cluster.forecast import expected, stages_of_shards
from tuner.cluster.look import Looked, look
from tuner.cluster.merge import merged_truth
from tuner.cluster.queries import draw_queries
from tuner.cluster.shard import Near, Shard, nearest_in_shard, prepare_shard
from tuner.cluster.source import Source, open_source, state_of
from tuner.cluster.stages import ITEMS, across
from tuner.data.base import Base, prepared_queries
from tuner.data.checks import check_inputs
from tuner.data.ids import fits_in_index, read_ids
from tuner.data.profile import check_queries
from tuner.data.split import n_held_out, random_order
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.runtime.journal import JOURNAL, Journal, cpu_seconds, write_atomically
from tuner.runtime.machine import available_cores, describe_versions
from tuner.runtime.steps import as_progress
from tuner.runtime.workers import Workers
from tuner.sweep.codec_space import sensible
from tuner.sweep.few_rows import is_exact_the_answer
from tuner.sweep.hopeless import refuse_hopeless_limits
from tuner.sweep.index_file import npy_bytes
from tuner.sweep.pose import LINKS
from tuner.sweep.prepare import accept_data
from tuner.sweep.problem import Problem
from tuner.sweep.rows_indexed import NO_ROWS
from tuner.types import Estimated, Event, FloatArray, Options, QuerySet, StageFinished, StageStarted

QUERIES_FILE, IDS_FILE = "queries.npy", "ids.npy"


@dataclass(frozen=True)
class Request:
    """What the user asked for beside options.

    Attributes:
        name: file, pattern, folder or address of the vectors.
        column: name of the matrix in a file of several.
        ids: file of ids of the rows, whole numbers; None where row numbers are ids.
        n_shards: number of shards; None takes as many as there are machines.
        node_bytes: memory of a machine that serves a shard, None where it does not matter.
    """

    name: str
    column: str | None = None
    ids: str | None = None
    n_shards: int | None = None
    node_bytes: int | None = None


@dataclass(frozen=True)
class PosedShards:
    """Shards, and what is asked of them.

    Attributes:
        near: nearest rows of each query within each shard, none of them a query itself.
        problem: the problem of all rows, whose base has only their number.
    """

    request: Request
    journal: Journal
    source: Source
    looked: Looked
    query_set: QuerySet
    shards: list[Shard]
    near: list[Near]
    problem: Problem


def pose_shards(
    workers: Workers,
    request: Request,
    queries: Vectors | None,
    options: Options,
    work: Path,
    *,
    resume: bool,
) -> Generator[Event, None, PosedShards]:
    """Yield events; return the shards with the exact neighbours of every query.

    Args:
        queries: the user's queries, or None to hold some of the rows out.

    Raises:
        InputError: vectors, queries and options do not fit.
    """
    refuse_with_shards(options)
    source = yield from _counted(workers, request)
    options = replace(options, space=sensible(options.space, source.d))
    one_row = source.vectors(np.zeros(1, dtype=np.int64))
    whole = replace(one_row, n=source.n, kept=None, ids=None)
    check_inputs(whole, queries, options)
    n_shards = _number_of_shards(workers, request, source)
    identity = _identity(request, source, queries, options, n_shards)
    if not resume:
        remove_scratch(work)
    journal = Journal(work, identity, resume=resume)
    yield _expected(workers, source, queries, options, n_shards)
    looked = yield from look(journal, workers, source, options)
    raw, asked = yield from draw_queries(journal, workers, source, looked, queries, options)
    write_atomically(work / QUERIES_FILE, npy_bytes(raw))
    yield from accept_data(whole, options.rerank_store, looked.profile, asked)
    if queries is not None:
        check_queries(whole, queries, looked.profile.metric)
    shards = _shards(request, source, looked, asked, options, n_shards, work, identity)
    n, added = sum(shard.n for shard in shards), len(asked.held_out_rows)
    if is_exact_the_answer(options, n - added, n, source.d):
        raise InputError(
            f"{source.shown}: for the {options.k:,} nearest of {n:,} rows exact search is the answer, which "
            "needs no shards: run tune without --shards and --ray"
        )
    refuse_hopeless_limits(options, n, source.d)
    title = "write the prepared rows of every shard"
    yield from across(journal, workers, "prepare", title, int, prepare_shard, shards)
    title = "exact neighbours within every shard"
    near = yield from across(journal, workers, "truth", title, Near, nearest_in_shard, shards)
    problem = _problem_of_all(options, looked, raw, near, n - added, added, work)
    return PosedShards(request, journal, source, looked, asked, shards, near, problem)


def refuse_with_shards(options: Options) -> None:
    """Raise InputError if the user asked for what a sweep over shards does not do."""
    refused = {
        "--exhaustive": options.exhaustive,
        "--baseline hnswlib": options.baseline == "hnswlib",
        "--duplicates collapse": options.duplicates == "collapse",
        "--rerank-store disk": options.rerank_store == "disk",
        "--time-budget": options.time_budget_s is not None,
        "--memory-limit": options.run_memory_bytes is not None,
        "--selectivity": bool(options.selectivity),
        "several --k or --recall": bool(options.other_ks or options.other_recalls),
    }
    found = [name for name, asked in refused.items() if asked]
    if found:
        raise InputError(f"{found[0]} is not for shards: leave it out, or run without --shards and --ray")


def remove_scratch(work: Path) -> None:
    """Remove what shards left in the scratch folder of a finished run."""
    ours = [mark.parent for mark in work.glob(f"shard-[0-9][0-9][0-9][0-9][0-9]/{JOURNAL}")]
    for folder in (*ours, work / ITEMS):
        shutil.rmtree(folder, ignore_errors=True)
    for name in (QUERIES_FILE, IDS_FILE):
        (work / name).unlink(missing_ok=True)
    with suppress(OSError):  # someone else's files are in it
        work.rmdir()


def _counted(workers: Workers, request: Request) -> Generator[Event, None, Source]:
    """Yield events; return the source. Nothing of it is kept: a run that is resumed counts the rows again."""
    name, title = "count", "count the rows of every file"
    started_s, cpu_s = time.perf_counter(), cpu_seconds()
    yield StageStarted(name, title)
    source = yield from as_progress(name, open_source(workers, request.name, request.column))
    yield StageFinished(name, title, time.perf_counter() - started_s, cpu_seconds() - cpu_s)
    return source


def _number_of_shards(workers: Workers, request: Request, source: Source) -> int:
    wanted, most = request.n_shards, most_shards(source.n)
    if wanted is None:
        return min(workers.n_nodes, most)
    if not 1 <= wanted <= most:
        raise InputError(
            f"--shards is {wanted}, and {source.n:,} rows of {source.shown} are dealt to 1 to {most}: "
            "give one of these"
        )
    return wanted


def _expected(
    workers: Workers, source: Source, queries: Vectors | None, options: Options, n_shards: int
) -> Estimated:
    held_out = queries is None
    n_queries = n_held_out(source.n, options.n_queries) if queries is None else queries.n
    n_nodes = workers.n_nodes
    stages = stages_of_shards(source.n, source.d, n_queries, options, n_shards, n_nodes, held_out=held_out)
    return expected(stages)


def _identity(
    request: Request, source: Source, queries: Vectors | None, options: Options, n_shards: int
) -> dict[str, str]:
    """Return what finished stages depend on; of local files also when they were written last."""
    settings = msgspec.to_builtins(options)
    settings.pop("threads")
    times = [state_of(file) for file in source.files]
    return {
        "data": msgspec.json.encode([source.shown, source.counts, source.d, source.dtype, times]).decode(),
        "ids": request.ids or "rows",
        "queries": "held out" if queries is None else queries.fingerprint,
        "options": msgspec.json.encode(settings).decode(),
        "shards": str(n_shards),
        "versions": msgspec.json.encode(describe_versions()).decode(),
    }


def _shards(
    request: Request,
    source: Source,
    looked: Looked,
    asked: QuerySet,
    options: Options,
    n_shards: int,
    work: Path,
    identity: dict[str, str],
) -> list[Shard]:
    nowhere, held_out = looked.nowhere, np.array(asked.held_out_rows, dtype=np.int64)
    ids = None if request.ids is None else _write_ids(request.ids, source, work)
    shards = []
    for number, runs in enumerate(deal(source, n_shards, options.seed)):
        mine = nowhere[np.isin(nowhere, rows_of(runs, NO_ROWS), assume_unique=True)]
        shards.append(
            Shard(
                number=number,
                source=source,
                runs=runs,
                left_out=mine,
                held_out=held_out,
                n=int((runs[:, 1] - runs[:, 0]).sum()) - len(mine),
                ids=ids,
                n_shards=n_shards,
                folder=work / f"shard-{number:05}",
                identity=identity,
                profile=looked.profile,
                options=options,
                asked=work / QUERIES_FILE,
            )
        )
    return shards


def _write_ids(name: str, source: Source, work: Path) -> Path:
    """Write the user's own ids where all machines find them.

    Raises:
        InputError: they are no list of as many whole numbers, or mark rows as deleted.
    """
    found = read_ids(name)
    if len(found.names) != source.n:
        raise InputError(
            f"{name} has {len(found.names):,} ids and {source.shown} has {source.n:,} rows: give one id a row"
        )
    if not fits_in_index(found.names) or found.n_deleted:
        what = "deleted rows" if found.n_deleted else "text"
        raise InputError(f"{name} has {what}, and ids of shards are whole numbers: give one to every row")
    path = work / IDS_FILE
    write_atomically(path, npy_bytes(found.names))
    return path


def _problem_of_all(
    options: Options, looked: Looked, raw: FloatArray, near: list[Near], n: int, added: int, work: Path
) -> Problem:
    """Return the problem of all rows, of which the base has only the number.

    Args:
        n: number of rows that indexes hold while they are measured.
        added: number of rows that are queries, which are put back.
    """
    metric = looked.profile.metric
    queries = prepared_queries(raw, metric)
    nothing = np.broadcast_to(np.zeros(1, dtype=np.float32), (n, queries.shape[1]))
    return Problem(
        options=options,
        base=Base(x=nothing, rows=None, metric=metric, radius=0.0, added=added),
        raw=raw,
        queries=queries,
        truth=merged_truth(near, options.k),
        order=random_order(len(raw), options.seed),
        links_path=work / LINKS,
        threads=options.threads or available_cores(),
    )
