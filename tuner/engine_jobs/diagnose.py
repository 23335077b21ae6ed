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
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tuner.data.vectors import Vectors
from tuner.diagnosis.causes import FLAT, Cause
from tuner.engine_jobs.find_ef import find, least_ef, point_of
from tuner.engine_jobs.points import EnginePoint
from tuner.engine_jobs.use import applied_line
from tuner.engine_jobs.verify import VerifyOptions, joined
from tuner.engines import Deployment, Engine, EngineConfig, EngineProcess, Exported
from tuner.engines.export import describe
from tuner.engines.translate import factors_of
from tuner.runtime.machine import describe_machine, now
from tuner.runtime.steps import as_progress
from tuner.sweep.pose import PosedProblem
from tuner.types import Event, Note, Progress, Recall, StageFinished, StageStarted, Warned

EXACT = "_float32"
"""Ends the name of the table or collection of float32 beside the user's."""
STEEPER = 4
"""ef_search is turned up by this factor at a time."""


@dataclass(frozen=True, kw_only=True)
class EnginePrescription:
    """Settings that reach the target in the engine, or come nearest to it.

    Attributes:
        kind: what it costs the user: ``search`` (a parameter), or ``rebuild``.
        recall: on the half of the queries that chose nothing.
        latency_ratio: median time over that of the settings as they are, on the same queries.
    """

    kind: str
    settings: EngineConfig
    recall: Recall
    index_bytes: int
    latency_ratio: float
    works: bool


@dataclass(frozen=True, kw_only=True)
class EngineFindings:
    """What was found in an engine.

    Attributes:
        healthy: recall on all queries supports the target.
        causes: that add up to 1 - recall; the largest first.
    """

    engine: str
    settings: EngineConfig
    version: str
    target: float
    n_queries: int
    recall: Recall
    healthy: bool
    first: Cause | None
    causes: tuple[Cause, ...]
    index_bytes: int
    prescriptions: tuple[EnginePrescription, ...]
    notes: tuple[str, ...]
    machine: dict[str, Any]
    created: str


def diagnose_engine(
    engine: Engine,
    exported: Exported,
    base: Vectors,
    queries: Vectors | None,
    asked: VerifyOptions,
    work: Path,
) -> Generator[Event, None, EngineFindings]:
    """Yield events; return where the engine loses recall. Scratch files go to ``work``.

    Raises:
        InputError: the data do not fit the file, the engine is not installed or cannot be reached.
        EngineDiedError: it died.
    """
    settings, can = exported.settings, engine.capabilities
    questions, place = yield from joined(engine, exported, base, queries, asked, work)
    problem = questions.problem
    yield Note(f"{can.title}: {describe(settings)}")
    with ExitStack() as open_ones:
        patient = EngineDiagnosis(engine, questions, settings, open_ones)
        yield from patient.load(place)
        recall, causes = yield from patient.split(work)
        told = patient.apart.applied()
        healthy = problem.validated(recall)
        prescriptions = () if healthy else (yield from patient.cures())
        notes = [] if (line := applied_line(settings, told)).status == "pass" else [line.text]
        if told.index_used is False:
            notes.append("the engine's plan of the search does not name the index: it searches exactly")
        return EngineFindings(
            engine=can.name,
            settings=settings,
            version=told.version,
            target=problem.options.recall,
            n_queries=len(problem.raw),
            recall=recall,
            healthy=healthy,
            first=None if healthy else causes[0],
            causes=causes,
            index_bytes=patient.apart.index_bytes(),
            prescriptions=prescriptions,
            notes=tuple(notes),
            machine=describe_machine(),
            created=now(),
        )


