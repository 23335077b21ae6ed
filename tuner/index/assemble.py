"""A configuration as one faiss index that takes the user's own queries, and its bytes by part.

The shape of what is delivered, from the outside in; parts that a configuration does not need are
left out::

    IDMap( Refine( PreTransform(metric, cut, padding -> HNSW over codes),
                   PreTransform(metric -> re-ranking store) ) )
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tuner.data.base import Base
from tuner.errors import InputError
from tuner.index.codecs import Codes
from tuner.index.encoders import Encoder
from tuner.index.graph import DerivableGraph, transplant
from tuner.index.layers import mapped
from tuner.index.projections import behind
from tuner.runtime.journal import FULL_DISK, about, rename_synced
from tuner.types import Configuration, IdArray, Memory, Metric


@dataclass(frozen=True)
class Encoded:
    """A trained codec and the codes of every row of the base.

    Attributes:
        codes: (n, code_bytes) uint8; a view of the base itself for uncut fp32.
    """

    encoder: Encoder
    codes: Codes


@dataclass(frozen=True)
class SearchableIndex:
    """An index that is ready to search, with what it borrows kept alive.

    Attributes:
        index: takes raw queries (nq, d) of the user's file; ids are rows of the prepared base.
        hnsw: the graph index inside, where ef_search is set.
        kept: objects that the index points into.
    """

    configuration: Configuration
    index: faiss.Index
    hnsw: faiss.IndexHNSW
    kept: tuple[Any, ...] = ()

    def set_ef(self, ef_search: int) -> None:
        """Set ef_search; it is serialized with the index."""
        self.hnsw.hnsw.efSearch = ef_search


def metric_transform(metric: Metric, d: int) -> faiss.VectorTransform | None:
    """Return what takes a raw vector of ``d`` columns to the prepared space, or None for L2."""
    if metric == "cosine":
        return faiss.NormalizationTransform(d, 2.0)
    if metric == "ip":
        step = faiss.RemapDimensionsTransform(d, d + 1, True)
        faiss.copy_array_to_vector(np.append(np.arange(d), -1).astype(np.int32), step.map)
        return step
    return None


def serve(
    configuration: Configuration,
    links: DerivableGraph,
    path: Path,
    encoded: Encoded,
    store: Encoded | None,
    base: Base,
) -> SearchableIndex:
    """Return the searchable index of a configuration: the derived graph over borrowed codes.

    Args:
        path: level 0 lists of ``links``.
        store: codes of the re-ranking store, None without re-ranking.
    """
    M = configuration.M
    graph = transplant(links, M, path, encoded.encoder.empty(M), encoded.codes)
    return wrap(configuration, graph, encoded, store, base)


def wrap(
    configuration: Configuration, graph: faiss.IndexHNSW, encoded: Encoded, store: Encoded | None, base: Base
) -> SearchableIndex:
    """Put the metric's transform, the view and the re-ranking store around a graph index."""
    index, kept = _with_transforms(graph, encoded.encoder, base)
    if store is not None:
        exact = store.encoder.storage_over(store.codes)
        refine_index, refine_kept = _with_transforms(exact, store.encoder, base)
        refine = faiss.IndexRefine(index, refine_index)
        refine.k_factor = float(configuration.rerank_factor)
        kept += (index, exact, refine_index, store, *refine_kept)
        index = refine
    return SearchableIndex(
        configuration=configuration, index=index, hnsw=graph, kept=(graph, encoded, base, *kept)
    )


def _with_transforms(inner: faiss.Index, encoder: Encoder, base: Base) -> tuple[faiss.Index, tuple[Any, ...]]:
    chain = list(encoder.chain)
    metric_step = metric_transform(base.metric, base.d - (base.metric == "ip"))
    if metric_step is not None:
        chain.insert(0, metric_step)
    if not chain:
        return inner, ()
    return behind(chain, inner), (inner, *chain)


def predict_memory(
    configuration: Configuration, encoder: Encoder, store: Encoder | None, links: DerivableGraph, base: Base
) -> Memory:
    """Return the bytes of the serialized index by part, before it is built."""
    return memory_with(configuration, encoder, store, links.n_slots(configuration.M), base)


