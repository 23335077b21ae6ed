"""An exported configuration tried on the engine itself: is the index used, as asked, as good as it says?"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tuner.data.vectors import Vectors
from tuner.engine_jobs.use import applied_line, starve, use_line
from tuner.engines import (
    Capabilities,
    Deployment,
    Engine,
    EngineDiedError,
    EngineProcess,
    require_installed,
)
from tuner.errors import InputError
from tuner.runtime.journal import Journal
from tuner.runtime.machine import available_cores
from tuner.space import default_space
from tuner.sweep.pose import PosedProblem, pose
from tuner.types import (
    Claims,
    EngineConfig,
    Event,
    Exported,
    IdArray,
    Latency,
    Line,
    Note,
    Options,
    Progress,
    Recall,
    ReportedConfig,
    Steps,
    VerifyResult,
)

CHUNK = 64
"""Queries that an engine answers between two signs of life."""
HELD_OUT = "held out"
OTHER_BYTES = 0.10
"""Beyond this share, other bytes than the same engine took before mean another index."""


@dataclass(frozen=True, kw_only=True)
class VerifyOptions:
    """What the user asked for.

    Attributes:
        address: DSN or URL of the user's own server; None starts one.
        name: name of the table, collection or index.
        replace: whether one of that name may be dropped.
        recall: target instead of the file's.
        threads: threads that build; 0 means all cores.
    """

    address: str | None = field(default=None, repr=False)
    name: str = "tune_items"
    replace: bool = False
    recall: float | None = None
    threads: int = 0


@dataclass
class Gathered:
    """Figures as they come, so that those before a failure are kept."""

    lines: list[Line] = field(default_factory=list)
    recall: Recall | None = None
    latency: Latency | None = None
    index_bytes: int | None = None
    applied: ReportedConfig | None = None
    load_s: float | None = None


def verify(
    engine: Engine,
    exported: Exported,
    base: Vectors,
    queries: Vectors | None,
    options: VerifyOptions,
    work: Path,
) -> Generator[Event, None, VerifyResult]:
    """Yield events; return the verdict. Scratch files go to ``work``, which the caller removes.

    Raises:
        InputError: the data do not fit the file, the engine is not installed or cannot be reached.
    """
    config, claims, can = exported.settings, exported.claims, engine.capabilities
    posed, deployment = yield from pose_for_engine(engine, exported, base, queries, options, work)
    half, target = _fresh_queries(posed, claims), posed.problem.options.recall
    gathered, journal, died = Gathered(), Journal(work, {}, resume=False), False
    try:
        yield Note(f"{can.title}: {config.label}")
        with EngineProcess(config, deployment) as process:
            yield from _measured(journal, process, can, config, posed, half, gathered)
    except EngineDiedError as error:
        died = True
        gathered.lines.append(Line("engine", "fail", f"{error}; the figures are those up to then"))
    gathered.lines += _judged(gathered, exported, target, posed.n)
    failed = any(line.status == "fail" for line in gathered.lines)
    return VerifyResult(
        engine=can.name,
        settings=config,
        claims=claims,
        verdict="died" if died else "not_verified" if failed else "verified",
        lines=tuple(gathered.lines),
        recall=gathered.recall,
        latency=gathered.latency,
        index_bytes=gathered.index_bytes,
        applied=gathered.applied,
        load_s=gathered.load_s,
    )


def pose_for_engine(
    engine: Engine,
    exported: Exported,
    base: Vectors,
    queries: Vectors | None,
    options: VerifyOptions,
    work: Path,
) -> Generator[Event, None, tuple[PosedProblem, Deployment]]:
    """Yield events; return the questions for an engine, and where its index is to be.

    Raises:
        InputError: the data do not fit the file, or the engine is not installed.
    """
    config, can = exported.settings, engine.capabilities
    if base.d != config.d:
        raise InputError(f"{base.source} has {base.d} columns, and the configuration is for {config.d}")
    _check_address(can, options)
    if engine.open is None:
        raise InputError(f"{can.title} does not run on a development machine: nothing was verified")
    require_installed(engine, options.address)
    problem_options = _options_of(exported, queries, options)
    posed = yield from pose(Journal(work, {}, resume=False), base, queries, problem_options, work)
    folder = work / "engine"
    folder.mkdir()
    deployment = Deployment(
        folder=folder,
        name=options.name,
        address=options.address,
        replace=options.replace,
        threads=options.threads or available_cores(),
        n=posed.n,
    )
    return posed, deployment


def _check_address(can: Capabilities, options: VerifyOptions) -> None:
    if options.address is not None and not can.takes_address:
        raise InputError(f"{can.title} takes no server address: leave --dsn and --url out")


def _options_of(exported: Exported, queries: Vectors | None, options: VerifyOptions) -> Options:
    config, claims = exported.settings, exported.claims
    held_out = claims.n_held_out if queries is None and claims.n_held_out else None
    return Options(
        recall=claims.target if options.recall is None else options.recall,
        k=config.k,
        metric=config.metric,
        confidence=claims.confidence,
        seed=claims.seed,
        threads=options.threads,
        n_queries=held_out,
        space=default_space(),
    )


def _fresh_queries(posed: PosedProblem, claims: Claims) -> IdArray:
    """Return the queries that chose nothing: the held-out half if the settings were chosen on these."""
    problem, query_set = posed.problem, posed.query_set
    same = HELD_OUT if query_set.held_out_rows else query_set.fingerprint
    if same == claims.queries:
        return problem.validate
    return np.arange(len(problem.raw))


def _measured(
    journal: Journal,
    process: EngineProcess,
    can: Capabilities,
    config: EngineConfig,
    posed: PosedProblem,
    half: IdArray,
    gathered: Gathered,
) -> Generator[Event, None, None]:
    gathered.load_s = yield from journal.stage(
        "load",
        f"load {posed.n:,} vectors and build",
        float,
        lambda: process.load(posed.vectors, posed.rows),
    )
    gathered.applied = process.applied()
    gathered.lines.append(applied_line(config, gathered.applied))
    gathered.index_bytes = process.index_bytes()
    yield from journal.stage(
        "search", f"search {len(half):,} queries, one at a time", int,
        lambda: _searched(process, config, posed, half, gathered),
    )  # fmt: skip
    yield Progress("search", 1.0, "starve the search")
    starved = starve(process, can, config, posed, np.arange(len(posed.problem.raw)))
    gathered.lines.append(use_line(starved, gathered.applied, posed.n))


def _searched(
    process: EngineProcess, config: EngineConfig, posed: PosedProblem, half: IdArray, gathered: Gathered
) -> Steps[int]:
    """Search chunk by chunk; recall and latency so far are kept after each."""
    problem, k = posed.problem, config.k
    process.search(posed.raw(half[:CHUNK]), k)  # fetches pages, and whatever a client prepares at first
    ids, seconds = [], []
    for start in range(0, len(half), CHUNK):
        answers = process.search(posed.raw(half[start : start + CHUNK]), k)
        ids.append(answers.ids)
        seconds.append(answers.seconds)
        done = half[: start + len(answers.ids)] if start + CHUNK < len(half) else half
        if len(done) > 1:
            gathered.recall = problem.recall(problem.hits(np.concatenate(ids), done))
        gathered.latency = latency_of(np.concatenate(seconds))
        yield len(done) / len(half)
    return len(half)


def latency_of(seconds: np.ndarray) -> Latency:
    """Return the latency of searches one at a time, (nq,) seconds."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return Latency(
        mean_s=float(seconds.mean()), p50_s=float(p50), p95_s=float(p95), p99_s=float(p99), n_rounds=1
    )


def _judged(gathered: Gathered, exported: Exported, target: float, n: int) -> list[Line]:
    claims, lines = exported.claims, []
    recall, size = gathered.recall, gathered.index_bytes
    if recall is not None:
        text = (
            f"{recall.mean:.4f}, at least {recall.lower:.4f}, on {recall.n_queries:,} queries; "
            f"{claims.recall:.4f} was measured in {claims.measured_in}"
        )
        reached = recall.lower >= target
        lines.append(Line("recall", "pass" if reached else "fail", f"{text}; the target is {target:g}"))
    if size is not None:
        before = claims.index_bytes * n / claims.n
        text = f"{size:,} bytes of index; {before:,.0f} by {claims.measured_in}"
        # blocks and codebooks do not grow with n: only the same n can be compared so closely
        other = claims.in_engine and n == claims.n and abs(size / before - 1) > OTHER_BYTES
        lines.append(Line("memory", "fail" if other else "info", text + (": another index" if other else "")))
    if gathered.latency is not None:
        one = gathered.latency
        text = f"{1e6 * one.mean_s:,.0f} us a query, p95 {1e6 * one.p95_s:,.0f}, the client's call included"
        lines.append(Line("latency", "info", text))
    return lines
