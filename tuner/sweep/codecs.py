"""Which codecs are worth an index: timed first, then judged by their ceilings, the cheapest first.

A codec is not even trained when the front that is already predicted would beat it with a perfect
ceiling. What was excluded, and why, is kept for the report.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import faiss
import numpy as np

from tuner.ceilings import Pool, encode_rows, make_pool, measure_ceiling, store_distances
from tuner.curves import Curve
from tuner.data.base import Base
from tuner.graph import Links, derive, transplant
from tuner.kernels import Kernel, full_distance_s, time_kernels
from tuner.pareto import dominated_by_more_than
from tuner.quantizers import (
    Encoder,
    Quantizer,
    Rotation,
    View,
    fit_rotation,
    new_index,
    quantizer,
    train,
)
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import encoder_name
from tuner.surface import Candidate, MemoryOf, Prices, candidates
from tuner.timing import one_core
from tuner.truth import Truth
from tuner.types import Ceiling, Configuration, FloatArray, Memory, Options, Steps

TRAIN_SAMPLE = 20_000
CEILING_QUERIES = 256
TRUNCATION_LOSS = 0.005
"""Truncation needs no matrix, so it is preferred to PCA unless it loses more recall than this."""
ALWAYS_JUDGED = ("RaBitQ1", "RaBitQ2")
"""Judged even where they cannot win, to say what a re-ranking store on disk would save."""
SLACK = 0.15


@dataclass(frozen=True)
class Study:
    """What is known about the codecs.

    Attributes:
        ceilings: every codec of the space, excluded ones with their reason.
        prices: seconds at full size, by encoder name.
        trained: serialized encoders, by encoder name, of those that have a ceiling.
        call_s: Python's and faiss's call.
        fp32_distance_s: float32 through the real graph.
    """

    ceilings: tuple[Ceiling, ...]
    prices: dict[str, Prices]
    trained: dict[str, bytes]
    call_s: float
    fp32_distance_s: float


@dataclass
class Desk:
    """The study while it is being made."""

    problem: Problem
    links: Links
    curves: dict[int, Curve]
    sample: FloatArray
    rotation: Rotation
    pool: Pool
    stores: dict[str, FloatArray]
    kernels: dict[str, Kernel]
    fp32_distance_s: float
    call_s: float
    ceilings: list[Ceiling] = field(default_factory=list)
    prices: dict[str, Prices] = field(default_factory=dict)
    trained: dict[str, bytes] = field(default_factory=dict)
    known: list[Candidate] = field(default_factory=list)


def views_of(options: Options, d: int) -> list[View]:
    """Return the views of the space at ``d`` dimensions, whole first, cuts rounded to multiples of 8."""
    views = [View("none", d)] if 1.0 in options.space.cuts else []
    for share in sorted({share for share in options.space.cuts if share < 1.0}, reverse=True):
        dims = round(share * d / 8) * 8
        for kind in options.space.cut_kinds:
            view = View(kind, dims)
            if 8 <= dims < d and view not in views:
                views.append(view)
    return views


def codecs_at(options: Options, view: View) -> list[Quantizer]:
    """Return the space's codecs at a view; product codecs see all dimensions only."""
    found = dict.fromkeys(quantizer(name, view.dims) for name in options.space.codecs)
    return [codec for codec in found if view.cut == "none" or codec.kind not in ("pq", "opq")]


def study_codecs(
    problem: Problem, deep: Truth, links: Links, curves: dict[int, Curve], call_s: float
) -> Steps[Study]:
    """Yield the share done; return ceilings and prices of all codecs.

    Args:
        deep: truth of the first tune queries, as deep as the pool.
    """
    base, options = problem.base, problem.options
    sample = base.sample(TRAIN_SAMPLE, options.seed)
    rotation = fit_rotation(sample, base.metric)
    pool = make_pool(base, problem.queries[problem.tune[: len(deep.ids)]], deep)
    rough = {
        encoder_name(codec.name, view.dims, view.cut): train(
            codec, view, rotation, base.metric, sample, options.seed, roughly=True
        )
        for view in views_of(options, base.d)
        for codec in codecs_at(options, view)
    }
    fp32 = train(quantizer("fp32", base.d), View("none", base.d), None, base.metric, sample[:1], 0)
    rough.setdefault(encoder_name("fp32", base.d, "none"), fp32)
    yield 0.05
    steps = time_kernels(base, rough, fp32, problem.queries[problem.tune], options.seed)
    kernels = yield from _scaled(steps, 0.05, 0.2)
    desk = Desk(
        problem=problem,
        links=links,
        curves=curves,
        sample=sample,
        rotation=rotation,
        pool=pool,
        stores={},
        kernels=kernels,
        fp32_distance_s=_time_fp32(problem, links),
        call_s=call_s,
    )
    _add_stores(desk)
    yield 0.25
    order = _order(desk)
    for number, (view, codec) in enumerate(order):
        _judge(desk, view, codec)
        yield 0.25 + 0.75 * (number + 1) / len(order)
    base.release()
    return Study(
        ceilings=tuple(desk.ceilings),
        prices=desk.prices,
        trained=desk.trained,
        call_s=call_s,
        fp32_distance_s=desk.fp32_distance_s,
    )


