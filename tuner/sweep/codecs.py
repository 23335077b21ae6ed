"""Which codecs are worth an index: timed first, then judged by their ceilings, the cheapest first.

A codec is not even trained when the front that is already predicted would beat it with a perfect
ceiling. What was excluded, and why, is kept for the report.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from tuner.index.assemble import Encoded
from tuner.index.codecs import Quantizer, quantizer
from tuner.index.encoders import Encoder, train
from tuner.index.graph import DerivableGraph
from tuner.index.projections import Projection, Rotation, fit_rotation
from tuner.prediction.ceilings import Pool, encode_rows, measure_ceiling, store_distances
from tuner.prediction.curves import Curve
from tuner.prediction.kernel_costs import KernelCost, Reranking, small_graph, time_kernels, time_rerankings
from tuner.prediction.pareto import dominated_by_more_than, front
from tuner.prediction.surface import Candidate, CodecCost
from tuner.runtime.machine import return_freed_memory
from tuner.runtime.steps import scaled
from tuner.sweep.candidates import rough_memory, surface_of
from tuner.sweep.codec_costs import FullSize, codec_cost_of, exact_codes
from tuner.sweep.index_builder import encoder_name
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import TRAIN_SAMPLE, ProxyCodes
from tuner.types import Ceiling, FloatArray, Options, Space, Steps

SHALLOW, LEAST_SHALLOW = 1.6, 20
"""Depth of the pool that good codecs are judged on: multiples of the most candidates re-ranked, and of k."""
SURE = 0.5
"""A codec that finds fewer of the nearest in the shallow pool would be flattered by its few rivals there."""
TRUNCATION_LOSS = 0.005
"""Truncation needs no matrix, so it is preferred to PCA unless it loses more recall than this."""
ALWAYS_TRAINED = ("fp32",)
"""The index that most people have is measured whatever the space."""
ALWAYS_JUDGED = ("RaBitQ1", "RaBitQ2")
"""Judged even where they cannot win, to say what a re-ranking store on disk would save."""
SLACK = 0.10
"""Share by which a predicted latency may be too high when a codec is left out because of it."""
RERANKED_SLACK = -0.15
"""With re-ranking such a gain is asked for: predictions were seen to err on the low side only."""
BEATEN = "another codec takes less memory and less time"
SLOW_SLACK = -0.25
"""A codec that takes seconds to train or to encode must promise at least this gain."""
MOST_LINKS = 1.0
"""Links on level 0 take at most this many times the bytes of the float32 vectors."""
HALF_THE_BYTES_LOSS = 0.02
"""A codec of at most half the bytes of one that misses the aim by this much is not hoped to reach it."""
LEFT_BY_ROTATION = 0.7
"""Share of a product codec's misses that are surely left when vectors are rotated for it."""
FAMILIES = ("fp32", "SQ", "RaBitQ", "tqmse", "PQ", "OPQ", "bf16", "fp16")


@dataclass(frozen=True)
class CodecEvaluation:
    """What is known about the codecs.

    Attributes:
        ceilings: every codec of the space, excluded ones with their reason.
        costs: seconds at full size, by encoder name.
        trained: serialized encoders, by encoder name, of those that have a ceiling.
    """

    ceilings: tuple[Ceiling, ...]
    costs: dict[str, CodecCost]
    trained: dict[str, bytes]


@dataclass
class CodecContext:
    """The study while it is being made."""

    problem: Problem
    links: DerivableGraph
    curves: dict[int, Curve]
    sample: FloatArray
    rotation: Rotation
    pool: Pool
    shallow: Pool
    stores: dict[str, Encoder]
    kernels: dict[str, KernelCost]
    rerankings: dict[str, Reranking]
    fetch_s: float
    """Seconds that fetching adds to a candidate that is re-ranked."""
    full: FullSize
    timed: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Seconds a distance and distances at full size, by encoder name, of codecs that were timed there."""
    distances: dict[int, dict[str, FloatArray]] = field(default_factory=dict)
    """What the re-ranking stores say of the pool, by its depth: a deep one is seldom needed."""
    ceilings: list[Ceiling] = field(default_factory=list)
    costs: dict[str, CodecCost] = field(default_factory=dict)
    trained: dict[str, bytes] = field(default_factory=dict)
    known: list[Candidate] = field(default_factory=list)


def sensible(space: Space, d: int) -> Space:
    """Return the space without the M whose links would take far more bytes than the vectors in float32."""
    kept = tuple(M for M in space.M if MOST_LINKS * 4 * d >= 8 * M)
    return replace(space, M=kept or (min(space.M),))


def projections_of(options: Options, d: int) -> list[Projection]:
    """Return the views of the space at ``d`` dimensions, whole first, cuts rounded to multiples of 8."""
    projections = [Projection("none", d)] if 1.0 in options.space.cuts else []
    for share in sorted({share for share in options.space.cuts if share < 1.0}, reverse=True):
        dims = round(share * d / 8) * 8
        for kind in options.space.cut_kinds:
            projection = Projection(kind, dims)
            if 8 <= dims < d and projection not in projections:
                projections.append(projection)
    return projections


def codecs_at(options: Options, projection: Projection) -> list[Quantizer]:
    """Return the space's codecs at a view; product codecs see all dimensions only."""
    found = dict.fromkeys(quantizer(name, projection.dims) for name in options.space.codecs)
    return [codec for codec in found if projection.cut == "none" or codec.kind not in ("pq", "opq")]


