"""What other numbers of shards would need: modelled from graphs of parts of the representative shard.

A graph of fewer rows needs a smaller ef_search for the same recall, one of more rows a larger one: halves,
quarters and eighths of the shard are measured, more rows are extrapolated as
``tuner.prediction.expected_curve`` does. That the merged answer needs less than a shard for its own rows was
measured for one number of shards; for others this share is taken to be a power of their number.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import log

import numpy as np

from tuner.prediction.curves import Curve, curves_of
from tuner.prediction.expected_curve import expected_curve
from tuner.prediction.surface import CodecCost
from tuner.runtime.journal import Journal
from tuner.sweep.model import Model
from tuner.sweep.nested import PARTS, PartCurves, ladders, measure_parts
from tuner.types import CurvePoint, Event, OperatingPoint, Sharded, ShardSize

LADDER, QUERIES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0), 300
"""Values of ef_search, as multiples of what the shard needs, and queries: a table of sizes needs no more."""


@dataclass(frozen=True)
class Need:
    """What the graph of a finalist needs at a number of rows for its own neighbours.

    Attributes:
        label: the finalist.
        n_shards: number of shards of so many rows.
        ef_search: ef_search there.
        ndis: curve of distances a query, by ef_search: its two ends.
    """

    label: str
    n_shards: int
    ef_search: float
    ndis: tuple[tuple[float, float], ...]


def measure_needs(
    journal: Journal, model: Model, finalists: Sequence[OperatingPoint], n_shards: int
) -> Generator[Event, None, tuple[Need, ...]]:
    """Yield events; return what finalists need in shards of other sizes, as far as that can be said."""
    problem, options = model.problem, model.problem.options
    if not finalists:
        return ()
    Ms = sorted({point.configuration.M for point in finalists})
    ladder = ladders(model.curves, Ms, problem.aim, options.space.ef_search_max, LADDER)
    parts = yield from journal.stage(
        "parts",
        "graphs of parts of the shard, for other numbers of shards",
        tuple[PartCurves, ...],
        partial(measure_parts, problem, model.proxy, model.graph, ladder, QUERIES),
    )
    counts = [*range(1, n_shards), *(n_shards * parts for parts in (1, *PARTS))]
    found = []
    for point in finalists:
        for count in counts:
            need = _need(point, parts, count, n_shards, problem.base.n)
            found += [need] if need is not None else []
    return tuple(found)


def _need(
    point: OperatingPoint, parts: Sequence[PartCurves], count: int, n_shards: int, n: int
) -> Need | None:
    M = point.configuration.M
    own = _curve(parts[:1], M)
    wanted = own.recall_at(point.ef_search)
    label = point.configuration.label
    if count < n_shards:
        rows = n * n_shards // count
        graph = expected_curve(rows, [(part.n, _of(part, M)) for part in parts])
        bar = graph.ef_for(wanted)
        if bar is None:
            return None
        ends = [(bar.value * step, graph.ndis_at(bar.value * step)) for step in (0.5, 1.0)]
        return Need(label, count, bar.value, tuple(ends))
    curve = _curve([part for part in parts if abs(part.n * count / n_shards / n - 1) < 0.1], M)
    ef = curve.ef_for(wanted)
    if ef is None:
        return None
    ends = [(ef * step, curve.ndis_at(ef * step)) for step in (0.5, 1.0)]
    return Need(label, count, float(ef), tuple(ends))


def _of(part: PartCurves, M: int) -> list[CurvePoint]:
    return [point for point in part.points if point.M == M]


def _curve(parts: Sequence[PartCurves], M: int) -> Curve:
    """Return the mean curve of graphs of one size, all of them at the same values of ef_search."""
    each = [_of(part, M) for part in parts]
    points = tuple(
        replace(
            first,
            recall=float(np.mean([mine[i].recall for mine in each])),
            ndis_per_query=float(np.mean([mine[i].ndis_per_query for mine in each])),
        )
        for i, first in enumerate(each[0])
    )
    return curves_of(points)[M]


def sizes_of(
    sharded: Sharded, point: OperatingPoint, needs: Sequence[Need], cost: CodecCost, node_bytes: int | None
) -> tuple[ShardSize, ...]:
    """Return what numbers of shards need, ascending; the one that was built is as measured.

    Args:
        point: what was built, over all shards.
        needs: what its graph needs in shards of other sizes.
        cost: seconds that its codec costs.
        node_bytes: memory of a machine that serves a shard, None where it does not matter.
    """
    n_shards, n, what = sharded.n_shards, sum(sharded.rows), point.configuration
    mine = {need.n_shards: need for need in needs if need.label == what.label}
    here = mine.get(n_shards)
    if here is None or point.latency is None:
        return ()
    n_reranked = sharded.k_per_shard * what.rerank_factor
    share = min(1.0, point.ef_search / sharded.ef_search_alone)
    off = point.latency.mean_s / _seconds(here, point.ef_search, cost, what.rerank, n_reranked)
    found = []
    for count, need in sorted(mine.items()):
        measured = count == n_shards
        merged = share ** (log(count) / log(n_shards)) if n_shards > 1 else 1.0
        alone = need.ef_search / here.ef_search * sharded.ef_search_alone
        ef = max(n_reranked, round(alone * merged))
        size = max(sharded.memory_bytes) if measured else round(point.memory.resident_bytes / count)
        modelled_s = off * _seconds(need, ef, cost, what.rerank, n_reranked)
        found.append(
            ShardSize(
                n_shards=count,
                rows=max(sharded.rows) if measured else -(-n // count),
                memory_bytes=size,
                ef_search=point.ef_search if measured else ef,
                latency_s=point.latency.mean_s if measured else modelled_s,
                fits=None if node_bytes is None else size <= node_bytes,
                measured=measured,
            )
        )
    return tuple(found)


def _seconds(need: Need, ef: float, cost: CodecCost, rerank: str | None, n_reranked: int) -> float:
    (low, few), (high, many) = need.ndis
    power = log(many / few) / log(high / low)
    return cost.latency_s(many * (ef / high) ** power, ef, rerank, n_reranked)