def _scaled(steps: Steps[dict[str, Kernel]], low: float, high: float) -> Steps[dict[str, Kernel]]:
    while True:
        try:
            yield low + (high - low) * next(steps)
        except StopIteration as stop:
            kernels: dict[str, Kernel] = stop.value
            return kernels


def _time_fp32(problem: Problem, links: Links) -> float:
    """Return seconds a distance of float32 through the real graph, the best of five rounds."""
    base = problem.base
    M = min(problem.options.space.M, key=lambda M: abs(M - 16))
    index = transplant(
        derive(links, M, problem.links_path), M, new_index(quantizer("fp32", base.d), M), base.x.view(np.uint8)
    )
    index.hnsw.efSearch = 64
    queries = problem.queries[problem.tune[:128]]
    best = float("inf")
    with one_core():
        for _ in range(5):
            faiss.cvar.hnsw_stats.reset()
            start = time.perf_counter()
            index.search(queries, problem.options.k)
            best = min(best, (time.perf_counter() - start) / faiss.cvar.hnsw_stats.ndis)
    return best


def _add_stores(desk: Desk) -> None:
    """Measure the distances that each re-ranking store gives on the pool."""
    base, options = desk.problem.base, desk.problem.options
    whole = View("none", base.d)
    for store in options.space.rerank_stores:
        codec = quantizer(store, base.d)
        encoder = train(codec, whole, None, base.metric, desk.sample, options.seed)
        desk.trained[encoder_name(store, base.d, "none")] = encoder.to_bytes()
        desk.stores[store] = store_distances(desk.pool, base, store, encoder)


def _order(desk: Desk) -> list[tuple[View, Quantizer]]:
    """Return what to judge: the whole view first, then cuts; fp32 first of each, then the cheapest."""
    options, d = desk.problem.options, desk.problem.base.d

    def cheapness(codec: Quantizer, view: View) -> tuple[bool, float]:
        kernel = desk.kernels[encoder_name(codec.name, view.dims, view.cut)]
        return codec.name != "fp32", kernel.distance_s * codec.code_bytes

    order = []
    for view in views_of(options, d):
        codecs = codecs_at(options, view)
        order += [(view, codec) for codec in sorted(codecs, key=lambda c: cheapness(c, view))]
    return order


def _judge(desk: Desk, view: View, codec: Quantizer) -> None:
    """Give one codec its ceiling, or the reason why it gets none."""
    problem, base, options = desk.problem, desk.problem.base, desk.problem.options
    name = encoder_name(codec.name, view.dims, view.cut)
    desk.prices[name] = _prices(desk, name)
    unknown = Ceiling(
        codec=codec.name,
        dims=view.dims,
        cut=view.cut,
        code_bytes=codec.code_bytes,
        recall_at={},
        train_s=0.0,
        distance_s=desk.prices[name].distance_s,
    )
    reason = _hopeless_view(desk, view, codec) or _hopeless_cost(desk, unknown)
    if reason and codec.name not in ALWAYS_JUDGED:
        desk.ceilings.append(replace(unknown, excluded=reason))
        return
    start = time.process_time()
    encoder = train(codec, view, desk.rotation, base.metric, desk.sample, options.seed)
    spent = time.process_time() - start
    codes = encode_rows(base, encoder, desk.pool.rows)
    ceiling = measure_ceiling(desk.pool, encoder, codes, desk.stores, options.space.rerank_factors, spent)
    ceiling = replace(ceiling, distance_s=unknown.distance_s, excluded=reason)
    if not reason:
        found = list(_candidates(desk, ceiling))
        desk.known += found
        if not found:
            best = max(ceiling.recall_at.values())
            ceiling = replace(ceiling, excluded=f"its exhaustive scan reaches {best:.4f} at best")
    desk.trained[name] = encoder.to_bytes()
    desk.ceilings.append(ceiling)


def _hopeless_view(desk: Desk, view: View, codec: Quantizer) -> str:
    """Return why a cut is of no use, judged by float32 on it, or an empty string."""
    if view.cut == "none" or codec.name == "fp32":
        return ""
    on_view = next(
        (c for c in desk.ceilings if c.codec == "fp32" and (c.cut, c.dims) == (view.cut, view.dims)), None
    )
    if on_view is None or not on_view.recall_at:
        return ""
    if max(on_view.recall_at.values()) < desk.problem.aim:
        return f"float32 at this cut reaches {max(on_view.recall_at.values()):.4f} at best"
    rivals = [
        c
        for c in desk.ceilings
        if c.codec == "fp32" and c.dims == view.dims and c.cut not in ("none", view.cut) and c.recall_at
    ]
    for rival in rivals:
        allowed = -TRUNCATION_LOSS if view.cut == "truncate" else TRUNCATION_LOSS
        if rival.recall_at[1] > on_view.recall_at[1] + allowed:
            return f"{rival.cut} to {view.dims} dimensions keeps more recall"
    return ""


