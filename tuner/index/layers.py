"""A faiss index taken apart: its layers, the transforms in front of its codes, the links of its graph."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.types import FloatArray, IdArray

NODES = 1 << 14
"""Nodes whose links are looked at together."""


def layers_of(index: faiss.Index) -> list[faiss.Index]:
    """Return an index and what it wraps, from the outside in."""
    layers = [faiss.downcast_index(index)]
    while True:
        outer = layers[-1]
        inner = next((getattr(outer, name) for name in ("index", "base_index") if hasattr(outer, name)), None)
        if inner is None:
            return layers
        layers.append(faiss.downcast_index(inner))


def inner_ids(layers: list[faiss.Index]) -> IdArray:
    """Return the id (n,) of each position of the innermost index, as the outermost of the layers has it."""
    core = layers[-1]
    ids = ids_of_lists(core) if isinstance(core, faiss.IndexIVF) else np.arange(core.ntotal, dtype=np.int64)
    for layer in reversed(layers):
        if hasattr(layer, "id_map"):
            ids = faiss.vector_to_array(layer.id_map)[ids]
    return ids


def ids_of_lists(core: faiss.IndexIVF) -> IdArray:
    """Return the id (n,) at each position of the lists, one list after the other."""
    lists = core.invlists
    return np.concatenate(
        [faiss.rev_swig_ptr(lists.get_ids(number), lists.list_size(number)) for number in range(core.nlist)]
    )


def mapped(index: faiss.Index, ids: IdArray) -> faiss.IndexIDMap:
    """Return an index that answers with ids (n,) instead of positions; ``index`` must outlive it."""
    n = index.ntotal
    index.ntotal = 0  # faiss maps only what looks empty
    whole = faiss.IndexIDMap(index)
    index.ntotal = whole.ntotal = n
    faiss.copy_array_to_vector(np.ascontiguousarray(ids, dtype=np.int64), whole.id_map)
    return whole


def transforms_of(layers: Iterable[faiss.Index]) -> list[faiss.VectorTransform]:
    """Return the transforms of those layers that have some, from the outside in."""
    return [
        faiss.downcast_VectorTransform(layer.chain.at(number))
        for layer in layers
        if isinstance(layer, faiss.IndexPreTransform)
        for number in range(layer.chain.size())
    ]


def through(chain: list[faiss.VectorTransform], x: FloatArray) -> FloatArray:
    """Return rows (m, d) behind the transforms."""
    x = np.ascontiguousarray(x, dtype=np.float32)
    for step in chain:
        x = step.apply(x)
    return x


def back_through(chain: list[faiss.VectorTransform], x: FloatArray) -> FloatArray:
    """Return what rows were before the transforms, as far as these have kept it."""
    for step in reversed(chain):
        if isinstance(step, faiss.RemapDimensionsTransform):
            source = faiss.vector_to_array(step.map)
            before = np.zeros((len(x), step.d_in), dtype=np.float32)
            before[:, source[source >= 0]] = x[:, source >= 0]
            x = before
        elif isinstance(step, faiss.LinearTransform):
            matrix = faiss.vector_to_array(step.A).reshape(step.d_out, step.d_in)
            shift = faiss.vector_to_array(step.b) if step.have_bias else np.float32(0)
            x = np.ascontiguousarray((x - shift) @ matrix, dtype=np.float32)
    return x


def normalises(chain: list[faiss.VectorTransform]) -> bool:
    """Return whether one of the transforms brings vectors and queries to length 1."""
    return any(isinstance(step, faiss.NormalizationTransform) for step in chain)


def widens(chain: list[faiss.VectorTransform]) -> bool:
    """Return whether the transforms begin with one more column: inner products turned into distances."""
    first = chain[0] if chain else None
    return isinstance(first, faiss.RemapDimensionsTransform) and first.d_out == first.d_in + 1


def codec_name(storage: faiss.Index) -> str:
    """Return the name of a storage's codec in faiss's spelling.

    Example:
        >>> codec_name(faiss.IndexScalarQuantizer(8, faiss.ScalarQuantizer.QT_4bit))
        'SQ4'
    """
    if hasattr(storage, "sq"):
        scalar = faiss.ScalarQuantizer
        names = {getattr(scalar, name): name for name in dir(scalar) if name.startswith("QT_")}
        name = names.get(storage.sq.qtype, "SQ")[3:]
        short = {"8bit": "SQ8", "6bit": "SQ6", "4bit": "SQ4", "fp16": "fp16", "bf16": "bf16"}
        return short.get(name, f"tqmse{name[0]}" if name.endswith("tqmse") else f"SQ_{name}")
    if hasattr(storage, "pq"):
        return f"PQ{storage.pq.M}x{storage.pq.nbits}{'fs' if hasattr(storage, 'bbs') else ''}"
    if isinstance(storage, faiss.IndexLSH):
        return f"LSH{storage.nbits}"
    if hasattr(storage, "rabitq"):
        return f"RaBitQ{storage.rabitq.nb_bits}"
    return "fp32"


def step_name(step: faiss.VectorTransform) -> str:
    """Return the name of a transform in faiss's spelling, as far as it has one."""
    if isinstance(step, faiss.NormalizationTransform):
        return "L2norm"
    if isinstance(step, faiss.OPQMatrix):
        return f"OPQ{step.M}"
    if isinstance(step, faiss.RemapDimensionsTransform):
        return f"Pad{step.d_out}" if step.d_out >= step.d_in else f"Trunc{step.d_out}"
    return f"{'PCA' if step.d_out < step.d_in else 'Rotate'}{step.d_out}"


