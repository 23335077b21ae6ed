"""Ceilings: what each codec could reach if the graph found everything.

A codec is scanned only on each query's exact nearest rows (the truth pool), not on all n. The pool is
deep enough when hardly any of the best k r codes come from its far end; a rerank factor for which
that does not hold is not offered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base, view_codes
from tuner.index.codecs import Codes
from tuner.index.encoders import Encoder
from tuner.recall.metric import is_right, rows_taken
from tuner.recall.truth import Truth
from tuner.types import Ceiling, FloatArray, IdArray

BLOCK_BYTES = 4 << 20
EDGE = 0.1
EDGE_SHARE = 0.05
"""At most this share of the best k r codes may come from the last tenth of the pool."""


@dataclass(frozen=True)
class Pool:
    """Each query's exact nearest rows, and which of them count as right.

    Attributes:
        queries: (nq, d) float32, prepared.
        rows: (m,) int32, ascending, every row in any query's pool.
        positions: (nq, depth) int32 into ``rows``, nearest first.
        distances: (nq, depth) float32, exact.
        right: (nq, depth) whether the row is within the k-th exact distance.
        weights: (nq, depth) number of rows of the file that the row stands for; None where that is one.
    """

    queries: FloatArray
    rows: NDArray[np.int32]
    positions: NDArray[np.int32]
    distances: FloatArray
    right: NDArray[np.bool_]
    k: int
    weights: IdArray | None = None

    @property
    def depth(self) -> int:
        """Rows in each query's pool."""
        return int(self.positions.shape[1])

    def first(self, n: int) -> Pool:
        """Return the pools of the first ``n`` queries alone."""
        kept, positions = np.unique(self.positions[:n], return_inverse=True)
        return replace(
            self,
            queries=self.queries[:n],
            rows=self.rows[kept],
            positions=positions.reshape(-1, self.depth).astype(np.int32),
            distances=self.distances[:n],
            right=self.right[:n],
            weights=None if self.weights is None else self.weights[:n],
        )

    def shallow(self, depth: int) -> Pool:
        """Return each query's nearest ``depth`` rows alone."""
        kept, positions = np.unique(self.positions[:, :depth], return_inverse=True)
        return Pool(
            queries=self.queries,
            rows=self.rows[kept],
            positions=positions.reshape(len(self.positions), -1).astype(np.int32),
            distances=self.distances[:, :depth],
            right=self.right[:, :depth],
            k=self.k,
            weights=None if self.weights is None else self.weights[:, :depth],
        )


def make_pool(base: Base, queries: FloatArray, truth: Truth) -> Pool:
    """Return the pool of ``queries`` (nq, d), whose truth is deep."""
    rows, positions = np.unique(truth.ids, return_inverse=True)
    distances = _exact(base, queries, truth.ids)
    base.release()
    return Pool(
        queries=queries,
        rows=rows.astype(np.int32),
        positions=positions.reshape(truth.ids.shape).astype(np.int32),
        distances=distances,
        right=is_right(distances.astype(np.float64), truth.kth_distance),
        k=truth.k,
        weights=None if truth.weights is None else truth.weights[truth.ids],
    )


