"""Which codecs of an engine are built at full size: in what order, and with which M."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence

from tuner.engine_jobs.choice import preferred
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engine_jobs.survey import SURVEYED_FROM, Surveyed, survey
from tuner.engines import EngineCodec
from tuner.runtime.steps import as_progress
from tuner.types import EngineConfig, Event, Note, Preference, StageFinished, StageStarted


def config_like(measurement: EngineMeasurement, codec: EngineCodec) -> EngineConfig:
    """Return the config of a codec, with the M that is worth most with codes of its size."""
    can, result, options = measurement.can, measurement.result, measurement.posed.problem.options
    prefer, d = options.prefer, measurement.posed.vectors.d

    plain = [
        point
        for point in result.points
        if point.reaches_target and point.configuration.cut == "none" and point.configuration.rerank is None
    ]
    sizes = [d * codec.bits / 8 + 2 * 4 * point.configuration.M for point in plain]
    guide = (
        plain[preferred(sizes, [point.seconds for point in plain], prefer, 0.0)]
        if plain
        else result.points[result.named[prefer]]
    )
    return EngineConfig(
        engine=can.name,
        codec=codec.name,
        d=d,
        metric=measurement.posed.profile.metric,
        k=options.k,
        M=min(max(guide.configuration.M, can.M[0]), can.M[1]),
        ef_construction=options.space.ef_construction,
        ef_search=guide.ef_search,
    )


def build_order(
    measurement: EngineMeasurement, codecs: tuple[EngineCodec, ...], start: EngineConfig
) -> Generator[Event, None, list[Surveyed]]:
    """Yield events; return the codecs in the order in which they are built at full size."""
    can = measurement.can
    if measurement.posed.n < SURVEYED_FROM or len(codecs) == 1:
        return [
            Surveyed(codec=codec.name, factor=1, recall=1.0, bytes_per_vector=codec.bits, seconds=1.0)
            for codec in sorted(codecs, key=lambda each: each.bits)
        ]
    name, started = "survey", time.perf_counter()
    yield StageStarted(name, f"look at {len(codecs)} codecs of {can.title} on a sample")
    found = yield from as_progress(name, survey(can, codecs, start, measurement.posed, measurement.threads))
    took = time.perf_counter() - started
    yield StageFinished(name, f"look at {len(codecs)} codecs of {can.title} on a sample", took, 0.0)
    for each in found:
        if each.excluded:
            yield Note(f"{each.codec}: {each.excluded}")
    return by_preference(found, measurement.posed.problem.options.prefer)


def by_preference(found: Sequence[Surveyed], prefer: Preference) -> list[Surveyed]:
    """Return codecs in the order in which they are preferred, those that are left out last.

    Each is the preferred one of those that are left: what is far slower than the fastest comes after what is
    near it, however small it is, unless the smallest is asked for.
    """
    rest, order = [each for each in found if not each.excluded], []
    while rest:
        sizes, seconds = [each.bytes_per_vector for each in rest], [each.seconds for each in rest]
        order.append(rest.pop(preferred(sizes, seconds, prefer, 0.0)))
    return [*order, *(each for each in found if each.excluded)]