def evaluate_codecs(
    problem: Problem, pool: Pool, links: DerivableGraph, curves: dict[int, Curve], proxy: ProxyCodes
) -> Steps[CodecEvaluation]:
    """Yield the share done; return ceilings and prices of all codecs."""
    base, options = problem.base, problem.options
    sample = base.sample(TRAIN_SAMPLE, options.seed)
    rotation = fit_rotation(sample, base.metric)
    whole = Projection("none", base.d)
    rough: dict[str, Encoder] = {}
    timed_as: dict[str, str] = {}
    order = _order(options, base.d)
    for projection, codec in order:
        name = encoder_name(codec.name, projection.dims, projection.cut)
        # a truncated view costs what the PCA view of as many dimensions does, but for the matrix
        timed_as[name] = encoder_name(
            codec.name, projection.dims, "pca" if projection.cut == "truncate" else projection.cut
        )
        if projection.cut != "truncate" or "pca" not in options.space.cut_kinds:
            timed_as[name] = name
            rough[name] = train(codec, projection, rotation, base.metric, sample, options.seed, roughly=True)
    fp32 = train(quantizer("fp32", base.d), whole, None, base.metric, sample[:1], 0)
    large = {encoder_name(each.codec.name, base.d, "none"): each for each in (fp32, proxy.encoder)}
    for name, encoder in large.items():
        rough.setdefault(name, encoder)
        timed_as.setdefault(name, name)
    yield 0.05
    graph = small_graph(base, problem.queries[problem.tune], options.seed)
    kernels = yield from scaled(time_kernels(graph, rough, fp32), 0.05, 0.2)
    stores = {
        store: train(quantizer(store, base.d), whole, None, base.metric, sample, options.seed)
        for store in options.space.rerank_stores
    }
    own_name = encoder_name(proxy.encoder.codec.name, base.d, "none")
    full = FullSize(problem, links, graph, proxy.encoded, kernels[own_name])
    rerankings = time_rerankings(graph, fp32, {**stores, "fp32": fp32}) if stores else {}
    fetch_s = full.fetch_s(exact_codes(fp32, problem), rerankings["fp32"]) if stores else 0.0
    context = CodecContext(
        problem=problem,
        links=links,
        curves=curves,
        sample=sample,
        rotation=rotation,
        pool=pool,
        shallow=_shallow(pool, options),
        stores=stores,
        kernels={name: kernels[timed_as[name]] for name in timed_as},
        rerankings=rerankings,
        fetch_s=fetch_s,
        full=full,
    )
    context.timed[own_name] = full.own_s, 1.0
    del rough, graph, kernels
    return_freed_memory()
    for name in {*ALWAYS_TRAINED, *stores}:
        encoder = stores.get(name) or train(
            quantizer(name, base.d), whole, None, base.metric, sample, options.seed
        )
        context.trained[encoder_name(name, base.d, "none")] = encoder.to_bytes()
    yield 0.25
    for number, (projection, codec) in enumerate(order):
        _judge(context, projection, codec)
        yield 0.25 + 0.75 * (number + 1) / len(order)
    base.release()
    return CodecEvaluation(ceilings=tuple(context.ceilings), costs=context.costs, trained=context.trained)


def _shallow(pool: Pool, options: Options) -> Pool:
    depth = round(options.k * max(LEAST_SHALLOW, SHALLOW * max(options.space.rerank_factors)))
    return pool.shallow(depth) if 2 * depth <= pool.depth else pool


def _family(codec: str) -> str:
    return next(family for family in FAMILIES if codec.startswith(family))


def _order(options: Options, d: int) -> list[tuple[Projection, Quantizer]]:
    """Return what to judge: whole views first, and finer codecs before coarser ones, which they bound.

    Float32 comes first on every view: it says which of two cuts is worth anything.
    """
    found = [
        (projection, codec)
        for projection in projections_of(options, d)
        for codec in sorted(
            codecs_at(options, projection), key=lambda c: (FAMILIES.index(_family(c.name)), -c.code_bytes)
        )
    ]
    return sorted(found, key=lambda each: (each[0].cut != "none", each[1].name != "fp32"))


