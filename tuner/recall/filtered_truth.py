"""Exact neighbours among the rows that the filter of each query allows."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.recall.allowed import Filters
from tuner.recall.order import SPARE
from tuner.recall.truth import MARGIN, Truth, judged
from tuner.runtime.process import kept_threads, use_threads
from tuner.types import FloatArray, IdArray, Steps

BLOCK_BYTES = 32 << 20
DEPTH = 1_000
"""Nearest rows of all, among which those that are allowed are looked for first."""


def filtered_truth(
    base: FloatArray, queries: FloatArray, filters: Filters, k: int, deep: IdArray | None = None
) -> Steps[Truth]:
    """Yield the share done; return the truth of queries (nq, d) among the rows of ``base`` (n, d) allowed.

    Most filters leave enough of the nearest rows of all, which are taken from ``deep``; for the others the
    rows that are allowed are searched one by one.

    Args:
        filters: rows that each query may be answered with, at least k of them.
        k: rank whose exact distance decides what counts as right.
        deep: (nq, depth) the nearest rows of all, nearest first; None where they are not known.
    """
    wanted = min(k + MARGIN + SPARE, filters.n)
    ids = np.full((len(queries), wanted), -1, dtype=np.int64)
    short = np.ones(len(queries), dtype=bool)
    if deep is not None:
        ids, short = _first_allowed(deep, filters, wanted)
    left = np.flatnonzero(short)
    for number in np.unique(filters.of_query[left]):
        mine = left[filters.of_query[left] == number]
        with kept_threads():
            use_threads(1)  # for a few queries, threads wait longer for each other than they work
            ids[mine] = _nearest_of(base, queries[mine], filters.rows(int(number)), wanted)
        yield float((filters.of_query[left] <= number).mean())
    return judged(ids, base, queries, k)  # what is missing, -1, is far away and never right


def filtered_hits(
    truth: Truth, filters: Filters, base: FloatArray, queries: FloatArray, ids: IdArray
) -> NDArray[np.int64]:
    """Return tie-aware hits per query, (nq,) int64; a row that its filter forbids is none, however near."""
    return truth.hits(base, queries, np.where(filters.allow(ids), ids, -1))


def _first_allowed(deep: IdArray, filters: Filters, wanted: int) -> tuple[IdArray, NDArray[np.bool_]]:
    """Return the first of ``deep`` (nq, depth) that are allowed, (nq, wanted), and who has too few."""
    allowed = filters.allow(deep)
    first = np.argsort(~allowed, axis=1, kind="stable")[:, :wanted]
    ids = np.take_along_axis(np.where(allowed, deep, -1), first, axis=1)
    if ids.shape[1] < wanted:
        ids = np.pad(ids, ((0, 0), (0, wanted - ids.shape[1])), constant_values=-1)
    n_allowed = np.minimum(filters.counts[filters.of_query], wanted)
    return ids, (ids >= 0).sum(axis=1) < n_allowed


def _nearest_of(base: FloatArray, queries: FloatArray, rows: IdArray, wanted: int) -> IdArray:
    """Return the nearest of some rows, (nq, wanted), -1 where there are fewer."""
    step = max(256, BLOCK_BYTES // (4 * base.shape[1]))
    heap = faiss.ResultHeap(len(queries), min(wanted, len(rows)), keep_max=False)
    for start in range(0, len(rows), step):
        block = rows[start : start + step]
        distances, found = faiss.knn(queries, np.ascontiguousarray(base[block]), min(wanted, len(block)))
        heap.add_result(distances, block[found])
    heap.finalize()
    ids: IdArray = heap.I
    return np.pad(ids, ((0, 0), (0, wanted - ids.shape[1])), constant_values=-1)
