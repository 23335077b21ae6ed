"""What each derived graph does on exact distances: recall and cost against ef_search."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.backends.faiss_hnsw import Encoded
from tuner.data.base import Base
from tuner.graph import Links, transplant
from tuner.truth import Truth
from tuner.types import CurvePoint, FloatArray, IdArray, Steps

GROWTH = 1.6
PLATEAU = 0.002
FLOOR = 1e-4
"""Recall above 1 - FLOOR is not told apart."""


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
        miss, wanted = _miss(self.recall), float(_miss(recall))
        above = int(np.searchsorted(miss, wanted))
        pair = slice(max(0, above - 1), above + 1)
        ef_search = np.exp(np.interp(wanted, miss[pair], np.log(self.ef_search[pair])))
        return int(np.ceil(ef_search - 1e-9))  # exp(log(10)) is a rounding error above 10

    def recall_at(self, ef_search: float) -> float:
        """Return the predicted recall at ``ef_search``."""
        return float(1 - np.exp(-np.interp(np.log(ef_search), np.log(self.ef_search), _miss(self.recall))))

    def ndis_at(self, ef_search: float) -> float:
        """Return the predicted distance computations a query, extrapolated in proportion to ef_search."""
        last = float(self.ef_search[-1])
        inside = float(np.exp(np.interp(np.log(ef_search), np.log(self.ef_search), np.log(self.ndis))))
        return inside * max(1.0, ef_search / last)


def _miss(recall: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Return -log(1 - recall): nearly straight against log ef_search."""
    return -np.log(np.maximum(1 - np.asarray(recall, dtype=np.float64), FLOOR))


def search_counted(index: faiss.Index, queries: FloatArray, k: int) -> tuple[IdArray, float, float]:
    """Search, and return ids (nq, k), distance computations and hops a query."""
    stats = faiss.cvar.hnsw_stats
    stats.reset()
    _, ids = index.search(queries, k)
    return ids, stats.ndis / len(queries), stats.nhops / len(queries)


def measure_curves(
    base: Base,
    links: Links,
    path: Path,
    encoded: Encoded,
    *,
    Ms: tuple[int, ...],
    queries: FloatArray,
    truth: Truth,
    target: float,
    ef_max: int,
) -> Steps[tuple[CurvePoint, ...]]:
    """Yield the share done; return recall and ndis of each derived graph around ``target``.

    Args:
        encoded: codes that stand for exact distances: float32, or float16 where its ceiling is 1.
        Ms: links a node, each at most ``links.M``.
        queries: (nq, d) prepared.
        target: recall that the ladder of ef_search climbs past, half way to 1.
    """
    points: list[CurvePoint] = []
    # a codec needs the graph's recall above the target, the more the lower its own ceiling
    enough = 1 - (1 - target) * 0.35
    start = float(truth.k)
    seen = encoded.encoder.transform(queries)
    for number, M in enumerate(sorted(Ms, reverse=True)):
        index = transplant(links, M, path, encoded.encoder.empty(M), encoded.codes)
        ladder: list[CurvePoint] = []
        ef = start
        while True:
            index.hnsw.efSearch = int(ef)
            ids, ndis, _ = search_counted(index, seen, truth.k)
            recall = float(truth.hits(base.x, queries, ids).mean() / truth.k)
            ladder.append(CurvePoint(M=M, ef_search=int(ef), recall=recall, ndis_per_query=ndis))
            flat = len(ladder) > 3 and recall - ladder[-4].recall < PLATEAU and recall > 0.5
            if recall >= enough or flat or ef >= ef_max:
                break
            ef = min(ef_max, max(ef * GROWTH, ef + 1))
        points += ladder
        below = [point.ef_search for point in ladder if point.recall < target - 0.1]
        start = float(max([truth.k, *below]))
        base.release()
        yield (number + 1) / len(Ms)
    return tuple(points)


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
