"""Indexes with two causes of lost recall at once."""

from __future__ import annotations

import numpy as np

from benchmarks.diagnosis.damage import recall_behind_cut, unlink, with_shifted_rows, with_stale_rows
from benchmarks.diagnosis.indexes import build_index, loss_to_ef, scan_codes
from benchmarks.diagnosis.planted import Planted
from benchmarks.diagnosis.vectors import K, UnitVectors, exact


def coarse_and_few_candidates(vectors: UnitVectors) -> Planted:
    """SQ4 at an ef of 16."""
    index = build_index("HNSW16,SQ4", vectors.x, ef_search=16)
    codec = 1 - vectors.recall(scan_codes(vectors, index))
    return Planted(index, vectors.x, vectors.queries, {"codec": codec, "search": loss_to_ef(vectors, index)})


def missing_and_few_candidates(vectors: UnitVectors) -> Planted:
    """15 % are missing, and ef is 16."""
    rows = vectors.x[: int(0.85 * len(vectors.x))]
    index = build_index("HNSW16", vectors.x, rows, ef_search=16)
    loss = 1 - vectors.recall(exact(rows, vectors.queries)[1])
    return Planted(
        index, vectors.x, vectors.queries, {"missing rows": loss, "search": loss_to_ef(vectors, index)}
    )


def stale_and_coarse(vectors: UnitVectors) -> Planted:
    """15 % are stale, under SQ4."""
    rows = with_stale_rows(vectors)
    index = build_index("HNSW32,SQ4", vectors.x, rows)
    left = vectors.recall(exact(rows, vectors.queries)[1])
    codec = left - vectors.recall(scan_codes(vectors, index))
    return Planted(index, vectors.x, vectors.queries, {"stale rows": 1 - left, "codec": codec})


def cut_and_missing(vectors: UnitVectors) -> Planted:
    """PCA to a quarter of the dimensions, and 15 % are missing."""
    rows, d = vectors.x[: int(0.85 * len(vectors.x))], vectors.x.shape[1] // 4
    index = build_index(f"PCA{d},HNSW16", vectors.x, rows)
    left = vectors.recall(exact(rows, vectors.queries)[1])
    losses = {"missing rows": 1 - left, "dimension cut": left - recall_behind_cut(vectors, index, rows)}
    return Planted(index, vectors.x, vectors.queries, losses)


def reordered_and_few_candidates(vectors: UnitVectors) -> Planted:
    """A fifth is off by one row, and ef is 16."""
    rows = with_shifted_rows(vectors)
    index = build_index("HNSW16", vectors.x, rows, ef_search=16)
    loss = 1 - vectors.recall(exact(rows, vectors.queries)[1])
    losses = {"re-ordered rows": loss, "search": loss_to_ef(vectors, index)}
    return Planted(index, vectors.x, vectors.queries, losses)


def few_lists_of_coarse_codes(vectors: UnitVectors) -> Planted:
    """4 of 128 lists of PQ codes are looked into."""
    index = build_index(f"IVF128,PQ{vectors.x.shape[1] // 4}x8", vectors.x)
    index.nprobe = 128
    codec = 1 - vectors.recall(index.search(vectors.queries, K)[1])
    index.nprobe = 4
    search = 1 - codec - vectors.recall(index.search(vectors.queries, K)[1])
    return Planted(index, vectors.x, vectors.queries, {"codec": codec, "search": search})


def out_of_reach_and_coarse(vectors: UnitVectors) -> Planted:
    """No link leads to 4 % of the nodes, over SQ4."""
    index = build_index("HNSW16,SQ4", vectors.x)
    left = np.flatnonzero(~unlink(vectors, index, 0.04))
    graph = 1 - vectors.recall(left[exact(vectors.x[left], vectors.queries)[1]])
    codec = 1 - vectors.recall(scan_codes(vectors, index))
    return Planted(index, vectors.x, vectors.queries, {"graph": graph, "codec": codec})
