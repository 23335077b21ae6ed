"""M and ef_construction of an engine's builds: where they begin, and what is tried where recall levels off.

Graphs that faiss builds itself say where to begin. They say no more than that: an engine's own graph of the
same M and ef_construction can be worse, and differs from build to build.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tuner.engine_jobs.choice import preferred
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engines import Capabilities, EngineCodec
from tuner.prediction.curves import curves_of
from tuner.types import EngineConfig, EnginePoint, Space

MOST_TIMES = 4
"""ef_construction grows to this many times the space's: beyond that builds take long, and gain little."""
STRAINED, USUAL = 4, 4
"""Times the ef_search that the native graph needed, or the latter times k if that is more: an engine's graph
that needs more than the former of it is a poor one."""
GUESS = 64
"""ef_search to begin with where no curve reaches the aim."""


def first_config(measurement: EngineMeasurement, codec: EngineCodec) -> EngineConfig:
    """Return the config of a codec, with the M that is worth most with codes of its size.

    Where no native graph reaches the target, that is the engine's default M.
    """
    can, result, problem = measurement.can, measurement.result, measurement.posed.problem
    d, usual = measurement.posed.vectors.d, measurement.can.defaults
    plain = [
        point
        for point in result.points
        if point.reaches_target and point.configuration.cut == "none" and point.configuration.rerank is None
    ]
    sizes = [d * codec.bits / 8 + 2 * 4 * point.configuration.M for point in plain]
    if plain:
        prefer = problem.options.prefer
        guide = plain[preferred(sizes, [point.seconds for point in plain], prefer, 0.0)]
        M, ef_search = guide.configuration.M, guide.ef_search
    else:
        M = min(problem.options.space.M, key=lambda each: (abs(each - usual.M), each))
        curve = curves_of(result.curves).get(M)
        ef_search = (curve.ef_for(problem.aim) if curve else None) or GUESS
    return EngineConfig(
        engine=can.name,
        codec=codec.name,
        d=d,
        metric=measurement.posed.profile.metric,
        k=problem.options.k,
        M=min(max(M, can.M[0]), can.M[1]),
        ef_construction=problem.options.space.ef_construction,
        ef_search=ef_search,
    )


def richer(config: EngineConfig, can: Capabilities, space: Space) -> EngineConfig | None:
    """Return the config with the next M and twice the ef_construction, None where both end.

    Args:
        config: config whose graph was not good enough.
        can: what the engine can express.
        space: space that is swept, whose M are tried.
    """
    M = min((each for each in space.M if config.M < each <= can.M[1]), default=config.M)
    most = min(MOST_TIMES * space.ef_construction, can.ef_construction[1])
    wanted = max(min(2 * config.ef_construction, most), round(can.ef_construction_per_M * M))
    found = replace(config, M=M, ef_construction=max(config.ef_construction, wanted))
    return None if graph_of(found) == graph_of(config) else found


def graph_of(config: EngineConfig) -> tuple[int, int]:
    """Return M and ef_construction."""
    return config.M, config.ef_construction


def is_strained(point: EnginePoint, config: EngineConfig) -> bool:
    """Return whether a point needs far more ef_search than its config expected of a graph."""
    expected = max(config.ef_search, USUAL * config.k)
    return point.settings.oversampling == 1 and point.settings.ef_search > STRAINED * expected


def graph_is_proved(points: Sequence[EnginePoint], config: EngineConfig) -> bool:
    """Return whether another codec reaches the target with no richer a graph: then it is not the graph."""
    return any(
        point.reaches_target
        and point.settings.codec != config.codec
        and point.settings.M <= config.M
        and point.settings.ef_construction <= config.ef_construction
        for point in points
    )
