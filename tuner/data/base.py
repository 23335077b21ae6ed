"""The prepared base: one float32 copy on disk, in a space where L2 ranks as the user's metric does.

- ``cosine``: rows are normalised.
- ``ip``: one column ``sqrt(R^2 - |x|^2)`` is added, R the largest norm, and a zero to each query;
  then ``|q - x|^2 = |q|^2 + R^2 - 2 <q, x>`` (Bachrach et al., Speeding up the Xbox recommender
  system, RecSys 2014). So every faiss object has one metric, L2, and none can be built for the
  wrong one.
- ``l2``: as it is.

The matrix is memory-mapped: its pages are dropped between stages, and faiss searches it in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from tuner.data.ids import Names, fits_in_index
from tuner.data.vectors import Vectors
from tuner.recall.metric import release_pages
from tuner.runtime.journal import about, rename_synced
from tuner.types import FloatArray, IdArray, Metric, Steps

BLOCK_BYTES = 4 << 20


@dataclass(frozen=True)
class Base:
    """Prepared rows.

    Attributes:
        x: (n, d) float32, memory-mapped, read-only.
        rows: (n,) int64 row numbers in the user's file, or None where they are 0..n-1.
        metric: the user's.
        radius: largest norm (``ip`` only), else 0.
        added: number of rows, held out as queries here, that the index handed over holds as well.
        lacks_rows: whether the index handed over lacks some rows of the file, so that positions are no rows.
        own_ids: the user's own ids of all rows of the file, int64 or text; None where row numbers are ids.
    """

    x: FloatArray
    rows: IdArray | None
    metric: Metric
    radius: float
    added: int = 0
    lacks_rows: bool = False
    own_ids: Names | None = None

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.x)

    @property
    def n_delivered(self) -> int:
        """Rows of the index handed over."""
        return self.n + self.added

    @property
    def labels(self) -> IdArray | None:
        """What the index handed over answers with, (n,) int64; None where that is the position.

        Own ids that are whole numbers; row numbers where they are text, which no index holds.
        """
        if self.own_ids is None or not fits_in_index(self.own_ids):
            return self.rows
        ids: IdArray = self.own_ids if self.rows is None else self.own_ids[self.rows]
        return ids

    @property
    def keeps_ids(self) -> bool:
        """Whether the index handed over keeps ids: they are the user's own numbers, or it lacks rows."""
        return self.lacks_rows or (self.own_ids is not None and fits_in_index(self.own_ids))

    @property
    def d(self) -> int:
        """Columns of the prepared rows: one more than the user's for ``ip``."""
        return int(self.x.shape[1])

    def sample(self, size: int, seed: int) -> FloatArray:
        """Return ``min(size, n)`` random rows, in ascending row order."""
        if size >= self.n:
            return np.array(self.x)
        chosen = np.random.default_rng(seed).choice(self.n, size, replace=False)
        rows = self.x[np.sort(chosen)]
        self.release()
        return rows

    def release(self) -> None:
        """Give the mapped pages back; they are read again when touched."""
        release_pages(self.x)


def view_codes(index: faiss.IndexFlatCodes, codes: np.ndarray) -> None:
    """Make ``index`` search ``codes`` (n, code bytes) in place; the caller's array must outlive it."""
    if codes.shape[1] != index.code_size:
        raise ValueError(f"codes of {codes.shape[1]} bytes for an index of {index.code_size}")
    owner = index.codes.owner
    index.codes = type(index.codes).create_view(faiss.swig_ptr(codes), codes.size, owner)
    index.ntotal = len(codes)


def prepared_queries(queries: FloatArray, metric: Metric) -> FloatArray:
    """Return queries (nq, d) float32 in the prepared space."""
    if metric == "cosine":
        out = np.array(queries, dtype=np.float32)
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return out
    if metric == "ip":
        return np.hstack([queries, np.zeros((len(queries), 1), dtype=np.float32)])
    return np.ascontiguousarray(queries, dtype=np.float32)


def prepare(
    vectors: Vectors, metric: Metric, left_out: IdArray, largest_norm: float, path: Path
) -> Steps[Base]:
    """Write the prepared base beside ``path`` and return it mapped.

    Args:
        left_out: rows that are left out, ascending.
        largest_norm: over all rows, from the profile.
        path: raw float32 file, written under a temporary name and renamed.
    """
    d = vectors.d + (metric == "ip")
    n = vectors.n - len(left_out)
    partial = path.with_suffix(".partial")
    step = max(1, BLOCK_BYTES // (4 * vectors.d))
    with about(path), partial.open("wb") as out:
        for start in range(0, vectors.n, step):
            stop = min(vectors.n, start + step)
            block = vectors.read(start, stop)
            dropped = left_out[(left_out >= start) & (left_out < stop)] - start
            if len(dropped):
                block = np.delete(block, dropped, axis=0)
            out.write(np.ascontiguousarray(_prepare_rows(block, metric, largest_norm)).data)
            yield stop / vectors.n
    rename_synced(partial, path)
    return open_prepared(path, n, d, metric, left_out, largest_norm, own_ids=vectors.ids)


def open_prepared(
    path: Path,
    n: int,
    d: int,
    metric: Metric,
    left_out: IdArray,
    largest_norm: float,
    *,
    added: int = 0,
    own_ids: Names | None = None,
) -> Base:
    """Map a base that ``prepare`` wrote.

    Args:
        added: number of rows left out that the index handed over holds as well.
        own_ids: the user's own ids of all rows of the file, None where row numbers are ids.
    """
    x = np.memmap(path, dtype=np.float32, mode="r", shape=(n, d))
    rows = np.delete(np.arange(n + len(left_out)), left_out) if len(left_out) else None
    return Base(
        x=x,
        rows=rows,
        metric=metric,
        radius=largest_norm if metric == "ip" else 0.0,
        added=added,
        lacks_rows=len(left_out) > added,
        own_ids=own_ids,
    )


def _prepare_rows(block: FloatArray, metric: Metric, radius: float) -> FloatArray:
    if metric == "cosine":
        return np.asarray(block / np.linalg.norm(block, axis=1, keepdims=True), dtype=np.float32)
    if metric == "ip":
        squared = np.einsum("nd,nd->n", block, block, dtype=np.float64)
        last = np.sqrt(np.maximum(radius**2 - squared, 0)).astype(np.float32)
        return np.hstack([block, last[:, None]])
    return block
