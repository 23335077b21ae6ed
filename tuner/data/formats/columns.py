"""A column of single values beside the vectors: the ids of their rows."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.arrow import damage_in_words
from tuner.data.formats.json_text import SUFFIXES as JSON
from tuner.data.formats.npz import SUFFIX as NPY
from tuner.data.formats.npz import UNREADABLE, open_npz
from tuner.data.formats.packages import package
from tuner.data.formats.regular import look_at
from tuner.data.formats.shards import files_of
from tuner.data.formats.signatures import format_of
from tuner.errors import InputError

WHOLE = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
TEXT = ("string", "large_string", "string_view")
Read = Callable[[Path, str, str], NDArray[Any]]


def column_of(source: str | Path, name: str, suffixes: frozenset[str]) -> NDArray[Any]:
    """Return a column (n,) of a file, or of the files of a folder or pattern, one after the other.

    Args:
        source: file, folder or pattern that also holds the vectors.
        name: name of the column.
        suffixes: suffixes of the files of a folder.

    Raises:
        InputError: the files have no columns, or none of that name with one value a row.
    """
    files = files_of(os.fspath(source), "base", suffixes) or [Path(source)]
    return np.concatenate([_column(path, name) for path in files])


def _column(path: Path, name: str) -> NDArray[Any]:
    source = str(path)
    _, start = look_at(path, source)
    found = format_of(start)
    read = READERS.get(found or "")
    if found is None and path.suffix.lower() in JSON:
        read = _of_json
    if read is None:
        raise InputError(f"--ids {name!r} is no file, and {source} has no named columns: name a file of ids")
    values = read(path, source, name)
    if values.ndim != 1:
        raise InputError(f"{source}: {name} has shape {values.shape}, and ids are one a row: name another")
    return values


def refuse_unknown(source: str, name: str, known: list[str]) -> None:
    """Raise InputError unless a file has a column of that name."""
    if name not in known:
        near = get_close_matches(name, known, n=1) or known[:8]
        there = ", ".join(near) or "none"
        raise InputError(f"--ids {name!r} is no file and no column of {source}, which has {there}")


def _of_parquet(path: Path, source: str, name: str) -> NDArray[Any]:
    parquet = package("pyarrow.parquet", source, "a Parquet file")
    with damage_in_words(source, "Parquet file"), parquet.ParquetFile(path) as file:
        refuse_unknown(source, name, file.schema_arrow.names)
        return _of_chunks(file.read(columns=[name]).column(0), source, name)


def _of_arrow(path: Path, source: str, name: str) -> NDArray[Any]:
    arrow, ipc = (package(each, source, "an Arrow file") for each in ("pyarrow", "pyarrow.ipc"))

    def opened(mapped: Any, **asked: Any) -> Any:
        options = ipc.IpcReadOptions(**asked)
        try:
            return ipc.open_file(mapped, options=options)
        except arrow.ArrowInvalid:
            mapped.seek(0)
            return ipc.open_stream(mapped, options=options)

    with damage_in_words(source, "Arrow file"), arrow.memory_map(str(path)) as mapped:
        names = opened(mapped).schema.names
        refuse_unknown(source, name, names)
        mapped.seek(0)
        table = opened(mapped, included_fields=[names.index(name)]).read_all()
        return _of_chunks(table.column(0), source, name)


def _of_chunks(column: Any, source: str, name: str) -> NDArray[Any]:
    column.validate(full=True)
    if column.null_count:
        raise InputError(f"{source}: {name} has empty rows (null), and ids are one a row: fill them")
    if str(column.type) not in (*WHOLE, *TEXT):
        raise InputError(
            f"{source}: {name} holds {column.type}, and ids are whole numbers or text: name another"
        )
    values = column.to_numpy()
    return np.array(values.tolist(), dtype=np.str_) if str(column.type) in TEXT else values


def _of_json(path: Path, source: str, name: str) -> NDArray[Any]:
    kind: Any = msgspec.defstruct("Row", [("value", int | str)], rename={"value": name})
    data = path.read_bytes()
    try:
        if data.lstrip().startswith(b"["):
            rows = msgspec.json.decode(data, type=list[kind])
        else:
            rows = msgspec.json.Decoder(kind).decode_lines(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InputError(
            f"--ids {name!r} is no file and no column of {source} ({error}): name a file of ids"
        ) from None
    return np.array([row.value for row in rows])


def _of_hdf5(path: Path, source: str, name: str) -> NDArray[Any]:
    h5py = package("h5py", source, "an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            refuse_unknown(source, name, list(file))
            values = file[name]
            return np.asarray(values.asstr()[...] if values.dtype.kind == "O" else values[...])
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError):
        raise InputError(f"{source}: {name} cannot be read: write the file again") from None


def _of_npz(path: Path, source: str, name: str) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry for entry in archive.namelist() if entry.endswith(NPY)]
        refuse_unknown(source, name, [entry.removesuffix(NPY) for entry in names])
        return open_npz(path, source, "base", name).whole()
    except UNREADABLE:
        raise InputError(f"{source}: {name} is damaged, or no numbers and no text: write it again") from None


READERS: dict[str, Read] = {
    "a zip file": _of_npz,
    "an HDF5 file": _of_hdf5,
    "a parquet file": _of_parquet,
    "an arrow file": _of_arrow,
    "an arrow stream": _of_arrow,
}
