"""Graphs of nested samples of the rows, and their curves: how a graph changes as the rows grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuner.data.base import Base
from tuner.index.graph import DerivableGraph, build, transplant
from tuner.prediction.curves import Curve, search_counted
from tuner.recall.truth import Truth, search_exactly
from tuner.runtime.steps import scaled
from tuner.sweep.pose import PART_LINKS, work_of
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import ProxyCodec, ProxyCodes
from tuner.types import CurvePoint, IdArray, Steps

PARTS = (2, 4, 8)
"""Halves, quarters and eighths of the rows."""
OF_EACH = 2
"""Graphs of each size: two of them differ, on some data by three points of recall."""
LADDER = (0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
"""Values of ef_search, as multiples of what the graph of the whole sample needs."""
MOST_QUERIES = 1_000
BUILDS = OF_EACH * sum(1 / parts for parts in PARTS)
"""Builds of the whole sample that they take."""


@dataclass(frozen=True)
class PartCurves:
    """What derived graphs of some of the rows do.

    Attributes:
        n: number of the rows.
        points: recall and cost at each M and ef_search.
    """

    n: int
    points: tuple[CurvePoint, ...]


def parts_of(n: int, seed: int) -> list[IdArray]:
    """Return rows of each part, ascending, the largest parts first; two of a size share none."""
    order = np.random.default_rng([seed, 3]).permutation(n)
    sizes = [n // parts for parts in PARTS]
    return [np.sort(order[i * size : (i + 1) * size]) for size in sizes for i in range(OF_EACH)]


def ladders(
    curves: Mapping[int, Curve],
    Ms: Sequence[int],
    aim: float,
    most: int,
    steps: Sequence[float] = LADDER,
) -> dict[int, list[int]]:
    """Return the values of ef_search that each M is tried at, around what it needs and far above.

    Args:
        curves: recall and cost of each derived graph of the whole sample, by M.
        Ms: links a node.
        aim: mean recall that is wanted of the graph.
        most: largest ef_search.
        steps: multiples of what the graph of the whole sample needs.
    """
    found = {}
    for M in Ms:
        start = curves[M].ef_for(aim) or int(curves[M].ef_search[-1])
        found[M] = sorted({min(most, max(1, round(start * step))) for step in steps})
    return found


def measure_parts(
    problem: Problem,
    proxy: ProxyCodec,
    graph: DerivableGraph,
    ladder: Mapping[int, Sequence[int]],
    n_queries: int = MOST_QUERIES,
) -> Steps[tuple[PartCurves, ...]]:
    """Yield the share done; return what the graph of all rows does, and what graphs of parts of them do.

    Args:
        problem: the problem of all rows.
        proxy: codec that stands for exact distances.
        graph: graph of all rows.
        ladder: values of ef_search by M.
        n_queries: number of queries at most.
    """
    problem = problem.part(problem.sample(n_queries))
    parts = parts_of(problem.base.n, problem.options.seed)
    whole = ProxyCodes(problem.base, proxy)
    found = [_measured(problem, problem.base, problem.truth, graph, problem.links_path, whole, ladder)]
    del whole
    total, done = sum(map(len, parts)), 0
    for rows in parts:
        low, high = done / total, (done + len(rows)) / total
        found.append((yield from scaled(measure_part(problem, proxy, rows, ladder), low, high)))
        done += len(rows)
    return tuple(found)


def measure_part(
    problem: Problem, proxy: ProxyCodec, rows: IdArray, ladder: Mapping[int, Sequence[int]]
) -> Steps[PartCurves]:
    """Yield the share done; return what a graph of some of the rows does."""
    options = problem.options
    x = np.ascontiguousarray(problem.base.x[rows])
    base = replace(problem.base, x=x, rows=None, added=0, copies=None)
    problem.base.release()
    truth = yield from scaled(search_exactly(base.x, problem.queries, options.k, options.k), 0.0, 0.1)
    codes, path, most_links = ProxyCodes(base, proxy), work_of(problem) / PART_LINKS, options.space.most_links
    seed = options.seed + len(rows)
    building = build(base, codes.builder, most_links, options.space.ef_construction, seed, path)
    graph = yield from scaled(building, 0.1, 0.95)
    return _measured(problem, base, truth, graph, path, codes, ladder)


def _measured(
    problem: Problem,
    base: Base,
    truth: Truth,
    graph: DerivableGraph,
    path: Path,
    codes: ProxyCodes,
    ladder: Mapping[int, Sequence[int]],
) -> PartCurves:
    encoder, points = codes.encoder, []
    seen = encoder.transform(problem.queries)
    for M, efs in ladder.items():
        index = transplant(graph, M, path, encoder.empty(M), codes.encoded.codes)
        for ef in efs:
            index.hnsw.efSearch = ef
            ids, ndis, _ = search_counted(index, seen, truth.k)
            share = float(truth.hits(base.x, problem.queries, ids).mean()) / truth.k
            recall = min(1.0, share / codes.ceiling)
            points.append(CurvePoint(M=M, ef_search=ef, recall=recall, ndis_per_query=ndis))
    base.release()
    return PartCurves(base.n, tuple(points))
