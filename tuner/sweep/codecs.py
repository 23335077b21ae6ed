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
from scipy.optimize import nnls

from tuner.ceilings import Pool, encode_rows, make_pool, measure_ceiling, store_distances
from tuner.curves import Curve
from tuner.data.base import Base
from tuner.graph import Links, transplant
from tuner.kernels import Kernel, Reranking, small_graph, time_kernels, time_rerankings
from tuner.pareto import dominated_by_more_than, front
from tuner.quantizers import (
    Encoder,
    Quantizer,
    Rotation,
    View,
    fit_rotation,
    quantizer,
    train,
)
from tuner.surface import Candidate, MemoryOf, Prices, candidates
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import encoder_name
from tuner.timing import one_core
from tuner.truth import Truth
from tuner.types import Ceiling, Configuration, FloatArray, Memory, Options, Space, Steps

TRAIN_SAMPLE = 10_000
TIMED_EF = (32, 96)
TIMED_QUERIES = 128
MANY_LINKS = 24
HOPS_A_DISTANCE = 0.1
"""In the small graph that kernels are timed through: 64 hops for about 600 distances."""
LEAST_SHARE = 0.3
"""Of a kernel's seconds that are surely distances."""
CACHED_HOP = 0.5
"""Share of a hop's price that is left where the graph fits in the cache."""
CEILING_QUERIES = 192
TRUNCATION_LOSS = 0.005
"""Truncation needs no matrix, so it is preferred to PCA unless it loses more recall than this."""
ALWAYS_TRAINED = ("fp32", "SQ8")
"""The usual index, and the light one that all latencies are ratios to."""
ALWAYS_JUDGED = ("RaBitQ1", "RaBitQ2")
"""Judged even where they cannot win, to say what a re-ranking store on disk would save."""
SLACK = 0.10
"""Share by which a predicted latency may be too high when a codec is left out because of it."""
RERANKED_SLACK = -0.05
"""The same with re-ranking, whose predictions were seen to err on the low side only."""
TRAINED_SLACK = -0.10
"""A codec that takes seconds to train must promise at least this gain."""
MOST_LINKS = 1.0
"""Links on level 0 take at most this many times the bytes of the float32 vectors."""
BUILDER_CEILING = 0.96
"""Measured: graphs built on codes of this ceiling are as good as those built on float32."""
EXACT_CEILING = 0.9995
"""Codes of this ceiling stand for exact distances in the curves."""
HALF_THE_BYTES_LOSS = 0.02
"""A codec of at most half the bytes of one that misses the aim by this much is not hoped to reach it."""
FAMILIES = ("fp32", "SQ", "RaBitQ", "tqmse", "PQ", "OPQ", "bf16", "fp16")


@dataclass(frozen=True)
class Study:
    """What is known about the codecs.

    Attributes:
        ceilings: every codec of the space, excluded ones with their reason.
        prices: seconds at full size, by encoder name.
        trained: serialized encoders, by encoder name, of those that have a ceiling.
    """

    ceilings: tuple[Ceiling, ...]
    prices: dict[str, Prices]
    trained: dict[str, bytes]


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
    rerankings: dict[str, Reranking]
    fp32_s: tuple[float, float]
    """Seconds a distance and a hop of float32 at full size."""
    ceilings: list[Ceiling] = field(default_factory=list)
    prices: dict[str, Prices] = field(default_factory=dict)
    trained: dict[str, bytes] = field(default_factory=dict)
    known: list[Candidate] = field(default_factory=list)


def sensible(space: Space, d: int) -> Space:
    """Return the space without the M whose links would take far more bytes than the vectors in float32."""
    kept = tuple(M for M in space.M if MOST_LINKS * 4 * d >= 8 * M)
    return replace(space, M=kept or (min(space.M),))


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