def _hopeless_cost(desk: Desk, unknown: Ceiling) -> str:
    """Return why even a perfect ceiling would not help this codec, or an empty string."""
    factors = desk.problem.options.space.rerank_factors
    perfect = {factor: 1.0 for factor in factors}
    optimistic = replace(
        unknown, recall_at={1: 1.0, **perfect}, recall_with=dict.fromkeys(desk.stores, perfect)
    )
    hoped = list(_candidates(desk, optimistic))
    if not hoped:
        return "no graph of the space reaches the target with it"
    if not desk.known:
        return ""
    beaten = dominated_by_more_than(
        [c.memory.resident_bytes for c in hoped],
        [c.latency_s for c in hoped],
        [c.memory.resident_bytes for c in desk.known],
        [c.latency_s for c in desk.known],
        SLACK,
    )
    if beaten.all():
        return "even with a perfect ceiling another codec takes less memory and less time"
    return ""


def _prices(desk: Desk, name: str) -> Prices:
    d = desk.problem.base.d
    reference = desk.kernels[encoder_name("fp32", d, "none")]

    def at_full_size(key: str) -> float:
        return full_distance_s(desk.kernels[key], reference, desk.fp32_distance_s)

    stores = {}
    for store in desk.problem.options.space.rerank_stores:
        key = encoder_name(store, d, "none")
        stores[store] = at_full_size(key) if key in desk.kernels else desk.fp32_distance_s
    return Prices(
        distance_s=at_full_size(name),
        query_s=desk.kernels[name].query_s,
        rerank_s=stores,
        call_s=desk.call_s,
    )


def _candidates(desk: Desk, ceiling: Ceiling) -> Iterator[Candidate]:
    yield from surface_of(
        desk.problem,
        desk.curves,
        ceiling,
        desk.prices[encoder_name(ceiling.codec, ceiling.dims, ceiling.cut)],
        lambda configuration: rough_memory(desk.problem.base, desk.links, configuration),
    )


def surface_of(
    problem: Problem,
    curves: dict[int, Curve],
    ceiling: Ceiling,
    prices: Prices,
    memory_of: MemoryOf,
) -> list[Candidate]:
    """Return the candidates of one codec under the problem's options."""
    space = problem.options.space
    return candidates(
        ceiling,
        curves,
        prices,
        memory_of,
        aim=problem.aim,
        k=problem.options.k,
        ef_construction=space.ef_construction,
        ef_max=space.ef_search_max,
        stores=space.rerank_stores,
        factors=space.rerank_factors,
        store_at=problem.options.rerank_store,
    )


def rough_memory(base: Base, links: Links, configuration: Configuration) -> Memory:
    """Return bytes by part without headers and codebooks: enough to compare before training."""
    n = base.n
    store = 0
    if configuration.rerank is not None:
        store = n * quantizer(configuration.rerank, base.d).code_bytes
    on_disk = configuration.rerank_at == "disk"
    return Memory(
        codes_bytes=n * quantizer(configuration.codec, configuration.dims).code_bytes,
        links_bytes=4 * links.n_slots(configuration.M),
        levels_bytes=12 * n,
        ids_bytes=0 if base.rows is None else 8 * n,
        rerank_bytes=0 if on_disk else store,
        overhead_bytes=0,
        disk_bytes=store if on_disk else 0,
    )


def pick_builder(problem: Problem, deep: Truth) -> Encoder:
    """Return the cheapest codec to build the graph on: SQ8, or fp16 or fp32 where SQ8's ceiling is low."""
    base = problem.base
    sample = base.sample(TRAIN_SAMPLE, problem.options.seed)
    queries = problem.queries[problem.tune[: len(deep.ids)]]
    few = np.arange(min(64, len(queries)))
    pool = make_pool(base, queries[few], deep.part(few))
    for name in ("SQ8", "fp16"):
        encoder = train(quantizer(name, base.d), View("none", base.d), None, base.metric, sample, 0)
        ceiling = measure_ceiling(pool, encoder, encode_rows(base, encoder, pool.rows), {}, (1,), 0.0)
        if ceiling.recall_at[1] >= BUILDER_CEILING:
            return encoder
    return train(quantizer("fp32", base.d), View("none", base.d), None, base.metric, sample[:1], 0)


BUILDER_CEILING = 0.96
"""Measured: graphs built on codes of this ceiling are as good as those built on float32."""


