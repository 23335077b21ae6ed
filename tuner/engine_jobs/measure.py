"""One engine at work for the tuner: an index built, searched, timed, and its defaults beside it."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from tuner.engine_jobs.find_ef import find, interleaved_ratio, point_of
from tuner.engine_jobs.points import DefaultComparison, EnginePoint
from tuner.engines import (
    Capabilities,
    Deployment,
    Engine,
    EngineConfig,
    EngineDiedError,
    EngineProcess,
    problems,
)
from tuner.engines.translate import nearest_name
from tuner.prediction.curves import curves_of
from tuner.runtime.steps import as_progress, scaled
from tuner.sweep.pose import PosedProblem
from tuner.types import Event, Result, StageFinished, StageStarted, Warned

T = TypeVar("T")
LOADING = 0.7
"""Share of an index's time that loading and building are taken to be, on the progress line."""
DEFAULTS = "defaults"


@dataclass(frozen=True)
class Bench:
    """One engine, the questions it is asked, and where it works.

    Attributes:
        result: the sweep whose surface predicts.
        work: scratch folder.
        threads: to build with.
    """

    engine: Engine
    asked: PosedProblem
    result: Result
    work: Path
    threads: int

    @property
    def can(self) -> Capabilities:
        """What the engine can express."""
        return self.engine.capabilities

    @property
    def most_ef(self) -> int:
        """Largest ef_search that is tried."""
        return min(self.can.ef_search[1], self.asked.problem.options.space.ef_search_max)

    def place(self, name: str) -> Deployment:
        """Return a folder of its own for an index."""
        folder = self.work / f"engine-{name.replace('/', '-')}"
        folder.mkdir(parents=True)
        return Deployment(folder=folder, threads=self.threads, n=self.asked.n)

    def measured(
        self, apart: EngineProcess, what: EngineConfig, first_factor: int, name: str = ""
    ) -> Generator[Event, None, EnginePoint]:
        """Yield events; return a codec's point."""
        name, asked = name or what.codec, self.asked
        load_s = yield from as_progress(name, scaled(apart.load(asked.vectors, asked.rows), 0.0, LOADING))
        searching = find(apart, self.can, what, asked, what.ef_search, self.most_ef, first_factor)
        found = yield from as_progress(name, scaled(searching, LOADING, 1.0))
        ahead = predicted(self.engine, found.settings, self.result, asked.n)
        return point_of(apart, found, asked, self.most_ef, load_s, ahead)

    def beside(
        self, mine: EngineProcess, chosen: EnginePoint
    ) -> Generator[Event, None, DefaultComparison | None]:
        """Yield events; return the engine's defaults at this target, None if they do not fit the data."""
        can, usual = self.can, self.can.defaults
        what = replace(
            chosen.settings,
            codec=usual.codec,
            M=usual.M,
            ef_construction=usual.ef_construction,
            ef_search=max(usual.ef_search, chosen.settings.k),
            oversampling=usual.oversampling,
        )
        if problems(self.engine, what):
            return None
        yield StageStarted(DEFAULTS, f"build {can.title}'s own default beside it")
        try:
            with EngineProcess(what, self.place(DEFAULTS)) as theirs:
                point = yield from self.measured(theirs, what, usual.oversampling, DEFAULTS)
                mine.set_search(chosen.settings.ef_search, chosen.settings.oversampling)
                queries = self.asked.raw(self.asked.problem.validate)
                ratio = interleaved_ratio(mine, theirs, queries, chosen.settings.k)
        except EngineDiedError as error:
            yield Warned(str(error))
            return None
        yield StageFinished(DEFAULTS, f"its default: {told(point)}", point.load_s, 0.0)
        return DefaultComparison(
            point=point, memory_ratio=point.index_bytes / chosen.index_bytes, latency_ratio=ratio
        )


def predicted(
    engine: Engine, settings: EngineConfig, result: Result, n: int
) -> tuple[float | None, int | None]:
    """Return the recall and the bytes that a sweep predicts for an engine's settings, from faiss's nearest
    codec.

    Bytes are those of faiss's index without codebooks: codes, links and 16 bytes a vector for levels,
    offsets and the links above level 0 (4 M / (M - 1)); with float32 for re-scoring where it is part of the
    engine's index.
    """
    codec, can = engine.capabilities.codec(settings.codec), engine.capabilities
    if codec is None or settings.d % codec.multiple_of:
        return None, None
    name = nearest_name(codec, settings.d)
    ceiling = next((each for each in result.ceilings if each.codec == name and each.cut == "none"), None)
    if ceiling is None or not ceiling.recall_at:
        return None, None
    exact = 4 * settings.d if settings.oversampling > 1 and can.runs == "library" else 0
    size = n * (ceiling.code_bytes + 2 * 4 * settings.M + 16 + exact)
    curve = curves_of(result.curves).get(settings.M)
    known = {1: ceiling.recall_at[1]} | ceiling.recall_with.get("fp32", ceiling.recall_at)
    factors = sorted(known)
    if curve is None or settings.oversampling > factors[-1]:
        return None, size
    # engines take factors between those of the sweep
    best = float(np.interp(settings.oversampling, factors, [known[factor] for factor in factors]))
    return best * curve.recall_at(settings.ef_search), size


def told(point: EnginePoint) -> str:
    """Return a point in one line."""
    settings = point.settings
    scored = f" re-scoring x{settings.oversampling}" if settings.oversampling > 1 else ""
    reached = "" if point.reaches_target else ", misses the target"
    return (
        f"{settings.codec} M={settings.M} ef_search={settings.ef_search}{scored}: recall "
        f"{point.validated.mean:.4f} (at least {point.validated.lower:.4f}), {point.index_bytes:,} bytes, "
        f"{1e6 * point.latency.mean_s:,.0f} us"
        f"{reached}; loaded and built"
    )