def _judge(context: CodecContext, projection: Projection, codec: Quantizer) -> None:
    """Give one codec its ceiling, or the reason why it gets none."""
    base, options = context.problem.base, context.problem.options
    name = encoder_name(codec.name, projection.dims, projection.cut)
    _set_cost(context, name, *_guess(context, name, encoder_name(codec.name, context.problem.base.d, "none")))
    unknown = Ceiling(
        codec=codec.name,
        dims=projection.dims,
        cut=projection.cut,
        code_bytes=codec.code_bytes,
        recall_at={},
        train_s=0.0,
        distance_s=context.costs[name].distance_s,
    )
    reason = (
        ""
        if options.exhaustive
        else _hopeless_projection(context, projection, codec) or _hopeless_cost(context, unknown)
    )
    always = codec.name in ALWAYS_JUDGED and projection.cut == "none"
    if reason and not always and codec.name != "fp32":
        context.ceilings.append(replace(unknown, excluded=reason))
        return
    start = time.process_time()
    encoder = train(codec, projection, context.rotation, base.metric, context.sample, options.seed)
    spent = time.process_time() - start
    ceiling = _ceiling_on(context, context.shallow, encoder, spent)
    missing = {1, *options.space.rerank_factors} - ceiling.recall_at.keys()
    if context.shallow is not context.pool and (missing or ceiling.recall_at[1] < SURE):
        ceiling = _ceiling_on(context, context.pool, encoder, spent)
    if not reason:
        reason = _not_worth_it(context, name, codec, encoder, ceiling)
    if not reason:
        context.known = _front_of([*context.known, *_candidates(context, ceiling)])
    context.trained[name] = encoder.to_bytes()
    context.ceilings.append(replace(ceiling, distance_s=context.costs[name].distance_s, excluded=reason))


def _not_worth_it(
    context: CodecContext, name: str, codec: Quantizer, encoder: Encoder, ceiling: Ceiling
) -> str:
    """Return why a codec of this ceiling is of no use, or an empty string.

    What is worth an index at the price that was guessed is timed at full size, and judged again.
    """
    found = list(_candidates(context, ceiling))
    if not found:
        return f"its exhaustive scan reaches {max(ceiling.recall_at.values()):.4f} at best"
    exhaustive = context.problem.options.exhaustive
    whole = encoder_name(codec.name, context.problem.base.d, "none")
    known = context.timed.keys() & {name, whole, _unrotated(name)}
    if not known and (exhaustive or not _beaten(context, codec, found)):
        base = context.problem.base
        exact = codec.name == "fp32" and encoder.projection.cut == "none"
        codes = (
            exact_codes(encoder, context.problem) if exact else Encoded(encoder, encode_rows(base, encoder))
        )
        context.timed[name] = context.full.time(codes)
        _set_cost(context, name, *context.timed[name])
        found = list(_candidates(context, ceiling))
    return BEATEN if not exhaustive and _beaten(context, codec, found) else ""


def _guess(context: CodecContext, name: str, whole: str) -> tuple[float, float]:
    """Return seconds a distance and distances of a codec, timed at full size if it was, else guessed.

    Args:
        whole: name of the codec on all dimensions: what it is off by, its cuts are taken to be off by.
    """
    kernel = context.kernels[name]
    guess_s = context.full.guess_s(kernel)
    for same in (name, _unrotated(name)):
        if same in context.timed:
            return context.timed[same]
    if whole not in context.timed:
        return guess_s, max(1.0, kernel.ndis / context.full.kernel.ndis)
    distance_s, distances = context.timed[whole]
    return guess_s * distance_s / context.full.guess_s(context.kernels[whole]), distances


def _unrotated(name: str) -> str:
    """Return the encoder whose distances cost the same: a rotation costs a query, not a distance."""
    return name.removeprefix("O")


def _set_cost(context: CodecContext, name: str, distance_s: float, distances: float) -> None:
    context.costs[name] = codec_cost_of(
        context.kernels[name], distance_s, distances, context.full.hop_s, context.rerankings, context.fetch_s
    )


def _ceiling_on(context: CodecContext, pool: Pool, encoder: Encoder, train_s: float) -> Ceiling:
    base, factors = context.problem.base, context.problem.options.space.rerank_factors
    codes = encode_rows(base, encoder, pool.rows)
    base.release()
    if pool.depth not in context.distances:
        context.distances[pool.depth] = {
            name: store_distances(pool, base, name, store) for name, store in context.stores.items()
        }
    stores = context.distances[pool.depth]
    return measure_ceiling(pool, encoder, codes, stores, factors, train_s)


def _front_of(found: list[Candidate]) -> list[Candidate]:
    on_front = front([c.memory.resident_bytes for c in found], [c.latency_s for c in found])
    return [found[i] for i in on_front]


