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

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from tuner.data.copies import Copies, list_bytes
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
        copies: rows of the file that each row here stands for, ``rows`` among them; None where that is one.
        answers: number of rows of the file that the index handed over answers with, where it has copies.
    """

    x: FloatArray
    rows: IdArray | None
    metric: Metric
    radius: float
    added: int = 0
    lacks_rows: bool = False
    own_ids: Names | None = None
    copies: Copies | None = None
    answers: int = 0

    @property
    def n(self) -> int:
        """Rows."""
        return len(self.x)

    @property
    def n_delivered(self) -> int:
        """Rows of the index handed over."""
        return self.n + self.added

    @property
    def n_answers(self) -> int:
        """Rows of the file that the index handed over answers with: copies of its own too."""
        return self.n_delivered if self.copies is None else self.answers

    @property
    def weights(self) -> IdArray | None:
        """Number of rows of the file (n,) that each row stands for; None where that is one."""
        return None if self.copies is None else self.copies.weights

    @property
    def copies_bytes(self) -> int:
        """Bytes of the list of copies beside the index handed over; 0 where there is none."""
        return 0 if self.copies is None else list_bytes(self.n_answers - self.n_delivered)

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
    with about(path), partial.open("wb") as out:
        for rows, block in prepared_blocks(vectors, metric, left_out, largest_norm):
            out.write(np.ascontiguousarray(block).data)
            yield (int(rows[-1]) + 1) / vectors.n
    rename_synced(partial, path)
    return open_prepared(path, n, d, metric, left_out, largest_norm, own_ids=vectors.ids)


def prepared_blocks(
    vectors: Vectors, metric: Metric, left_out: IdArray, largest_norm: float
) -> Iterator[tuple[IdArray, FloatArray]]:
    """Yield row numbers (m,) int64 and prepared rows (m, d') float32, block by block, none of them empty.

    Args:
        left_out: rows that are left out, ascending.
        largest_norm: over all rows, from the profile.
    """
    step = max(1, BLOCK_BYTES // (4 * vectors.d))
    for start in range(0, vectors.n, step):
        stop = min(vectors.n, start + step)
        rows, block = np.arange(start, stop), vectors.read(start, stop)
        dropped = left_out[(left_out >= start) & (left_out < stop)] - start
        if len(dropped):
            rows, block = np.delete(rows, dropped), np.delete(block, dropped, axis=0)
        if len(rows):
            yield rows, in_prepared_space(block, metric, largest_norm)


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


def in_prepared_space(block: FloatArray, metric: Metric, radius: float) -> FloatArray:
    """Return rows (m, d) float32 in the prepared space.

    Args:
        radius: largest norm of all rows (``ip`` only).
    """
    if metric == "cosine":
        return np.asarray(block / np.linalg.norm(block, axis=1, keepdims=True), dtype=np.float32)
    if metric == "ip":
        squared = np.einsum("nd,nd->n", block, block, dtype=np.float64)
        last = np.sqrt(np.maximum(radius**2 - squared, 0)).astype(np.float32)
        return np.hstack([block, last[:, None]])
    return block