def study_codecs(problem: Problem, deep: Truth, links: Links, curves: dict[int, Curve]) -> Steps[Study]:
    """Yield the share done; return ceilings and prices of all codecs.

    Args:
        deep: truth of the first tune queries, as deep as the pool.
    """
    base, options = problem.base, problem.options
    sample = base.sample(TRAIN_SAMPLE, options.seed)
    rotation = fit_rotation(sample, base.metric)
    pool = make_pool(base, problem.queries[problem.tune[: len(deep.ids)]], deep)
    rough: dict[str, Encoder] = {}
    timed_as: dict[str, str] = {}
    for view, codec in _order(options, base.d):
        name = encoder_name(codec.name, view.dims, view.cut)
        # a truncated view costs what the PCA view of as many dimensions does, but for the matrix
        timed_as[name] = encoder_name(codec.name, view.dims, "pca" if view.cut == "truncate" else view.cut)
        if view.cut != "truncate" or "pca" not in options.space.cut_kinds:
            timed_as[name] = name
            rough[name] = train(codec, view, rotation, base.metric, sample, options.seed, roughly=True)
    fp32 = train(quantizer("fp32", base.d), View("none", base.d), None, base.metric, sample[:1], 0)
    whole_fp32 = encoder_name("fp32", base.d, "none")
    rough.setdefault(whole_fp32, fp32)
    timed_as.setdefault(whole_fp32, whole_fp32)
    yield 0.05
    graph = small_graph(base, problem.queries[problem.tune], options.seed)
    kernels = yield from _scaled(time_kernels(graph, rough, fp32), 0.05, 0.2)
    kernels = {name: kernels[timed_as[name]] for name in timed_as}
    stores = {
        store: train(quantizer(store, base.d), View("none", base.d), None, base.metric, sample, options.seed)
        for store in options.space.rerank_stores
    }
    desk = Desk(
        problem=problem,
        links=links,
        curves=curves,
        sample=sample,
        rotation=rotation,
        pool=pool,
        stores={name: store_distances(pool, base, name, encoder) for name, encoder in stores.items()},
        kernels=kernels,
        rerankings=time_rerankings(graph, fp32, stores),
        fp32_s=_time_fp32(problem, links, fp32, kernels[whole_fp32].query_s),
    )
    for name in {*ALWAYS_TRAINED, *stores}:
        whole = stores.get(name) or train(
            quantizer(name, base.d), View("none", base.d), None, base.metric, sample, options.seed
        )
        desk.trained[encoder_name(name, base.d, "none")] = whole.to_bytes()
    yield 0.25
    order = _order(options, base.d)
    for number, (view, codec) in enumerate(order):
        _judge(desk, view, codec)
        yield 0.25 + 0.75 * (number + 1) / len(order)
    base.release()
    return Study(
        ceilings=tuple(desk.ceilings),
        prices=desk.prices,
        trained=desk.trained,
    )


def _scaled(steps: Steps[dict[str, Kernel]], low: float, high: float) -> Steps[dict[str, Kernel]]:
    while True:
        try:
            yield low + (high - low) * next(steps)
        except StopIteration as stop:
            kernels: dict[str, Kernel] = stop.value
            return kernels


def _time_fp32(problem: Problem, links: Links, fp32: Encoder, query_s: float) -> tuple[float, float]:
    """Return seconds a distance and a hop of float32 through the real graph, one query at a time.

    Few links and many are timed at two ef_search each; the two prices are fitted to the four times.

    Args:
        query_s: seconds of a query's call, which are neither.
    """
    base, k = problem.base, problem.options.k
    Ms = problem.options.space.M
    queries = problem.queries[problem.tune]
    counted, seconds = [], []
    for M in {min(Ms), min(Ms, key=lambda M: abs(M - MANY_LINKS))}:
        index = transplant(links, M, problem.links_path, fp32.empty(M), base.x.view(np.uint8))
        index.hnsw.efSearch = max(TIMED_EF)
        index.search(queries, k)  # fetches every page that will be touched
        with one_core():
            for ef in TIMED_EF:
                index.hnsw.efSearch = ef
                faiss.cvar.hnsw_stats.reset()
                start = time.perf_counter()
                for number in range(min(TIMED_QUERIES, len(queries))):
                    index.search(queries[number : number + 1], k)
                n_timed = min(TIMED_QUERIES, len(queries))
                seconds.append((time.perf_counter() - start) / n_timed - query_s)
                counted.append((faiss.cvar.hnsw_stats.ndis / n_timed, float(max(ef, k))))
        del index
        base.release()
    prices, _ = nnls(np.array(counted), np.maximum(seconds, 0.0))
    return float(prices[0]), float(prices[1])


