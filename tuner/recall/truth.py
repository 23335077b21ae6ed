"""Exact neighbours by blocked exact search, cached by content.

Distances are squared L2 in the prepared space (see ``tuner.data.base``), where they rank rows as the
user's metric does.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.recall.metric import exact_distances, first_occurrences, is_right
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


@dataclass(frozen=True)
class Truth:
    """Exact neighbours of a query set.

    Attributes:
        ids: (nq, depth) int64, nearest first by BLAS distances (expanded form).
        right: (nq, k + MARGIN) whether the row in ``ids`` is within the k-th exact distance, which is
            recomputed from the rows themselves.
        kth_distance: (nq,) float64, exact squared distance of the k-th neighbour.
        k: neighbours asked for.
    """

    ids: IdArray
    right: NDArray[np.bool_]
    kth_distance: NDArray[np.float64]
    k: int

    def hits(self, base: FloatArray, queries: FloatArray, ids: IdArray) -> NDArray[np.int64]:
        """Return tie-aware hits per query, (nq,) int64, of the ``ids`` (nq, >= k) that a search returned.

        An id counts once, if its row is as near as the k-th neighbour. Rows beyond the margin are looked
        up only for queries whose ties go on there.
        """
        ids = ids[:, : self.k]
        near = self.ids[:, : self.right.shape[1]]
        known_right = ((ids[:, :, None] == near[:, None, :]) & self.right[:, None, :]).any(axis=2)
        tied_on = np.flatnonzero(self.right[:, -1])
        if len(tied_on):
            distances = exact_distances(base, queries[tied_on], ids[tied_on])
            known_right[tied_on] = is_right(distances, self.kth_distance[tied_on])
        hits: NDArray[np.int64] = (known_right & first_occurrences(ids)).sum(axis=1)
        return hits

    def at(self, k: int, base: FloatArray, queries: FloatArray) -> Truth:
        """Return the truth for another k, at most the depth of ``ids``."""
        return _judged(self.ids, base, queries, k)

    def part(self, index: NDArray[np.int64]) -> Truth:
        """Return the truth of some of the queries, by position."""
        return Truth(
            ids=self.ids[index], right=self.right[index], kth_distance=self.kth_distance[index], k=self.k
        )


def search_exactly(base: FloatArray, queries: FloatArray, depth: int, k: int) -> Steps[Truth]:
    """Yield the share done; return the truth of ``queries`` (nq, d) against ``base`` (n, d).

    Args:
        depth: neighbours kept for each query, at least k.
        k: rank whose exact distance decides what counts as right.
    """
    n, d = base.shape
    depth = min(n, max(depth, k + MARGIN))
    rows = max(256, BLOCK_BYTES // (4 * d))
    heap = faiss.ResultHeap(len(queries), depth, keep_max=False)
    for start in range(0, n, rows):
        block = np.ascontiguousarray(base[start : start + rows])
        distances, ids = faiss.knn(queries, block, min(depth, len(block)))
        heap.add_result(distances, ids + start)
        yield min(1.0, (start + rows) / n)
    heap.finalize()
    return _judged(heap.I, base, queries, k)


def _judged(ids: IdArray, base: FloatArray, queries: FloatArray, k: int) -> Truth:
    """Return the truth whose nearest rows are ``ids`` (nq, depth)."""
    exact = exact_distances(base, queries, ids[:, : k + MARGIN])
    kth_distance = np.partition(exact, k - 1, axis=1)[:, k - 1].copy()
    return Truth(ids=ids, right=is_right(exact, kth_distance), kth_distance=kth_distance, k=k)


def without_own(truth: Truth, own: IdArray, base: FloatArray, queries: FloatArray, k: int) -> Truth:
    """Return the truth of queries that are rows of the base, without these rows.

    Args:
        truth: exact neighbours to at least k + 1.
        own: (nq,) row that each query is itself.
    """
    theirs = truth.ids == own[:, None]
    theirs[~theirs.any(axis=1), -1] = True  # as many copies stand before it as were looked for
    return _judged(truth.ids[~theirs].reshape(len(own), -1), base, queries, k)


def with_rows(truth: Truth, added: IdArray, base: FloatArray, queries: FloatArray) -> Truth:
    """Return the truth of queries (nq, d) once more rows can be found.

    Args:
        truth: exact neighbours among the rows so far, named by their place in ``base``.
        added: rows of ``base`` that it does not know.
        base: (n, d) float32.
    """
    depth = truth.ids.shape[1]
    _, near = faiss.knn(queries, np.ascontiguousarray(base[added]), min(depth, len(added)))
    ids = np.hstack([truth.ids, added[near]])
    order = np.argsort(exact_distances(base, queries, ids), axis=1, kind="stable")
    return _judged(np.take_along_axis(ids, order, axis=1)[:, :depth], base, queries, truth.k)


def cached(
    key: tuple[object, ...], base: FloatArray, queries: FloatArray, depth: int, k: int
) -> Steps[tuple[Truth, bool]]:
    """Return the truth and whether it came from the cache.

    Args:
        key: what the answer depends on beside queries, depth and k: fingerprint, metric, held-out rows.
    """
    digest = hashlib.blake2b(np.ascontiguousarray(queries).data, digest_size=16)
    digest.update(repr((key, depth, k)).encode())
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
            )
        if truth.ids.shape[0] == len(queries) and int(truth.ids.max()) < len(base):
            mark_used(path)
            return truth, True
    except BROKEN:
        pass  # no cache, or one that an interrupted run left broken: it is made again
    truth = yield from search_exactly(base, queries, depth, k)
    ids = truth.ids.astype(np.int32)
    store(path, lambda out: np.savez(out, ids=ids, right=truth.right, kth_distance=truth.kth_distance))
    return truth, False