def _exact(base: Base, queries: FloatArray, ids: IdArray) -> FloatArray:
    out = np.empty(ids.shape, dtype=np.float32)
    step = max(1, BLOCK_BYTES // (4 * ids.shape[1] * base.d))
    for start in range(0, len(ids), step):
        part = ids[start : start + step]
        difference = base.x[part]
        difference -= queries[start : start + step, None, :]
        out[start : start + step] = np.einsum("qmd,qmd->qm", difference, difference)
    return out


def encode_rows(base: Base, encoder: Encoder, rows: NDArray[np.integer[Any]] | None = None) -> Codes:
    """Return the codes (m, code_bytes) of some rows of the base, or of all, block by block."""
    m = base.n if rows is None else len(rows)
    codes = np.empty((m, encoder.codec.code_bytes), dtype=np.uint8)
    step = max(256, BLOCK_BYTES // (8 * base.d))
    for start in range(0, m, step):
        part = slice(start, start + step)
        codes[part] = encoder.encode(base.x[part] if rows is None else base.x[rows[part]])
        base.release()
    return codes


def code_distances(pool: Pool, encoder: Encoder, codes: Codes) -> FloatArray:
    """Return the codec's own distances (nq, depth) from each query to the rows of its pool."""
    owner = encoder.empty(2)  # a downcast index does not keep its owner alive
    storage = faiss.downcast_index(owner.storage)
    view_codes(storage, codes)
    queries = encoder.transform(pool.queries)
    if encoder.codec.kind == "rabitq":
        return _estimated(pool, storage, queries)
    out = np.empty(pool.positions.shape, dtype=np.float32)
    width = encoder.codec.width
    step = max(1, BLOCK_BYTES // (4 * pool.depth * width))
    for start in range(0, len(queries), step):
        positions = pool.positions[start : start + step]
        decoded = storage.reconstruct_batch(positions.ravel()).reshape(*positions.shape, width)
        part = queries[start : start + step]
        decoded -= part[:, None, :]  # the expanded form cancels where data lie far from the origin
        out[start : start + step] = np.einsum("qmw,qmw->qm", decoded, decoded)
    return out


def _estimated(pool: Pool, storage: faiss.IndexRaBitQ, queries: FloatArray) -> FloatArray:
    """RaBitQ estimates distances from the code and two factors; only its own search knows how."""
    out = np.full(pool.positions.shape, np.inf, dtype=np.float32)
    in_pool = np.zeros(storage.ntotal, dtype=bool)
    for number, positions in enumerate(pool.positions):
        in_pool[:] = False
        in_pool[positions] = True
        selected = faiss.IDSelectorBitmap(np.packbits(in_pool, bitorder="little"))
        distances, found = storage.search(
            queries[number : number + 1], pool.depth, params=faiss.RaBitQSearchParameters(sel=selected)
        )
        order = np.argsort(positions)
        place = order[np.searchsorted(positions[order], found[0][found[0] >= 0])]
        out[number, place] = distances[0][found[0] >= 0]
    return out


def measure_ceiling(
    pool: Pool,
    encoder: Encoder,
    codes: Codes,
    stores: dict[str, FloatArray],
    factors: tuple[int, ...],
    train_s: float,
) -> Ceiling:
    """Return the recall of an exhaustive scan of ``codes``, re-ranked by each store and factor.

    Args:
        codes: codes of ``pool.rows``.
        stores: distances (nq, depth) of each re-ranking store.
        factors: multiples of k.
    """
    # the pool stands nearest first: codes that tie must not keep that order
    shuffled = np.random.default_rng(0).permutation(pool.depth)
    distances = code_distances(pool, encoder, codes)[:, shuffled]
    k = pool.k
    deepest = min(pool.depth, k * max(factors))
    best = np.argpartition(distances, deepest - 1, axis=1)[:, :deepest]
    best = np.take_along_axis(best, np.argsort(np.take_along_axis(distances, best, axis=1), axis=1), axis=1)
    best = shuffled[best]
    right = np.take_along_axis(pool.right, best, axis=1)
    weights = None if pool.weights is None else np.take_along_axis(pool.weights, best, axis=1)
    recall_at = {1: _recall(right, weights, k)}
    recall_with: dict[str, dict[int, float]] = {store: {} for store in stores}
    for factor in factors:
        kept = k * factor
        if factor == 1 or kept > pool.depth:
            continue
        far = best[:, :kept] >= (1 - EDGE) * pool.depth
        if far.mean() > EDGE_SHARE:
            continue
        n_right = right[:, :kept].sum(axis=1) if weights is None else (right * weights)[:, :kept].sum(axis=1)
        recall_at[factor] = float(np.minimum(n_right, k).mean() / k)
        for store, exact in stores.items():
            again = np.take_along_axis(exact, best[:, :kept], axis=1)
            first = np.argpartition(again, k - 1, axis=1)[:, :k]
            if weights is not None:  # which of them are taken depends on their order
                first = np.argsort(again, axis=1, kind="stable")[:, :k]
            recall_with[store][factor] = _recall(right, weights, k, first)
    return Ceiling(
        codec=encoder.codec.name,
        dims=encoder.projection.dims,
        cut=encoder.projection.cut,
        code_bytes=encoder.codec.code_bytes,
        recall_at=recall_at,
        recall_with=recall_with,
        train_s=train_s,
    )


def _recall(right: NDArray[np.bool_], weights: IdArray | None, k: int, order: IdArray | None = None) -> float:
    """Return the recall of the first k candidates.

    Args:
        right: (nq, m) whether each candidate is right.
        weights: (nq, m) rows that each stands for, None where that is one.
        order: (nq, k) the first k of them, None where they stand first.
    """
    if order is not None:
        right = np.take_along_axis(right, order, axis=1)
        weights = None if weights is None else np.take_along_axis(weights, order, axis=1)
    right = right[:, :k]
    if weights is None:
        return float(np.minimum(right.sum(axis=1), k).mean() / k)
    return float((right * rows_taken(weights[:, :k], k)).sum(axis=1).mean() / k)


def store_distances(pool: Pool, base: Base, store: str, encoder: Encoder | None) -> FloatArray:
    """Return the distances (nq, depth) that a re-ranking store gives."""
    if store == "fp32" or encoder is None:
        return pool.distances
    return code_distances(pool, encoder, encode_rows(base, encoder, pool.rows))
