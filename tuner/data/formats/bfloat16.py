"""Numbers of 16 bits that are the upper half of a float32's, which numpy has no type for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.flat import FlatFile
from tuner.data.formats.spool import BLOCK_BYTES, written


def as_float32(bits: FlatFile) -> FlatFile:
    """Return a matrix of bfloat16, given as its bits, in a copy as float32."""
    n, d = bits.shape
    return written(bits.source, d, np.dtype("<f4"), _blocks(bits), n)


def _blocks(bits: FlatFile) -> Iterator[NDArray[Any]]:
    n, d = bits.shape
    rows = max(1, BLOCK_BYTES // (4 * max(1, d)))
    for start in range(0, n, rows):
        block = bits.rows(np.arange(start, min(n, start + rows)))
        yield (block.astype("<u4") << 16).view("<f4")
