"""Stage 2: the one graph, its curves, and what every codec would lose and cost: all that is predicted."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from functools import partial

from tuner.index.graph import DerivableGraph
from tuner.prediction.ceilings import Pool
from tuner.prediction.curves import Curve, curves_of
from tuner.sweep.codecs import CodecEvaluation, evaluate_codecs
from tuner.sweep.grown_graph import OneGraph
from tuner.sweep.pose import is_whole, truth_pool
from tuner.sweep.prepare import Prepared
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import Curves, ProxyCodec, ProxyCodes, choose_proxy, trace_curves
from tuner.sweep.stage_options import StageOptions
from tuner.types import CurvePoint, Event, Note


@dataclass(frozen=True)
class Model:
    """What predictions are made of.

    Attributes:
        problem: the problem, its aim measured.
        pool: deep pool of exact neighbours in its base.
        proxy: codec that stood for exact distances.
        graph: the one graph.
        n_kept: number of its nodes that came from the cache.
        curve_points: measured points of the curves.
        curves: recall and cost of each derived graph, by M.
        evaluation: ceilings and costs of the codecs.
    """

    problem: Problem
    pool: Pool
    proxy: ProxyCodec
    graph: DerivableGraph
    n_kept: int
    curve_points: tuple[CurvePoint, ...]
    curves: dict[int, Curve]
    evaluation: CodecEvaluation


def model(prepared: Prepared, stages: StageOptions) -> Generator[Event, None, Model]:
    """Yield events; return what predictions are made of. The codes it was built on are freed."""
    journal, problem = prepared.journal, prepared.problem
    pool = yield from journal.stage(
        "pool",
        "exact neighbours, deep, for ceilings",
        Pool,
        partial(truth_pool, problem, prepared.posed.profile, prepared.posed.query_set),
    )
    chosen = yield from journal.stage(
        "stand-in",
        "choose codes to build on",
        ProxyCodec,
        partial(choose_proxy, problem, pool, stages.proxy_codecs),
    )
    proxy = ProxyCodes(problem.base, chosen)
    made = yield from journal.stage(
        "graph",
        f"build the one graph (M={problem.options.space.most_links}, on {proxy.builder.codec.name})",
        OneGraph,
        partial(stages.make_graph, prepared.posed.profile, problem, proxy),
        lambda made: is_whole(problem.links_path, 4 * made.graph.n * made.graph.width),
    )
    yield from _where_from(made)
    graph = made.graph
    traced = yield from journal.stage(
        "curves",
        "recall and cost of every derived M",
        Curves,
        partial(trace_curves, problem, graph, proxy),
    )
    problem = replace(problem, measured_aim=traced.aim)
    judging, judged = pool, problem.base
    if prepared.whole is not None:
        judging, judged = yield from prepared.whole.pool(journal, problem)
    curves = curves_of(traced.points)
    evaluation = yield from journal.stage(
        "ceilings",
        "time and judge every codec",
        CodecEvaluation,
        partial(
            evaluate_codecs,
            problem,
            judging,
            judged,
            graph,
            curves,
            proxy,
            made.build_cpu_s,
            stages.measure_ceiling,
        ),
    )
    return Model(problem, pool, chosen, graph, made.n_kept, traced.points, curves, evaluation)


def _where_from(made: OneGraph) -> Iterator[Note]:
    """Yield what the user should know of a graph that was not built from nothing."""
    if made.n_kept == made.graph.n:
        yield Note("the graph came from the cache of an earlier run")
    elif made.n_kept:
        yield Note(
            f"{made.graph.n - made.n_kept:,} rows were inserted into the graph of {made.n_kept:,} that an "
            "earlier run left in the cache"
        )
