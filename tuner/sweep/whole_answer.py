"""What points measured on a sample are expected to need at the size of the whole file, and the answer then.

A point found its share of the neighbours on the sample at its ef_search. Among all rows its codec finds less
of them, by as much as was measured; its graph has to make up for that, and for being larger.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from tuner.index.codec_view import CodecView
from tuner.prediction.ceilings import encode_rows, measure_ceiling, store_distances
from tuner.prediction.curves import Curve, curves_of
from tuner.prediction.expected_curve import Bar, ExpectedCurve, expected_curve
from tuner.prediction.surface import CodecCost
from tuner.sweep.answer import Answer, answer_of
from tuner.sweep.measure import Measured
from tuner.sweep.model import Model
from tuner.sweep.nested import PartCurves
from tuner.sweep.problem import Problem
from tuner.sweep.whole_file import pool_queries
from tuner.types import Ceiling, Extrapolation, Memory, OperatingPoint, Steps


@dataclass(frozen=True)
class Expected:
    """A point at the size of the whole file.

    Attributes:
        point: the point, its memory and its modelled latency those of all rows.
        ef_search: ef_search that it is expected to need.
        ndis: distance computations per query.
    """

    point: OperatingPoint
    ef_search: Bar
    ndis: Bar


def sample_ceilings(model: Model, measured: Measured) -> Steps[tuple[Ceiling, ...]]:
    """Yield the share done; return what the codecs of the finalists lose in the sample."""
    problem, builder = measured.problem, measured.builder
    pool = model.pool.first(pool_queries(problem))  # the same queries as among all rows
    factors = problem.options.space.rerank_factors
    views = sorted({CodecView.of(point.configuration) for point in measured.timed.points}, key=str)
    stores = {
        name: store_distances(pool, problem.base, name, builder.encoder(CodecView(name, problem.base.d)))
        for name in problem.options.space.rerank_stores
    }
    found = []
    for number, view in enumerate(views):
        encoder = builder.encoder(view)
        codes = encode_rows(problem.base, encoder, pool.rows)
        found.append(measure_ceiling(pool, encoder, codes, stores, factors, 0.0))
        yield (number + 1) / len(views)
    problem.base.release()
    return tuple(found)


def expected_points(
    n: int, model: Model, measured: Measured, parts: tuple[PartCurves, ...], ceilings: tuple[Ceiling, ...]
) -> list[Expected]:
    """Return the finalists at ``n`` vectors, without those that are expected to reach the target no more.

    Args:
        parts: what graphs of the sample and of parts of it do.
        ceilings: what the codecs lose in the sample.
    """
    problem = measured.problem
    curves = curves_of(parts[0].points)
    graphs = {M: _graph_at(n, M, parts) for M in curves}
    among_all = _by_view(model.evaluation.ceilings)
    in_sample = _by_view(ceilings)
    found = []
    for point in measured.timed.points:
        view = CodecView.of(point.configuration)
        lost = min(1.0, _ceiling(among_all[view], point) / max(_ceiling(in_sample[view], point), 1e-9))
        M, cost = point.configuration.M, model.evaluation.costs[view]
        expected = _expected(n, problem, point, curves[M], graphs[M], lost, cost)
        if expected is not None:
            found.append(expected)
    return found


def _graph_at(n: int, M: int, parts: tuple[PartCurves, ...]) -> ExpectedCurve:
    return expected_curve(n, [(part.n, [each for each in part.points if each.M == M]) for part in parts])


def _expected(
    n: int,
    problem: Problem,
    point: OperatingPoint,
    curve: Curve,
    graph: ExpectedCurve,
    lost: float,
    cost: CodecCost,
) -> Expected | None:
    """Return the point at ``n`` vectors, where its codec finds the share ``lost`` of what it finds now.

    Args:
        curve: what its graph does in the sample, seen by the queries that saw it in the parts.
        graph: what it is expected to do at ``n`` vectors.
        cost: seconds that its codec costs.
    """
    what, k = point.configuration, problem.options.k
    least = float(k * what.rerank_factor)
    wanted = curve.recall_at(point.ef_search) / lost
    needed = graph.ef_for(wanted) if wanted < 1 else None
    if needed is None or needed.value > problem.options.space.ef_search_max:
        return None
    ef = Bar(*(max(least, round(each)) for each in (needed.value, needed.low, needed.high)))
    off = point.ndis_per_query / curve.ndis_at(point.ef_search)  # some codecs compute a distance twice
    ndis = Bar(*(off * graph.ndis_at(each) for each in (ef.value, ef.low, ef.high)))
    n_reranked = k * what.rerank_factor
    now = cost.latency_s(point.ndis_per_query, point.ef_search, what.rerank, n_reranked)
    then = cost.latency_s(ndis.value, ef.value, what.rerank, n_reranked)
    grown = replace(
        point,
        memory=_grown(point.memory, n / problem.base.n_delivered),
        modelled_latency_s=point.modelled_latency_s * then / now,
    )
    return Expected(grown, ef, ndis)


def answer_at(n: int, measured: Measured, expected: list[Expected]) -> tuple[Answer, Expected | None]:
    """Return the answer among points that were measured on a sample, chosen as ``n`` vectors ask for it.

    Its points are those measured; the expectation for the one that is preferred comes with it.
    """
    problem = measured.problem
    most = problem.max_memory_bytes() * n / problem.base.n_delivered
    grown = tuple(each.point for each in expected)
    found = answer_of([], grown, most, measured.timed.noise_floor)
    as_measured = {point.configuration: point for point in (*measured.points, *measured.timed.points)}
    points = [as_measured[point.configuration] for point in found.points]
    rest = [point for point in as_measured.values() if point not in points]
    answer = replace(found, points=(*points, *rest))
    if not found.found:
        return answer, None
    preferred = found.points[found.named[problem.options.prefer]].configuration
    return answer, next(each for each in expected if each.point.configuration == preferred)


def extrapolation_of(
    n: int, source: str, problem: Problem, parts: tuple[PartCurves, ...], expected: Expected
) -> Extrapolation:
    """Return what the report says of all rows.

    Args:
        n: number of vectors of the whole file.
        source: its name.
    """
    ef, ndis, memory = expected.ef_search, expected.ndis, expected.point.memory
    return Extrapolation(
        source=source,
        n=n,
        n_sample=problem.base.n_delivered,
        part_sizes=tuple(part.n for part in parts[1:]),
        ef_search=int(ef.value),
        ef_search_low=int(ef.low),
        ef_search_high=int(ef.high),
        ndis_per_query=ndis.value,
        ndis_per_query_low=ndis.low,
        ndis_per_query_high=ndis.high,
        memory_bytes=memory.resident_bytes,
        disk_bytes=memory.disk_bytes,
    )


def _grown(memory: Memory, factor: float) -> Memory:
    """Return the bytes of an index of so many times the vectors: all but what is trained grows."""
    return Memory(
        codes_bytes=round(factor * memory.codes_bytes),
        links_bytes=round(factor * memory.links_bytes),
        levels_bytes=round(factor * memory.levels_bytes),
        ids_bytes=round(factor * memory.ids_bytes),
        rerank_bytes=round(factor * memory.rerank_bytes),
        overhead_bytes=memory.overhead_bytes,
        disk_bytes=round(factor * memory.disk_bytes),
    )


def _by_view(ceilings: tuple[Ceiling, ...]) -> Mapping[CodecView, Ceiling]:
    return {CodecView.of(ceiling): ceiling for ceiling in ceilings}


def _ceiling(ceiling: Ceiling, point: OperatingPoint) -> float:
    what = point.configuration
    if what.rerank is None:
        return ceiling.recall_at[1]
    return ceiling.recall_with.get(what.rerank, {}).get(what.rerank_factor, np.nan)