def _family(codec: str) -> str:
    return next(family for family in FAMILIES if codec.startswith(family))


def _order(options: Options, d: int) -> list[tuple[View, Quantizer]]:
    """Return what to judge: whole views first, and finer codecs before coarser ones, which they bound."""
    return [
        (view, codec)
        for view in views_of(options, d)
        for codec in sorted(
            codecs_at(options, view), key=lambda c: (FAMILIES.index(_family(c.name)), -c.code_bytes)
        )
    ]


def _judge(desk: Desk, view: View, codec: Quantizer) -> None:
    """Give one codec its ceiling, or the reason why it gets none."""
    base, options = desk.problem.base, desk.problem.options
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
    reason = "" if options.exhaustive else _hopeless_view(desk, view, codec) or _hopeless_cost(desk, unknown)
    always = codec.name in ALWAYS_JUDGED and view.cut == "none"
    if reason and not always and codec.name != "fp32":
        desk.ceilings.append(replace(unknown, excluded=reason))
        return
    start = time.process_time()
    encoder = train(codec, view, desk.rotation, base.metric, desk.sample, options.seed)
    spent = time.process_time() - start
    codes = encode_rows(base, encoder, desk.pool.rows)
    base.release()
    ceiling = measure_ceiling(desk.pool, encoder, codes, desk.stores, options.space.rerank_factors, spent)
    ceiling = replace(ceiling, distance_s=unknown.distance_s, excluded=reason)
    if not reason:
        found = list(_candidates(desk, ceiling))
        desk.known = _front_of([*desk.known, *found])
        if not found:
            best = max(ceiling.recall_at.values())
            ceiling = replace(ceiling, excluded=f"its exhaustive scan reaches {best:.4f} at best")
    desk.trained[name] = encoder.to_bytes()
    desk.ceilings.append(ceiling)


def _front_of(found: list[Candidate]) -> list[Candidate]:
    on_front = front([c.memory.resident_bytes for c in found], [c.latency_s for c in found])
    return [found[i] for i in on_front]


def _hopeless_view(desk: Desk, view: View, codec: Quantizer) -> str:
    """Return why a cut is of no use, judged by float32 on it, or an empty string."""
    if view.cut == "none" or codec.name == "fp32":
        return ""
    on_view = _float32_on(desk, view.cut, view.dims)
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
    """Return why even the best that can be hoped for would not help this codec, or an empty string."""
    hope, with_store = _hope(desk, unknown)
    hoped = list(_candidates(desk, replace(unknown, recall_at=hope, recall_with=with_store)))
    if not hoped:
        return "no graph of the space reaches the target with it"
    if not desk.known:
        return ""
    if quantizer(unknown.codec, unknown.dims).needs_training:
        slacks = [TRAINED_SLACK] * len(hoped)
    else:
        slacks = [RERANKED_SLACK if c.configuration.rerank else SLACK for c in hoped]
    for slack in set(slacks):
        mine = [c for c, its in zip(hoped, slacks, strict=True) if its == slack]
        beaten = dominated_by_more_than(
            [c.memory.resident_bytes for c in mine],
            [c.latency_s for c in mine],
            [c.memory.resident_bytes for c in desk.known],
            [c.latency_s for c in desk.known],
            slack,
        )
        if not beaten.all():
            return ""
    return "even without any loss of its own another codec takes less memory and less time"


