"""What every engine's settings are held against, whatever the vendor's own model would let pass."""

from __future__ import annotations

from tuner.engines.protocol import Engine, EngineCodec, EngineConfig
from tuner.errors import InputError


def check_settings(engine: Engine, settings: EngineConfig) -> None:
    """Raise InputError with the first thing in ``settings`` that the engine cannot do, and what it can."""
    faults = problems(engine, settings)
    if faults:
        raise InputError(f"{engine.capabilities.title}: {faults[0]}")
    engine.check(settings)


def problems(engine: Engine, settings: EngineConfig) -> list[str]:
    """Return every bound that ``settings`` breaks, a sentence each."""
    can = engine.capabilities
    codec = can.codec(settings.codec)
    if codec is None:
        return [f"it has no codec {settings.codec!r}: it has {', '.join(each.name for each in can.codecs)}"]
    found = []
    for name, value, (low, high) in (
        ("M", settings.M, can.M),
        ("ef_construction", settings.ef_construction, can.ef_construction),
        ("ef_search", settings.ef_search, can.ef_search),
        ("oversampling", settings.oversampling, can.oversampling),
        ("d", settings.d, (1, can.most_dims)),
        ("k", settings.k, (1, NO_K)),
    ):
        if not low <= value <= high:
            found.append(f"{name} is {value}, and it takes {low} to {high}")
    least = can.ef_construction_per_M * settings.M
    if settings.ef_construction < least:
        found.append(
            f"ef_construction is {settings.ef_construction}, and at M={settings.M} it takes {least:.0f} or "
            "more"
        )
    if settings.variant and not can.versioned:
        found.append(f"its configuration is the same in all versions, and {settings.variant!r} was named")
    if settings.metric not in can.metrics:
        found.append(f"it has no metric {settings.metric}: it has {', '.join(can.metrics)}")
    found += _of_codec(codec, settings)
    if can.most_candidates is not None and settings.candidates > can.most_candidates:
        found.append(
            f"k x oversampling is {settings.candidates} candidates, and it fetches at most "
            f"{can.most_candidates}"
        )
    if can.ef_covers_candidates and settings.ef_search < settings.candidates:
        found.append(
            f"ef_search is {settings.ef_search}, and it returns no more than that, but k x oversampling "
            f"asks for {settings.candidates}"
        )
    return found


NO_K = 10_000
"""Neighbours that no engine here returns more of without being told to."""


def _of_codec(codec: EngineCodec, settings: EngineConfig) -> list[str]:
    found = []
    if settings.metric not in codec.metrics:
        found.append(f"{codec.name} works for {', '.join(codec.metrics)} only, not for {settings.metric}")
    if settings.oversampling > 1 and not codec.oversampling:
        found.append(f"{codec.name} cannot re-score candidates: oversampling must be 1")
    if settings.d % codec.multiple_of:
        found.append(f"{codec.name} takes d in multiples of {codec.multiple_of}, and d is {settings.d}")
    if not codec.least_d <= settings.d <= codec.most_d:
        found.append(f"{codec.name} takes d from {codec.least_d} to {codec.most_d}, and d is {settings.d}")
    return found
