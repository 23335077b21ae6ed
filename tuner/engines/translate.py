"""Between the sweep's words and an engine's: what it can express, and which point is which settings."""

from __future__ import annotations

from dataclasses import replace

from tuner.engines.limits import problems
from tuner.engines.protocol import Capabilities, Engine, EngineCodec
from tuner.errors import InputError
from tuner.index.codecs import quantizer
from tuner.space import default_space
from tuner.types import EngineConfig, Metric, OperatingPoint, Result, Space

FACTORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Re-scoring factors that are tried, as far as the engine takes them."""


def nearest_name(codec: EngineCodec, d: int) -> str:
    """Return faiss's nearest codec as it is called at ``d`` columns: ``PQd/4x8`` is ``PQ64x8`` at 256."""
    return quantizer(codec.nearest, d).name


def fitting_codecs(engine: Engine, d: int, metric: Metric | None) -> tuple[EngineCodec, ...]:
    """Return the engine's codecs that vectors of ``d`` columns can have; None is any metric."""
    return tuple(
        codec
        for codec in engine.capabilities.codecs
        if codec.least_d <= d <= codec.most_d
        and d % codec.multiple_of == 0
        and (metric is None or metric in codec.metrics)
    )


def space_for(engine: Engine, space: Space, d: int, k: int, metric: Metric | None) -> Space:
    """Return the part of ``space`` that the engine can express.

    Raises:
        InputError: it can express none of it, or has no codec for vectors like these.
    """
    can = engine.capabilities
    if metric is not None and metric not in can.metrics:
        raise InputError(f"{can.title} has no metric {metric}: it has {', '.join(can.metrics)}")
    if d > can.most_dims:
        raise InputError(
            f"{can.title} takes at most {can.most_dims:,} dimensions, and these vectors have {d:,}"
        )
    codecs = fitting_codecs(engine, d, metric)
    if not codecs:
        limits = ", ".join(
            f"{codec.name}: {codec.least_d} to {codec.most_d}"
            + (f" in multiples of {codec.multiple_of}" if codec.multiple_of > 1 else "")
            for codec in can.codecs
        )
        raise InputError(f"{can.title} has no codec for {d} dimensions ({limits}): use another engine")
    M = tuple(each for each in space.M if can.M[0] <= each <= can.M[1])
    if not M:
        raise InputError(
            f"{can.title} takes M from {can.M[0]} to {can.M[1]}, and the space has none of them: "
            f"give others with --space"
        )
    least, most = can.ef_construction
    wanted = max(space.ef_construction, least, round(can.ef_construction_per_M * max(M)))
    factors = factors_of(can, k) if any(codec.oversampling for codec in codecs) else (1,)
    return replace(
        space,
        name=f"{space.name} for {can.name}",
        M=M,
        ef_construction=min(wanted, most),
        codecs=_asked_for(space, tuple(dict.fromkeys(codec.nearest for codec in codecs)), can),
        cuts=(1.0,),
        rerank_stores=("fp32",),
        rerank_factors=tuple(factor for factor in factors if factor <= max(space.rerank_factors)),
        ef_search_max=min(space.ef_search_max, can.ef_search[1]),
    )


def _asked_for(space: Space, nearest: tuple[str, ...], can: Capabilities) -> tuple[str, ...]:
    """Return the engine's codecs, those of a space that the user wrote where he did."""
    if space.codecs == default_space().codecs:
        return nearest
    both = tuple(name for name in nearest if name in space.codecs)
    if not both:
        raise InputError(
            f"{can.title} has none of the space's codecs: its own are like {', '.join(nearest)}; name some "
            "of them in --space, or leave it out"
        )
    return both


def factors_of(can: Capabilities, k: int) -> tuple[int, ...]:
    """Return the re-scoring factors that the engine takes at this k, ascending, 1 among them."""
    low, high = can.oversampling
    most = high if can.most_candidates is None else min(high, can.most_candidates // k)
    return tuple(factor for factor in FACTORS if factor == 1 or low <= factor <= most)


def config_of(engine: Engine, result: Result, point: OperatingPoint, variant: str = "") -> EngineConfig:
    """Return the engine's settings for a measured point.

    Raises:
        InputError: the engine cannot express it; the sentence names the nearest point that it can.
    """
    config, why_not = _translated(engine, result, point, variant)
    if config is not None:
        return config
    near = nearest_expressible(engine, result, point, variant)
    label = point.configuration.label
    can = engine.capabilities
    if near is None:
        raise InputError(
            f"{can.title} cannot express {label} ({why_not}), nor any other measured point of this report: "
            f"tune with --target {can.name}"
        )
    raise InputError(
        f"{can.title} cannot express {label} ({why_not}); the nearest measured point that it can is number "
        f"{result.points.index(near)}, {near.configuration.label} with ef_search={near.ef_search}: export "
        f"that with --point {result.points.index(near)}, or tune with --target {can.name}"
    )


def nearest_expressible(
    engine: Engine, result: Result, point: OperatingPoint, variant: str = ""
) -> OperatingPoint | None:
    """Return the measured point that reaches the target, is expressible and costs least beyond ``point``."""
    good = [
        other
        for other in result.points
        if other.reaches_target and _translated(engine, result, other, variant)[0] is not None
    ]

    def worse(other: OperatingPoint) -> float:
        memory = other.memory.resident_bytes / point.memory.resident_bytes
        return max(memory, 1.0) * max(other.seconds / point.seconds, 1.0)

    return min(good, key=worse, default=None)


def _is_nearest(codec: EngineCodec, name: str, d: int) -> bool:
    return d % codec.multiple_of == 0 and nearest_name(codec, d) == name


def _translated(
    engine: Engine, result: Result, point: OperatingPoint, variant: str
) -> tuple[EngineConfig | None, str]:
    what, can = point.configuration, engine.capabilities
    if what.cut != "none":
        return (
            None,
            "it cuts dimensions, which no engine does: cut the vectors themselves before loading them",
        )
    if what.rerank not in (None, "fp32"):
        return None, f"it re-ranks on {what.rerank}, and engines re-score on float32"
    codecs = [codec for codec in can.codecs if _is_nearest(codec, what.codec, result.profile.d)]
    if not codecs:
        return None, f"it has no codec like {what.codec}"
    why = ""
    for codec in codecs:
        config = EngineConfig(
            engine=can.name,
            codec=codec.name,
            d=result.profile.d,
            metric=result.profile.metric,
            k=result.options.k,
            M=what.M,
            ef_construction=what.ef_construction,
            ef_search=point.ef_search,
            oversampling=what.rerank_factor,
            variant=variant,
        )
        broken = problems(engine, config)
        if not broken:
            return config, ""
        why = broken[0]
    return None, why
