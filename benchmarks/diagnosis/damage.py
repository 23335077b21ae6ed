"""Damage that single and double causes share."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from benchmarks.diagnosis.indexes import graph_of
from benchmarks.diagnosis.vectors import Array, UnitVectors, exact, to_unit_length


def recall_behind_cut(vectors: UnitVectors, index: faiss.Index, rows: Array) -> float:
    """Return recall of an exact search behind the transforms of an index."""
    step = faiss.downcast_VectorTransform(faiss.downcast_index(index).chain.at(0))
    found = exact(step.apply(rows), step.apply(vectors.queries), metric=faiss.METRIC_L2)[1]
    return vectors.recall(found)


def with_stale_rows(vectors: UnitVectors) -> Array:
    """Return rows of which 15 % are other vectors of about the same place: yesterday's."""
    rng, rows = vectors.rng(), vectors.x.copy()
    who = rng.choice(len(rows), int(0.15 * len(rows)), replace=False)
    noise = rng.normal(size=(len(who), rows.shape[1])).astype(np.float32) / np.sqrt(rows.shape[1])
    rows[who] = to_unit_length(rows[who] + 1.5 * noise)
    return rows


def with_shifted_rows(vectors: UnitVectors) -> Array:
    """Return rows of which the first fifth moved by one."""
    rows = vectors.x.copy()
    n = len(rows) // 5
    rows[:n] = np.roll(rows[:n], 1, axis=0)
    return rows


def unlink(vectors: UnitVectors, index: faiss.Index, share: float) -> NDArray[np.bool_]:
    """Take away every link to some nodes; return which."""
    hnsw, n = graph_of(index).hnsw, len(vectors.x)
    lost = np.zeros(n, dtype=bool)
    lost[vectors.rng().choice(n, int(share * n), replace=False)] = True
    lost[hnsw.entry_point] = False
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    offsets = faiss.vector_to_array(hnsw.offsets).astype(int)
    per_node = hnsw.nb_neighbors(0)
    for node in range(n):
        own = slots[offsets[node] : offsets[node] + per_node]
        kept = own[(own >= 0) & ~lost[np.maximum(own, 0)]]
        own[:] = -1
        own[: len(kept)] = kept
        upper = slots[offsets[node] + per_node : offsets[node + 1]]
        upper[(upper >= 0) & lost[np.maximum(upper, 0)]] = -1
    return lost
