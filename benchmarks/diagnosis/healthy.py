"""Indexes with nothing wrong, which a diagnosis must not accuse."""

from __future__ import annotations

from benchmarks.diagnosis.indexes import build_index
from benchmarks.diagnosis.planted import Planted
from benchmarks.diagnosis.vectors import UnitVectors


def fp32(vectors: UnitVectors) -> Planted:
    """Float32 and an ef that is large enough."""
    return Planted(build_index("HNSW32", vectors.x), vectors.x, vectors.queries)


def sq8(vectors: UnitVectors) -> Planted:
    """8 bits and re-ranking."""
    index = build_index("HNSW32,SQ8,RFlat", vectors.x)
    index.k_factor = 4
    return Planted(index, vectors.x, vectors.queries)


def with_copies(vectors: UnitVectors) -> Planted:
    """A third of the file are copies: who compares ids sees half of the recall, and nothing is wrong."""
    x = vectors.x.copy()
    n = len(x) // 3
    x[n : 2 * n] = x[:n]
    return Planted(build_index("HNSW32", x), x, vectors.queries)
