"""An exported configuration tried on the engine itself: is the index used, as asked, as good as it says?"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import numpy as np

from tuner.data.ids import describe_deleted
from tuner.data.vectors import Vectors
from tuner.engine_jobs.gather import Gathered, gather
from tuner.engine_jobs.pose import VerifyOptions, pose_for_engine
from tuner.engines import Engine, EngineDiedError, EngineProcess
from tuner.runtime.journal import Journal
from tuner.sweep.pose import PosedProblem
from tuner.types import Claims, Event, Exported, IdArray, Line, Note, VerifyResult

HELD_OUT = "held out"
OTHER_BYTES = 0.10
"""Beyond this share, other bytes than the same engine took before mean another index."""


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
    if deleted := describe_deleted(base):
        gathered.lines.append(Line("data", "info", deleted))
    try:
        yield Note(f"{can.title}: {config.label}")
        with EngineProcess(config, deployment) as process:
            yield from gather(journal, process, can, config, posed, half, gathered)
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


def _fresh_queries(posed: PosedProblem, claims: Claims) -> IdArray:
    """Return the queries that chose nothing: the held-out half if the settings were chosen on these."""
    problem, query_set = posed.problem, posed.query_set
    same = HELD_OUT if query_set.held_out_rows else query_set.fingerprint
    if same == claims.queries:
        return problem.validate
    return np.arange(len(problem.raw))


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
