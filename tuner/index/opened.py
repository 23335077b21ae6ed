"""The index under test, whatever library wrote it, as one faiss index with its parts at hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from tuner.data.base import Base
from tuner.errors import InputError
from tuner.index.files.faiss import read_probed
from tuner.index.files.hnswlib import read_hnswlib
from tuner.index.files.library import Library, library_of
from tuner.index.files.soundness import fault, with_mend
from tuner.index.files.strangers import refuse_strangers
from tuner.index.files.usearch import read_usearch
from tuner.index.layers import codec_name, inner_ids, layers_of, mapped, step_name, transforms_of
from tuner.types import IdArray, Metric

DEFAULT_EF = {"hnswlib": 10, "usearch": 64}
"""What a library searches with when it was not told; files of these do not keep it."""


@dataclass(frozen=True)
class IndexUnderTest:
    """An index that can be searched, scanned and looked into.

    Attributes:
        source: name of the index in messages.
        library: library that wrote it.
        index: faiss index that takes raw queries and answers with the user's ids.
        ids: (n,) int64 id of each position of the innermost index; -1 for deleted.
        index_bytes: bytes of its file.
        layers: the index and what it wraps, from the outside in.
        resident_bytes: bytes in the memory of a fresh process, None where that was not measured.
        kept: objects that the index points into.
        notes: remarks about how it was read.
        own: the user's own id of each number that it answers with, None where the number is the id.
        copies: (m, 2) numbers that it answers with, each beside that of a row equal to it; None without any.
    """

    source: str
    library: Library
    index: faiss.Index
    ids: IdArray
    index_bytes: int
    layers: list[faiss.Index]
    resident_bytes: int | None = None
    kept: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    own: IdArray | None = None
    copies: IdArray | None = None

    @property
    def core(self) -> faiss.Index:
        """The innermost index: a graph, lists, or codes alone."""
        return self.layers[-1]

    @property
    def graph(self) -> faiss.IndexHNSW | None:
        """The HNSW index inside, None if there is none."""
        return self.core if isinstance(self.core, faiss.IndexHNSW) else None

    @property
    def refine(self) -> faiss.IndexRefine | None:
        """The layer that re-ranks, None if there is none."""
        return next((layer for layer in self.layers if isinstance(layer, faiss.IndexRefine)), None)

    @property
    def n(self) -> int:
        """Vectors in the index."""
        return int(self.core.ntotal)

    @property
    def d(self) -> int:
        """Columns that it takes."""
        return int(self.index.d)

    @property
    def metric(self) -> Metric:
        """How its codes are compared: ``l2`` or ``ip``; normalised vectors are looked for elsewhere."""
        return metric_of(self.core)

    @property
    def search_param(self) -> str:
        """Search parameter of the index (ef_search or nprobe), empty if it has none."""
        if self.graph is not None:
            return "ef_search"
        return "nprobe" if isinstance(self.core, faiss.IndexIVF) else ""

    @property
    def value(self) -> int:
        """Value of the search parameter; 1 without one."""
        if self.graph is not None:
            return int(self.graph.hnsw.efSearch)
        return int(self.core.nprobe) if self.search_param else 1

    def set_value(self, value: int) -> None:
        """Set the search parameter."""
        if self.graph is not None:
            self.graph.hnsw.efSearch = value
        elif self.search_param:
            self.core.nprobe = min(value, self.core.nlist)

    @property
    def largest_value(self) -> int:
        """Value of the search parameter from which on everything is looked at."""
        return int(self.core.nlist) if self.search_param == "nprobe" else self.n

    @property
    def factor(self) -> float:
        """Candidates re-ranked, as a multiple of k; 1 without re-ranking."""
        return 1.0 if self.refine is None else float(self.refine.k_factor)

    def set_factor(self, factor: float) -> None:
        """Re-rank so many times k candidates from now on, where the index re-ranks; 0 leaves it."""
        if self.refine is not None and factor:
            self.refine.k_factor = float(factor)

    @property
    def storage(self) -> faiss.Index:
        """What holds the codes: of the graph, or of the lists."""
        return self.core if self.graph is None else faiss.downcast_index(self.graph.storage)

    @property
    def chain(self) -> list[faiss.VectorTransform]:
        """Transforms from a raw vector to the codes."""
        return transforms_of(self.layers)

    @property
    def store(self) -> tuple[list[faiss.VectorTransform], faiss.Index] | None:
        """What re-ranks, and the transforms in front of it; None if nothing does."""
        if self.refine is None:
            return None
        outside = takewhile(lambda layer: layer is not self.refine, self.layers)
        layers = [*outside, *layers_of(self.refine.refine_index)]
        return transforms_of(layers), layers[-1]

    @property
    def label(self) -> str:
        """Short name in the style of a faiss factory string."""
        head = "".join(f"{step_name(step)}," for step in self.chain)
        tail = ""
        if self.store is not None:
            tail = f",Refine({codec_name(self.store[1])})x{self.factor:g}"
        if self.graph is not None:
            return f"{head}HNSW{self.graph.hnsw.nb_neighbors(1)},{codec_name(self.storage)}{tail}"
        lists = f"IVF{self.core.nlist}," if self.search_param else ""
        return f"{head}{lists}{codec_name(self.storage)}{tail}"


def metric_of(storage: faiss.Index) -> Metric:
    """Return how an index compares its codes: ``l2`` or ``ip``."""
    return "l2" if storage.metric_type == faiss.METRIC_L2 else "ip"


def open_index(path: Path, d: int, metric: Metric | None, ef_search: int | None) -> IndexUnderTest:
    """Return the index of a file of faiss, hnswlib or usearch.

    Args:
        d: number of columns of the user's vectors.
        metric: space of an hnswlib file, which does not say it.
        ef_search: value of the search parameter, instead of what the file says.

    Raises:
        InputError: it cannot be diagnosed.
    """
    refuse_strangers(path)
    library = library_of(path)
    if library == "faiss":
        return checked(open_faiss(path, d), d, ef_search)
    if library == "usearch":
        read = read_usearch(path, d)
    elif metric is None:
        raise InputError(f"{path}: an hnswlib file does not say its space: give --space cosine, ip or l2")
    else:
        read = read_hnswlib(path, d, metric)
    usual = DEFAULT_EF[library]
    notes: tuple[str, ...] = ()
    if not ef_search:
        notes = (f"files of {library} keep no ef: {usual} is its default, give --ef",)
    if read.n_deleted:
        notes += (f"{read.n_deleted:,} elements are marked as deleted: searches here still pass them",)
    whole = with_ids(read.index, read.labels, str(path), path.stat().st_size, (read,))
    opened = replace(whole, library=library, notes=notes)
    opened.set_value(ef_search or usual)
    return checked(opened, d, ef_search)


def open_with_store(
    path: Path, store_path: Path, rows: IdArray | None, d: int, factor: int
) -> IndexUnderTest:
    """Return the index of a faiss file that re-ranks from a store beside it on disk.

    Args:
        rows: (n,) int64 row of the user's file at each position, or None where they are 0..n-1.
        d: number of columns of the user's vectors.
        factor: candidates re-ranked, as a multiple of k.

    Raises:
        InputError: there is no faiss index of such vectors, or the two are not of one run.
    """
    opened = open_faiss(path, d)
    index, (store, _) = opened.index, read_probed(store_path)
    if (store.d, store.ntotal) != (index.d, index.ntotal):
        raise InputError(
            f"{store_path}: holds {store.ntotal:,} x {store.d} and {path.name} "
            f"{index.ntotal:,} x {index.d}: they are not of one run, deliver both again"
        )
    refine = faiss.IndexRefine(index, store)
    refine.k_factor = float(factor)
    ids = np.arange(index.ntotal)
    if rows is not None:
        ids = np.where(ids < len(rows), rows[np.minimum(ids, len(rows) - 1)], -1)
    return with_ids(refine, ids, opened.source, opened.index_bytes, (index, store))


def open_faiss(path: Path, d: int) -> IndexUnderTest:
    """Return the index of a faiss file that takes vectors of ``d`` columns.

    Raises:
        InputError: there is none.
    """
    index, resident = read_probed(path)
    return _of_width(_taken_apart(index, str(path), path.stat().st_size, resident), d)


def open_object(index: faiss.Index, d: int, ef_search: int | None) -> IndexUnderTest:
    """Return a faiss index of this process, which is not changed but for its search parameters.

    Raises:
        InputError: it cannot be diagnosed.
    """
    if not isinstance(index, faiss.Index):
        raise InputError(f"a {type(index).__name__} is no faiss index: write it to a file and give its path")
    if wrong := fault(index):
        raise InputError(f"index: {with_mend(wrong)}")
    return checked(_taken_apart(index, "index", len(faiss.serialize_index(index)), None), d, ef_search)


def checked(opened: IndexUnderTest, d: int, ef_search: int | None) -> IndexUnderTest:
    """Return the index with its search parameter set, if it can be asked about vectors of ``d`` columns."""
    _of_width(opened, d)
    if opened.n == 0:
        raise InputError(f"{opened.source}: holds no vectors: add them before asking what is wrong")
    if ef_search is not None:
        opened.set_value(ef_search)
    return opened


def _of_width(opened: IndexUnderTest, d: int) -> IndexUnderTest:
    if opened.d != d:
        raise InputError(
            f"{opened.source}: takes vectors of {opened.d} columns, the file has {d}: name its own index"
        )
    return opened


def _taken_apart(index: faiss.Index, source: str, n_bytes: int, resident: int | None) -> IndexUnderTest:
    layers = layers_of(index)
    return IndexUnderTest(source, "faiss", index, inner_ids(layers), n_bytes, layers, resident, kept=(index,))


def with_ids(
    index: faiss.Index,
    ids: IdArray,
    source: str,
    n_bytes: int,
    kept: tuple[Any, ...],
    *,
    always: bool = False,
) -> IndexUnderTest:
    """Return an index that answers with positions as one that answers with ids (n,).

    Args:
        always: whether it maps ids also where they are the positions.
    """
    plain = not always and np.array_equal(ids, np.arange(index.ntotal))
    whole = index if plain else mapped(index, ids)
    return IndexUnderTest(source, "faiss", whole, ids, n_bytes, layers_of(whole), kept=(index, *kept))


def prepared_rows(labels: IdArray, base: Base) -> IdArray:
    """Return prepared rows of the user's ids, whatever their shape; -1 where there is no such row."""
    if base.rows is None:
        return np.where((labels >= 0) & (labels < base.n), labels, -1)
    place = np.minimum(np.searchsorted(base.rows, labels), len(base.rows) - 1)
    return np.where(base.rows[place] == labels, place, -1)
