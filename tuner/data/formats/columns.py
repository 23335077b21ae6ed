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
from tuner.data.formats.csv_table import SEPARATORS as CSV
from tuner.data.formats.csv_table import csv_column, csv_names
from tuner.data.formats.hdf5 import refuse_missing
from tuner.data.formats.hdf5_text import dataset_text
from tuner.data.formats.json_text import MARK, type_of_rows
from tuner.data.formats.json_text import SUFFIXES as JSON
from tuner.data.formats.npz import SUFFIX as NPY
from tuner.data.formats.npz import UNREADABLE, open_npz
from tuner.data.formats.packages import package
from tuner.data.formats.regular import look_at
from tuner.data.formats.shards import files_of
from tuner.data.formats.signatures import format_of
from tuner.errors import InputError
from tuner.text import one_line

WHOLE = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
TEXT = ("string", "large_string", "string_view")
Read = Callable[[Path, str, str | None], NDArray[Any]]


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
    source, read = str(path), _reader_of(path)
    if read is None and path.suffix.lower() in CSV and (names := csv_names(path)):
        refuse_unknown(source, name, names)
        return csv_column(path, source, name)
    if read is None:
        raise InputError(f"--ids {name!r} is no file, and {source} has no named columns: name a file of ids")
    return _checked(read(path, source, name), source, name)


def only_column_of(path: Path) -> NDArray[Any] | None:
    """Return the one column of a file, None where it is of no format with columns.

    Raises:
        InputError: it has several, or none with one value a row.
    """
    read = _reader_of(path)
    return None if read is None else _checked(read(path, str(path), None), str(path), None)


def _reader_of(path: Path) -> Read | None:
    _, start = look_at(path, str(path))
    found = format_of(start)
    return _of_json if found is None and path.suffix.lower() in JSON else READERS.get(found or "")


def _checked(values: NDArray[Any], source: str, name: str | None) -> NDArray[Any]:
    if values.ndim != 1:
        named = source if name is None else f"{source}: {name}"
        raise InputError(f"{named} has shape {values.shape}, and ids are one a row: name another")
    return values


def _picked(source: str, name: str | None, known: list[str]) -> str:
    """Return the name of a column that is there, the only one where none is asked for."""
    if name is not None:
        refuse_unknown(source, name, known)
        return name
    if len(known) != 1:
        there = ", ".join(f"{one_line(each):.60}" for each in known[:8]) or "none"
        raise InputError(
            f"{source} has {len(known)} columns ({there}): save the ids alone, one column of them"
        )
    return known[0]


def refuse_unknown(source: str, name: str, known: list[str]) -> None:
    """Raise InputError unless a file has a column of that name."""
    if name not in known:
        near = get_close_matches(name, known, n=1) or known[:8]
        there = ", ".join(f"{one_line(each):.60}" for each in near) or "none"
        raise InputError(f"--ids {name!r} is no file and no column of {source}, which has {there}")


def _of_parquet(path: Path, source: str, name: str | None) -> NDArray[Any]:
    parquet = package("pyarrow.parquet", source, "a Parquet file")
    with damage_in_words(source, "Parquet file"), parquet.ParquetFile(path) as file:
        name = _picked(source, name, file.schema_arrow.names)
        return _of_chunks(file.read(columns=[name]).column(0), source, name)


def _of_arrow(path: Path, source: str, name: str | None) -> NDArray[Any]:
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
        name = _picked(source, name, names)
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


def _of_json(path: Path, source: str, name: str | None) -> NDArray[Any]:
    data = path.read_bytes().removeprefix(MARK)
    try:
        if name is None and isinstance(row := _first_row(data), int | str):
            return np.array(msgspec.json.decode(data, type=list[int | str]))
        name = _picked(source, None, list(row) if isinstance(row, dict) else []) if name is None else name
        kind: Any = type_of_rows(source, name, int | str)
        if data.lstrip().startswith(b"["):
            rows = msgspec.json.decode(data, type=list[kind])
        else:
            rows = msgspec.json.Decoder(kind).decode_lines(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if name is None:
            raise InputError(f"{source} is no JSON of ids ({error}): give one id a line") from None
        raise InputError(
            f"--ids {name!r} is no file and no column of {source} ({error}): name a file of ids"
        ) from None
    return np.array([row.values for row in rows])


def _first_row(data: bytes) -> Any:
    """Return the first value of a list, or of lines, None without any."""
    if not data.lstrip().startswith(b"["):
        return msgspec.json.decode(data.strip().partition(b"\n")[0])
    rows = msgspec.json.decode(data, type=list[msgspec.Raw])
    return msgspec.json.decode(rows[0]) if rows else None


def _of_hdf5(path: Path, source: str, name: str | None) -> NDArray[Any]:
    h5py = package("h5py", source, "an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            name = _picked(source, name, list(file))
            here = isinstance(file.get(name, getlink=True), h5py.HardLink)
            values = file[name] if here else None
            if values is None or values.external or values.is_virtual:
                raise InputError(f"{source}[{name}] lies in other files: copy it into one with h5py")
            if values.dtype.kind != "O":
                refuse_missing(values, path, source, f"{source}[{name}]")
                return np.asarray(values[...])
        found = dataset_text(path, name)
        if found is None:
            raise ValueError(name)
        return found
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError):
        raise InputError(f"{source}: {name} cannot be read: write the file again") from None


def _of_npz(path: Path, source: str, name: str | None) -> NDArray[Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry for entry in archive.namelist() if entry.endswith(NPY)]
        name = _picked(source, name, [entry.removesuffix(NPY) for entry in names])
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
