"""Every candidate that the surface predicts for a problem, with its bytes by arithmetic."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tuner.data.base import Base
from tuner.index.codec_view import CodecView
from tuner.index.codecs import Quantizer, quantizer
from tuner.index.graph import DerivableGraph
from tuner.prediction.curves import Curve
from tuner.prediction.surface import Candidate, CodecCost, MemoryOf, candidates
from tuner.sweep.problem import Problem
from tuner.types import Ceiling, Configuration, Memory

NEARLY = 0.9995


def whole_surface(
    problem: Problem,
    curves: dict[int, Curve],
    ceilings: tuple[Ceiling, ...],
    costs: dict[CodecView, CodecCost],
    graph: DerivableGraph,
    *,
    disk: bool = False,
    aim: float | None = None,
) -> list[Candidate]:
    """Return every candidate of the surface; with ``disk`` those whose store would lie on disk."""
    if disk:
        problem = replace(problem, options=replace(problem.options, rerank_store="disk"))
    found: list[Candidate] = []
    for ceiling in ceilings:
        relaxed = disk or (aim is not None and aim < problem.aim)
        if not ceiling.recall_at or (ceiling.excluded and not relaxed):
            continue
        memory_of = partial(rough_memory, problem.base, graph)
        found += surface_of(problem, curves, ceiling, costs[CodecView.of(ceiling)], memory_of, aim)
    return found


def best_reachable(curves: dict[int, Curve], ceilings: tuple[Ceiling, ...]) -> float:
    """Return the highest recall that the model gives any configuration."""
    best = max((max(c.recall_at.values()) for c in ceilings if c.recall_at), default=0.0)
    return NEARLY * best * max(float(curve.recall[-1]) for curve in curves.values())


def surface_of(
    problem: Problem,
    curves: dict[int, Curve],
    ceiling: Ceiling,
    cost: CodecCost,
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
        cost,
        memory_of,
        aim=problem.aim if aim is None else aim,
        k=problem.options.k,
        ef_construction=space.ef_construction,
        ef_max=space.ef_search_max,
        stores={store: quantizer(store, problem.base.d).code_bytes for store in space.rerank_stores},
        factors=space.rerank_factors,
        store_at=problem.options.rerank_store,
    )


def rough_memory(base: Base, graph: DerivableGraph, configuration: Configuration) -> Memory:
    """Return bytes by part without headers: enough to compare before training."""
    n, codec = base.n_delivered, CodecView.of(configuration).quantizer
    store = 0
    if configuration.rerank is not None:
        store = n * quantizer(configuration.rerank, base.d).code_bytes
    on_disk = configuration.rerank_at == "disk"
    return Memory(
        codes_bytes=n * codec.code_bytes,
        links_bytes=4 * (graph.n_slots(configuration.M) + 2 * configuration.M * base.added),
        levels_bytes=12 * n,
        ids_bytes=8 * n if base.keeps_ids and not on_disk else 0,
        rerank_bytes=0 if on_disk else store,
        overhead_bytes=_training_bytes(configuration, codec, base.d),
        disk_bytes=store if on_disk else 0,
        copies_bytes=base.copies_bytes,
    )


def _training_bytes(configuration: Configuration, codec: Quantizer, d: int) -> int:
    """Return the bytes of matrices and codebooks: of few wide vectors they are more than the codes."""
    components = 0
    if configuration.cut == "pca":
        components += codec.width * d
    if codec.kind == "opq":
        components += codec.width**2
    if codec.kind in ("pq", "opq"):
        components += codec.width << codec.bits
    return 4 * components
