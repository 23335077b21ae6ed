"""Where an engine's own index loses recall: the exported configuration built there, and searched harder.

Each step searches the same index harder than the one before, so that the losses add up::

    the settings as they are                         recall
    ef_search turned far up                          search
    as many candidates re-scored as it takes         re-ranking
    the same graph parameters over float32           codec
    exact search                                     graph

An engine that scans its codes exhaustively is not asked for that: what float32 gains at the same M is taken
for the codec's loss, the graph's luck included.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from tuner.data.vectors import Vectors
from tuner.diagnosis.search_losses import FLAT
from tuner.engine_jobs.find_ef import find, point_of
from tuner.engine_jobs.pose import VerifyOptions, pose_for_engine
from tuner.engine_jobs.use import applied_line
from tuner.engines import Deployment, Engine, EngineProcess
from tuner.engines.translate import factors_of, least_ef
from tuner.runtime.machine import describe_machine, now
from tuner.runtime.steps import as_progress
from tuner.sweep.pose import PosedProblem
from tuner.types import (
    Cause,
    CauseName,
    EngineConfig,
    EngineDiagnosis,
    EnginePoint,
    EnginePrescription,
    Event,
    Exported,
    Note,
    Progress,
    Recall,
    StageFinished,
    StageStarted,
    Warned,
)

EXACT = "_float32"
"""Suffix of the name of the table or collection of float32 beside the user's."""
STEEPER = 4
"""ef_search is turned up by this factor at a time."""


def diagnose_engine(
    engine: Engine,
    exported: Exported,
    base: Vectors,
    queries: Vectors | None,
    options: VerifyOptions,
    work: Path,
) -> Generator[Event, None, EngineDiagnosis]:
    """Yield events; return where the engine loses recall. Scratch files go to ``work``.

    Raises:
        InputError: the data do not fit the file, the engine is not installed or cannot be reached.
        EngineDiedError: it died.
    """
    config, can = exported.settings, engine.capabilities
    posed, deployment = yield from pose_for_engine(engine, exported, base, queries, options, work)
    problem = posed.problem
    yield Note(f"{can.title}: {config.label}")
    with ExitStack() as open_ones:
        under_test = EngineUnderTest(engine, posed, config, open_ones)
        yield from under_test.load(deployment)
        recall, causes = yield from under_test.split(work)
        reported = under_test.process.applied()
        healthy = problem.validated(recall)
        prescriptions = () if healthy else (yield from under_test.prescriptions())
        notes = [] if (line := applied_line(config, reported)).status == "pass" else [line.text]
        if reported.index_used is False:
            notes.append("the engine's plan of the search does not name the index: it searches exactly")
        return EngineDiagnosis(
            engine=can.name,
            settings=config,
            version=reported.version,
            target=problem.options.recall,
            n_queries=len(problem.raw),
            recall=recall,
            healthy=healthy,
            first=None if healthy else causes[0],
            causes=causes,
            index_bytes=under_test.process.index_bytes(),
            prescriptions=prescriptions,
            notes=tuple(notes),
            machine=describe_machine(),
            created=now(),
        )


