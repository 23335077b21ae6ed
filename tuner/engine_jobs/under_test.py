"""Where an engine's own index loses recall: it is searched harder, and indexes beside it are built.

Each step searches the same index harder than the one before, so that the losses add up::

    the settings as they are                         recall
    ef_search turned far up                          search
    as many candidates re-scored as it takes         re-ranking
    the same graph parameters over float32           codec
    exact search                                     graph

An engine that scans its codes exhaustively is not asked for that: what float32 gains at the same M is taken
for the codec's loss, the graph's luck included. Nor is it searched so hard that it answers without its index.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from dataclasses import replace

from tuner.data.copies import copies_among
from tuner.diagnosis.search_losses import FLAT
from tuner.engine_jobs.copies import DistinctRows
from tuner.engine_jobs.find_ef import find, point_of
from tuner.engine_jobs.indexed import largest_indexed_ef
from tuner.engines import Deployment, Engine, EngineProcess
from tuner.engines.translate import factors_of, least_ef
from tuner.runtime.steps import as_progress
from tuner.sweep.pose import PosedProblem
from tuner.types import (
    Cause,
    EngineConfig,
    EnginePoint,
    EnginePrescription,
    Event,
    Progress,
    Recall,
    StageFinished,
    StageStarted,
    Warned,
)

EXACT, DISTINCT = "_float32", "_distinct"
"""Suffixes of the names of tables or collections beside the user's: of float32, and of the distinct rows."""
STEEPER = 4
"""ef_search is turned up by this factor at a time."""
CUT_SHARE, COPIED_SHARE, EXPLAINED = 0.01, 0.01, 0.5
"""Recall that the graph loses, and share of rows that are copies, from which on an index of the distinct rows
is built to see whether copies are the cause; and share of the loss that it must bring back to be one."""


