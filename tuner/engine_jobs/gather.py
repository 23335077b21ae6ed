"""Figures of one configuration in its engine, kept as they come."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from tuner.engine_jobs.control import starve_control
from tuner.engine_jobs.filtered import FilteredQueries, search_filtered
from tuner.engine_jobs.use import applied_line, index_use, pieces_line, starve, use_line
from tuner.engines import Capabilities, EngineConfig, EngineProcess
from tuner.errors import InputError
from tuner.recall.starvation import Starvation
from tuner.runtime.journal import Journal
from tuner.sweep.pose import PosedProblem
from tuner.types import Event, FilteredBand, Latency, Line, Progress, Recall, ReportedConfig, Steps

CHUNK = 64
"""Queries that an engine answers between two signs of life."""


@dataclass
class Gathered:
    """Figures as they come, so that those before a failure are kept."""

    lines: list[Line] = field(default_factory=list)
    recall: Recall | None = None
    latency: Latency | None = None
    index_bytes: int | None = None
    applied: ReportedConfig | None = None
    load_s: float | None = None
    filtered: tuple[FilteredBand, ...] = ()


def gather(
    journal: Journal,
    process: EngineProcess,
    can: Capabilities,
    config: EngineConfig,
    posed: PosedProblem,
    gathered: Gathered,
    asked: FilteredQueries | None = None,
) -> Generator[Event, None, None]:
    """Yield events; load, build and search in a started engine, and prove that its index answered.

    Args:
        asked: queries with filters, which are searched too; None without any.

    Raises:
        InputError: there are filters, and the engine's filtered search is not built.
    """
    if asked is not None and not process.has_filters():
        raise InputError(
            f"{can.title}: searching with filters is not built for it, so nothing was verified: leave "
            "the filters out"
        )
    if asked is not None:
        process.tag_rows(asked.tags)
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
        "search", f"search {posed.problem.n_queries:,} queries, one at a time", int,
        lambda: _searched(process, config, posed, gathered),
    )  # fmt: skip
    yield Progress("search", 1.0, "starve the search")
    starved = starve(process, can, config, posed, np.arange(len(posed.problem.raw)))
    use = index_use(starved, gathered.applied, posed.n)
    if use.needs_control:
        control = yield from journal.stage(
            "control", "starve a graph of the same rows beside it", Starvation,
            lambda: starve_control(config, can.starved_ef, posed),
        )  # fmt: skip
        use = index_use(starved, gathered.applied, posed.n, control)
    gathered.lines.append(use_line(use, gathered.applied))
    if gathered.recall is not None and not posed.problem.certified(gathered.recall):
        gathered.lines += filter(None, [pieces_line(process, config, posed)])
    if asked is not None:
        gathered.filtered, lines = yield from journal.stage(
            "filters", "search with filters, band by band", tuple[tuple[FilteredBand, ...], tuple[Line, ...]],
            lambda: search_filtered(process, can, config, posed, asked),
        )  # fmt: skip
        gathered.lines += lines


def _searched(
    process: EngineProcess, config: EngineConfig, posed: PosedProblem, gathered: Gathered
) -> Steps[int]:
    """Search chunk by chunk; recall and latency so far are kept after each."""
    problem, k, everyone = posed.problem, config.k, posed.everyone
    process.search(posed.raw(everyone[:CHUNK]), k)  # fetches pages, and whatever a client prepares at first
    ids, seconds = [], []
    for start in range(0, len(everyone), CHUNK):
        answers = process.search(posed.raw(everyone[start : start + CHUNK]), k)
        ids.append(answers.ids)
        seconds.append(answers.seconds)
        done = everyone[: start + len(answers.ids)] if start + CHUNK < len(everyone) else everyone
        if len(done) > 1:
            gathered.recall = problem.recall(problem.hits(np.concatenate(ids), done))
        gathered.latency = latency_of(np.concatenate(seconds))
        yield len(done) / len(everyone)
    return len(everyone)


def latency_of(seconds: np.ndarray) -> Latency:
    """Return the latency of searches one at a time, (nq,) seconds."""
    p50, p95, p99 = np.percentile(seconds, [50, 95, 99])
    return Latency(
        mean_s=float(seconds.mean()), p50_s=float(p50), p95_s=float(p95), p99_s=float(p99), n_rounds=1
    )
