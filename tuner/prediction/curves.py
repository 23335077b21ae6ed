"""What each derived graph does on exact distances: recall and cost against ef_search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.index.assemble import Encoded
from tuner.index.graph import DerivableGraph, transplant
from tuner.recall.truth import Truth
from tuner.types import CurvePoint, FloatArray, IdArray, Steps

HitArray = NDArray[np.int64]
PLATEAU = 0.002
FLOOR = 1e-4
"""Recall above 1 - FLOOR is not told apart."""
SLOPES = (0.2, 3.0)
"""Slopes of -log(1 - recall) against log ef_search that are believed of two close points; one alone has 1."""
FARTHEST = 3.0
"""The next ef_search is at most this many times the largest tried."""
NEAR = 0.25
"""A point this close to the target in -log(1 - recall) needs no other beside it."""
ENOUGH = 0.35
"""Share of the misses at the target that are left where a curve ends: codecs that lose more are not saved."""


@dataclass(frozen=True)
class Curve:
    """Recall and ndis of one derived graph, by ascending ef_search, both made monotone."""

    M: int
    ef_search: NDArray[np.float64]
    recall: NDArray[np.float64]
    ndis: NDArray[np.float64]

    def ef_for(self, recall: float) -> int | None:
        """Return the smallest ef_search predicted to reach ``recall``, or None."""
        if recall > self.recall[-1]:
            return None
        miss, wanted = misses(self.recall), float(misses(recall))
        above = int(np.searchsorted(miss, wanted))
        pair = slice(max(0, above - 1), above + 1)
        ef_search = np.exp(np.interp(wanted, miss[pair], np.log(self.ef_search[pair])))
        return int(np.ceil(ef_search - 1e-9))  # exp(log(10)) is a rounding error above 10

    def recall_at(self, ef_search: float) -> float:
        """Return the predicted recall at ``ef_search``."""
        return float(1 - np.exp(-np.interp(np.log(ef_search), np.log(self.ef_search), misses(self.recall))))

    def ndis_at(self, ef_search: float) -> float:
        """Return the predicted distance computations a query, extrapolated in proportion to ef_search."""
        last = float(self.ef_search[-1])
        inside = float(np.exp(np.interp(np.log(ef_search), np.log(self.ef_search), np.log(self.ndis))))
        return inside * max(1.0, ef_search / last)


def misses(recall: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return -log(1 - recall): nearly straight against log ef_search."""
    return -np.log(np.maximum(1 - np.asarray(recall, dtype=np.float64), FLOOR))


def search_counted(index: faiss.Index, queries: FloatArray, k: int) -> tuple[IdArray, float, float]:
    """Search, and return ids (nq, k), distance computations and hops a query."""
    _, ids, ndis, hops = search_scored(index, queries, k)
    return ids, ndis, hops


def search_scored(
    index: faiss.Index, queries: FloatArray, k: int
) -> tuple[FloatArray, IdArray, float, float]:
    """Search, and return distances (nq, k) of the index, ids, distance computations and hops a query."""
    stats = faiss.cvar.hnsw_stats
    stats.reset()
    scores, ids = index.search(queries, k)
    return scores, ids, stats.ndis / len(queries), stats.nhops / len(queries)


def ef_towards(tried: list[tuple[int, float]], wanted: float) -> float:
    """Return the ef_search at which a line through what was tried reaches ``wanted``.

    Args:
        tried: ef_search and height of points; the two nearest in height make the line.
        wanted: height, in -log(1 - recall) or a difference of such.
    """
    near = sorted(tried, key=lambda point: abs(point[1] - wanted))
    ef_search, height = near[0]
    slope = 1.0
    if len(near) > 1 and near[1][0] != ef_search:
        rise = (near[1][1] - height) / np.log(near[1][0] / ef_search)
        slope = float(np.clip(rise, *SLOPES))
    return float(ef_search * np.exp(np.clip((wanted - height) / slope, -10, 10)))