def level_0(graph: faiss.IndexHNSW) -> Iterator[tuple[slice, NDArray[np.int32]]]:
    """Yield the links (m, width) of some nodes on level 0 after the other; -1 stands for none."""
    hnsw = graph.hnsw
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    columns = np.arange(hnsw.nb_neighbors(0))
    for start in range(0, graph.ntotal, NODES):
        nodes = slice(start, min(graph.ntotal, start + NODES))
        yield nodes, slots[offsets[nodes, None] + columns]


def links_of_level_0(graph: faiss.IndexHNSW) -> NDArray[np.int64]:
    """Return the number of links (n,) that each node has on level 0."""
    counts = np.zeros(graph.ntotal, dtype=np.int64)
    for nodes, links in level_0(graph):
        counts[nodes] = (links >= 0).sum(axis=1)
    return counts


def closed_in(graph: faiss.IndexHNSW, group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which nodes (n,) link on level 0 to nodes of their own group alone.

    Args:
        group: (n,) number of the vector that each node holds.
    """
    closed = np.zeros(graph.ntotal, dtype=bool)
    for nodes, links in level_0(graph):
        there = links >= 0
        own = group[np.maximum(links, 0)] == group[nodes, None]
        closed[nodes] = there.any(axis=1) & (own | ~there).all(axis=1)
    return closed


def unreachable(graph: faiss.IndexHNSW) -> NDArray[np.bool_]:
    """Return which nodes (n,) no walk along links from the entry point comes to."""
    hnsw, n = graph.hnsw, graph.ntotal
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    levels = faiss.vector_to_array(hnsw.levels)
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    seen = np.zeros(n, dtype=bool)
    seen[hnsw.entry_point] = True
    for level in range(hnsw.max_level, -1, -1):
        columns = np.arange(hnsw.cum_nb_neighbors(level), hnsw.cum_nb_neighbors(level + 1))
        fresh = np.flatnonzero(seen)
        while len(fresh):
            found = np.zeros(n, dtype=bool)
            for start in range(0, len(fresh), NODES):
                nodes = fresh[start : start + NODES]
                nodes = nodes[levels[nodes] > level]
                linked = slots[offsets[nodes][:, None] + columns]
                found[linked[linked >= 0]] = True
            fresh = np.flatnonzero(found & ~seen)
            seen[fresh] = True
    return ~seen
