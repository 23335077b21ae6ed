"""Faults to plant in an index file: what goes wrong with indexes in production, each made on purpose.

Each takes the delivered index and writes a damaged one; the gate must catch all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np

from tuner.index.graph import share_graph
from tuner.index.layers import layers_of
from tuner.types import FloatArray, IdArray

Fault = Callable[[Path, FloatArray, Path], None]
"""Index file, the base's rows as the index was given them, where to write the damaged index."""
_SQ = faiss.ScalarQuantizer
COARSEST = _SQ.QT_4bit
COARSER = {
    _SQ.QT_fp16: _SQ.QT_8bit,
    _SQ.QT_bf16: _SQ.QT_8bit,
    _SQ.QT_8bit: _SQ.QT_6bit,
    _SQ.QT_6bit: _SQ.QT_4bit,
}
"""faiss has no codec of 7 or 5 bits: one step coarser is two bits less."""
MISSING, CUT, STALE = 0.02, 0.03, 0.10
"""Shares of the vectors: not in the index, without links, of last week."""


def inner(index: faiss.Index) -> faiss.IndexHNSW:
    """Return the graph index inside; the caller keeps ``index`` alive."""
    graph: faiss.IndexHNSW = layers_of(index)[-1]
    return graph


def lower_ef(source: Path, _: FloatArray, out: Path) -> None:
    """Serve with an ef_search lowered by a third."""
    index = faiss.read_index(str(source))
    graph = inner(index)
    graph.hnsw.efSearch = round(graph.hnsw.efSearch * 2 / 3)
    faiss.write_index(index, str(out))


def fewer_bits(source: Path, x: FloatArray, out: Path) -> None:
    """Store the same vectors in the next coarser scalar codec under the same graph."""
    index = faiss.read_index(str(source))
    old = inner(index)
    coarser = faiss.IndexHNSWSQ(
        old.d, faiss.ScalarQuantizer.QT_6bit, old.hnsw.nb_neighbors(1), faiss.METRIC_L2
    )
    seen = _as_stored(index, x)
    coarser.storage.train(seen)
    coarser.storage.add(seen)
    coarser.is_trained = True
    share_graph(old, coarser)
    faiss.write_index(_around(index, coarser), str(out))


def missing_vectors(source: Path, x: FloatArray, out: Path) -> None:
    """Build an index that lacks some of the vectors; the others keep their row numbers."""
    kept = np.sort(np.random.default_rng(1).permutation(len(x))[round(MISSING * len(x)) :])
    index = faiss.read_index(str(source))
    fresh = rebuilt(index, x[kept])
    faiss.write_index(_mapped(fresh, kept), str(out))


def cut_links(source: Path, _: FloatArray, out: Path) -> None:
    """Empty the link lists of some nodes."""
    index = faiss.read_index(str(source))
    hnsw = inner(index).hnsw
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    n = inner(index).ntotal
    for node in np.random.default_rng(2).choice(n, round(CUT * n), replace=False):
        slots[offsets[node] : offsets[node + 1]] = -1
    faiss.write_index(index, str(out))


def wrong_metric(source: Path, x: FloatArray, out: Path) -> None:
    """Index vectors of unequal length as they are, where cosine was asked for."""
    lengths = np.random.default_rng(3).lognormal(0, 0.5, (len(x), 1)).astype(np.float32)
    index = faiss.read_index(str(source))
    fresh = _like(inner(index))
    rows = np.ascontiguousarray(_as_stored(index, x) * lengths)
    fresh.storage.train(rows)
    fresh.add(rows)
    faiss.write_index(fresh, str(out))


def shuffled_ids(source: Path, x: FloatArray, out: Path) -> None:
    """Answer with the row numbers of other vectors."""
    index = faiss.read_index(str(source))
    faiss.write_index(_mapped(index, np.random.default_rng(4).permutation(index.ntotal)), str(out))


def stale_index(source: Path, x: FloatArray, out: Path) -> None:
    """Serve an index of last week's vectors, some of which are others by now."""
    rng = np.random.default_rng(5)
    old = x.copy()
    changed = rng.choice(len(x), round(STALE * len(x)), replace=False)
    old[changed] = x[rng.permutation(changed)]
    faiss.write_index(rebuilt(faiss.read_index(str(source)), old), str(out))


def brute_force(source: Path, x: FloatArray, out: Path) -> None:
    """Let an exhaustive scan answer: recall is perfect and the index was never used."""
    flat = faiss.IndexFlatL2(x.shape[1])
    flat.add(x)
    faiss.write_index(flat, str(out))


FAULTS: dict[str, Fault] = {
    "ef lowered by a third": lower_ef,
    "a codec with fewer bits": fewer_bits,
    "2 % of the vectors missing": missing_vectors,
    "links of 3 % of the nodes cut": cut_links,
    "a wrong metric": wrong_metric,
    "shuffled ids": shuffled_ids,
    "a stale index": stale_index,
    "brute force": brute_force,
}


def _as_stored(index: faiss.Index, x: FloatArray) -> FloatArray:
    for layer in layers_of(index):
        if isinstance(layer, faiss.IndexPreTransform):
            for number in range(layer.chain.size()):
                x = layer.chain.at(number).apply(x)
    return np.ascontiguousarray(x, dtype=np.float32)


def _mapped(index: faiss.Index, rows: IdArray) -> faiss.IndexIDMap:
    """Return the index, which the caller keeps alive, answering with ``rows`` for its positions."""
    index.ntotal = 0  # faiss maps only what looks empty
    mapped = faiss.IndexIDMap(index)
    index.ntotal = mapped.ntotal = len(rows)
    faiss.copy_array_to_vector(rows.astype(np.int64), mapped.id_map)
    return mapped


def _like(old: faiss.IndexHNSW) -> faiss.IndexHNSW:
    """Return an empty index of the same codec and M, trained where the old one is."""
    owner = faiss.clone_index(old)
    fresh: faiss.IndexHNSW = faiss.downcast_index(owner)
    owner.this.own(False)
    fresh.this.own(True)
    fresh.reset()
    fresh.hnsw.efSearch = old.hnsw.efSearch
    fresh.hnsw.efConstruction = 100
    return fresh


def rebuilt(index: faiss.Index, x: FloatArray) -> faiss.Index:
    """Return an index of the same codec, M and transforms, natively built on other rows."""
    fresh = _like(inner(index))
    fresh.add(_as_stored(index, x))
    return _around(index, fresh)


def _around(index: faiss.Index, graph: faiss.IndexHNSW) -> faiss.Index:
    """Return the graph index, which it takes over, behind the transforms of another index."""
    outer = next((each for each in layers_of(index) if isinstance(each, faiss.IndexPreTransform)), None)
    if outer is None:
        return graph
    owner = faiss.deserialize_index(faiss.serialize_index(outer))
    whole: faiss.IndexPreTransform = faiss.downcast_index(owner)
    owner.this.own(False)
    whole.this.own(True)
    whole.index = graph
    graph.this.own(False)
    whole.ntotal, whole.is_trained = graph.ntotal, True
    return whole