def _hopeless_projection(context: CodecContext, projection: Projection, codec: Quantizer) -> str:
    """Return why a cut is of no use, judged by float32 on it, or an empty string."""
    if projection.cut == "none" or codec.name == "fp32":
        return ""
    on_projection = _float32_on(context, projection.cut, projection.dims)
    if on_projection is None or not on_projection.recall_at:
        return ""
    if max(on_projection.recall_at.values()) < context.problem.aim:
        return f"float32 at this cut reaches {max(on_projection.recall_at.values()):.4f} at best"
    rivals = [
        c
        for c in context.ceilings
        if c.codec == "fp32"
        and c.dims == projection.dims
        and c.cut not in ("none", projection.cut)
        and c.recall_at
    ]
    for rival in rivals:
        allowed = TRUNCATION_LOSS if projection.cut == "truncate" else -TRUNCATION_LOSS
        if rival.recall_at[1] > on_projection.recall_at[1] + allowed:
            return f"{rival.cut} to {projection.dims} dimensions keeps more recall"
    return ""


def _hopeless_cost(context: CodecContext, unknown: Ceiling) -> str:
    """Return why even the best that can be hoped for would not help this codec, or an empty string."""
    codec = quantizer(unknown.codec, unknown.dims)
    hope, with_store = _hope(context, unknown)
    hoped = list(_candidates(context, replace(unknown, recall_at=hope, recall_with=with_store)))
    if not hoped:
        return "its own loss leaves a graph more to find than the curves were followed for"
    return f"even without any loss of its own {BEATEN}" if _beaten(context, codec, hoped) else ""


def _beaten(context: CodecContext, codec: Quantizer, found: list[Candidate]) -> bool:
    """Return whether what is known beats all of a codec's candidates."""
    if not context.known:
        return False
    if codec.is_slow:
        slacks = [SLOW_SLACK] * len(found)
    else:
        slacks = [RERANKED_SLACK if c.configuration.rerank else SLACK for c in found]
    for slack in set(slacks):
        mine = [c for c, its in zip(found, slacks, strict=True) if its == slack]
        beaten = dominated_by_more_than(
            [c.memory.resident_bytes for c in mine],
            [c.latency_s for c in mine],
            [c.memory.resident_bytes for c in context.known],
            [c.latency_s for c in context.known],
            slack,
        )
        if not beaten.all():
            return False
    return True


def _hope(context: CodecContext, unknown: Ceiling) -> tuple[dict[int, float], dict[str, dict[int, float]]]:
    """Return the best ceilings to hope for, by factor and by store and factor.

    No codec keeps more than float32 on the same view, nor more than a finer codec of its family; a
    rotated product codec is hoped to lose 0.7 of what the plain one does. And one of at most half the
    bytes of a codec that clearly misses the aim without re-ranking misses it too.
    """
    factors = (1, *(factor for factor in context.problem.options.space.rerank_factors if factor > 1))
    hope = dict.fromkeys(factors, 1.0)
    with_store = {store: dict.fromkeys(factors, 1.0) for store in context.stores}
    on_projection = [
        c for c in context.ceilings if (c.cut, c.dims) == (unknown.cut, unknown.dims) and c.recall_at
    ]
    for known in on_projection:
        finer = _family(known.codec) == _family(unknown.codec) and known.code_bytes > unknown.code_bytes
        if known.codec == "fp32" or finer:
            for factor, recall in known.recall_at.items():
                hope[factor] = min(hope[factor], recall)
            for store, recalls in known.recall_with.items():
                for factor, recall in recalls.items():
                    with_store[store][factor] = min(with_store[store][factor], recall)
        if known.codec == _unrotated(unknown.codec) != unknown.codec:
            for factor, recall in known.recall_at.items():
                hope[factor] = min(hope[factor], 1 - LEFT_BY_ROTATION * (1 - recall))
        clearly_misses = known.recall_at[1] < context.problem.aim - HALF_THE_BYTES_LOSS
        if clearly_misses and 2 * unknown.code_bytes <= known.code_bytes:
            hope[1] = 0.0
    return hope, with_store


def _float32_on(context: CodecContext, cut: str, dims: int) -> Ceiling | None:
    """Return the ceiling of float32 on a view, if it is known."""
    same = (c for c in context.ceilings if c.codec == "fp32" and (c.cut, c.dims) == (cut, dims))
    return next(same, None)


def _candidates(context: CodecContext, ceiling: Ceiling) -> Iterator[Candidate]:
    yield from surface_of(
        context.problem,
        context.curves,
        ceiling,
        context.costs[encoder_name(ceiling.codec, ceiling.dims, ceiling.cut)],
        lambda configuration: rough_memory(context.problem.base, context.links, configuration),
    )
