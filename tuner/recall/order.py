"""Neighbours in an order that does not depend on how a search was divided, nor on what multiplies matrices.

BLAS rounds distances, and how it rounds depends on the shape of what it is given. So the nearest rows are put
in the order of their exact distances, and where rows repeat each other, in the order of their numbers.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.recall.metric import exact_distances
from tuner.types import FloatArray, IdArray

SPARE = 8
"""Rows looked for beyond those that are wanted: rounding decides which of two that are as near comes last."""
BLOCK_BYTES = 8 << 20
ROUNDING = 1e-5
"""Share of the squared norms that BLAS may be off by in a squared distance."""


def in_exact_order(ids: IdArray, exact: NDArray[np.float64]) -> tuple[IdArray, NDArray[np.float64]]:
    """Return ids (nq, depth), the first of them by exact distance and number, and these distances.

    Args:
        exact: (nq, m) float64 exact squared distances of the first m of each.

    Example:
        >>> ids, exact = in_exact_order(np.array([[7, 5, 4, 9]]), np.array([[1.0, 0.5, 0.5]]))
        >>> ids.tolist(), exact.tolist()
        ([[4, 5, 7, 9]], [[0.5, 0.5, 1.0]])
    """
    first = ids[:, : exact.shape[1]]
    order = np.lexsort((first, exact), axis=1)
    ordered = np.take_along_axis(first, order, axis=1)
    return np.hstack([ordered, ids[:, exact.shape[1] :]]), np.take_along_axis(exact, order, axis=1)


def settled(
    ids: IdArray, base: FloatArray, queries: FloatArray, depth: int
) -> tuple[IdArray, NDArray[np.float64]]:
    """Return ids (nq, m) with the first ``depth`` the nearest by exact distance, of equals the first rows.

    Where more rows are equal than were looked for, all of them are looked at once more.

    Args:
        ids: nearest rows by BLAS distances, ``SPARE`` more than ``depth`` unless there are no more.
        base: (n, d) float32.
        queries: (nq, d) float32.

    Returns:
        The ids, and the exact squared distances of the first ``depth + SPARE``.
    """
    near = min(depth + SPARE, ids.shape[1])
    ids, exact = in_exact_order(ids, exact_distances(base, queries, ids[:, :near]))
    if near <= depth or ids.shape[1] == len(base):
        return ids, exact
    tied = np.flatnonzero(exact[:, -1] <= exact[:, depth - 1])
    if len(tied):
        ids, exact = ids.copy(), exact.copy()
        ids[tied, :near], exact[tied] = _with_all_equals(base, queries[tied], ids[tied, :near], exact[tied])
    return ids, exact


def _with_all_equals(
    base: FloatArray, queries: FloatArray, ids: IdArray, exact: NDArray[np.float64]
) -> tuple[IdArray, NDArray[np.float64]]:
    """Return ids and distances (nq, m) again, their last ones the first of all rows that are as near."""
    limit, m = exact[:, -1:], ids.shape[1]
    norms = np.einsum("qd,qd->q", queries, queries, dtype=np.float64)
    step = max(256, BLOCK_BYTES // (4 * max(base.shape[1], len(queries))))
    for start in range(0, len(base), step):
        block = np.ascontiguousarray(base[start : start + step])
        largest = float(np.einsum("nd,nd->n", block, block, dtype=np.float64).max())
        slack = ROUNDING * (norms + largest)
        close = faiss.pairwise_distances(queries, block) <= limit + slack[:, None]
        for query in np.flatnonzero(close.any(axis=1)):
            rows = start + np.flatnonzero(close[query])
            found = exact_distances(base, queries[query : query + 1], rows[None, :])[0]
            rows, found = rows[found <= limit[query]], found[found <= limit[query]]
            every, first = np.unique(np.append(ids[query], rows), return_index=True)
            distances = np.append(exact[query], found)[first]
            order = np.lexsort((every, distances))[:m]
            ids[query], exact[query] = every[order], distances[order]
    return ids, exact