def measure_curves(
    base: Base,
    graph: DerivableGraph,
    path: Path,
    encoded: Encoded,
    *,
    ceiling: float,
    Ms: tuple[int, ...],
    queries: FloatArray,
    truth: Truth,
    target: float,
    ef_max: int,
) -> Steps[tuple[tuple[CurvePoint, ...], HitArray]]:
    """Yield the share done; return recall and ndis of each derived graph around ``target``.

    The hits of each query at the point nearest to the target come with them: how far they spread.

    Args:
        encoded: codes that stand for exact distances, because they lose next to nothing.
        ceiling: recall of an exhaustive scan of them, which their curves are divided by.
        Ms: links a node, each at most ``links.M``.
        queries: (nq, d) prepared.
        target: recall that each curve is measured below, near and above, half way to 1.
    """
    points: list[CurvePoint] = []
    typical: HitArray = np.zeros(len(queries), dtype=np.int64)
    seen = encoded.encoder.transform(queries)
    start, reach = 4.0 * truth.k, FARTHEST
    for number, M in enumerate(sorted(Ms, reverse=True)):
        index = transplant(graph, M, path, encoded.encoder.empty(M), encoded.codes)

        def at(ef: float, M: int = M, index: faiss.IndexHNSW = index) -> CurvePoint:
            index.hnsw.efSearch = int(ef)
            nonlocal typical
            ids, ndis, _ = search_counted(index, seen, truth.k)
            hits = truth.hits(base.x, queries, ids)
            if abs(hits.mean() / truth.k - target) < abs(typical.mean() / truth.k - target):
                typical = hits
            recall = min(1.0, float(hits.mean() / truth.k) / ceiling)
            return CurvePoint(M=M, ef_search=int(ef), recall=recall, ndis_per_query=ndis)

        ladder = _ladder(at, min(start, ef_max), target, truth.k, ef_max, reach)
        points += ladder
        del at, index  # its links, before those of the next are made
        # what this M needs, the next is expected to need
        start = max(float(truth.k), ef_towards(_heights(ladder), float(misses(target))))
        reach = max(FARTHEST, 1.05 * ef_towards(_heights(ladder), _enough(target)) / start)
        base.release()
        yield (number + 1) / len(Ms)
    return tuple(points), typical


def _heights(ladder: list[CurvePoint]) -> list[tuple[int, float]]:
    return [(point.ef_search, float(misses(point.recall))) for point in ladder]


def _enough(target: float) -> float:
    return float(misses(1 - (1 - target) * ENOUGH))


def _ladder(
    at: Callable[[float], CurvePoint], start: float, target: float, least: int, most: int, reach: float
) -> list[CurvePoint]:
    """Return points by ascending ef_search: one well above the target, one below, one near.

    Args:
        reach: times the start that the first step up may go.
    """
    ladder = [at(start)]
    enough, near = _enough(target), float(misses(target))
    while misses((top := ladder[-1]).recall) < enough and top.ef_search < most:
        half = [point for point in ladder if 2 * point.ef_search <= top.ef_search]
        if half and top.recall > 0.5 and top.recall - half[-1].recall < PLATEAU:
            break
        first = len(ladder) == 1
        ef = reach * start if first else 1.03 * ef_towards(_heights(ladder), enough)
        farthest = (reach if first else FARTHEST) * top.ef_search
        ladder.append(at(min(most, max(top.ef_search + 1, ef, 1.2 * top.ef_search), farthest)))
    while (bottom := ladder[0]).recall > target and bottom.ef_search > least:
        ef = 0.9 * ef_towards(_heights(ladder), near)
        ladder.insert(0, at(max(least, min(bottom.ef_search - 1, ef))))
    if min(abs(height - near) for _, height in _heights(ladder)) > NEAR and ladder[-1].recall > target:
        ef = int(ef_towards(_heights(ladder), near))
        if ladder[0].ef_search < ef < ladder[-1].ef_search and ef not in {p.ef_search for p in ladder}:
            ladder.append(at(ef))
    return sorted(ladder, key=lambda point: point.ef_search)


def curves_of(points: tuple[CurvePoint, ...]) -> dict[int, Curve]:
    """Return a curve for each M."""
    curves = {}
    for M in sorted({point.M for point in points}):
        mine = sorted((point for point in points if point.M == M), key=lambda point: point.ef_search)
        curves[M] = Curve(
            M=M,
            ef_search=np.array([point.ef_search for point in mine], dtype=np.float64),
            recall=np.maximum.accumulate([point.recall for point in mine]),
            ndis=np.maximum.accumulate([point.ndis_per_query for point in mine]),
        )
    return curves
