"""Exact neighbours by blocked exact search, cached by content.

Distances are squared L2 in the prepared space (see ``tuner.data.base``), where they rank rows as the
user's metric does. Where a row stands for copies of itself, neighbours and hits are counted in all rows: an
answer gives the row and its copies, one answer after the other, until there are k.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.recall.metric import exact_distances, first_occurrences, is_right, rows_taken
from tuner.recall.order import SPARE, in_exact_order, settled
from tuner.runtime.cache import TRUTH_SUFFIX, mark_used, store, truth_dir
from tuner.types import FloatArray, IdArray, Steps

BROKEN = (
    *(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error),
    *(NotImplementedError, RuntimeError, AttributeError),
)
"""What reading a damaged archive raises: one of an unknown method, of a password or of no array as well."""
BLOCK_BYTES = 8 << 20
MARGIN = 16
"""Neighbours kept beyond k, so that ties at rank k and rounding in BLAS cannot hide a true one."""
NOWHERE = -2
"""A row that is in no list of answers."""


@dataclass(frozen=True)
class Truth:
    """Exact neighbours of a query set.

    Attributes:
        ids: (nq, depth) int64, nearest first: the first k + MARGIN by exact distance, deeper ones by BLAS
            (expanded form).
        right: (nq, k + MARGIN) whether the row in ``ids`` is within the k-th exact distance, which is
            recomputed from the rows themselves.
        kth_distance: (nq,) float64, exact squared distance of the k-th neighbour.
        k: neighbours asked for.
        weights: (n,) number of rows that each row of the base stands for; None where that is one.
        own: (nq,) row of the base that stands for each query itself, which is no answer, kept where there are
            weights alone; None where none does.
    """

    ids: IdArray
    right: NDArray[np.bool_]
    kth_distance: NDArray[np.float64]
    k: int
    weights: IdArray | None = None
    own: IdArray | None = None

    def hits(self, base: FloatArray, queries: FloatArray, ids: IdArray) -> NDArray[np.int64]:
        """Return tie-aware hits per query, (nq,) int64, of the ``ids`` (nq, >= k) that a search returned.

        An id counts once, if its row is as near as the k-th neighbour, and where there are weights for the
        rows that it adds to those before it. Rows beyond the margin are looked up only for queries whose ties
        go on there.
        """
        ids = ids[:, : self.k]
        near = self.ids[:, : self.right.shape[1]]
        known_right = ((ids[:, :, None] == near[:, None, :]) & self.right[:, None, :]).any(axis=2)
        tied_on = np.flatnonzero(self.right[:, -1])
        if len(tied_on):
            distances = exact_distances(base, queries[tied_on], ids[tied_on])
            known_right[tied_on] = is_right(distances, self.kth_distance[tied_on])
        counted = first_occurrences(ids).astype(np.int64)
        if self.weights is not None:
            counted = rows_taken(counted * rows_of(ids, self.weights, self.own), self.k)
        hits: NDArray[np.int64] = (counted * known_right).sum(axis=1)
        return hits

    @property
    def never_answers(self) -> IdArray | None:
        """Rows (nq,) that are no answers: those that stand for the query alone; None where there are none."""
        if self.own is None or self.weights is None:
            return self.own
        return np.where(self.weights[self.own] > 1, NOWHERE, self.own)

    @property
    def n_distinct(self) -> NDArray[np.int64]:
        """Number of rows of the base (nq,) that the k nearest rows of each query are."""
        if self.weights is None:
            return np.full(len(self.ids), self.k)
        taken = rows_taken(rows_of(self.ids, self.weights, self.own), self.k)
        found: NDArray[np.int64] = (taken > 0).sum(axis=1)
        return found

    def at(self, k: int, base: FloatArray, queries: FloatArray) -> Truth:
        """Return the truth for another k, at most the depth of ``ids``."""
        return judged(self.ids, base, queries, k, self.weights, self.own)

    def part(self, index: NDArray[np.int64]) -> Truth:
        """Return the truth of some of the queries, by position."""
        return replace(
            self,
            ids=self.ids[index],
            right=self.right[index],
            kth_distance=self.kth_distance[index],
            own=None if self.own is None else self.own[index],
        )


def rows_of(ids: IdArray, weights: IdArray, own: IdArray | None) -> IdArray:
    """Return how many rows ids (nq, m) stand for, the query itself not counted; 0 for -1.

    Args:
        weights: (n,) rows that each stands for.
        own: (nq,) what stands for the query itself, None where nothing does.
    """
    found = np.where(ids >= 0, weights[np.maximum(ids, 0)], 0)
    if own is not None:
        found -= ids == own[:, None]
    return found


def search_exactly(
    base: FloatArray, queries: FloatArray, depth: int, k: int, weights: IdArray | None = None
) -> Steps[Truth]:
    """Yield the share done; return the truth of ``queries`` (nq, d) against ``base`` (n, d).

    Args:
        depth: neighbours kept for each query, at least k.
        k: rank whose exact distance decides what counts as right.
        weights: (n,) number of rows that each row of the base stands for; None where that is one.
    """
    ids = yield from nearest_in(base, queries, min(len(base), max(depth, k + MARGIN + SPARE)))
    ids, exact = settled(ids, base, queries, k + MARGIN)
    return truth_of(ids[:, : max(depth, k + MARGIN)], exact, k, weights)


def nearest_in(base: FloatArray, queries: FloatArray, depth: int) -> Steps[IdArray]:
    """Yield the share done; return the rows (nq, depth) of ``base`` (n, d) that are nearest to each query."""
    n, d = base.shape
    rows = max(256, BLOCK_BYTES // (4 * d))
    blocks = (
        (np.arange(start, min(n, start + rows)), np.ascontiguousarray(base[start : start + rows]))
        for start in range(0, n, rows)
    )
    return (yield from nearest_ids(blocks, n, queries, depth))


def nearest_ids(
    blocks: Iterable[tuple[IdArray, FloatArray]], n: int, queries: FloatArray, depth: int
) -> Steps[IdArray]:
    """Yield the share done; return the ids (nq, depth) of the nearest rows, nearest first.

    Args:
        blocks: ids (m,) ascending and rows (m, d) float32 of each block.
        n: ids are below this.
        queries: (nq, d) float32.
        depth: neighbours of each query, at most the number of rows.
    """
    heap = faiss.ResultHeap(len(queries), depth, keep_max=False)
    for ids, block in blocks:
        distances, found = faiss.knn(queries, block, min(depth, len(block)))
        heap.add_result(distances, ids[found])
        yield (int(ids[-1]) + 1) / n
    heap.finalize()
    found_ids: IdArray = heap.I
    return found_ids


def judged(
    ids: IdArray,
    base: FloatArray,
    queries: FloatArray,
    k: int,
    weights: IdArray | None = None,
    own: IdArray | None = None,
) -> Truth:
    """Return the truth whose nearest rows are ``ids`` (nq, depth)."""
    exact = exact_distances(base, queries, ids[:, : k + MARGIN + SPARE])
    return truth_of(*in_exact_order(ids, exact), k, weights, own)


def truth_of(
    ids: IdArray,
    exact: NDArray[np.float64],
    k: int,
    weights: IdArray | None = None,
    own: IdArray | None = None,
) -> Truth:
    """Return the truth of rows that are in the order of their exact distances.

    Args:
        ids: (nq, depth) int64, nearest first.
        exact: (nq, m) float64 exact squared distances of the first m of each.
    """
    near, exact = ids[:, : k + MARGIN], exact[:, : k + MARGIN]
    last = np.full(len(ids), k - 1)
    if weights is not None:
        n_rows = rows_of(near, weights, own).cumsum(axis=1)
        last = np.minimum((n_rows < k).sum(axis=1), near.shape[1] - 1)
    kth_distance = exact[np.arange(len(ids)), last]
    right = is_right(exact, kth_distance)
    return Truth(ids=ids, right=right, kth_distance=kth_distance, k=k, weights=weights, own=own)


def without_own(truth: Truth, own: IdArray, base: FloatArray, queries: FloatArray, k: int) -> Truth:
    """Return the truth of queries that are rows of the base, without these rows.

    Args:
        truth: exact neighbours to at least k + 1.
        own: (nq,) row that each query is itself.
    """
    kept = None if truth.weights is None else own
    out = replace(truth, own=own).never_answers
    theirs = truth.ids == np.asarray(out)[:, None]
    theirs[~theirs.any(axis=1), -1] = True  # as many copies stand before it as were looked for
    left = truth.ids[~theirs].reshape(len(own), -1)
    return judged(left, base, queries, k, truth.weights, kept)


def with_rows(truth: Truth, added: IdArray, base: FloatArray, queries: FloatArray) -> Truth:
    """Return the truth of queries (nq, d) once more rows can be found.

    Args:
        truth: exact neighbours among the rows so far, named by their place in ``base``.
        added: rows of ``base`` that it does not know; where there are weights, rows that it knows become
            one more of them.
        base: (n, d) float32.
    """
    depth, weights = truth.ids.shape[1], truth.weights
    if weights is not None:
        unknown = np.unique(added[weights[added] == 0])
        weights = weights + np.bincount(added, minlength=len(weights))
        added = unknown
    ids = truth.ids
    if len(added):
        _, near = faiss.knn(queries, np.ascontiguousarray(base[added]), min(depth, len(added)))
        ids = np.hstack([ids, added[near]])
    order = np.argsort(exact_distances(base, queries, ids), axis=1, kind="stable")
    return judged(np.take_along_axis(ids, order, axis=1)[:, :depth], base, queries, truth.k, weights)


def cached(
    key: tuple[object, ...],
    base: FloatArray,
    queries: FloatArray,
    depth: int,
    k: int,
    weights: IdArray | None = None,
) -> Steps[tuple[Truth, bool]]:
    """Return the truth and whether it came from the cache.

    Args:
        key: what the answer depends on beside queries, depth and k: fingerprint, metric, held-out rows.
        weights: (n,) number of rows that each row of the base stands for; None where that is one.
    """
    digest = hashlib.blake2b(np.ascontiguousarray(queries).data, digest_size=16)
    digest.update(repr((key, depth, k, SPARE)).encode())  # SPARE: order of the nearest
    name = digest.hexdigest()
    path = truth_dir() / f"{name}{TRUTH_SUFFIX}"
    try:
        # opened here, because np.load leaves a broken archive open
        with path.open("rb") as file, np.load(file, allow_pickle=False) as found:
            truth = Truth(
                ids=found["ids"].astype(np.int64),
                right=found["right"],
                kth_distance=found["kth_distance"],
                k=k,
                weights=weights,
            )
        if truth.ids.shape[0] == len(queries) and int(truth.ids.max()) < len(base):
            mark_used(path)
            return truth, True
    except BROKEN:
        pass  # no cache, or one that an interrupted run left broken: it is made again
    truth = yield from search_exactly(base, queries, depth, k, weights)
    ids = truth.ids.astype(np.int32)
    store(path, lambda out: np.savez(out, ids=ids, right=truth.right, kth_distance=truth.kth_distance))
    return truth, False
