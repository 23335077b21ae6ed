"""What is built in an engine: its codecs at full size, and richer graphs where recall levels off."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np

from tuner.engine_jobs.candidates import build_order
from tuner.engine_jobs.choice import within
from tuner.engine_jobs.graphs import first_config, graph_is_proved, is_strained, richer
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engine_jobs.survey import SURVEYED_FROM
from tuner.engines import EngineCodec, EngineDiedError, EngineProcess
from tuner.errors import InputError
from tuner.recall.together import quantile_for_choice
from tuner.report.engines import describe_point
from tuner.types import EngineConfig, EnginePoint, Event, StageFinished, StageStarted, Warned

ENOUGH_BUILDS = 4
"""Codecs that reach the target at full size, the exact one among them, after which no more are built."""
MOST_MORE = 2
"""Codecs that are built besides where all of those are slower than the engine's default."""
MOST_GRAPHS = 4
"""Graphs of one codec that are built, each richer than the one before."""


@dataclass
class Builds:
    """Everything that was built in the engine so far.

    Attributes:
        whole: measurement with all queries, which certify the answer.
        measurement: measurement that compares: of fewer queries where a search is slow.
        points: the first build of each config, measured.
        excluded: codecs that were not built at full size, or could not be, and why.
        warnings: doubts that the user should act on.
        n_steps: times that the first codec's graph had to be made richer.
        unbuilt: configs of codecs that were not built because enough others reach the target, in order, and
            the re-scoring factor that each begins with.
    """

    whole: EngineMeasurement
    measurement: EngineMeasurement = field(init=False)
    points: list[EnginePoint] = field(default_factory=list)
    excluded: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    n_steps: int = 0
    unbuilt: list[tuple[EngineConfig, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.measurement = self.whole

    def build_codecs(self, codecs: tuple[EngineCodec, ...]) -> Generator[Event, None, None]:
        """Yield events; build the codecs in order, the exact one first, which shows what a graph can do."""
        posed, options = self.measurement.posed, self.measurement.posed.problem.options
        configs = {codec.name: first_config(self.measurement, codec) for codec in codecs}
        order = yield from build_order(self.measurement, codecs, configs[codecs[0].name])
        self.excluded = {each.codec: each.excluded for each in order if each.excluded}
        looked_at = [each.seconds for each in order if each.seconds and not each.excluded]
        if looked_at:
            self.measurement = self.whole.with_fewer_queries(float(np.median(looked_at)))
        self.unbuilt = [(configs[each.codec], each.factor) for each in order if not each.excluded]
        enough = ENOUGH_BUILDS if posed.n >= SURVEYED_FROM else len(order)
        while self.unbuilt:
            is_first = not self.points
            n_steps = yield from self._build_next()
            if is_first:
                self.n_steps = n_steps
            if len({each.settings.codec for each in self.points if within(each, options, posed.n)}) >= enough:
                break

    def build_more(self) -> Generator[Event, None, list[EnginePoint]]:
        """Yield events; build the next few codecs of those that were left; return their points."""
        n_before = len(self.points)
        for _ in self.unbuilt[:MOST_MORE]:
            yield from self._build_next()
        self.unbuilt = []
        self.hold_together()
        return self.points[n_before:]

    def _build_next(self) -> Generator[Event, None, int]:
        """Yield events; build the next codec; return the steps that its graph took."""
        config, first_factor = self.unbuilt.pop(0)
        for _ in range(self.n_steps):
            config = self.richer(config) or config
        return (yield from self._climb(config, first_factor))

    def _climb(self, config: EngineConfig, first_factor: int) -> Generator[Event, None, int]:
        """Yield events; build a codec, with richer graphs while its graph is to blame; return the steps."""
        most = MOST_GRAPHS - self.n_steps
        for step in range(most):
            point = yield from self.build(config, first_factor)
            if point is None or (point.reaches_target and not is_strained(point, config)):
                return step
            better = self.richer(config)
            if better is None or graph_is_proved(self.points, config):
                return step
            config = better
        return most - 1

    def hold_together(self) -> None:
        """From now on bounds hold for all points together that might be chosen."""
        good = [point for point in self.points if point.reaches_target]
        posed = self.measurement.posed
        quantile = quantile_for_choice(
            [point.hits for point in good],
            [point.index_bytes for point in good],
            ([point.latency.mean_s for point in good],),
            posed.problem.target,
            posed.problem.options.seed,
        )
        self.whole = self.whole.with_quantile(quantile)
        self.measurement = self.measurement.with_quantile(quantile)

    def richer(self, config: EngineConfig) -> EngineConfig | None:
        """Return the config with a richer graph, None if there is none."""
        return richer(config, self.measurement.can, self.measurement.posed.problem.options.space)

    def build(self, config: EngineConfig, first_factor: int) -> Generator[Event, None, EnginePoint | None]:
        """Yield events; build and measure a config; return None if the engine could not."""
        codec, title = config.codec, self.measurement.can.title
        graph = f"M={config.M}, ef_construction={config.ef_construction}"
        yield StageStarted(codec, f"build {codec} in {title} ({graph}) and search it")
        try:
            with EngineProcess(config, self.measurement.deployment(codec)) as process:
                point = yield from self.measurement.measure(process, config, first_factor)
        except (EngineDiedError, InputError) as error:
            self.excluded[codec] = str(error)
            yield from self.warn(str(error))
            return None
        self.points.append(point)
        yield StageFinished(codec, describe_point(point), point.load_s, 0.0)
        return point

    def warn(self, text: str) -> Generator[Event, None, None]:
        """Yield a warning, and keep it."""
        self.warnings.append(text)
        yield Warned(text)
