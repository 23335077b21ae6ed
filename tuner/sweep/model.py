"""Stage 2: the one graph, its curves, and what every codec would lose and cost: all that is predicted."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial

from tuner.index.graph import DerivableGraph
from tuner.prediction.ceilings import Pool
from tuner.prediction.curves import Curve, curves_of
from tuner.sweep.codecs import CodecEvaluation, evaluate_codecs
from tuner.sweep.pose import is_whole, truth_pool
from tuner.sweep.prepare import Prepared
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import Curves, ProxyCodec, ProxyCodes, choose_proxy, trace_curves
from tuner.sweep.stage_options import StageOptions
from tuner.types import CurvePoint, Event


@dataclass(frozen=True)
class Model:
    """What predictions are made of.

    Attributes:
        problem: the problem, its aim measured.
        proxy: codec that stood for exact distances.
        graph: the one graph.
        curve_points: measured points of the curves.
        curves: recall and cost of each derived graph, by M.
        evaluation: ceilings and costs of the codecs.
    """

    problem: Problem
    proxy: ProxyCodec
    graph: DerivableGraph
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
    graph = yield from journal.stage(
        "graph",
        f"build the one graph (M={max(problem.options.space.M)}, on {proxy.builder.codec.name})",
        DerivableGraph,
        partial(stages.build_graph, problem, proxy),
        lambda graph: is_whole(problem.links_path, 4 * graph.n * graph.width),
    )
    traced = yield from journal.stage(
        "curves",
        "recall and cost of every derived M",
        Curves,
        partial(trace_curves, problem, graph, proxy),
    )
    problem = replace(problem, measured_aim=traced.aim)
    curves = curves_of(traced.points)
    build_s = next(cost.cpu_s for cost in journal.costs if cost.name == "graph")
    evaluation = yield from journal.stage(
        "ceilings",
        "time and judge every codec",
        CodecEvaluation,
        partial(evaluate_codecs, problem, pool, graph, curves, proxy, build_s, stages.measure_ceiling),
    )
    return Model(problem, chosen, graph, traced.points, curves, evaluation)
