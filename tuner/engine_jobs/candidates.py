"""Which codecs of an engine are built at full size, and in what order."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import replace

from tuner.engine_jobs.choice import preferred
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engine_jobs.survey import SURVEYED_FROM, Surveyed, survey
from tuner.engines import Capabilities, EngineCodec
from tuner.runtime.steps import as_progress
from tuner.types import EngineConfig, Event, Note, Options, Preference, StageFinished, StageStarted

SLOWER = 1.25
"""A codec that takes so many times the default's time on a sample will not be faster than it at full size."""


def build_order(
    measurement: EngineMeasurement, codecs: tuple[EngineCodec, ...], start: EngineConfig
) -> Generator[Event, None, list[Surveyed]]:
    """Yield events; return the codecs in the order in which they are built at full size.

    The first one, which keeps vectors as they are, comes first: what it misses is its graph's fault.
    """
    can, exact = measurement.can, codecs[0]
    if measurement.posed.n < SURVEYED_FROM or len(codecs) == 1:
        return [
            Surveyed(codec=codec.name, factor=1, recall=1.0, bytes_per_vector=codec.bits, seconds=0.0)
            for codec in [exact, *sorted(codecs[1:], key=lambda each: each.bits)]
        ]
    name, started = "survey", time.perf_counter()
    yield StageStarted(name, f"look at {len(codecs)} codecs of {can.title} on a sample")
    found = yield from as_progress(name, survey(can, codecs, start, measurement.posed, measurement.threads))
    took = time.perf_counter() - started
    kept = without_slow(found, exact.name, can, measurement.posed.problem.options)
    yield StageFinished(name, f"look at {len(codecs)} codecs of {can.title} on a sample", took, 0.0)
    for each in kept:
        if each.excluded:
            yield Note(f"{each.codec}: {each.excluded}")
    order = by_preference(kept, measurement.posed.problem.options.prefer)
    return sorted(order, key=lambda each: each.codec != exact.name)


def without_slow(
    found: Sequence[Surveyed], exact: str, can: Capabilities, options: Options
) -> Sequence[Surveyed]:
    """Return codecs, those left out that are slower than the engine's default: such are never the answer.

    Who asks for the smallest, or sets a limit on memory that the default may not meet, gets them all. The
    exact codec stays: it shows what a graph can do.
    """
    limited = options.max_memory_bytes is not None or options.max_memory_per_vector is not None
    usual = next((each for each in found if each.codec == can.defaults.codec and not each.excluded), None)
    if usual is None or limited or options.prefer == "smallest":
        return found
    return [
        each
        if each.excluded or each.codec == exact or each.seconds <= SLOWER * usual.seconds
        else replace(each, excluded=_slower_than(usual, each))
        for each in found
    ]


def _slower_than(usual: Surveyed, other: Surveyed) -> str:
    return (
        f"a search takes {other.seconds / usual.seconds:.1f} x as long as with {usual.codec}, the default, "
        "on a sample, and nothing slower is recommended: --prefer smallest builds it"
    )


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