class EngineDiagnosis:
    """An engine's index, and one of float32 beside it."""

    def __init__(
        self, engine: Engine, questions: PosedProblem, settings: EngineConfig, open_ones: ExitStack
    ) -> None:
        self.engine, self.can, self.settings = engine, engine.capabilities, settings
        self.questions, self.open_ones = questions, open_ones
        self.exact = replace(settings, codec=self.can.codecs[0].name, oversampling=1)
        self.apart: EngineProcess
        self.beside: EngineProcess | None = None
        self.place: Deployment
        self.median_s = 0.0

    @property
    def most_ef(self) -> int:
        """Largest ef_search that is tried."""
        return min(self.can.ef_search[1], self.questions.problem.options.space.ef_search_max)

    def load(self, place: Deployment) -> Generator[Event, None, None]:
        """Build the user's index."""
        self.place = place
        self.apart = yield from self._built(self.settings, place, "load")

    def _built(
        self, what: EngineConfig, place: Deployment, name: str
    ) -> Generator[Event, None, EngineProcess]:
        yield StageStarted(name, f"build {describe(what)}")
        apart = self.open_ones.enter_context(EngineProcess(what, place))
        load_s = yield from as_progress(name, apart.load(self.questions.vectors, self.questions.rows))
        yield StageFinished(name, f"{describe(what)}: built", load_s, 0.0)
        return apart

    def _recall(self, apart: EngineProcess, ef_search: int, factor: int) -> Recall:
        problem, everyone = self.questions.problem, self.questions.everyone
        apart.set_search(ef_search, factor)
        answers = apart.search(self.questions.raw(everyone), self.settings.k)
        if (apart, ef_search, factor) == (self.apart, self.settings.ef_search, self.settings.oversampling):
            self.median_s = float(sorted(answers.seconds.tolist())[len(everyone) // 2])
        return problem.recall(problem.hits(answers.ids, everyone))

    def split(self, work: Path) -> Generator[Event, None, tuple[Recall, tuple[Cause, ...]]]:
        """Return recall as it is, and what takes it away."""
        settings, k = self.settings, self.settings.k
        yield StageStarted("split", "search it harder")
        started = time.perf_counter()
        now_ = self._recall(self.apart, settings.ef_search, settings.oversampling)
        ef_search, far = _turned_up(
            lambda ef: self._recall(self.apart, ef, settings.oversampling).mean,
            (settings.ef_search, now_.mean),
            self.most_ef,
            STEEPER,
        )
        yield Progress("split", 0.4)
        causes = [_cause("search", far - now_.mean, "ef_search", settings.ef_search, ef_search, far)]
        codec = self.can.codec(settings.codec)
        best = far
        if codec is not None and codec.oversampling:
            larger = [factor for factor in factors_of(self.can, k) if factor > settings.oversampling]
            factor, best = settings.oversampling, far
            for more in larger:
                what = replace(settings, oversampling=more)
                ef = min(self.most_ef, max(ef_search, least_ef(self.can, what)))
                found = self._recall(self.apart, ef, more).mean
                gain, factor, best = found - best, more, max(best, found)
                if gain < FLAT:
                    break
            causes.append(_cause("re-ranking", best - far, "x", settings.oversampling, factor, best))
        yield Progress("split", 0.7)
        left = best
        if settings.codec != self.exact.codec:
            place = replace(self.place, folder=work / "exact", name=f"{self.place.name}{EXACT}")
            place.folder.mkdir()
            self.beside = yield from self._built(self.exact, place, "float32")
            start = max(ef_search, least_ef(self.can, self.exact))
            first = self._recall(self.beside, start, 1).mean
            _, left = _turned_up(
                lambda ef: self._recall(self._beside, ef, 1).mean, (start, first), self.most_ef, STEEPER
            )
            left = max(left, best)
            text = f"{settings.codec} at its best {best:.4f}, {self.exact.codec} with the same M {left:.4f}"
            causes.append(Cause(name="codec", share=left - best, text=text))
        text = f"{self.exact.codec} at M={settings.M} and ef_search far up finds {left:.4f}"
        causes.append(Cause(name="graph", share=1 - left, text=text))
        self.apart.set_search(settings.ef_search, settings.oversampling)
        yield StageFinished("split", "searched harder", time.perf_counter() - started, 0.0)
        return now_, tuple(sorted(causes, key=lambda cause: -cause.share))

    @property
    def _beside(self) -> EngineProcess:
        assert self.beside is not None  # noqa: S101 - it was built
        return self.beside

    def cures(self) -> Generator[Event, None, tuple[EnginePrescription, ...]]:
        """Return what reaches the target: a search parameter, else float32; else what comes nearest first."""
        found = [(yield from self._tuned("search", self.apart, self.settings))]
        if not found[0].works and self.beside is not None:
            yield Warned(f"no search parameter of {self.settings.codec} reaches the target")
            found.append((yield from self._tuned("rebuild", self.beside, self.exact)))
        return tuple(sorted(found, key=lambda each: (not each.works, -each.recall.mean)))

    def _tuned(
        self, kind: str, apart: EngineProcess, what: EngineConfig
    ) -> Generator[Event, None, EnginePrescription]:
        asked = self.questions
        yield StageStarted(kind, f"the least that {what.codec} needs for the target")
        started = time.perf_counter()
        searching = find(apart, self.can, what, asked, what.ef_search, self.most_ef, what.oversampling)
        found = yield from as_progress(kind, searching)
        point: EnginePoint = point_of(apart, found, asked, self.most_ef, 0.0, (None, None))
        yield StageFinished(kind, describe(point.settings), time.perf_counter() - started, 0.0)
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


def _cause(name: str, share: float, knob: str, stands: int, far: int, best: float) -> Cause:
    space = "" if knob == "x" else " "
    return Cause(
        name=name, share=max(0.0, share), text=f"{knob}{space}{stands:,}; at {far:,} recall is {best:.4f}"
    )
