"""An HDF5 file, such as those of ann-benchmarks: one of its datasets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile, ListedNeighbours
from tuner.data.formats.hdf5_text import attribute_text
from tuner.data.formats.packages import package
from tuner.data.formats.spool import BLOCK_BYTES, written
from tuner.errors import InputError

BASE, QUERIES, NEIGHBOURS, DISTANCE = "train", "test", "neighbors", "distance"
"""Names in files of ann-benchmarks; the last is an attribute."""
MOST_LISTED = 64 << 20
"""Bytes of neighbours that are read: 100 of 80,000 queries as 8 bytes each."""
MOST_LETTERS = 40
"""Letters of a name of a distance."""
MOST_CHUNKS = 1_024
"""Chunks that are read together: HDF5 takes some kilobytes for each, however small it is."""
DAMAGED = "is a damaged or truncated HDF5 file: copy it again or write it again"


def open_hdf5(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the one matrix of an HDF5 file, or that of the name, with what else the file says of it.

    Links are not followed.

    Args:
        role: what the vectors are: of an ann-benchmarks file the base is ``train``, the queries ``test``.
        column: path of the dataset in the file; None for the only matrix.

    Raises:
        InputError: it is damaged, the matrix cannot be told, or lies in another file.
    """
    h5py = package("h5py", source, "an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            return _opened(h5py, file, path, source, role, column)
    except (OSError, RuntimeError, KeyError, ValueError):
        raise InputError(f"{source} {DAMAGED}") from None


def _opened(h5py: Any, file: Any, path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    found: dict[str, Any] = {}
    file.visititems(lambda name, each: found.update({name: each} if isinstance(each, h5py.Dataset) else {}))
    shapes = {name: tuple(each.shape or ()) for name, each in found.items()}
    name = chosen(shapes, source, role, column, "dataset")
    dataset, named = found[name], f"{source}[{name}]" if len(found) > 1 else source
    if dataset.external or dataset.is_virtual:
        raise InputError(f"{named} lies in other files: copy it into one with h5py")
    flat = _matrix(dataset, path, source, named, shapes[name])
    listed = found.get(NEIGHBOURS) if name == QUERIES and BASE in found else None
    return replace(
        flat,
        distance=_distance(file, path),
        listed=None if listed is None else _listed(listed, f"{source}[{BASE}]", flat.shape[0]),
    )


def _distance(file: Any, path: Path) -> str:
    """Return what the file says that its vectors are compared by, empty where it does not."""
    if DISTANCE not in file.attrs:
        return ""
    any_length = file.attrs.get_id(DISTANCE).dtype.kind == "O"
    found = attribute_text(path, DISTANCE) if any_length else file.attrs[DISTANCE]
    text = found.decode("utf-8", "replace") if isinstance(found, bytes) else found
    return text if isinstance(text, str) and text.isprintable() and len(text) < MOST_LETTERS else ""


def _listed(dataset: Any, base: str, n: int) -> ListedNeighbours | None:
    """Return the neighbours that the file lists, None where they are not of these queries."""
    fits = dataset.ndim == 2 and len(dataset) == n and dataset.size and dataset.dtype.kind in "iu"
    if not fits or dataset.nbytes > MOST_LISTED or dataset.external or dataset.is_virtual:
        return None
    return ListedNeighbours(base, dataset[...])


def _matrix(dataset: Any, path: Path, source: str, named: str, shape: tuple[int, ...]) -> FlatFile:
    offset = dataset.id.get_offset()
    refuse_missing(dataset, path, source, named)
    if offset is None or len(shape) != 2:
        n, d = _two(shape, named)
        return written(named, d, dataset.dtype, _blocks(dataset), n)
    return FlatFile(path=path, source=named, shape=shape, dtype=dataset.dtype, offset=offset)


def _two(shape: tuple[int, ...], named: str) -> tuple[int, int]:
    if len(shape) != 2:
        raise InputError(f"{named} has shape {shape}, but rows of vectors have two, (n, d): name another")
    return shape[0], shape[1]


def refuse_missing(dataset: Any, path: Path, source: str, named: str) -> None:
    """Raise InputError if the file ends early, or chunks are missing: HDF5 reads as many zeros as it says."""
    offset = dataset.id.get_offset()
    if offset is not None and offset + dataset.nbytes > path.stat().st_size:
        raise InputError(f"{source} {DAMAGED}")
    if not dataset.chunks:
        return
    pieces = prod(-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True))
    there = dataset.id.get_num_chunks()
    if there < pieces:
        raise InputError(
            f"{named} has {there:,} of {pieces:,} chunks, so rows of it were never written: write it again"
        )


def _blocks(dataset: Any) -> Iterator[NDArray[Any]]:
    """Yield the rows, a few chunks at a time."""
    d = max(1, dataset.shape[1])
    rows = max(1, BLOCK_BYTES // (d * dataset.dtype.itemsize))
    if dataset.chunks:
        high, wide = dataset.chunks
        rows = high * max(1, min(rows // high, MOST_CHUNKS // -(-d // wide)))
    for start in range(0, dataset.shape[0], rows):
        yield np.asarray(dataset[start : start + rows])
