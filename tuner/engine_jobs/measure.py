"""One engine measured for the tuner: an index built, searched, timed, and compared with its default."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tuner.engine_jobs.find_ef import find, point_of
from tuner.engines import (
    Capabilities,
    Deployment,
    Engine,
    EngineProcess,
)
from tuner.engines.translate import nearest_name
from tuner.prediction.curves import curves_of
from tuner.runtime.steps import as_progress, scaled
from tuner.sweep.pose import PosedProblem
from tuner.types import (
    EngineConfig,
    EnginePoint,
    Event,
    Result,
)

T = TypeVar("T")
LOADING = 0.7
"""Share of an index's time that loading and building are taken to be, on the progress line."""


@dataclass(frozen=True)
class EngineMeasurement:
    """One engine, the problem that it is measured on, and where it works.

    Attributes:
        result: sweep whose surface predicts.
        work: scratch folder.
        threads: threads that build.
    """

    engine: Engine
    posed: PosedProblem
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
        return min(self.can.ef_search[1], self.posed.problem.options.space.ef_search_max)

    def deployment(self, name: str) -> Deployment:
        """Return a folder of its own for an index."""
        folder = self.work / f"engine-{name.replace('/', '-')}"
        folder.mkdir(parents=True)
        return Deployment(folder=folder, threads=self.threads, n=self.posed.n)

    def measure(
        self, process: EngineProcess, config: EngineConfig, first_factor: int, name: str = ""
    ) -> Generator[Event, None, EnginePoint]:
        """Yield events; return a codec's point."""
        name, posed = name or config.codec, self.posed
        load_s = yield from as_progress(name, scaled(process.load(posed.vectors, posed.rows), 0.0, LOADING))
        searching = find(process, self.can, config, posed, config.ef_search, self.most_ef, first_factor)
        found = yield from as_progress(name, scaled(searching, LOADING, 1.0))
        ahead = predict(self.engine, found.config, self.result, posed.n)
        return point_of(process, found, posed, self.most_ef, load_s, ahead)


def predict(engine: Engine, config: EngineConfig, result: Result, n: int) -> tuple[float | None, int | None]:
    """Return the recall and the bytes that a sweep predicts for an engine's config, by faiss's nearest codec.

    Bytes are those of faiss's index without codebooks: codes, links and 16 bytes a vector for levels,
    offsets and the links above level 0 (4 M / (M - 1)); with float32 for re-scoring where it is part of the
    engine's index.
    """
    codec, can = engine.capabilities.codec(config.codec), engine.capabilities
    if codec is None or config.d % codec.multiple_of:
        return None, None
    name = nearest_name(codec, config.d)
    ceiling = next((each for each in result.ceilings if each.codec == name and each.cut == "none"), None)
    if ceiling is None or not ceiling.recall_at:
        return None, None
    exact = 4 * config.d if config.oversampling > 1 and can.runs == "library" else 0
    size = n * (ceiling.code_bytes + 2 * 4 * config.M + 16 + exact)
    curve = curves_of(result.curves).get(config.M)
    known = {1: ceiling.recall_at[1]} | ceiling.recall_with.get("fp32", ceiling.recall_at)
    factors = sorted(known)
    if curve is None or config.oversampling > factors[-1]:
        return None, size
    # engines take factors between those of the sweep
    best = float(np.interp(config.oversampling, factors, [known[factor] for factor in factors]))
    return best * curve.recall_at(config.ef_search), size