class EngineUnderTest:
    """An engine's index, and others beside it: of float32, and of the distinct rows."""

    def __init__(
        self,
        engine: Engine,
        posed: PosedProblem,
        config: EngineConfig,
        deployment: Deployment,
        open_ones: ExitStack,
    ) -> None:
        self.can, self.config, self.deployment = engine.capabilities, config, deployment
        self.posed, self.open_ones = posed, open_ones
        self.exact = replace(config, codec=self.can.codecs[0].name, oversampling=1)
        self.process = open_ones.enter_context(EngineProcess(config, deployment))
        self.float32: EngineProcess | None = None
        self.distinct: DistinctRows | None = None
        self.median_s = 0.0
        self._indexed: dict[EngineProcess, int] = {}

    def load(self) -> Generator[Event, None, None]:
        """Build the user's index."""
        yield from self._built(self.process, "load", self.config.label)

    def split(self) -> Generator[Event, None, tuple[Recall, tuple[Cause, ...]]]:
        """Return recall as it is, and what takes it away."""
        yield StageStarted("split", "search it harder")
        started = time.perf_counter()
        config = self.config
        now_ = self._recall(self.process, config.ef_search, config.oversampling)
        far_ef, far = self._turned_up(self.process, config.oversampling, (config.ef_search, now_.mean))
        text = f"ef_search {config.ef_search:,}; at {far_ef:,} recall is {far:.4f}"
        if self._most(self.process) < self._most_ef:
            text += f"; above {self._most(self.process):,} it answers without its index"
        causes = [Cause(name="search", share=far - now_.mean, text=text)]
        yield Progress("split", 0.4)
        best = far
        if (codec := self.can.codec(config.codec)) is not None and codec.oversampling:
            factor, best = self._re_scored(far_ef, far)
            text = f"x{config.oversampling}; at x{factor} recall is {best:.4f}"
            causes.append(Cause(name="re-ranking", share=best - far, text=text))
        yield Progress("split", 0.7)
        left = best
        if config.codec != self.exact.codec:
            left = max(best, (yield from self._over_float32(far_ef)))
            text = f"{config.codec} at its best {best:.4f}, {self.exact.codec} with the same M {left:.4f}"
            causes.append(Cause(name="codec", share=left - best, text=text))
        text = f"{self.exact.codec} at M={config.M} and ef_search far up finds {left:.4f}"
        graph = Cause(name="graph", share=1 - left, text=text)
        if graph.share >= CUT_SHARE and not self.posed.problem.certified(now_):
            graph = yield from self._looked_into(graph, best)
        causes.append(graph)
        self.process.set_search(config.ef_search, config.oversampling)
        yield StageFinished("split", "searched harder", time.perf_counter() - started, 0.0)
        return now_, tuple(sorted(causes, key=lambda cause: -cause.share))

    def prescriptions(self) -> Generator[Event, None, tuple[EnginePrescription, ...]]:
        """Return what reaches the target: a search parameter, else another index; else what comes nearest."""
        found = [(yield from self._prescription("search", self.process, self.config))]
        others = (("rebuild", self.float32, self.exact), ("distinct", self.distinct, self.config))
        for kind, process, config in others:
            if process is None or any(each.works for each in found):
                continue
            if kind == "rebuild":
                yield Warned(f"no search parameter of {self.config.codec} reaches the target")
            found.append((yield from self._prescription(kind, process, config)))
        return tuple(sorted(found, key=lambda each: (not each.works, -each.recall.mean)))

    # ------------------------------------------------------------ indexes

    def _built(self, process: EngineProcess, name: str, label: str) -> Generator[Event, None, None]:
        yield StageStarted(name, f"build {label}")
        load_s = yield from as_progress(name, process.load(self.posed.vectors, self.posed.rows))
        yield StageFinished(name, f"{label}: built", load_s, 0.0)

    def _beside(self, suffix: str) -> Deployment:
        """Return the place of another index beside the user's."""
        folder = self.deployment.folder.with_name(f"{self.deployment.folder.name}{suffix}")
        folder.mkdir()
        return replace(self.deployment, folder=folder, name=f"{self.deployment.name}{suffix}")

    def _over_float32(self, far_ef: int) -> Generator[Event, None, float]:
        """Return the best recall of the same graph parameters over float32."""
        process = self.open_ones.enter_context(EngineProcess(self.exact, self._beside(EXACT)))
        self.float32 = process
        yield from self._built(process, "float32", self.exact.label)
        start = min(self._most(process), max(far_ef, least_ef(self.can, self.exact)))
        return self._turned_up(process, 1, (start, self._recall(process, start, 1).mean))[1]

    def _looked_into(self, graph: Cause, best: float) -> Generator[Event, None, Cause]:
        """Return the cause with what copies have to do with it, as the same index of distinct rows shows.

        Args:
            best: recall of the user's codec over all rows at its best.
        """
        posed, factor = self.posed, self.config.oversampling
        if posed.groups is not None or posed.profile.n_duplicate_rows < COPIED_SHARE * posed.n:
            return graph
        copies = copies_among(posed.vectors, posed.rows)
        process = DistinctRows(self.config, self._beside(DISTINCT), copies)
        self.open_ones.enter_context(process)
        m, copied = len(copies.first), f"{copies.n_copies:,} of {posed.n:,} rows are copies of others"
        yield from self._built(process, "distinct", f"{self.config.label}, {m:,} distinct rows")
        least = least_ef(self.can, self.config)
        most = largest_indexed_ef(process, self.can, factor, least, self._most_ef)
        if not most:
            return replace(graph, text=f"{graph.text}; {copied}, and of the {m:,} others no index is used")
        self._indexed[process] = most
        start = min(most, max(least, self.config.ef_search))
        found = self._turned_up(process, factor, (start, self._recall(process, start, factor).mean))[1]
        seen = f"the graph of the {m:,} distinct rows finds {found:.4f}"
        if found - best < EXPLAINED * graph.share:
            return replace(graph, text=f"{graph.text}; {copied}, but {seen}")
        self.distinct = process
        text = f"{graph.text}: duplicates cut it into groups ({copied}; {seen})"
        return replace(graph, name="duplicates", text=text)

    # ------------------------------------------------------------ searches

    @property
    def _most_ef(self) -> int:
        """Largest ef_search that is tried."""
        return min(self.can.ef_search[1], self.posed.problem.options.space.ef_search_max)

    def _most(self, process: EngineProcess) -> int:
        """Return the largest ef_search at which an index answers, or the user's where none does."""
        if process not in self._indexed:
            least, factor = self.config.ef_search, self.config.oversampling
            found = largest_indexed_ef(process, self.can, factor, least, max(least, self._most_ef))
            self._indexed[process] = found or least
        return self._indexed[process]

    def _recall(self, process: EngineProcess, ef_search: int, factor: int) -> Recall:
        problem, everyone = self.posed.problem, self.posed.everyone
        process.set_search(ef_search, factor)
        answers = process.search(self.posed.raw(everyone), self.config.k)
        if (process, ef_search, factor) == (self.process, self.config.ef_search, self.config.oversampling):
            self.median_s = float(sorted(answers.seconds.tolist())[len(everyone) // 2])
        return problem.recall(problem.hits(answers.ids, everyone))

    def _turned_up(self, process: EngineProcess, factor: int, start: tuple[int, float]) -> tuple[int, float]:
        """Return where turning ef_search up brings nothing more, and the recall there."""
        return turned_up(
            lambda ef: self._recall(process, ef, factor).mean, start, self._most(process), STEEPER
        )

    def _re_scored(self, ef_search: int, far: float) -> tuple[int, float]:
        """Return where re-scoring more candidates brings nothing more, ef_search far up, and the recall."""
        factor, best = self.config.oversampling, far
        for more in factors_of(self.can, self.config.k):
            if more <= self.config.oversampling:
                continue
            least = least_ef(self.can, replace(self.config, oversampling=more))
            found = self._recall(
                self.process, min(self._most(self.process), max(ef_search, least)), more
            ).mean
            gain, factor, best = found - best, more, max(best, found)
            if gain < FLAT:
                break
        return factor, best

    def _prescription(
        self, kind: str, process: EngineProcess, config: EngineConfig
    ) -> Generator[Event, None, EnginePrescription]:
        posed, most = self.posed, self._most(process)
        yield StageStarted(kind, f"the least that {config.codec} needs for the target")
        started = time.perf_counter()
        searching = find(process, self.can, config, posed, config.ef_search, most, config.oversampling)
        found = yield from as_progress(kind, searching)
        point: EnginePoint = point_of(process, found, posed, 0.0, (None, None))
        yield StageFinished(kind, point.settings.label, time.perf_counter() - started, 0.0)
        return EnginePrescription(
            kind=kind,
            settings=point.settings,
            recall=point.recall,
            index_bytes=point.index_bytes,
            latency_ratio=point.latency.p50_s / self.median_s,
            works=point.reaches_target,
        )


def turned_up(
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
