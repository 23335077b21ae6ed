"""One engine measured for the tuner: an index built, searched, timed, and compared with its default."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuner.engine_jobs.find_ef import Found, find, find_again, point_of
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
    FirstBuild,
    IdArray,
    Result,
    Steps,
)

SEARCH_S, FEWEST_QUERIES = 4.0, 500
"""Seconds that the queries of a comparison may take; but so many are asked, however long they take."""
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

    @property
    def other_order(self) -> IdArray:
        """Positions of the indexed rows in an order that is not the file's, by the seed."""
        return np.random.default_rng(self.posed.problem.options.seed).permutation(self.posed.n)

    def with_fewer_queries(self, search_s: float) -> EngineMeasurement:
        """Return the measurement with no more queries than are searched in a few seconds.

        Args:
            search_s: seconds of one search, above 0.
        """
        problem = self.posed.problem
        n = max(FEWEST_QUERIES, int(SEARCH_S / search_s))
        if n >= problem.n_queries:
            return self
        return replace(self, posed=replace(self.posed, problem=problem.part(problem.sample(n))))

    def with_quantile(self, quantile: float | None) -> EngineMeasurement:
        """Return the measurement whose bounds hold at that many standard errors."""
        problem = replace(self.posed.problem, quantile=quantile)
        return replace(self, posed=replace(self.posed, problem=problem))

    def deployment(self, name: str) -> Deployment:
        """Return a folder of its own for an index."""
        self.work.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f"engine-{name.replace('/', '-')}-", dir=self.work))
        return Deployment(folder=folder, threads=self.threads, n=self.posed.n)

    def measure(
        self,
        process: EngineProcess,
        config: EngineConfig,
        first_factor: int,
        name: str = "",
        order: IdArray | None = None,
    ) -> Generator[Event, None, EnginePoint]:
        """Yield events; return a config's point; None loads the rows in the file's order."""
        finding = find(process, self.can, config, self.posed, config.ef_search, self.most_ef, first_factor)
        return (yield from self._measured(process, name or config.codec, finding, order))

    def measure_again(
        self, process: EngineProcess, first: EnginePoint, name: str, order: IdArray | None
    ) -> Generator[Event, None, EnginePoint]:
        """Yield events; return a point in a second build, its rows in that order, ef_search no less."""
        finding = find_again(process, first.settings, self.posed, self.most_ef)
        again = yield from self._measured(process, name, finding, order)
        known = FirstBuild(ef_search=first.settings.ef_search, recall=first.recall)
        return replace(again, first_build=known)

    def _measured(
        self, process: EngineProcess, name: str, finding: Steps[Found], order: IdArray | None
    ) -> Generator[Event, None, EnginePoint]:
        """Yield events; load, build, find ef_search and measure."""
        loading = process.load(self.posed.vectors, self.posed.rows, order)
        load_s = yield from as_progress(name, scaled(loading, 0.0, LOADING))
        found = yield from as_progress(name, scaled(finding, LOADING, 1.0))
        ahead = predict(self.engine, found.config, self.result, self.posed.n)
        return point_of(process, found, self.posed, load_s, ahead)


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