def _hope(desk: Desk, unknown: Ceiling) -> tuple[dict[int, float], dict[str, dict[int, float]]]:
    """Return the best ceilings to hope for, by factor and by store and factor.

    No codec keeps more than float32 on the same view, nor more than a finer codec of its family. And
    one of at most half the bytes of a codec that clearly misses the aim without re-ranking misses it too.
    """
    factors = (1, *(factor for factor in desk.problem.options.space.rerank_factors if factor > 1))
    hope = dict.fromkeys(factors, 1.0)
    with_store = {store: dict.fromkeys(factors, 1.0) for store in desk.stores}
    on_view = [c for c in desk.ceilings if (c.cut, c.dims) == (unknown.cut, unknown.dims) and c.recall_at]
    for known in on_view:
        finer = _family(known.codec) == _family(unknown.codec) and known.code_bytes > unknown.code_bytes
        if known.codec == "fp32" or finer:
            for factor, recall in known.recall_at.items():
                hope[factor] = min(hope[factor], recall)
            for store, recalls in known.recall_with.items():
                for factor, recall in recalls.items():
                    with_store[store][factor] = min(with_store[store][factor], recall)
        clearly_misses = known.recall_at[1] < desk.problem.aim - HALF_THE_BYTES_LOSS
        if clearly_misses and 2 * unknown.code_bytes <= known.code_bytes:
            hope[1] = 0.0
    return hope, with_store


def _float32_on(desk: Desk, cut: str, dims: int) -> Ceiling | None:
    """Return the ceiling of float32 on a view, if it is known."""
    same = (c for c in desk.ceilings if c.codec == "fp32" and (c.cut, c.dims) == (cut, dims))
    return next(same, None)


def _prices(desk: Desk, name: str) -> Prices:
    fp32 = desk.kernels[encoder_name("fp32", desk.problem.base.d, "none")]
    distance_s, hop_s = desk.fp32_s
    # the kernels are timed whole: their hops are taken out again
    hop_share_s = CACHED_HOP * hop_s * HOPS_A_DISTANCE
    miss = max(0.0, distance_s - max(0.0, fp32.distance_s - hop_share_s)) / fp32.lines
    kernel = desk.kernels[name]
    return Prices(
        distance_s=max(LEAST_SHARE * kernel.distance_s, kernel.distance_s - hop_share_s)
        + miss * kernel.lines,
        hop_s=hop_s,
        query_s=kernel.query_s,
        rerank_s={key: cost.candidate_s + miss * cost.lines for key, cost in desk.rerankings.items()},
        rerank_query_s={key: cost.query_s for key, cost in desk.rerankings.items()},
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
    aim: float | None = None,
) -> list[Candidate]:
    """Return the candidates of one codec under the problem's options.

    Args:
        aim: recall to predict for instead of the problem's own.
    """
    space = problem.options.space
    return candidates(
        ceiling,
        curves,
        prices,
        memory_of,
        aim=problem.aim if aim is None else aim,
        k=problem.options.k,
        ef_construction=space.ef_construction,
        ef_max=space.ef_search_max,
        stores={store: quantizer(store, problem.base.d).code_bytes for store in space.rerank_stores},
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


def cheapest_codec(problem: Problem, deep: Truth, names: tuple[str, ...], least: float) -> Encoder:
    """Return the first of the codecs whose ceiling is at least ``least``, or float32 if none has it.

    Args:
        names: cheapest first.
        least: recall of an exhaustive scan, on a few tune queries.
    """
    base = problem.base
    sample = base.sample(TRAIN_SAMPLE, problem.options.seed)
    few = np.arange(min(64, len(deep.ids)))
    pool = make_pool(base, problem.queries[problem.tune[few]], deep.part(few))
    for name in names:
        encoder = train(quantizer(name, base.d), View("none", base.d), None, base.metric, sample, 0)
        ceiling = measure_ceiling(pool, encoder, encode_rows(base, encoder, pool.rows), {}, (1,), 0.0)
        if ceiling.recall_at[1] >= least:
            return encoder
    return train(quantizer("fp32", base.d), View("none", base.d), None, base.metric, sample[:1], 0)
