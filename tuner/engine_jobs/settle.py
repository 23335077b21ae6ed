"""The answer in an engine: what a second build confirms, and nothing slower than the engine's own default."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass, replace

from tuner.engine_jobs.builds import Builds
from tuner.engine_jobs.choice import best_of, loses_to_default, no_slower, within
from tuner.engine_jobs.find_ef import interleaved_ratio
from tuner.engine_jobs.graphs import graph_of
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engines import EngineDiedError, EngineProcess, problems
from tuner.report.engines import describe_point
from tuner.report.words import recall_text
from tuner.types import (
    DefaultComparison,
    EngineConfig,
    EnginePoint,
    Event,
    Options,
    StageFinished,
    StageStarted,
    Warned,
)

DEFAULTS, AGAIN = "defaults", "again"
TIMED_QUERIES = 1_000
Answer = tuple[EnginePoint | None, DefaultComparison | None]


@dataclass(frozen=True)
class Default:
    """The engine's own default, measured, and its index, still open."""

    point: EnginePoint
    process: EngineProcess


def settle(builds: Builds) -> Generator[Event, None, Answer]:
    """Yield events; return the answer and the engine's default beside it, each None if there is none."""
    builds.hold_together()
    with ExitStack() as open_ones:
        default = yield from _build_default(builds.measurement, open_ones)
        return (yield from _settled(builds, default))


def default_config(measurement: EngineMeasurement) -> EngineConfig | None:
    """Return the config that most of the engine's users have, None if it does not fit the data."""
    usual, posed, k = measurement.can.defaults, measurement.posed, measurement.posed.problem.options.k
    config = EngineConfig(
        engine=measurement.can.name,
        codec=usual.codec,
        d=posed.vectors.d,
        metric=posed.profile.metric,
        k=k,
        M=usual.M,
        ef_construction=usual.ef_construction,
        ef_search=max(usual.ef_search, k),
        oversampling=usual.oversampling,
    )
    return None if problems(measurement.engine, config) else config


def _build_default(
    measurement: EngineMeasurement, open_ones: ExitStack
) -> Generator[Event, None, Default | None]:
    """Yield events; return the default, its rows in the other order, as those of what is held against it."""
    config, title = default_config(measurement), measurement.can.title
    if config is None:
        return None
    yield StageStarted(DEFAULTS, f"build {title}'s own default beside it")
    try:
        process = open_ones.enter_context(EngineProcess(config, measurement.deployment(DEFAULTS)))
        point = yield from measurement.measure(
            process, config, config.oversampling, DEFAULTS, measurement.other_order
        )
    except EngineDiedError as error:
        yield Warned(str(error))
        return None
    yield StageFinished(DEFAULTS, f"its default: {describe_point(point)}", point.load_s, 0.0)
    return Default(point, process)


def _settled(builds: Builds, default: Default | None) -> Generator[Event, None, Answer]:
    """Yield events; return the preferred point that holds when it is built again and that is fast enough."""
    options, n = builds.measurement.posed.problem.options, builds.measurement.posed.n
    waiting, slower = list(builds.points), None
    usual = None if default is None else default.point
    while (chosen := _next(waiting, usual, options, n)) is not None:
        if slower is not None and usual is not None and chosen is usual and builds.unbuilt:
            # those that looked best on a sample are slower than it at full size: others need not be
            waiting += no_slower((yield from builds.build_more()), usual)
            continue
        confirmed, ratio = yield from _built_again(builds, chosen, default)
        waiting = [point for point in waiting if point is not chosen]
        if confirmed is None:
            usual = None if chosen is usual else usual
            waiting = yield from _without_its_graph(builds, waiting, chosen)
        elif default is None:
            return confirmed, None
        elif chosen is default.point:
            return confirmed, DefaultComparison(point=confirmed, memory_ratio=1.0, latency_ratio=1.0)
        else:
            memory = default.point.index_bytes / confirmed.index_bytes
            comparison = DefaultComparison(point=default.point, memory_ratio=memory, latency_ratio=ratio)
            if usual is None or not loses_to_default(usual, ratio, options, n):
                return confirmed, comparison
            slower = slower or (confirmed, comparison)
            waiting = [*no_slower(waiting, usual), usual]
    if slower is None:
        return None, None
    # the default that was faster does not hold itself
    return slower[0], replace(slower[1], point=replace(slower[1].point, reaches_target=False))


def _next(
    waiting: list[EnginePoint], usual: EnginePoint | None, options: Options, n: int
) -> EnginePoint | None:
    """Return the preferred point of those that wait, in the end the engine's default."""
    return best_of(waiting, options, n) or best_of([] if usual is None else [usual], options, n)


def _without_its_graph(
    builds: Builds, waiting: list[EnginePoint], failed: EnginePoint
) -> Generator[Event, None, list[EnginePoint]]:
    """Yield events; return the points of other graphs, and the failed one's codec with a richer graph."""
    kept = [point for point in waiting if graph_of(point.settings) != graph_of(failed.settings)]
    better = builds.richer(failed.settings)
    if better is None or any(graph_of(point.settings) == graph_of(better) for point in builds.points):
        return kept
    point = yield from builds.build(better, failed.settings.oversampling)
    return kept if point is None else [*kept, point]


def _built_again(
    builds: Builds, chosen: EnginePoint, default: Default | None
) -> Generator[Event, None, tuple[EnginePoint | None, float]]:
    """Yield events; return the point as a second build measures it, None if it does not hold.

    With it comes the time of the default over its own, timed in turns.
    """
    measurement, label = builds.whole, chosen.settings.label
    options, n = measurement.posed.problem.options, measurement.posed.n
    yield StageStarted(AGAIN, f"build {chosen.settings.codec} again, its rows in another order")
    ratio, is_default = 1.0, default is not None and chosen is default.point
    order = None if is_default else measurement.other_order
    try:
        with EngineProcess(chosen.settings, measurement.deployment(AGAIN)) as process:
            point = yield from measurement.measure_again(process, chosen, AGAIN, order)
            if default is not None and not is_default:
                ratio = latency_ratio(builds.measurement, process, point, default.process)
    except EngineDiedError as error:
        yield from builds.warn(str(error))
        return None, ratio
    yield StageFinished(AGAIN, f"again: {describe_point(point)}", point.load_s, 0.0)
    if within(point, options, n):
        return point, ratio
    yield from builds.warn(
        f"{label} does not hold: a second build, its rows in another order, finds "
        f"{recall_text(point.recall)} with ef_search={point.settings.ef_search}"
    )
    return None, ratio


def latency_ratio(
    measurement: EngineMeasurement, mine: EngineProcess, point: EnginePoint, theirs: EngineProcess
) -> float:
    """Return the time of the default over that of a point, on some queries in turns."""
    mine.set_search(point.settings.ef_search, point.settings.oversampling)
    problem = measurement.posed.problem
    queries = problem.raw[problem.sample(TIMED_QUERIES)]
    return interleaved_ratio(mine, theirs, queries, point.settings.k)
