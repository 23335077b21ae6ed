"""Which codecs are worth an index: timed first, then judged by their ceilings, the cheapest first.

A codec is not even trained when the front that is already predicted would beat it with a perfect
ceiling. What was excluded, and why, is kept for the report.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import cache, partial
from math import inf

from tuner.data.base import Base
from tuner.index.codec_view import CodecView
from tuner.index.encoders import train
from tuner.index.graph import DerivableGraph
from tuner.index.projections import fit_rotation
from tuner.prediction.ceilings import Pool, measure_ceiling, store_distances
from tuner.prediction.curves import Curve
from tuner.prediction.kernel_costs import small_graph, time_kernels, time_rerankings
from tuner.prediction.surface import Candidate, CodecCost
from tuner.runtime.process import return_freed_memory
from tuner.runtime.steps import scaled
from tuner.sweep.codec_bounds import (
    BEATEN,
    front_of,
    hopeless_cost,
    hopeless_projection,
    is_beaten,
    ruled_out,
    unknown_ceiling,
)
from tuner.sweep.codec_context import (
    CodecContext,
    CodecLedger,
    MeasureCeiling,
    candidates_of,
    guess_cost,
    set_cost,
)
from tuner.sweep.codec_costs import FullSize, exact_codes
from tuner.sweep.codec_space import views_in_order
from tuner.sweep.judged_codes import JudgedCodes
from tuner.sweep.judging_limits import PRODUCT_ROWS, JudgingLimits, measure_limits
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import TRAIN_SAMPLE, ProxyCodes
from tuner.sweep.rough_codecs import kernels_of, rough_encoders, train_view
from tuner.types import Ceiling, Options, Steps

SHALLOW, LEAST_SHALLOW = 1.6, 20
"""Depth of the pool that good codecs are judged on: multiples of the most candidates re-ranked, and of k."""
TRIES, TINY_S = 3, 1e-12
"""Values of ef_search that are tried for an index; the least seconds of a distance."""
SURE = 0.5
"""A codec that finds fewer of the nearest in the shallow pool would be flattered by its few rivals there."""
ALWAYS_TRAINED = ("fp32",)
"""The index that most people have is measured whatever the space."""
ALWAYS_JUDGED = ("RaBitQ1", "RaBitQ2")
"""Judged even where they cannot win, to say what a re-ranking store on disk would save."""


@dataclass(frozen=True)
class CodecEvaluation:
    """What came of the codecs.

    Attributes:
        ceilings: every codec of the space, excluded ones with their reason.
        costs: seconds at full size.
        trained: serialized encoders of those that have a ceiling.
    """

    ceilings: tuple[Ceiling, ...]
    costs: dict[CodecView, CodecCost]
    trained: dict[CodecView, bytes]


def evaluate_codecs(
    problem: Problem,
    pool: Pool,
    judged: Base,
    graph: DerivableGraph,
    curves: dict[int, Curve],
    proxy: ProxyCodes,
    build_s: float,
    measure: MeasureCeiling = measure_ceiling,
) -> Steps[CodecEvaluation]:
    """Yield the share done; return ceilings and costs of all codecs.

    Args:
        problem: data and queries.
        pool: deep pool of exact neighbours.
        judged: prepared rows that it names.
        graph: the one graph.
        curves: recall and cost of its derived graphs, by M.
        proxy: the codes that the graph was built on.
        build_s: CPU seconds that the build of the graph took.
        measure: measurement of one codec's ceiling.
    """
    base, options = problem.base, problem.options
    ledger = CodecLedger()
    build_s = inf if options.exhaustive else build_s
    limits = measure_limits(base.sample(PRODUCT_ROWS, options.seed), build_s)
    steps = _context(problem, pool, judged, graph, curves, proxy, measure, ledger, limits)
    context = yield from scaled(steps, 0.0, 0.25)
    return_freed_memory()
    for name in {*ALWAYS_TRAINED, *context.stores}:
        view = CodecView(name, base.d)
        encoder = context.stores.get(name) or train_view(problem, view, context.sample)
        ledger.trained[view] = encoder.to_bytes()
    yield 0.25
    views = views_in_order(options, base.d)
    for number, view in enumerate(views):
        start = time.process_time()
        _judge(context, ledger, view)
        ledger.spent_s += time.process_time() - start
        yield 0.25 + 0.75 * (number + 1) / len(views)
    base.release()
    return CodecEvaluation(ceilings=tuple(ledger.ceilings), costs=ledger.costs, trained=ledger.trained)


def _context(
    problem: Problem,
    pool: Pool,
    judged: Base,
    graph: DerivableGraph,
    curves: dict[int, Curve],
    proxy: ProxyCodes,
    measure: MeasureCeiling,
    ledger: CodecLedger,
    limits: JudgingLimits,
) -> Steps[CodecContext]:
    """Yield the share done; return what codecs are judged with, all kernels timed."""
    base, options = problem.base, problem.options
    sample = base.sample(TRAIN_SAMPLE, options.seed)
    rotation = cache(partial(fit_rotation, sample, base.metric))
    rough, timed_as = rough_encoders(problem, sample, rotation, limits)
    fp32 = train(
        CodecView("fp32", base.d).quantizer, proxy.encoder.projection, None, base.metric, sample[:1], 0
    )
    own = CodecView(proxy.encoder.codec.name, base.d)
    for view, encoder in ((CodecView("fp32", base.d), fp32), (own, proxy.encoder)):
        rough.setdefault(view, encoder)
        timed_as.setdefault(view, view)
    yield 0.2
    small = small_graph(base, problem.queries[problem.sample(problem.n_queries // 2)], options.seed)
    timed = yield from scaled(time_kernels(small, rough, fp32), 0.2, 0.8)
    stores = {
        store: train_view(problem, CodecView(store, base.d), sample) for store in options.space.rerank_stores
    }
    full = FullSize(problem, graph, small, proxy.encoded, timed[own])
    ledger.timed[own] = full.own_s, 1.0
    rerankings = time_rerankings(small, fp32, {**stores, "fp32": fp32}) if stores else {}
    return CodecContext(
        problem=problem,
        graph=graph,
        curves=curves,
        sample=sample,
        rotation=rotation,
        judged=judged,
        pool=pool,
        shallow=_shallow(pool, options),
        stores=stores,
        kernels=kernels_of(timed, timed_as, base.d),
        rerankings=rerankings,
        fetch_s=full.fetch_s(exact_codes(fp32, problem), rerankings["fp32"]) if stores else 0.0,
        full=full,
        measure_ceiling=measure,
        limits=limits,
    )


def _shallow(pool: Pool, options: Options) -> Pool:
    depth = round(options.k * max(LEAST_SHALLOW, SHALLOW * max(options.space.rerank_factors)))
    return pool.shallow(depth) if 2 * depth <= pool.depth else pool


def _judge(context: CodecContext, ledger: CodecLedger, view: CodecView) -> None:
    """Give one codec its ceiling, or the reason why it gets none."""
    options = context.problem.options
    unknown = unknown_ceiling(view)
    if reason := ruled_out(context, ledger, view):
        ledger.ceilings.append(replace(unknown, excluded=reason))
        return
    set_cost(context, ledger, view, *guess_cost(context, ledger, view))
    if not options.exhaustive:
        reason = hopeless_projection(context, ledger, view) or hopeless_cost(context, ledger, view)
    always = view.codec in ALWAYS_JUDGED and view.cut == "none"
    if reason and not always and view.codec != "fp32":
        distance_s = ledger.costs[view].distance_s
        ledger.ceilings.append(replace(unknown, distance_s=distance_s, excluded=reason))
        return
    start = time.process_time()
    rotation = context.rotation() if view.cut == "pca" else None
    encoder = train_view(context.problem, view, context.sample, rotation)
    spent = time.process_time() - start
    codes = JudgedCodes(context.problem, view, encoder, context.judged)
    ceiling = _ceiling_on(context, ledger, context.shallow, codes, spent)
    missing = {1, *options.space.rerank_factors} - ceiling.recall_at.keys()
    if context.shallow is not context.pool and (missing or ceiling.recall_at[1] < SURE):
        ceiling = _ceiling_on(context, ledger, context.pool, codes, spent)
    if not reason:
        reason = _not_worth_it(context, ledger, codes, ceiling)
    if not reason:
        ledger.known = front_of([*ledger.known, *candidates_of(context, ledger, ceiling)])
    ledger.trained[view] = encoder.to_bytes()
    ledger.ceilings.append(replace(ceiling, distance_s=ledger.costs[view].distance_s, excluded=reason))


def _not_worth_it(context: CodecContext, ledger: CodecLedger, codes: JudgedCodes, ceiling: Ceiling) -> str:
    """Return why a codec of this ceiling is of no use, or an empty string.

    What is worth an index at the cost that was guessed is timed at full size, and judged again.
    """
    found = candidates_of(context, ledger, ceiling)
    if not found:
        return f"its exhaustive scan reaches {max(ceiling.recall_at.values()):.4f} at best"
    view = codes.view
    exhaustive, codec = context.problem.options.exhaustive, view.quantizer
    known = ledger.timed.keys() & {view, context.whole(view), view.unrotated}
    if not known and (exhaustive or not is_beaten(ledger, codec, found)):
        ledger.timed[view] = context.full.time(codes.whole)
        set_cost(context, ledger, view, *ledger.timed[view])
        found = candidates_of(context, ledger, ceiling)
    if exhaustive:
        return ""
    return BEATEN if is_beaten(ledger, codec, found) else _too_slow(context, ledger, view, found)


def _too_slow(context: CodecContext, ledger: CodecLedger, view: CodecView, found: list[Candidate]) -> str:
    """Return why a codec that is worth an index is not measured, or an empty string."""
    problem = context.problem
    n_searched = TRIES * problem.n_queries
    slower = ledger.costs[view].distance_s / max(context.full.own_s, TINY_S)
    return context.limits.too_slow(n_searched * min(c.latency_s for c in found), slower)


def _ceiling_on(
    context: CodecContext, ledger: CodecLedger, pool: Pool, judged: JudgedCodes, train_s: float
) -> Ceiling:
    base, factors = context.judged, context.problem.options.space.rerank_factors
    codes = judged.of(pool.rows)
    base.release()
    if pool.depth not in ledger.distances:
        ledger.distances[pool.depth] = {
            name: store_distances(pool, base, name, store) for name, store in context.stores.items()
        }
    return context.measure_ceiling(
        pool, judged.encoder, codes, ledger.distances[pool.depth], factors, train_s
    )