def memory_with(
    configuration: Configuration, encoder: Encoder, store: Encoder | None, n_slots: int, base: Base
) -> Memory:
    """Return the bytes of the serialized index by part.

    Args:
        n_slots: neighbour slots of the graph of the base, all levels; rows that are added have level 0 alone.

    Headers, codebooks and transforms are those of the same index without vectors, serialized; the
    rest is arithmetic: 4 bytes a neighbour slot, 4 a level, 8 an offset, 8 an id.
    """
    n = base.n_delivered
    on_disk = configuration.rerank_at == "disk"
    store_bytes = 0 if store is None else n * store.codec.code_bytes
    empty = wrap(
        configuration,
        encoder.empty(configuration.M),
        Encoded(encoder, _no_codes(encoder)),
        None if store is None else Encoded(store, _no_codes(store)),
        base,
    )
    keeps_ids = base.keeps_ids and not on_disk
    index, _, kept = delivered(empty, np.zeros(0, dtype=np.int64) if keeps_ids else None)
    overhead = len(faiss.serialize_index(index))
    del kept
    return Memory(
        codes_bytes=n * encoder.codec.code_bytes,
        links_bytes=4 * (n_slots + 2 * configuration.M * base.added),
        levels_bytes=12 * n,
        ids_bytes=8 * n if keeps_ids else 0,
        rerank_bytes=0 if on_disk else store_bytes,
        overhead_bytes=overhead,
        disk_bytes=store_bytes if on_disk else 0,
        copies_bytes=base.copies_bytes,
    )


def _no_codes(encoder: Encoder) -> Codes:
    return np.zeros((0, encoder.codec.code_bytes), dtype=np.uint8)


def delivered(
    searchable: SearchableIndex, labels: IdArray | None
) -> tuple[faiss.Index, faiss.Index | None, tuple[Any, ...]]:
    """Return what is written: the index, the store on disk if any, and what both borrow.

    Args:
        labels: (n,) int64 what it answers with at each position, None where that is the position.
    """
    index: faiss.Index = searchable.index
    store = None
    kept: tuple[Any, ...] = (searchable,)
    if searchable.configuration.rerank_at == "disk" and searchable.configuration.rerank is not None:
        refine = faiss.downcast_index(index)
        index, store = refine.base_index, refine.refine_index
        kept = (searchable, refine)
    if labels is not None and store is None:
        return mapped(index, labels), store, (*kept, index)
    return index, store, kept


def write(index: faiss.Index, path: Path) -> int:
    """Write an index under a temporary name, rename it, and return its bytes.

    faiss's own way to a file does not say that the last bytes found no room.

    Raises:
        InputError: the file cannot be written; nothing is left of it.
        OSError: the disk is full; likewise.
    """
    partial = path.with_name(path.name + ".partial")
    failed: list[OSError] = []

    def take(block: bytes) -> None:
        try:
            out.write(block)
        except OSError as error:  # which faiss would make words of
            failed.append(error)
            raise

    try:
        with about(path):
            with partial.open("wb") as out:
                faiss.write_index(index, faiss.PyCallbackIOWriter(take))
            rename_synced(partial, path)
    except (RuntimeError, OSError) as error:
        partial.unlink(missing_ok=True)
        cause = failed[0] if failed else error
        if isinstance(cause, OSError) and cause.errno in FULL_DISK:
            raise OSError(cause.errno, cause.strerror, str(path)) from None
        why = getattr(cause, "strerror", None) or str(cause).rstrip().rsplit(": ", 1)[-1]
        raise InputError(f"{path}: cannot be written ({why}): name another file, or make room") from None
    return path.stat().st_size


def original_rows(ids: IdArray, base: Base) -> IdArray:
    """Return ids as rows of the user's file; -1 stays."""
    return labelled(ids, base.rows)


def labelled(positions: IdArray, labels: IdArray | None) -> IdArray:
    """Return what stands for each position, itself where there are no labels; -1 stays."""
    return positions if labels is None else np.where(positions >= 0, labels[np.maximum(positions, 0)], -1)
