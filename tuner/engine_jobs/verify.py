"""An exported configuration tried on the engine itself: is the index used, as asked, as good as it says?"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from tuner.data.ids import describe_rows
from tuner.data.vectors import Vectors
from tuner.engine_jobs.filtered import pose_filtered
from tuner.engine_jobs.gather import Gathered, gather
from tuner.engine_jobs.pose import VerifyOptions, pose_for_engine
from tuner.engines import Engine, EngineDiedError, EngineProcess
from tuner.recall.allowed import GivenFilters
from tuner.runtime.journal import Journal
from tuner.types import Event, Exported, Line, Note, Recall, VerifyResult

OTHER_BYTES = 0.10
"""Beyond this share, other bytes than the same engine took before mean another index."""


def verify(
    engine: Engine,
    exported: Exported,
    base: Vectors,
    queries: Vectors | None,
    options: VerifyOptions,
    work: Path,
    filters: GivenFilters | None = None,
) -> Generator[Event, None, VerifyResult]:
    """Yield events; return the verdict. Scratch files go to ``work``, which the caller removes.

    Args:
        filters: filters of the queries as the user gave them; None without any.

    Raises:
        InputError: the data do not fit the file, the engine is not installed or cannot be reached, or it is
            not searched with filters here.
    """
    config, claims, can = exported.settings, exported.claims, engine.capabilities
    posed, deployment = yield from pose_for_engine(engine, exported, base, queries, options, work)
    target = posed.problem.options.recall
    gathered, journal, died = Gathered(), Journal(work, {}, resume=False), False
    asked = None
    if filters is not None:
        asked = yield from pose_filtered(journal, posed, filters)
        deployment = replace(deployment, tagged=True)
    if remark := describe_rows(base):
        gathered.lines.append(Line("data", "info", remark))
    try:
        yield Note(f"{can.title}: {config.label}")
        with EngineProcess(config, deployment) as process:
            yield from gather(journal, process, can, config, posed, gathered, asked)
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
        filtered=gathered.filtered,
    )


def _recall_line(recall: Recall, target: float, text: str) -> Line:
    """Judge recall against the target: another build of what just meets it may lie a little below."""
    if recall.lower >= target:
        return Line("recall", "pass", f"{text}; the target is {target:g}")
    if 2 * recall.mean - recall.lower >= target:
        return Line("recall", "warn", f"{text}; the target of {target:g} is neither shown nor surely missed")
    return Line("recall", "fail", f"{text}; it is surely below the target of {target:g}")


def _judged(gathered: Gathered, exported: Exported, target: float, n: int) -> list[Line]:
    claims, lines = exported.claims, []
    recall, size = gathered.recall, gathered.index_bytes
    if recall is not None:
        text = (
            f"{recall.mean:.4f}, at least {recall.lower:.4f}, on {recall.n_queries:,} queries; "
            f"{claims.recall:.4f} was measured in {claims.measured_in}"
        )
        lines.append(_recall_line(recall, target, text))
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
