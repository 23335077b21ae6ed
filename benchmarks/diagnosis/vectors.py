"""Real vectors of length 1 to plant causes in, and exact search among them by faiss alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
from numpy.typing import NDArray

K = 10
ROWS, QUERIES = 20_000, 1_000
Array = NDArray[np.float32]
Ids = NDArray[np.int64]


@dataclass(frozen=True)
class UnitVectors:
    """Vectors of length 1.

    Attributes:
        x: (n, d) float32 base.
        queries: (nq, d) float32.
        seed: seed of every draw of rows.
    """

    x: Array
    queries: Array
    seed: int

    def rng(self) -> np.random.Generator:
        """Return a fresh generator that draws which rows are damaged."""
        return np.random.default_rng(self.seed)

    def recall(self, found: Ids, x: Array | None = None, queries: Array | None = None) -> float:
        """Return tie-aware recall of ids (nq, K) by cosine."""
        x, queries = self.x if x is None else x, self.queries if queries is None else queries
        kth = exact(x, queries)[0][:, -1]
        score = np.einsum("qd,qkd->qk", queries, x[np.maximum(found, 0)])
        score[(found < 0) | repeats(found)] = -np.inf
        return float((score >= kth[:, None] - 1e-5).mean())


def read_unit_vectors(base: Path, queries: Path, rows: int, seed: int) -> UnitVectors:
    """Return random rows of a base, and the first queries of a file, at length 1.

    Args:
        base: .npy file of vectors.
        queries: .npy file of queries.
        rows: most rows of the base.
        seed: seed of the draw, and of those that follow.
    """
    x, q = np.load(base, mmap_mode="r"), np.load(queries, mmap_mode="r")
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(x), min(rows, len(x)), replace=False))
    return UnitVectors(_without_zeros(x[chosen]), _without_zeros(q[:QUERIES]), seed)


def _without_zeros(x: Array) -> Array:
    x = np.ascontiguousarray(x, dtype=np.float32)
    return to_unit_length(x[np.linalg.norm(x, axis=1) > 0])


def exact(
    x: Array, queries: Array, k: int = K, metric: int = faiss.METRIC_INNER_PRODUCT
) -> tuple[Array, Ids]:
    """Return scores and rows (nq, k)."""
    scores, ids = faiss.knn(queries, x, k, metric)
    return scores, ids


def repeats(found: Ids) -> NDArray[np.bool_]:
    """Return which ids (nq, m) stand earlier in their row too."""
    out = np.zeros(found.shape, dtype=bool)
    for column in range(1, found.shape[1]):
        out[:, column] = (found[:, :column] == found[:, column : column + 1]).any(axis=1)
    return out


def to_unit_length(x: Array) -> Array:
    """Return rows at length 1."""
    scaled: Array = x / np.linalg.norm(x, axis=1, keepdims=True)
    return scaled
