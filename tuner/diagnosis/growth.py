"""What more vectors would do to recall at the same parameters: extrapolated from nested subsets.

The loss of recall of a graph at a fixed ef_search grows with the number of vectors so that
``asin(sqrt(1 - recall))``, whose spread over samples does not depend on recall (Anscombe 1948), is very
nearly a straight line in log n. On three sets of real embeddings, five M and ten ef_search each, from 1/20
of the rows to all: mean curvature 0, of single cases ``CURVATURE``. Two graphs of the same size differ, on
some data by three points of recall; so there are several subsets of a size, and the error bar is that of
the next graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from tuner.diagnosis.questions import Questions
from tuner.index.encoders import empty_storage
from tuner.index.layers import widens
from tuner.index.opened import IndexUnderTest
from tuner.index.projections import behind
from tuner.recall.truth import search_exactly
from tuner.types import Extrapolated, Steps

TOP, MOST_ROWS, FEWEST_ROWS = 0.4, 50_000, 2_000
"""The largest subset: a share of the rows, and the limits of it."""
SPLITS = (1, 2, 4)
"""Subsets of each size: the largest, its halves, its quarters."""
CURVATURE = 0.0025
"""Standard deviation of the coefficient of ``log2(n)**2``, on the sets above."""
CONFIDENCE = 0.95
TIMES = (2, 10)
ROWS = 1 << 14


@dataclass(frozen=True)
class RecallTrend:
    """``asin(sqrt(1 - recall))`` against log2 n.

    Attributes:
        x: (m,) log2 of the sizes.
        slope: change of the height each time n doubles.
        at_mean: height at the mean of ``x``.
        spread: standard deviation of one graph around the trend.
        width: Student's t of the confidence, at m - 2.
    """

    x: NDArray[np.float64]
    slope: float
    at_mean: float
    spread: float
    width: float

    def at(self, n: int) -> Extrapolated:
        """Return the recall of another graph of n vectors."""
        step = np.log2(n) - self.x.mean()
        variance = self.spread**2 * (1 + 1 / len(self.x) + step**2 / self._scatter)
        return self._with_bar(n, self.at_mean + self.slope * step, variance, self._bent(np.log2(n)))

    def beyond(self, n_now: int, recall: float, n: int) -> Extrapolated:
        """Return the recall at n vectors of an index that has this recall at ``n_now``."""
        step = np.log2(n / n_now)
        variance = self.spread**2 * (1 + step**2 / self._scatter)
        bent = self._bent(np.log2(n)) - self._bent(np.log2(n_now))
        return self._with_bar(n, _height(recall) + self.slope * step, variance, bent)

    @property
    def _scatter(self) -> float:
        return float(((self.x - self.x.mean()) ** 2).sum())

    def _bent(self, x: float) -> float:
        """Return how far a parabola x² is from the straight line fitted to it, beyond its points."""
        slope, start = np.polyfit(self.x, self.x**2, 1)
        return float(x**2 - start - slope * x)

    def _with_bar(self, n: int, height: float, variance: float, bent: float) -> Extrapolated:
        half = float(np.hypot(self.width * variance**0.5, 2 * CURVATURE * bent))
        recall, high, low = (_recall(height + off) for off in (0.0, -half, half))
        return Extrapolated(n=n, recall=recall, low=low, high=high)


def fit_trend(sizes: list[int], recalls: list[float]) -> RecallTrend:
    """Return the trend through recalls of graphs of some sizes, at least two sizes and three graphs.

    Example:
        >>> trend = fit_trend([4_000, 2_000, 2_000, 1_000], [0.95, 0.96, 0.96, 0.97])
        >>> 0.92 < trend.at(8_000).recall < 0.95
        True
    """
    from scipy.stats import linregress  # noqa: PLC0415 - 25 MB that only a diagnosis needs

    x, y = np.log2(np.array(sizes, dtype=np.float64)), np.array([_height(recall) for recall in recalls])
    line = linregress(x, y)
    freedom = len(x) - 2
    spread = float(line.stderr) * float(((x - x.mean()) ** 2).sum()) ** 0.5
    width = float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
    return RecallTrend(x, float(line.slope), float(y.mean()), spread, width)


def _height(recall: float) -> float:
    return float(np.arcsin(np.sqrt(1 - recall)))


def _recall(height: float) -> float:
    return float(1 - np.sin(np.clip(height, 0, np.pi / 2)) ** 2)


def recall_trend(
    questions: Questions, opened: IndexUnderTest, *, normalised: bool
) -> Steps[RecallTrend | None]:
    """Yield the share done; return the trend of indexes built like this one, None if there are too few rows.

    Args:
        normalised: whether the index holds vectors at length 1 while the file does not.
    """
    base, k = questions.problem.base, questions.k
    others = np.arange(base.n) if questions.own is None else np.setdiff1d(np.arange(base.n), questions.own)
    top = min(int(TOP * len(others)), MOST_ROWS) // max(SPLITS) * max(SPLITS)
    if opened.graph is None or top < FEWEST_ROWS or (base.radius and widens(opened.chain)):
        return None  # what is added to a widened index lacks the column that its rows have
    chosen = np.random.default_rng(questions.problem.options.seed).permutation(others)[:top]
    x = np.ascontiguousarray(base.x[chosen])
    base.release()
    sizes, recalls = [], []
    for pieces in SPLITS:
        size = top // pieces
        for start in range(0, top, size):
            part = slice(start, start + size)
            truth = yield from search_exactly(x[part], questions.problem.queries, k, k)
            index, _kept = fresh(opened)
            for first in range(start, start + size, ROWS):
                rows = chosen[first : min(first + ROWS, start + size)]
                index.add(questions.in_form(rows, normalised=normalised))
            found = index.search(questions.problem.raw, k)[1]
            hits = truth.hits(x[part], questions.problem.queries, found)
            sizes.append(size)
            recalls.append(float(hits.mean()) / k)
    return fit_trend(sizes, recalls)


def fresh(opened: IndexUnderTest) -> tuple[faiss.Index, tuple[object, ...]]:
    """Return an empty index with the parameters and the training of this one, and what it points into."""
    graph = opened.graph
    assert graph is not None  # noqa: S101 - only graphs grow here
    codes = empty_storage(opened.storage)
    core = faiss.IndexHNSW(codes, graph.hnsw.nb_neighbors(1))
    core.hnsw.set_nb_neighbors(0, graph.hnsw.nb_neighbors(0))
    core.hnsw.efConstruction, core.hnsw.efSearch = graph.hnsw.efConstruction, graph.hnsw.efSearch
    core.hnsw.search_method = graph.hnsw.search_method
    outer = behind(opened.chain, core) if opened.chain else core
    if opened.refine is None or opened.store is None:
        return outer, (core, codes)
    chain, store = opened.store
    empty_store = empty_storage(store)
    whole = behind(chain, empty_store) if chain else empty_store
    refine = faiss.IndexRefine(outer, whole)
    refine.k_factor = opened.refine.k_factor
    return refine, (core, codes, outer, empty_store, whole)
