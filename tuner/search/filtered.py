"""An index searched among the rows that a filter allows: by its graph, or by a scan where that is cheaper."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import yaml
from numpy.typing import NDArray

from tuner.errors import InputError
from tuner.search.flat_codes import FlatCodes, Layers, layers_of
from tuner.search.sharded import INDEX_FILE
from tuner.types import FloatArray, IdArray

RECOMMENDED = "recommended.yaml"
FEW = 64
"""Rows are few where they are less than one in so many: sorting them is then cheaper than marking them."""


class Allowed:
    """The rows that a filter allows, ready for any number of queries.

    Args:
        n: number of vectors of the index.
        places: (m,) int64 positions in the index, ascending; None takes them from ``bits``.
        bits: ((n + 7) // 8,) uint8, a bit for each position, the lowest first; None makes them of ``places``.

    Example:
        >>> Allowed(9, bits=np.array([5, 1], dtype=np.uint8)).places
        array([0, 2, 8])
    """

    def __init__(self, n: int, places: IdArray | None = None, bits: NDArray[np.uint8] | None = None) -> None:
        self.n = n
        self._places, self._bits = places, bits

    @cached_property
    def places(self) -> IdArray:
        """Positions (m,) in the index, ascending."""
        if self._places is not None:
            return self._places
        return np.flatnonzero(np.unpackbits(np.asarray(self._bits), count=self.n, bitorder="little"))

    @cached_property
    def selector(self) -> faiss.IDSelector:
        """What faiss asks for each vector that the graph leads to."""
        bits = self._bits
        if bits is None:
            mask = np.zeros(self.n, dtype=bool)
            mask[self.places] = True
            bits = np.packbits(mask, bitorder="little")
        return faiss.IDSelectorBitmap(bits)


@dataclass(frozen=True, eq=False)
class FilteredIndex:
    """An index and the policy that a run found for queries with filters.

    Attributes:
        index: the index.
        bands: smallest share of the vectors that a filter of each band allows, falling, and its ef_search.
        scan_below: filters that allow fewer vectors than this are answered by a scan of these.
        kept: what the index borrows from, kept alive.

    Example:
        >>> index = FilteredIndex.load("tune-out/embeddings")  # doctest: +SKIP
        >>> distances, ids = index.search(queries, 10, allowed=rows)  # doctest: +SKIP
    """

    index: faiss.Index
    bands: Sequence[tuple[float, int]]
    scan_below: int
    kept: object = None

    @classmethod
    def load(cls, folder: str | Path) -> FilteredIndex:
        """Return the index that a run with filters wrote, with its policy.

        Args:
            folder: its results, with ``index.faiss`` and ``recommended.yaml``.

        Raises:
            InputError: one of them is missing or damaged, or the run had no filters.
        """
        bands, scan_below = read_policy(Path(folder, RECOMMENDED))
        path = Path(folder, INDEX_FILE)
        if not path.is_file():
            raise InputError(f"{path} does not exist: give the results folder of a run")
        return cls(faiss.read_index(str(path)), bands, scan_below)

    @cached_property
    def layers(self) -> Layers:
        """What the index is made of."""
        return layers_of(self.index)

    @cached_property
    def codes(self) -> FlatCodes:
        """The finest vectors that it stores."""
        layers = self.layers
        if layers.refine is not None:
            return FlatCodes(layers.refine.refine_index)
        return FlatCodes(layers.flat, layers.chain)

    def allow(self, rows: IdArray | NDArray[np.bool_]) -> Allowed:
        """Return a filter that can be used again, so that a tenant's rows are looked up once.

        Args:
            rows: (m,) ids of the vectors that may be answered, as the index answers them, or (n,) whether
                each position may. Ids that the index does not hold are left out.

        Raises:
            InputError: they are neither.
        """
        n, given = int(self.index.ntotal), np.asarray(rows)
        if given.dtype == bool and given.shape == (n,):
            return Allowed(n, np.flatnonzero(given))
        if given.ndim != 1 or (given.dtype.kind not in "iu" and len(given)):
            raise InputError(
                f"allowed is an array of {given.dtype} and shape {given.shape}, but it is one of ids (whole "
                f"numbers), or of true and false for each of {n:,} vectors: give one of them"
            )
        places = self._places_of(given.astype(np.int64))
        if len(places) * FEW < n:
            return Allowed(n, np.unique(places))
        mask = np.zeros(n, dtype=bool)
        mask[places] = True
        return Allowed(n, np.flatnonzero(mask))

    def _places_of(self, ids: IdArray) -> IdArray:
        """Return positions of the ids that the index holds."""
        n = int(self.index.ntotal)
        if self.layers.labels is None:
            return ids[(ids >= 0) & (ids < n)]
        by_id, places = self._by_id
        found = np.minimum(np.searchsorted(by_id, ids), n - 1)
        held: IdArray = places[found[by_id[found] == ids]]
        return held

    def search(
        self, queries: FloatArray, k: int, allowed: Allowed | IdArray | NDArray[np.bool_] | None = None
    ) -> tuple[FloatArray, IdArray]:
        """Return the distances (nq, k) and ids (nq, k) of the vectors allowed that are nearest, -1 for none.

        Args:
            queries: (nq, d) float32, which all have the same filter.
            k: neighbours of each query.
            allowed: what they may be answered with, see ``allow``; None for every vector.
        """
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if allowed is None:
            return _pair(self.index.search(queries, k))
        some = allowed if isinstance(allowed, Allowed) else self.allow(allowed)
        distances, found = self.answer(queries, k, some)
        labels = self.layers.labels
        return distances, found if labels is None else np.append(labels, -1)[found]

    def answer(self, queries: FloatArray, k: int, allowed: Allowed) -> tuple[FloatArray, IdArray]:
        """Return distances and positions (nq, k) of the nearest allowed vectors, as the policy finds them."""
        if not self.bands or len(allowed.places) < max(self.scan_below, 1):
            return self.scan(queries, k, allowed)
        share = len(allowed.places) / allowed.n
        ef_search = next((ef for least, ef in self.bands if share >= least), self.bands[-1][1])
        return self.search_graph(queries, k, allowed, ef_search)

    def scan(self, queries: FloatArray, k: int, allowed: Allowed) -> tuple[FloatArray, IdArray]:
        """Return distances and positions (nq, k) of the nearest of all vectors that are allowed."""
        return self.codes.scan(queries, k, allowed.places)

    def search_graph(
        self, queries: FloatArray, k: int, allowed: Allowed, ef_search: int
    ) -> tuple[FloatArray, IdArray]:
        """Return distances and positions (nq, k) that a search of the graph finds among those allowed."""
        parameters = faiss.SearchParametersHNSW(efSearch=ef_search, sel=allowed.selector)
        refine = self.layers.refine
        if refine is None:
            return _pair(self.layers.inner.search(queries, k, params=parameters))
        again = faiss.IndexRefineSearchParameters(k_factor=refine.k_factor, base_index_params=parameters)
        return _pair(self.layers.inner.search(queries, k, params=again))

    @cached_property
    def _by_id(self) -> tuple[IdArray, IdArray]:
        """Ids of the index, ascending, and the position of each."""
        labels = np.asarray(self.layers.labels)
        order = np.argsort(labels, kind="stable")
        return labels[order], order


def _pair(found: Any) -> tuple[FloatArray, IdArray]:
    distances, ids = found
    return distances, ids


def read_policy(path: Path) -> tuple[tuple[tuple[float, int], ...], int]:
    """Return the bands of a policy and the number of rows below which they are scanned.

    Raises:
        InputError: the file does not exist, is damaged, or has no policy.
    """
    try:
        written: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(written, dict) and written["index"]["kind"] == "exact":
            return (), sys.maxsize  # any filter is answered by a scan
        if not isinstance(written, dict) or "filters" not in written:
            raise InputError(
                f"{path}: has no policy for filters: run tune with --labels, --filters or --selectivity"
            )
        found = written["filters"]
        searched = [band for band in found["bands"] if band["ef_search"] is not None]
        bands = tuple((float(band["least_share"]), int(band["ef_search"])) for band in searched)
        scan_below = int(found["scan_below_rows"])
    except FileNotFoundError:
        raise InputError(f"{path} does not exist: give the results folder of a run with filters") from None
    except (OSError, ValueError, KeyError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise InputError(f"{path}: is no recommendation ({type(error).__name__}): run tune again") from None
    return bands, scan_below
