"""What every engine's settings are held against, whatever the vendor's own model would let pass."""

from __future__ import annotations

from tuner.engines.protocol import NO_LIMIT, Capabilities, Engine, EngineCodec
from tuner.engines.versions import codec_fault, version_fault
from tuner.errors import InputError
from tuner.types import EngineConfig


def check_config(engine: Engine, config: EngineConfig) -> None:
    """Raise InputError with the first thing in ``config`` that the engine cannot do, and what it can."""
    faults = problems(engine, config)
    if faults:
        raise InputError(f"{engine.capabilities.title}: {faults[0]}")
    engine.check(config)


def check_shards(can: Capabilities, n_shards: int) -> None:
    """Raise InputError if the engine divides a collection into shards, and not into so many."""
    if n_shards > can.most_shards > 1:
        raise InputError(
            f"{can.title} divides a collection into at most {can.most_shards:,} shards, and {n_shards:,} "
            f"were measured: run tune with --shards {can.most_shards} or fewer"
        )


def problems(engine: Engine, config: EngineConfig) -> list[str]:
    """Return every bound that ``config`` breaks, a sentence each."""
    can = engine.capabilities
    codec = can.codec(config.codec)
    if codec is None:
        return [f"it has no codec {config.codec!r}: it has {', '.join(each.name for each in can.codecs)}"]
    found = []
    for name, value, (low, high) in (
        ("M", config.M, can.M),
        ("ef_construction", config.ef_construction, can.ef_construction),
        ("ef_search", config.ef_search, can.ef_search),
        ("oversampling", config.oversampling, can.oversampling),
        ("d", config.d, (1, can.most_dims)),
        ("k", config.k, (1, NO_K)),
        ("n_shards", config.n_shards, (1, can.most_shards if can.most_shards > 1 else NO_LIMIT)),
    ):
        if not low <= value <= high:
            found.append(f"{name} is {value}, and it takes {low} to {high}")
    least = can.ef_construction_per_M * config.M
    if config.ef_construction < least:
        found.append(
            f"ef_construction is {config.ef_construction}, and at M={config.M} it takes {least:.0f} or more"
        )
    unknown = version_fault(can, config.variant)
    found += filter(None, [unknown or codec_fault(can, codec, config.variant)])
    if config.metric not in can.metrics:
        found.append(f"it has no metric {config.metric}: it has {', '.join(can.metrics)}")
    found += _of_codec(codec, config)
    if can.most_candidates is not None and config.candidates > can.most_candidates:
        found.append(
            f"k x oversampling is {config.candidates} candidates, and it fetches at most "
            f"{can.most_candidates}"
        )
    if can.ef_covers_candidates and config.ef_search < config.candidates:
        found.append(
            f"ef_search is {config.ef_search}, and it returns no more than that, but k x oversampling "
            f"asks for {config.candidates}"
        )
    return found


NO_K = 10_000
"""Neighbours that no engine here returns more of without being told to."""


def _of_codec(codec: EngineCodec, config: EngineConfig) -> list[str]:
    found = []
    if config.metric not in codec.metrics:
        found.append(f"{codec.name} works for {', '.join(codec.metrics)} only, not for {config.metric}")
    if config.oversampling > 1 and not codec.oversampling:
        found.append(f"{codec.name} cannot re-score candidates: oversampling must be 1")
    if config.d % codec.multiple_of:
        found.append(f"{codec.name} takes d in multiples of {codec.multiple_of}, and d is {config.d}")
    if not codec.least_d <= config.d <= codec.most_d:
        found.append(f"{codec.name} takes d from {codec.least_d} to {codec.most_d}, and d is {config.d}")
    return found
