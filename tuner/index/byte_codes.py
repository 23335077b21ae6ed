"""Bytes of one scale for all dimensions, to build a graph on: faiss compares them in integers.

As codes to search they lose more than SQ8, which scales each dimension, and gain little, because a search
waits for memory. A build compares the same few rows over and over: there they take a third less time
(measured at 115,659 x 256, and the graphs are as good).
"""

from __future__ import annotations

from dataclasses import dataclass

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.index.codecs import Quantizer
from tuner.index.encoders import Encoder
from tuner.index.projections import Projection
from tuner.types import FloatArray

LEVELS = 255
HASHED = 256
"""Rows whose keys are computed at once: as whole numbers they take twice the memory."""
STEP = 16
"""faiss's integer kernel wants a width that is a multiple of this."""


@dataclass(frozen=True)
class Scale:
    """What 0 stands for, and what a level more adds."""

    low: float
    level: float


def scale_of(sample: FloatArray) -> Scale:
    """Return the scale from the least to the largest component of ``sample``."""
    low, high = float(sample.min()), float(sample.max())
    return Scale(low, (high - low) / LEVELS or 1.0)


class ByteEncoder(Encoder):
    """Rows of the prepared base as bytes; what lies beyond the scale becomes its end.

    Args:
        scale: one scale for all dimensions.
        d: dimensions of the prepared base; zero columns are added up to a multiple of 16.
    """

    def __init__(self, scale: Scale, d: int) -> None:
        width = -(-d // STEP) * STEP
        self.scale = scale
        codec = Quantizer("bytes", "scalar", d, width, bits=8, m=0, code_bytes=width)
        super().__init__(codec, Projection("none", d), [], _new_index(width, 2))

    def transform(self, x: FloatArray) -> FloatArray:
        """Return prepared rows (m, d) as whole numbers from 0 to 255, (m, width) float32."""
        levels = np.zeros((len(x), self.codec.width), dtype=np.float32)
        seen = levels[:, : self.projection.dims]
        np.subtract(x, self.scale.low, out=seen)
        seen /= self.scale.level
        np.clip(np.rint(seen, out=seen), 0, LEVELS, out=seen)
        return levels

    def empty(self, M: int) -> faiss.IndexHNSW:
        """Return an empty HNSW index of bytes."""
        return _new_index(self.codec.width, M)


class DistinctBytes(ByteEncoder):
    """Bytes for rows that are inserted into a graph, block by block, equal ones moved a little apart.

    Where many rows are equal, their distances are 0, HNSW's rule calls none of them redundant, and they link
    to nothing but each other: of 295,620 rows with groups of up to 1,308 equal ones, most were out of reach.
    So all but the first of them are rounded up or down at random, by up to a level more than they need. Then
    graphs were as good as those on SQ8, which compares rows with rounded ones and so knows no zero.
    """

    def __init__(self, scale: Scale, d: int) -> None:
        super().__init__(scale, d)
        self._rng = np.random.default_rng(0)
        self._weights = self._rng.integers(1, 1 << 62, self.codec.width)
        self._runs: list[NDArray[np.int64]] = []
        """Sorted keys of earlier rows, each run less than half as long as the one before it."""

    def transform(self, x: FloatArray) -> FloatArray:
        """Return the next rows (m, d) as whole numbers from 0 to 255, (m, width) float32."""
        levels = super().transform(x)
        parts = (levels[start : start + HASHED] for start in range(0, len(levels), HASHED))
        again = self._is_repeated(np.concatenate([part.astype(np.int64) @ self._weights for part in parts]))
        if again.any():
            jitter = self._rng.uniform(-self.scale.level, self.scale.level, (int(again.sum()), x.shape[1]))
            levels[again] = super().transform(x[again] + jitter.astype(np.float32))
        return levels

    def _is_repeated(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return which rows had their key before, in this block or an earlier one."""
        found, first = np.unique(keys, return_index=True)
        fresh = np.ones(len(found), dtype=bool)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, found), len(run) - 1)
            fresh &= run[place] != found
        if fresh.any():
            self._runs.append(found[fresh])
        while len(self._runs) > 1 and 2 * len(self._runs[-1]) > len(self._runs[-2]):
            self._runs[-2:] = [np.sort(np.concatenate(self._runs[-2:]))]
        repeated = np.ones(len(keys), dtype=bool)
        repeated[first[fresh]] = False
        return repeated


def _new_index(width: int, M: int) -> faiss.IndexHNSWSQ:
    index = faiss.IndexHNSWSQ(width, faiss.ScalarQuantizer.QT_8bit_direct, M, faiss.METRIC_L2)
    index.is_trained = faiss.downcast_index(index.storage).is_trained = True
    return index
