"""Rows by their bytes: which occur twice, which occur in two matrices."""

import numpy as np
from numpy.typing import NDArray


def row_keys(vectors: NDArray[np.floating]) -> NDArray[np.void]:
    """One opaque key a row; equal rows, equal keys. Shape (n,).

    Adding zero turns -0.0, which equals 0.0 but has other bytes, into 0.0.
    """
    rows = np.ascontiguousarray(vectors + vectors.dtype.type(0))
    return rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]


def occurs_in(vectors: NDArray[np.floating], base: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which rows of `vectors` (nq, d) are also rows of `base` (n, d), bit for bit. Shape (nq,)."""
    return np.isin(row_keys(vectors), row_keys(base))


def repeated_share(vectors: NDArray[np.floating]) -> float:
    """Share of rows that repeat an earlier row."""
    return 1 - len(np.unique(row_keys(vectors))) / len(vectors)
