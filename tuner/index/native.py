"""Graphs as faiss builds them alone, on a codec's own distances: what derived ones are compared with."""

from __future__ import annotations

from functools import lru_cache

import faiss

from tuner.data.base import Base
from tuner.index.encoders import Encoder


@lru_cache(maxsize=64)
def native_links(n: int, M: int) -> int:
    """Return the number of links that faiss reserves for ``n`` vectors, exactly and without building.

    faiss draws levels with a seed of its own, so that every graph of n and M has as many.

    >>> native_links(1_000, 16) >= 2 * 16 * 1_000
    True
    """
    graph = faiss.HNSW(M)
    graph.prepare_level_tab(n, False)
    return int(graph.neighbors.size())


def build_natively(encoder: Encoder, base: Base, M: int, ef_construction: int) -> faiss.IndexHNSW:
    """Return an index built by faiss alone on the encoder's codes."""
    index = encoder.empty(M)
    index.hnsw.efConstruction = ef_construction
    if encoder.codec.kind in ("pq", "opq"):
        # distances between codes come from a table that only training the index itself makes: without it,
        # faiss aborts
        faiss.downcast_index(index.storage).pq.compute_sdc_table()
    index.add(encoder.transform(base.x))
    return index
