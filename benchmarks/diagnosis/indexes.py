"""faiss indexes to plant causes in: built, searched at another ef_search, their codes scanned."""

from __future__ import annotations

import re
from typing import Any

import faiss

from benchmarks.diagnosis.vectors import Array, Ids, K, UnitVectors

AMPLE_EF = 400
"""An ef_search that loses nothing."""
EXHAUSTIVE_EF = 4_096


def fitting_factory(kind: str, d: int) -> str:
    """Return a factory string whose product codes have no more parts than divide ``d`` columns."""

    def parts(found: re.Match[str]) -> str:
        most = max(1, int(found[1]))
        return f"PQ{next(m for m in range(most, 0, -1) if d % m == 0)}x"

    return re.sub(r"PQ(\d+)x", parts, kind)


def build_index(kind: str, x: Array, rows: Array | None = None, ef_search: int = AMPLE_EF) -> faiss.Index:
    """Return an index of the factory, trained on ``x``; of product codes as many parts as fit."""
    index = faiss.index_factory(x.shape[1], fitting_factory(kind, x.shape[1]))
    index.train(x)
    index.add(x if rows is None else rows)
    if "HNSW" in kind:
        faiss.ParameterSpace().set_index_parameter(index, "efSearch", ef_search)
    return index


def graph_of(index: faiss.Index) -> Any:
    """Return the graph inside."""
    index = faiss.downcast_index(index)
    while not isinstance(index, faiss.IndexHNSW):
        index = faiss.downcast_index(index.base_index if hasattr(index, "base_index") else index.index)
    return index


def search_at(vectors: UnitVectors, index: faiss.Index, ef_search: int, depth: int = K) -> Ids:
    """Return what an index answers at an ef, which is put back."""
    graph = graph_of(index)
    before, graph.hnsw.efSearch = graph.hnsw.efSearch, ef_search
    found: Ids = index.search(vectors.queries, depth)[1]
    graph.hnsw.efSearch = before
    return found


def loss_to_ef(vectors: UnitVectors, index: faiss.Index) -> float:
    """Return what the ef that an index stands at leaves on the table."""
    now = vectors.recall(index.search(vectors.queries, K)[1])
    return vectors.recall(search_at(vectors, index, EXHAUSTIVE_EF)) - now


def scan_codes(vectors: UnitVectors, index: faiss.Index, depth: int = K) -> Ids:
    """Return what every code compared gives."""
    storage = faiss.downcast_index(graph_of(index).storage)
    found: Ids = storage.search(vectors.queries, depth)[1]
    return found
