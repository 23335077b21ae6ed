"""What more vectors would do to recall at the same parameters: indexes like this one on nested subsets."""

from __future__ import annotations

import faiss
import numpy as np

from tuner.diagnosis.questions import Questions
from tuner.index.encoders import empty_storage
from tuner.index.layers import widens
from tuner.index.opened import IndexUnderTest
from tuner.index.projections import behind
from tuner.prediction.recall_trend import RecallTrend, fit_trend
from tuner.recall.truth import search_exactly
from tuner.types import Steps

TOP, MOST_ROWS, FEWEST_ROWS = 0.4, 50_000, 2_000
"""The largest subset: a share of the rows, and the limits of it."""
SPLITS = (1, 2, 4)
"""Subsets of each size: the largest, its halves, its quarters."""
TIMES = (2, 10)
ROWS = 1 << 14


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
