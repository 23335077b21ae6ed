"""Between the sweep's words and an engine's: what it can express, and which point is which settings."""

from __future__ import annotations

from dataclasses import replace

from tuner.engines.filtered import with_filters
from tuner.engines.limits import check_shards, problems
from tuner.engines.protocol import Capabilities, Engine, EngineCodec
from tuner.engines.versions import version_fault
from tuner.errors import InputError
from tuner.index.codecs import quantizer
from tuner.space import USUAL_EF_CONSTRUCTION, USUAL_M, default_space, usual_m
from tuner.types import Configuration, EngineConfig, Memory, Metric, OperatingPoint, Result, Space

FACTORS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
"""Re-scoring factors that are tried, as far as the engine takes them."""
UNIT = 0.01
"""Norms within this of 1 are lengths of 1: float16 and rounding in a client move them by less."""


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
        InputError: the engine cannot express it, the sentence names the nearest point that it can; it takes
            no such vectors; or there is no such version.
    """
    can = engine.capabilities
    check_version(can, variant)
    check_shards(can, n_shards_of(result))
    check_lengths(can, result.profile.metric, result.profile.norm_min, result.profile.norm_max)
    config, why_not = _translated(engine, result, point, variant)
    if config is not None:
        return with_filters(can, config, result, point, least_ef(can, config))
    near = nearest_expressible(engine, result, point, variant)
    beyond = f"{can.title} cannot express {point.configuration.label} ({why_not})"
    if near is None:
        raise InputError(
            f"{beyond}, nor any other measured point of this report: {_otherwise(engine, result)}"
        )
    raise InputError(
        f"{beyond}; the nearest measured point that it can is {describe_nearest(result, point, near)}: take "
        f"it with --nearest, or {_otherwise(engine, result)}"
    )


def check_version(can: Capabilities, variant: str) -> None:
    """Raise InputError if configurations are not written for a version."""
    fault = version_fault(can, variant)
    if fault:
        raise InputError(f"{can.title}: {fault}")


def _otherwise(engine: Engine, result: Result) -> str:
    """Return how to find a point that the engine can express."""
    can = engine.capabilities
    if result.sharded is None:
        return f"tune with --target {can.name}"
    codecs = dict.fromkeys(
        codec.nearest for codec in fitting_codecs(engine, result.profile.d, result.profile.metric)
    )
    return (
        f"run tune with --shards again and a --space of what tune engines {can.name} says, codecs like "
        f"{', '.join(codecs)}"
    )


def n_shards_of(result: Result) -> int:
    """Return the number of shards that were measured as one index."""
    return 1 if result.sharded is None else result.sharded.n_shards


def check_lengths(can: Capabilities, metric: Metric, shortest: float, longest: float) -> None:
    """Raise InputError if the engine's metric needs vectors of length 1, and these are not.

    Args:
        can: what the engine can express.
        metric: metric of the vectors.
        shortest: least norm of the rows.
        longest: largest norm of the rows.
    """
    if metric in can.unit_length and not (shortest >= 1 - UNIT and longest <= 1 + UNIT):
        raise InputError(
            f"{can.title} compares by {metric} only vectors of length 1, and these rows have lengths from "
            f"{shortest:.3g} to {longest:.3g}: take another engine, or normalise rows and queries and tune "
            "with --metric cosine if only their directions count"
        )


def nearest_expressible(
    engine: Engine, result: Result, point: OperatingPoint, variant: str = ""
) -> OperatingPoint | None:
    """Return the measured point that is expressible, reaches the target and costs least beyond ``point``.

    The point itself is returned if it is expressible; where none reaches the target, the one of most recall.
    """
    if _translated(engine, result, point, variant)[0] is not None:
        return point
    measured = [*result.points, *reference_point(result)]
    able = [other for other in measured if _translated(engine, result, other, variant)[0] is not None]

    def worse(other: OperatingPoint) -> float:
        memory = other.memory.resident_bytes / point.memory.resident_bytes
        return max(memory, 1.0) * max(other.seconds / point.seconds, 1.0)

    good = [other for other in able if other.reaches_target]
    if good:
        return min(good, key=worse)
    return max(able, key=lambda other: other.recall.lower, default=None)


def reference_point(result: Result) -> tuple[OperatingPoint, ...]:
    """Return the float32 index that the recommendation was compared with as a point, if there is one."""
    base, space = result.baseline, result.options.space
    if base is None:
        return ()
    built = base.build_cpu_s is not None
    point = OperatingPoint(
        configuration=Configuration(
            M=USUAL_M if built else usual_m(space),
            ef_construction=USUAL_EF_CONSTRUCTION if built else space.ef_construction,
            codec="fp32",
            dims=result.profile.d,
        ),
        ef_search=base.ef_search,
        recall=base.recall,
        ndis_per_query=0.0,
        bytes_read_per_query=0.0,
        memory=Memory(
            codes_bytes=base.memory_bytes,
            links_bytes=0,
            levels_bytes=0,
            ids_bytes=0,
            rerank_bytes=0,
            overhead_bytes=0,
        ),
        predicted_recall=None,
        modelled_latency_s=base.latency.mean_s,
        latency=base.latency,
        reaches_target=base.recall.lower >= result.options.recall,
    )
    return (point,)


def describe_nearest(result: Result, point: OperatingPoint, near: OperatingPoint) -> str:
    """Return what is taken in a point's place, and what that costs."""
    recall = near.recall
    missed = "" if near.reaches_target else ", which misses the target"
    memory = near.memory.resident_bytes / point.memory.resident_bytes
    number = f"number {result.points.index(near)}" if near in result.points else "the usual index beside it"
    return (
        f"{number}, {near.configuration.label} with ef_search={near.ef_search}: "
        f"recall {recall.mean:.4f} (at least {recall.lower:.4f}){missed}, "
        f"{near.memory.resident_bytes:,} bytes, {memory:.2f} x the memory and "
        f"{near.seconds / point.seconds:.2f} x the time of {point.configuration.label}"
    )


def describe_raised(settings: EngineConfig, point: OperatingPoint) -> str:
    """Return that ef_search is above that of the measured point."""
    return (
        f"ef_search is {settings.ef_search}, the least that it takes, and {point.ef_search} was measured: "
        "recall may be higher than is said, and time is longer"
    )


def least_ef(can: Capabilities, config: EngineConfig) -> int:
    """Return the smallest ef_search that can return what is asked."""
    candidates = config.candidates if can.ef_covers_candidates else config.k
    return max(can.ef_search[0], candidates)


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
            n_shards=n_shards_of(result),
        )
        # what an engine searches at least finds no less than was measured
        config = replace(config, ef_search=max(config.ef_search, least_ef(can, config)))
        broken = problems(engine, config)
        if not broken:
            return config, ""
        why = broken[0]
    return None, why
