"""The layers of an index that a run hands over, and a scan of some of the vectors that it stores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.errors import InputError
from tuner.types import FloatArray, IdArray


@dataclass(frozen=True, eq=False)
class Layers:
    """An index from the outside in.

    Attributes:
        labels: (n,) int64 what it answers with at each position; None where that is the position.
        inner: the index below them.
        refine: its re-ranking layer, None without one.
        flat: the vectors that are searched, by a graph over them if there is one.
        hnsw: the graph index, None for an exact one.
        chain: transforms of a query on its way to the graph.
        kept: objects of faiss that own what others point into.
    """

    labels: IdArray | None
    inner: faiss.Index
    refine: faiss.IndexRefine | None
    flat: faiss.Index
    hnsw: faiss.IndexHNSW | None
    chain: tuple[faiss.VectorTransform, ...]
    kept: tuple[Any, ...]


def layers_of(index: faiss.Index) -> Layers:
    """Return the layers of an index.

    Raises:
        InputError: it has lists, or another graph: no run hands such an index over.
    """
    labels, refine = None, None
    layer: Any = faiss.downcast_index(index)
    kept, chain = [index, layer], list[faiss.VectorTransform]()
    if isinstance(layer, (faiss.IndexIDMap, faiss.IndexIDMap2)):
        labels = faiss.vector_to_array(layer.id_map)
        layer = faiss.downcast_index(layer.index)
        kept.append(layer)
    inner = layer
    if isinstance(layer, faiss.IndexRefine):
        refine, layer = layer, faiss.downcast_index(layer.base_index)
        kept.append(layer)
    while isinstance(layer, faiss.IndexPreTransform):
        chain += _chain_of(layer)
        layer = faiss.downcast_index(layer.index)
        kept.append(layer)
    hnsw = layer if isinstance(layer, faiss.IndexHNSW) else None
    flat = layer if hnsw is None else hnsw.storage
    if not isinstance(faiss.downcast_index(flat), faiss.IndexFlatCodes):
        raise InputError(
            f"the index is a {type(layer).__name__}, and filters are for HNSW and exact ones: give the "
            "index that tune wrote"
        )
    return Layers(labels, inner, refine, flat, hnsw, tuple(chain), tuple(kept))


def _chain_of(layer: faiss.IndexPreTransform) -> list[faiss.VectorTransform]:
    return [faiss.downcast_VectorTransform(layer.chain.at(place)) for place in range(layer.chain.size())]


class FlatCodes:
    """Stored vectors, of which some can be scanned: their codes are gathered, and nothing else is read.

    Args:
        index: a flat index of codes, or such a one behind transforms.
        chain: transforms of a query before it comes to the index.

    Example:
        >>> index = faiss.IndexFlatL2(2)
        >>> index.add(np.array([[0, 0], [1, 0], [2, 0]], dtype=np.float32))
        >>> FlatCodes(index).scan(np.zeros((1, 2), dtype=np.float32), 3, np.array([1, 2]))[1]
        array([[ 1,  2, -1]])
    """

    def __init__(self, index: faiss.Index, chain: tuple[faiss.VectorTransform, ...] = ()) -> None:
        layer: Any = faiss.downcast_index(index)
        self._kept: list[Any] = [index, layer]
        self._chain = list(chain)
        while isinstance(layer, faiss.IndexPreTransform):
            self._chain += _chain_of(layer)
            layer = faiss.downcast_index(layer.index)
            self._kept.append(layer)
        self.n, size = int(layer.ntotal), int(layer.code_size)
        self._codes: NDArray[np.uint8] = np.zeros((0, size), dtype=np.uint8)
        if self.n:
            self._codes = faiss.rev_swig_ptr(layer.codes.data(), self.n * size).reshape(self.n, size)
        self._empty = _emptied(layer)

    def scan(self, queries: FloatArray, k: int, rows: IdArray) -> tuple[FloatArray, IdArray]:
        """Return the distances (nq, k) and rows (nq, k) of the nearest of ``rows``, -1 where there are fewer.

        Args:
            queries: (nq, d) float32 as the index gets them.
            rows: (m,) int64 positions to look at.
        """
        for step in self._chain:
            queries = step.apply(queries)
        some = faiss.clone_index(self._empty)  # a few microseconds, so that threads do not share one
        if len(rows):
            some.add_sa_codes(self._codes[rows])
        distances, places = some.search(np.ascontiguousarray(queries), k)
        found = np.append(rows, -1)[places]  # the place -1 is the last
        return distances, found


def _emptied(storage: Any) -> faiss.Index:
    """Return a flat index with what was trained of another, and none of its vectors."""
    if isinstance(storage, faiss.IndexFlat):
        return faiss.IndexFlat(storage.d, storage.metric_type)
    if isinstance(storage, faiss.IndexScalarQuantizer):
        empty = faiss.IndexScalarQuantizer(storage.d, storage.sq.qtype, storage.metric_type)
        empty.sq, empty.is_trained = storage.sq, True
        return empty
    copy = faiss.clone_index(storage)  # codes of these are small
    copy.reset()
    return copy
