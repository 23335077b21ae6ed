"""Which codecs are worth an index: timed first, then judged by their ceilings, the cheapest first.

A codec is not even trained when the front that is already predicted would beat it with a perfect
ceiling. What was excluded, and why, is kept for the report.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from tuner.index.assemble import Encoded
from tuner.index.codec_view import CodecView
from tuner.index.encoders import Encoder, train
from tuner.index.graph import DerivableGraph
from tuner.index.projections import Rotation, fit_rotation
from tuner.prediction.ceilings import Pool, encode_rows, measure_ceiling, store_distances
from tuner.prediction.curves import Curve
from tuner.prediction.kernel_costs import small_graph, time_kernels, time_rerankings
from tuner.prediction.surface import CodecCost
from tuner.runtime.process import return_freed_memory
from tuner.runtime.steps import scaled
from tuner.sweep.codec_bounds import BEATEN, front_of, hopeless_cost, hopeless_projection, is_beaten
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
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import TRAIN_SAMPLE, ProxyCodes
from tuner.types import Ceiling, FloatArray, Options, Steps

SHALLOW, LEAST_SHALLOW = 1.6, 20
"""Depth of the pool that good codecs are judged on: multiples of the most candidates re-ranked, and of k."""
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
    graph: DerivableGraph,
    curves: dict[int, Curve],
    proxy: ProxyCodes,
    measure: MeasureCeiling = measure_ceiling,
) -> Steps[CodecEvaluation]:
    """Yield the share done; return ceilings and costs of all codecs.

    Args:
        problem: data and queries.
        pool: deep pool of exact neighbours.
        graph: the one graph.
        curves: recall and cost of its derived graphs, by M.
        proxy: the codes that the graph was built on.
        measure: measurement of one codec's ceiling.
    """
    base, options = problem.base, problem.options
    ledger = CodecLedger()
    context = yield from scaled(_context(problem, pool, graph, curves, proxy, measure, ledger), 0.0, 0.25)
    return_freed_memory()
    for name in {*ALWAYS_TRAINED, *context.stores}:
        view = CodecView(name, base.d)
        encoder = context.stores.get(name) or _train(problem, view, context.sample)
        ledger.trained[view] = encoder.to_bytes()
    yield 0.25
    views = views_in_order(options, base.d)
    for number, view in enumerate(views):
        _judge(context, ledger, view)
        yield 0.25 + 0.75 * (number + 1) / len(views)
    base.release()
    return CodecEvaluation(ceilings=tuple(ledger.ceilings), costs=ledger.costs, trained=ledger.trained)


def _context(
    problem: Problem,
    pool: Pool,
    graph: DerivableGraph,
    curves: dict[int, Curve],
    proxy: ProxyCodes,
    measure: MeasureCeiling,
    ledger: CodecLedger,
) -> Steps[CodecContext]:
    """Yield the share done; return what codecs are judged with, all kernels timed."""
    base, options = problem.base, problem.options
    sample = base.sample(TRAIN_SAMPLE, options.seed)
    rotation = fit_rotation(sample, base.metric)
    rough, timed_as = _rough_encoders(problem, sample, rotation)
    fp32 = train(
        CodecView("fp32", base.d).quantizer, proxy.encoder.projection, None, base.metric, sample[:1], 0
    )
    own = CodecView(proxy.encoder.codec.name, base.d)
    for view, encoder in ((CodecView("fp32", base.d), fp32), (own, proxy.encoder)):
        rough.setdefault(view, encoder)
        timed_as.setdefault(view, view)
    yield 0.2
    small = small_graph(base, problem.queries[problem.tune], options.seed)
    kernels = yield from scaled(time_kernels(small, rough, fp32), 0.2, 0.8)
    stores = {
        store: _train(problem, CodecView(store, base.d), sample) for store in options.space.rerank_stores
    }
    full = FullSize(problem, graph, small, proxy.encoded, kernels[own])
    ledger.timed[own] = full.own_s, 1.0
    rerankings = time_rerankings(small, fp32, {**stores, "fp32": fp32}) if stores else {}
    return CodecContext(
        problem=problem,
        graph=graph,
        curves=curves,
        sample=sample,
        rotation=rotation,
        pool=pool,
        shallow=_shallow(pool, options),
        stores=stores,
        kernels={view: kernels[timed_as[view]] for view in timed_as},
        rerankings=rerankings,
        fetch_s=full.fetch_s(exact_codes(fp32, problem), rerankings["fp32"]) if stores else 0.0,
        full=full,
        measure_ceiling=measure,
    )


def _rough_encoders(
    problem: Problem, sample: FloatArray, rotation: Rotation
) -> tuple[dict[CodecView, Encoder], dict[CodecView, CodecView]]:
    """Return encoders that are good enough to be timed, and the view that each view is timed as."""
    base, options = problem.base, problem.options
    rough: dict[CodecView, Encoder] = {}
    timed_as: dict[CodecView, CodecView] = {}
    for view in views_in_order(options, base.d):
        # a truncated view costs what the PCA view of as many dimensions does, but for the matrix
        timed_as[view] = replace(view, cut="pca") if view.cut == "truncate" else view
        if view.cut != "truncate" or "pca" not in options.space.cut_kinds:
            timed_as[view] = view
            rough[view] = _train(problem, view, sample, rotation, roughly=True)
    return rough, timed_as


def _train(
    problem: Problem,
    view: CodecView,
    sample: FloatArray,
    rotation: Rotation | None = None,
    *,
    roughly: bool = False,
) -> Encoder:
    metric, seed = problem.base.metric, problem.options.seed
    return train(view.quantizer, view.projection, rotation, metric, sample, seed, roughly=roughly)


def _shallow(pool: Pool, options: Options) -> Pool:
    depth = round(options.k * max(LEAST_SHALLOW, SHALLOW * max(options.space.rerank_factors)))
    return pool.shallow(depth) if 2 * depth <= pool.depth else pool


def _judge(context: CodecContext, ledger: CodecLedger, view: CodecView) -> None:
    """Give one codec its ceiling, or the reason why it gets none."""
    options = context.problem.options
    set_cost(context, ledger, view, *guess_cost(context, ledger, view))
    unknown = Ceiling(
        codec=view.codec,
        dims=view.dims,
        cut=view.cut,
        code_bytes=view.quantizer.code_bytes,
        recall_at={},
        train_s=0.0,
        distance_s=ledger.costs[view].distance_s,
    )
    reason = ""
    if not options.exhaustive:
        reason = hopeless_projection(context, ledger, view) or hopeless_cost(context, ledger, unknown)
    always = view.codec in ALWAYS_JUDGED and view.cut == "none"
    if reason and not always and view.codec != "fp32":
        ledger.ceilings.append(replace(unknown, excluded=reason))
        return
    start = time.process_time()
    encoder = _train(context.problem, view, context.sample, context.rotation)
    spent = time.process_time() - start
    ceiling = _ceiling_on(context, ledger, context.shallow, encoder, spent)
    missing = {1, *options.space.rerank_factors} - ceiling.recall_at.keys()
    if context.shallow is not context.pool and (missing or ceiling.recall_at[1] < SURE):
        ceiling = _ceiling_on(context, ledger, context.pool, encoder, spent)
    if not reason:
        reason = _not_worth_it(context, ledger, view, encoder, ceiling)
    if not reason:
        ledger.known = front_of([*ledger.known, *candidates_of(context, ledger, ceiling)])
    ledger.trained[view] = encoder.to_bytes()
    ledger.ceilings.append(replace(ceiling, distance_s=ledger.costs[view].distance_s, excluded=reason))


def _not_worth_it(
    context: CodecContext, ledger: CodecLedger, view: CodecView, encoder: Encoder, ceiling: Ceiling
) -> str:
    """Return why a codec of this ceiling is of no use, or an empty string.

    What is worth an index at the cost that was guessed is timed at full size, and judged again.
    """
    found = candidates_of(context, ledger, ceiling)
    if not found:
        return f"its exhaustive scan reaches {max(ceiling.recall_at.values()):.4f} at best"
    exhaustive, codec = context.problem.options.exhaustive, view.quantizer
    known = ledger.timed.keys() & {view, context.whole(view), view.unrotated}
    if not known and (exhaustive or not is_beaten(ledger, codec, found)):
        ledger.timed[view] = context.full.time(_codes(context.problem, view, encoder))
        set_cost(context, ledger, view, *ledger.timed[view])
        found = candidates_of(context, ledger, ceiling)
    return BEATEN if not exhaustive and is_beaten(ledger, codec, found) else ""


def _codes(problem: Problem, view: CodecView, encoder: Encoder) -> Encoded:
    """Return the codes of the whole base; those of float32 are the base itself."""
    if view == CodecView("fp32", problem.base.d):
        return exact_codes(encoder, problem)
    return Encoded(encoder, encode_rows(problem.base, encoder))


def _ceiling_on(
    context: CodecContext, ledger: CodecLedger, pool: Pool, encoder: Encoder, train_s: float
) -> Ceiling:
    base, factors = context.problem.base, context.problem.options.space.rerank_factors
    codes = encode_rows(base, encoder, pool.rows)
    base.release()
    if pool.depth not in ledger.distances:
        ledger.distances[pool.depth] = {
            name: store_distances(pool, base, name, store) for name, store in context.stores.items()
        }
    return context.measure_ceiling(pool, encoder, codes, ledger.distances[pool.depth], factors, train_s)
