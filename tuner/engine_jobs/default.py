"""The engine's own default beside what was chosen: what is gained over it, and never a slower answer."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from tuner.engine_jobs.choice import best_of, loses_to_default, no_slower
from tuner.engine_jobs.find_ef import interleaved_ratio
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engines import EngineConfig, EngineDiedError, EngineProcess, problems
from tuner.report.engines import describe_point
from tuner.runtime.steps import as_progress
from tuner.types import DefaultComparison, EnginePoint, Event, StageFinished, StageStarted, Warned

DEFAULTS = "defaults"


def default_config(measurement: EngineMeasurement, like: EngineConfig) -> EngineConfig | None:
    """Return the config that most of the engine's users have, None if it does not fit the data."""
    usual = measurement.can.defaults
    config = replace(
        like,
        codec=usual.codec,
        M=usual.M,
        ef_construction=usual.ef_construction,
        ef_search=max(usual.ef_search, like.k),
        oversampling=usual.oversampling,
    )
    return None if problems(measurement.engine, config) else config


def choose_beside_default(
    measurement: EngineMeasurement, mine: EngineProcess, points: Sequence[EnginePoint], chosen: EnginePoint
) -> Generator[Event, None, tuple[EnginePoint, DefaultComparison | None]]:
    """Yield events; return the answer and the engine's default at this target, None if it does not fit.

    A chosen point that is slower than a default which reaches the target gives way to one that is not, in
    the end to the default itself.

    Args:
        measurement: engine and problem.
        mine: index of the chosen point.
        points: everything that was measured.
        chosen: point that is best without a look at the default.
    """
    config = default_config(measurement, chosen.settings)
    if config is None:
        return chosen, None
    title = measurement.can.title
    yield StageStarted(DEFAULTS, f"build {title}'s own default beside it")
    with ExitStack() as open_ones:
        try:
            theirs = open_ones.enter_context(EngineProcess(config, measurement.deployment(DEFAULTS)))
            default = yield from measurement.measure(theirs, config, config.oversampling, DEFAULTS)
            ratio = latency_ratio(measurement, mine, chosen, theirs)
            yield StageFinished(DEFAULTS, f"its default: {describe_point(default)}", default.load_s, 0.0)
            chosen, ratio = yield from _settled(
                measurement, open_ones, theirs, default, list(points), chosen, ratio
            )
        except EngineDiedError as error:
            yield Warned(str(error))
            return chosen, None
    memory = default.index_bytes / chosen.index_bytes
    return chosen, DefaultComparison(point=default, memory_ratio=memory, latency_ratio=ratio)


def _settled(
    measurement: EngineMeasurement,
    open_ones: ExitStack,
    theirs: EngineProcess,
    default: EnginePoint,
    points: list[EnginePoint],
    chosen: EnginePoint,
    ratio: float,
) -> Generator[Event, None, tuple[EnginePoint, float]]:
    """Yield events; return what is chosen so that the default is not faster, and the ratio of their times."""
    options, n = measurement.posed.problem.options, measurement.posed.n
    while loses_to_default(default, ratio, options, n):
        points = no_slower([point for point in points if point is not chosen], default)
        chosen = best_of([*points, default], options, n) or default
        if chosen is default:
            return default, 1.0
        codec = chosen.settings.codec
        yield StageStarted(codec, f"build {codec} again: the default is faster than what was chosen")
        process = EngineProcess(chosen.settings, measurement.deployment(f"{codec}-again"))
        open_ones.callback(process.close)
        posed = measurement.posed
        load_s = yield from as_progress(codec, process.load(posed.vectors, posed.rows))
        ratio = latency_ratio(measurement, process, chosen, theirs)
        yield StageFinished(codec, f"the default takes {ratio:.2f} x the time of {codec}", load_s, 0.0)
    return chosen, ratio


def latency_ratio(
    measurement: EngineMeasurement, mine: EngineProcess, chosen: EnginePoint, theirs: EngineProcess
) -> float:
    """Return the time of the default over that of the chosen point, on the held-out queries in turns."""
    mine.set_search(chosen.settings.ef_search, chosen.settings.oversampling)
    queries = measurement.posed.raw(measurement.posed.problem.validate)
    return interleaved_ratio(mine, theirs, queries, chosen.settings.k)
