"""Indexes with one cause of lost recall."""

from __future__ import annotations

import faiss
import numpy as np

from benchmarks.diagnosis.damage import recall_behind_cut, unlink, with_shifted_rows, with_stale_rows
from benchmarks.diagnosis.indexes import AMPLE_EF, build_index, graph_of, loss_to_ef, scan_codes
from benchmarks.diagnosis.planted import Plant, Planted
from benchmarks.diagnosis.vectors import K, UnitVectors, exact, to_unit_length


def few_candidates(vectors: UnitVectors) -> Planted:
    """ef_search of 16."""
    index = build_index("HNSW16", vectors.x, ef_search=16)
    return Planted(index, vectors.x, vectors.queries, {"search": loss_to_ef(vectors, index)})


def coarse(kind: str) -> Plant:
    """Return what plants a codec."""

    def plant(vectors: UnitVectors) -> Planted:
        index = build_index(kind, vectors.x)
        return Planted(
            index, vectors.x, vectors.queries, {"codec": 1 - vectors.recall(scan_codes(vectors, index))}
        )

    plant.__doc__ = f"{kind}, ef {AMPLE_EF}"
    return plant


def cut_off(vectors: UnitVectors) -> Planted:
    """PCA to a quarter of the dimensions."""
    d = vectors.x.shape[1] // 4
    index = build_index(f"PCA{d},HNSW16", vectors.x)
    return Planted(
        index, vectors.x, vectors.queries, {"dimension cut": 1 - recall_behind_cut(vectors, index, vectors.x)}
    )


def missing(vectors: UnitVectors) -> Planted:
    """The last 15 % of the file were never added."""
    rows = vectors.x[: int(0.85 * len(vectors.x))]
    loss = 1 - vectors.recall(exact(rows, vectors.queries)[1])
    return Planted(build_index("HNSW32", vectors.x, rows), vectors.x, vectors.queries, {"missing rows": loss})


def stale(vectors: UnitVectors) -> Planted:
    """15 % of the vectors were changed in the file and not in the index."""
    rows = with_stale_rows(vectors)
    loss = 1 - vectors.recall(exact(rows, vectors.queries)[1])
    return Planted(build_index("HNSW32", vectors.x, rows), vectors.x, vectors.queries, {"stale rows": loss})


def reordered(vectors: UnitVectors) -> Planted:
    """The first fifth of the index is off by one row."""
    rows = with_shifted_rows(vectors)
    loss = 1 - vectors.recall(exact(rows, vectors.queries)[1])
    return Planted(
        build_index("HNSW32", vectors.x, rows), vectors.x, vectors.queries, {"re-ordered rows": loss}
    )


def added_twice(vectors: UnitVectors) -> Planted:
    """Half of the rows were added a second time under the same ids."""
    n = len(vectors.x)
    ids = np.concatenate([np.arange(n), np.arange(n // 2)])
    rows = vectors.x[ids]
    index = faiss.index_factory(vectors.x.shape[1], "IDMap,HNSW32")
    index.add_with_ids(rows, ids)
    graph_of(index).hnsw.efSearch = AMPLE_EF
    loss = 1 - vectors.recall(ids[exact(rows, vectors.queries)[1]])
    return Planted(index, vectors.x, vectors.queries, {"repeated ids": loss})


def not_normalised(vectors: UnitVectors) -> Planted:
    """A fifth of the vectors are three times as long, in an index of L2."""
    rows = vectors.x.copy()
    rows[::5] *= 3
    loss = 1 - vectors.recall(exact(rows, vectors.queries, metric=faiss.METRIC_L2)[1])
    return Planted(build_index("HNSW32", rows), vectors.x, vectors.queries, {"not normalised": loss})


def wrong_metric(metric: int) -> Plant:
    """Return what plants vectors of many lengths under a metric that is not cosine."""

    def plant(vectors: UnitVectors) -> Planted:
        lengths = vectors.rng().uniform(0.5, 2, len(vectors.x)).astype(np.float32)
        x = vectors.x * lengths[:, None]
        index = faiss.IndexHNSWFlat(x.shape[1], 32, metric)
        index.hnsw.efConstruction = 200
        index.add(x)
        index.hnsw.efSearch = AMPLE_EF
        loss = 1 - vectors.recall(exact(x, vectors.queries, metric=metric)[1])
        return Planted(index, x, vectors.queries, {"metric": loss})

    plant.__doc__ = f"{'L2' if metric == faiss.METRIC_L2 else 'inner product'} where cosine was meant"
    return plant


def out_of_reach(vectors: UnitVectors) -> Planted:
    """No link leads to 8 % of the nodes."""
    index = build_index("HNSW16", vectors.x)
    lost = unlink(vectors, index, 0.08)
    left = np.flatnonzero(~lost)
    loss = 1 - vectors.recall(left[exact(vectors.x[left], vectors.queries)[1]])
    return Planted(index, vectors.x, vectors.queries, {"graph": loss})


def too_little_reranked(vectors: UnitVectors) -> Planted:
    """PQ of 4 dimensions a code, of which as many are re-ranked as are asked for."""
    index = build_index(f"HNSW16_PQ{vectors.x.shape[1] // 8}x8,RFlat", vectors.x)
    scan = scan_codes(vectors, index, 16 * K)
    near = np.einsum("qd,qmd->qm", vectors.queries, vectors.x[scan])
    best = np.take_along_axis(scan, np.argsort(-near, axis=1)[:, :K], axis=1)
    loss = vectors.recall(best) - vectors.recall(scan[:, :K])
    return Planted(index, vectors.x, vectors.queries, {"re-ranking": loss})


def few_lists(vectors: UnitVectors) -> Planted:
    """4 of 256 lists are looked into."""
    index = build_index("IVF256,Flat", vectors.x)
    index.nprobe = 4
    loss = 1 - vectors.recall(index.search(vectors.queries, K)[1])
    return Planted(index, vectors.x, vectors.queries, {"search": loss})


def dead_dimensions(vectors: UnitVectors) -> Planted:
    """8 bits trained on rows whose first 40 dimensions did not vary."""
    sample = vectors.x[: len(vectors.x) // 2].copy()
    sample[:, :40] = 0
    index = faiss.IndexHNSWSQ(vectors.x.shape[1], faiss.ScalarQuantizer.QT_8bit, 16)
    index.train(sample)
    index.add(vectors.x)
    index.hnsw.efSearch = AMPLE_EF
    return Planted(
        index, vectors.x, vectors.queries, {"codec": 1 - vectors.recall(scan_codes(vectors, index))}
    )


def drifted(vectors: UnitVectors) -> Planted:
    """A third of the queries have nothing to do with the file."""
    n = len(vectors.queries) // 3
    noise = vectors.rng().normal(size=(n, vectors.x.shape[1])).astype(np.float32)
    queries = np.concatenate([vectors.queries[n:], to_unit_length(noise)])
    index = build_index("HNSW16", vectors.x, ef_search=64)
    each = [vectors.recall(index.search(part, K)[1], queries=part) for part in (queries[:-n], queries[-n:])]
    return Planted(index, vectors.x, queries, {"query drift": n / len(queries) * (each[0] - each[1])})
