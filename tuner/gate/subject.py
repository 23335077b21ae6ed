"""What is checked: an index file as it will be served, or the frozen configuration built again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tuner.data.base import Base
from tuner.errors import InputError
from tuner.index.assemble import SearchableIndex
from tuner.index.files.faiss import graph_of, layers_of, read_index
from tuner.prediction.curves import search_counted
from tuner.sweep.delivery import STORE_NAME
from tuner.types import FloatArray, IdArray

SAMPLE = 1_000
CHANGED = 0.02
"""Of a vector's length: codes that decode farther apart than this are of another vector."""


@dataclass(frozen=True)
class IndexUnderTest:
    """A searchable index.

    Attributes:
        index: takes raw queries.
        graph: the HNSW index inside, None if there is none.
        rows: (n,) int64 row of the user's file of each answer; None where it answers with rows already.
        base: the prepared rows that hits are judged on.
        from_file: it was loaded, so that what it holds must be looked at.
        index_bytes: serialized.
        kept: what the index points into.
    """

    index: faiss.Index
    graph: faiss.IndexHNSW | None
    rows: IdArray | None
    base: Base
    from_file: bool
    index_bytes: int
    kept: tuple[Any, ...] = ()

    @property
    def ef_search(self) -> int:
        """ef_search that is set."""
        return 0 if self.graph is None else int(self.graph.hnsw.efSearch)

    @property
    def code_bytes(self) -> int:
        """Bytes of one vector's code, 0 without a graph."""
        return 0 if self.graph is None else int(self.graph.storage.sa_code_size())

    def set_ef(self, ef_search: int) -> None:
        """Search with this ef_search from now on."""
        if self.graph is not None:
            self.graph.hnsw.efSearch = ef_search

    def search(self, queries: FloatArray, k: int) -> tuple[IdArray, float]:
        """Return rows (nq, k) of the prepared base, -1 for nothing, and distance computations a query."""
        ids, ndis, _ = search_counted(self.index, queries, k)
        return self._prepared_rows(ids), ndis

    def rows_at(self, positions: IdArray) -> IdArray:
        """Return the prepared rows that stand at these positions of the index, -1 for foreign ones."""
        maps = (
            faiss.vector_to_array(each.id_map) for each in layers_of(self.index) if hasattr(each, "id_map")
        )
        ids = next(maps, None)
        return self._prepared_rows(positions if ids is None else ids[positions])

    def _prepared_rows(self, ids: IdArray) -> IdArray:
        if self.rows is not None:  # without a map it answers with positions
            known = (ids >= 0) & (ids < len(self.rows))
            ids = np.where(known, self.rows[np.where(known, ids, 0)], -1)
        own = self.base.rows
        if own is None or not self.from_file:
            return np.where(ids < self.base.n, ids, -1)
        place = np.minimum(np.searchsorted(own, ids), len(own) - 1)
        return np.where(own[place] == ids, place, -1)


def served_index(served: SearchableIndex, base: Base, index_bytes: int) -> IndexUnderTest:
    """Return a configuration that was built again."""
    return IndexUnderTest(
        index=served.index,
        graph=served.hnsw,
        rows=None,
        base=base,
        from_file=False,
        index_bytes=index_bytes,
        kept=(served,),
    )


def open_index(path: Path, base: Base, d: int, factor: int, *, on_disk: bool) -> IndexUnderTest:
    """Return the index of a file.

    Args:
        d: columns of the user's vectors.
        factor: candidates re-ranked as a multiple of k, where the store lies beside the index.
        on_disk: the frozen configuration re-ranks from a store on disk.

    Raises:
        InputError: there is no faiss index of such vectors.
    """
    index = read_index(path)
    if index.d != d:
        raise InputError(f"{path}: takes vectors of {index.d} columns, the base has {d}: name its own index")
    size = path.stat().st_size
    kept: tuple[Any, ...] = (index,)
    rows = None
    if on_disk:
        store = read_index(path.with_name(STORE_NAME))
        if (store.d, store.ntotal) != (index.d, index.ntotal):
            raise InputError(
                f"{path.with_name(STORE_NAME)}: holds {store.ntotal:,} x {store.d} and {path.name} "
                f"{index.ntotal:,} x {index.d}: they are not of one run, deliver both again"
            )
        refine = faiss.IndexRefine(index, store)
        refine.k_factor = float(factor)
        kept = (index, store)
        index, rows = refine, base.rows
    return IndexUnderTest(
        index=index, graph=graph_of(index), rows=rows, base=base, from_file=True, index_bytes=size, kept=kept
    )


def changed_share(opened: IndexUnderTest, seed: int) -> float | None:
    """Return the share of sampled vectors in the index that are not those of the base, or None.

    The rows are encoded again as the index would, and both codes are decoded and compared. None where the
    index cannot decode.
    """
    graph = opened.graph
    if graph is None:
        return None
    positions = np.sort(np.random.default_rng(seed).choice(graph.ntotal, min(graph.ntotal, SAMPLE), False))
    rows = opened.rows_at(positions)
    known = rows >= 0
    if not known.any():
        return 1.0
    storage = faiss.downcast_index(graph.storage)
    try:
        held = np.stack([storage.reconstruct(int(position)) for position in positions[known]])
        again = storage.sa_decode(storage.sa_encode(_as_stored(opened, rows[known])))
    except (RuntimeError, AttributeError, AssertionError):
        return None  # it cannot decode, or its vectors come about in a way that is not known here
    length = np.linalg.norm(again, axis=1) + np.finfo(np.float32).tiny
    differs = np.linalg.norm(held - again, axis=1) > CHANGED * length
    return float((differs.sum() + (~known).sum()) / len(positions))


def _as_stored(opened: IndexUnderTest, rows: IdArray) -> FloatArray:
    """Return prepared rows as the graph's storage sees them."""
    seen = np.array(opened.base.x[rows])
    chains = [each.chain for each in layers_of(opened.index) if isinstance(each, faiss.IndexPreTransform)]
    steps = [chain.at(number) for chain in chains for number in range(chain.size())]
    widens = bool(steps) and steps[0].d_in + 1 == steps[0].d_out == opened.base.d
    if opened.base.metric == "ip" and widens:
        steps = steps[1:]  # it adds the column that prepared rows have
    for step in steps:
        seen = step.apply(seen)
    return np.ascontiguousarray(seen, dtype=np.float32)