class EngineUnderTest:
    """An engine's index, and one of float32 beside it."""

    def __init__(
        self, engine: Engine, posed: PosedProblem, config: EngineConfig, open_ones: ExitStack
    ) -> None:
        self.engine, self.can, self.config = engine, engine.capabilities, config
        self.posed, self.open_ones = posed, open_ones
        self.exact = replace(config, codec=self.can.codecs[0].name, oversampling=1)
        self.process: EngineProcess
        self.float32: EngineProcess | None = None
        self.deployment: Deployment
        self.median_s = 0.0

    @property
    def most_ef(self) -> int:
        """Largest ef_search that is tried."""
        return min(self.can.ef_search[1], self.posed.problem.options.space.ef_search_max)

    def load(self, deployment: Deployment) -> Generator[Event, None, None]:
        """Build the user's index."""
        self.deployment = deployment
        self.process = yield from self._built(self.config, deployment, "load")

    def _built(
        self, config: EngineConfig, deployment: Deployment, name: str
    ) -> Generator[Event, None, EngineProcess]:
        yield StageStarted(name, f"build {config.label}")
        process = self.open_ones.enter_context(EngineProcess(config, deployment))
        load_s = yield from as_progress(name, process.load(self.posed.vectors, self.posed.rows))
        yield StageFinished(name, f"{config.label}: built", load_s, 0.0)
        return process

    def _recall(self, process: EngineProcess, ef_search: int, factor: int) -> Recall:
        problem, everyone = self.posed.problem, self.posed.everyone
        process.set_search(ef_search, factor)
        answers = process.search(self.posed.raw(everyone), self.config.k)
        if (process, ef_search, factor) == (self.process, self.config.ef_search, self.config.oversampling):
            self.median_s = float(sorted(answers.seconds.tolist())[len(everyone) // 2])
        return problem.recall(problem.hits(answers.ids, everyone))

    def split(self, work: Path) -> Generator[Event, None, tuple[Recall, tuple[Cause, ...]]]:
        """Return recall as it is, and what takes it away."""
        config, k = self.config, self.config.k
        yield StageStarted("split", "search it harder")
        started = time.perf_counter()
        now_ = self._recall(self.process, config.ef_search, config.oversampling)
        ef_search, far = _turned_up(
            lambda ef: self._recall(self.process, ef, config.oversampling).mean,
            (config.ef_search, now_.mean),
            self.most_ef,
            STEEPER,
        )
        yield Progress("split", 0.4)
        causes = [_cause("search", far - now_.mean, "ef_search", config.ef_search, ef_search, far)]
        codec = self.can.codec(config.codec)
        best = far
        if codec is not None and codec.oversampling:
            larger = [factor for factor in factors_of(self.can, k) if factor > config.oversampling]
            factor, best = config.oversampling, far
            for more in larger:
                tried = replace(config, oversampling=more)
                ef = min(self.most_ef, max(ef_search, least_ef(self.can, tried)))
                found = self._recall(self.process, ef, more).mean
                gain, factor, best = found - best, more, max(best, found)
                if gain < FLAT:
                    break
            causes.append(_cause("re-ranking", best - far, "x", config.oversampling, factor, best))
        yield Progress("split", 0.7)
        left = best
        if config.codec != self.exact.codec:
            deployment = replace(
                self.deployment, folder=work / "exact", name=f"{self.deployment.name}{EXACT}"
            )
            deployment.folder.mkdir()
            self.float32 = yield from self._built(self.exact, deployment, "float32")
            start = max(ef_search, least_ef(self.can, self.exact))
            first = self._recall(self.float32, start, 1).mean
            _, left = _turned_up(
                lambda ef: self._recall(self._float32, ef, 1).mean, (start, first), self.most_ef, STEEPER
            )
            left = max(left, best)
            text = f"{config.codec} at its best {best:.4f}, {self.exact.codec} with the same M {left:.4f}"
            causes.append(Cause(name="codec", share=left - best, text=text))
        text = f"{self.exact.codec} at M={config.M} and ef_search far up finds {left:.4f}"
        causes.append(Cause(name="graph", share=1 - left, text=text))
        self.process.set_search(config.ef_search, config.oversampling)
        yield StageFinished("split", "searched harder", time.perf_counter() - started, 0.0)
        return now_, tuple(sorted(causes, key=lambda cause: -cause.share))

    @property
    def _float32(self) -> EngineProcess:
        assert self.float32 is not None  # noqa: S101 - it was built
        return self.float32

    def prescriptions(self) -> Generator[Event, None, tuple[EnginePrescription, ...]]:
        """Return what reaches the target: a search parameter, else float32; else what comes nearest first."""
        found = [(yield from self._prescription("search", self.process, self.config))]
        if not found[0].works and self.float32 is not None:
            yield Warned(f"no search parameter of {self.config.codec} reaches the target")
            found.append((yield from self._prescription("rebuild", self.float32, self.exact)))
        return tuple(sorted(found, key=lambda each: (not each.works, -each.recall.mean)))

    def _prescription(
        self, kind: str, process: EngineProcess, config: EngineConfig
    ) -> Generator[Event, None, EnginePrescription]:
        posed = self.posed
        yield StageStarted(kind, f"the least that {config.codec} needs for the target")
        started = time.perf_counter()
        searching = find(
            process, self.can, config, posed, config.ef_search, self.most_ef, config.oversampling
        )
        found = yield from as_progress(kind, searching)
        point: EnginePoint = point_of(process, found, posed, self.most_ef, 0.0, (None, None))
        yield StageFinished(kind, point.settings.label, time.perf_counter() - started, 0.0)
        return EnginePrescription(
            kind=kind,
            settings=point.settings,
            recall=point.validated,
            index_bytes=point.index_bytes,
            latency_ratio=point.latency.p50_s / self.median_s,
            works=point.reaches_target,
        )


def _turned_up(
    recall: Callable[[int], float], start: tuple[int, float], most: int, by: int
) -> tuple[int, float]:
    """Return where turning ef_search up brings nothing more, and the recall there."""
    at, best = start
    ef_search = at
    while best < 1 and ef_search < most:
        ef_search = min(most, by * ef_search)
        found = recall(ef_search)
        gain = found - best
        if gain > 0:
            at, best = ef_search, found
        if gain < FLAT:
            break
    return at, best


def _cause(name: CauseName, share: float, search_param: str, stands: int, far: int, best: float) -> Cause:
    space = "" if search_param == "x" else " "
    return Cause(
        name=name,
        share=max(0.0, share),
        text=f"{search_param}{space}{stands:,}; at {far:,} recall is {best:.4f}",
    )
