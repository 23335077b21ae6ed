"""An HDF5 file, such as those of ann-benchmarks: one of its datasets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.spool import BLOCK_BYTES, written
from tuner.errors import InputError

DAMAGED = "is a damaged or truncated HDF5 file: copy it again or write it again"


def open_hdf5(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the one matrix of an HDF5 file, or that of the name; links are not followed.

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
    offset, shape = dataset.id.get_offset(), shapes[name]
    if offset is None or len(shape) != 2:
        n, d = _two(shape, named)
        return written(named, d, dataset.dtype, _blocks(dataset), n)
    if offset + dataset.size * dataset.dtype.itemsize > path.stat().st_size:
        raise InputError(f"{source} {DAMAGED}")
    return FlatFile(path=path, source=named, shape=shape, dtype=dataset.dtype, offset=offset)


def _two(shape: tuple[int, ...], named: str) -> tuple[int, int]:
    if len(shape) != 2:
        raise InputError(f"{named} has shape {shape}, but rows of vectors have two, (n, d): name another")
    return shape[0], shape[1]


def _blocks(dataset: Any) -> Iterator[NDArray[Any]]:
    """Yield the rows, a few chunks at a time."""
    rows = max(1, BLOCK_BYTES // max(1, dataset.shape[1] * dataset.dtype.itemsize))
    rows = max(rows - rows % (dataset.chunks or (1,))[0], 1)
    for start in range(0, dataset.shape[0], rows):
        yield np.asarray(dataset[start : start + rows])
