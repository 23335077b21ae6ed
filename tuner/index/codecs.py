"""Codecs: their names in faiss's spelling, the width that each is fast at, its bytes and its faiss class."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import faiss
import numpy as np
from numpy.typing import NDArray

Cut = Literal["none", "pca", "truncate"]
Kind = Literal["flat", "scalar", "rabitq", "pq", "opq"]
Codes = NDArray[np.uint8]

SCALAR_TYPES = {
    "fp16": "QT_fp16",
    "bf16": "QT_bf16",
    "SQ8": "QT_8bit",
    "SQ6": "QT_6bit",
    "SQ4": "QT_4bit",
    **{f"tqmse{bits}": f"QT_{bits}bit_tqmse" for bits in (1, 2, 3, 4, 8)},
}
RABITQ_BITS = range(1, 10)
_PQ = re.compile(r"(O?)PQ(d/)?([1-9]\d*)x([48])")


@dataclass(frozen=True)
class Quantizer:
    """A codec at a number of dimensions.

    Attributes:
        name: in faiss's spelling, with m resolved: ``SQ8``, ``PQ64x8``.
        dims: dimensions of the view before padding.
        width: dimensions after padding, the codec's own choice.
        code_bytes: bytes a vector, as faiss stores them.
    """

    name: str
    kind: Kind
    dims: int
    width: int
    bits: int
    m: int
    code_bytes: int

    @property
    def is_slow(self) -> bool:
        """Whether training runs k-means, which takes seconds, or encoding searches for each row's scale."""
        return self.kind in ("pq", "opq") or (self.kind == "rabitq" and self.bits > 1)


@lru_cache(maxsize=4096)
def quantizer(name: str, dims: int) -> Quantizer:
    """Return the codec called ``name`` at ``dims`` dimensions.

    Args:
        name: ``fp32``, a scalar type, ``RaBitQ<bits>``, ``PQ<m>x<4|8>`` or ``PQd/<q>x<4|8>`` (m is
            the width over q), with ``OPQ`` likewise.

    Raises:
        ValueError: no such codec.
    """
    if name == "fp32":
        return Quantizer(name, "flat", dims, dims, 32, 0, 4 * dims)
    if name in SCALAR_TYPES:
        # faiss's scalar kernels are only vectorised where the width is a multiple of 8
        width = _multiple(dims, 8)
        storage = faiss.ScalarQuantizer(width, getattr(faiss.ScalarQuantizer, SCALAR_TYPES[name]))
        return Quantizer(name, "scalar", dims, width, storage.bits, 0, storage.code_size)
    if name.startswith("RaBitQ") and name[6:].isdigit() and int(name[6:]) in RABITQ_BITS:
        bits = int(name[6:])
        # whole 64-bit words are faster to count, where they do not cost much memory
        width = _multiple(dims, 64)
        width = width if width <= 1.3 * dims else _multiple(dims, 8)
        code_bytes = faiss.RaBitQuantizer(width).compute_code_size(width, bits)
        return Quantizer(name, "rabitq", dims, width, bits, 0, code_bytes)
    match = _PQ.fullmatch(name)
    if match is None:
        raise ValueError(f"no codec is called {name}")
    rotated, relative, number, nbits = match[1], match[2], int(match[3]), int(match[4])
    m = -(-dims // number) if relative else min(number, dims)
    width = _multiple(dims, m)
    kind: Kind = "opq" if rotated else "pq"
    return Quantizer(f"{rotated}PQ{m}x{nbits}", kind, dims, width, nbits, m, (m * nbits + 7) // 8)


def _multiple(dims: int, step: int) -> int:
    return -(-dims // step) * step


def new_index(codec: Quantizer, M: int) -> faiss.IndexHNSW:
    """Return an empty HNSW index of the typed class that faiss can serialize, metric L2."""
    if codec.kind == "flat":
        index = faiss.IndexHNSWFlat(codec.width, M, faiss.METRIC_L2)
    elif codec.kind == "scalar":
        qtype = getattr(faiss.ScalarQuantizer, SCALAR_TYPES[codec.name])
        index = faiss.IndexHNSWSQ(codec.width, qtype, M, faiss.METRIC_L2)
    elif codec.kind == "rabitq":
        index = faiss.IndexHNSWRaBitQ(codec.width, M, codec.bits)
    else:
        index = faiss.IndexHNSWPQ(codec.width, codec.m, M, codec.bits, faiss.METRIC_L2)
    if index.metric_type != faiss.METRIC_L2:
        raise AssertionError(f"faiss built {codec.name} with metric {index.metric_type}")
    return index
