"""A column beside the vectors: the ids of their rows, or their labels."""

from __future__ import annotations

import os
import re
import zipfile
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.arrow import damage_in_words
from tuner.data.formats.choice import Role
from tuner.data.formats.csv_table import SEPARATORS as CSV
from tuner.data.formats.csv_table import csv_column, csv_names
from tuner.data.formats.hdf5 import refuse_missing
from tuner.data.formats.hdf5_text import dataset_text
from tuner.data.formats.json_text import LINES, MARK, type_of_rows
from tuner.data.formats.json_text import SUFFIXES as JSON
from tuner.data.formats.npz import SUFFIX as NPY
from tuner.data.formats.npz import UNREADABLE, open_npz
from tuner.data.formats.packages import package
from tuner.data.formats.regular import look_at
from tuner.data.formats.shards import files_of
from tuner.data.formats.signatures import format_of
from tuner.data.formats.wanted import T, Wanted
from tuner.errors import InputError
from tuner.text import one_line

BEGINS_OBJECTS = re.compile(rb"\s*\[\s*\{")
Read = Callable[[Path, str, str | None, Wanted[Any]], Any]


def column_of(
    source: str | Path, name: str, suffixes: frozenset[str], wanted: Wanted[T], role: Role = "base"
) -> T:
    """Return a column of a file, or of the files of a folder or pattern, one after the other.

    Args:
        source: file, folder or pattern that also holds the vectors.
        name: name of the column.
        suffixes: suffixes of the files of a folder.
        wanted: what its rows are.
        role: what the vectors are, which tells files of usual names in a folder apart.

    Raises:
        UnknownColumnError: the files have no columns, or none of that name.
        InputError: its rows hold something else.
    """
    files = files_of(os.fspath(source), role, suffixes) or [Path(source)]
    return wanted.joined([_column(path, name, wanted) for path in files])


def _column(path: Path, name: str, wanted: Wanted[T]) -> T:
    source, read = str(path), _reader_of(path)
    if read is None and path.suffix.lower() in CSV and (names := csv_names(path)):
        refuse_unknown(source, name, names, wanted)
        return wanted.of_array(csv_column(path, source, name), f"{source}: {name}")
    if read is None:
        raise wanted.without_columns(name, source)
    found: T = read(path, source, name, wanted)
    return found


def only_column_of(path: Path, wanted: Wanted[T]) -> T | None:
    """Return the one column of a file, None where it is of no format with columns.

    Raises:
        InputError: it has several, or rows that hold something else.
    """
    read = _reader_of(path)
    return None if read is None else read(path, str(path), None, wanted)


def _reader_of(path: Path) -> Read | None:
    _, start = look_at(path, str(path))
    found = format_of(start)
    return _of_json if found is None and path.suffix.lower() in JSON else READERS.get(found or "")


def _of_array(values: NDArray[Any], source: str, name: str | None, wanted: Wanted[T]) -> T:
    named = source if name is None else f"{source}: {name}"
    if values.ndim != 1:
        raise InputError(f"{named} has shape {values.shape}, and {wanted.things} are one a row: name another")
    return wanted.of_array(values, named)


def _picked(source: str, name: str | None, known: list[str], wanted: Wanted[Any]) -> str:
    """Return the name of a column that is there, the only one where none is asked for."""
    if name is not None:
        refuse_unknown(source, name, known, wanted)
        return name
    if len(known) != 1:
        there = ", ".join(f"{one_line(each):.60}" for each in known[:8]) or "none"
        raise InputError(
            f"{source} has {len(known)} columns ({there}): save the {wanted.things} alone, one column of them"
        )
    return known[0]


def refuse_unknown(source: str, name: str, known: list[str], wanted: Wanted[Any]) -> None:
    """Raise UnknownColumnError unless a file has a column of that name."""
    if name not in known:
        near = get_close_matches(name, known, n=1) or known[:8]
        there = ", ".join(f"{one_line(each):.60}" for each in near) or "none"
        raise wanted.unknown(name, source, f"which has {there}")


def _of_parquet(path: Path, source: str, name: str | None, wanted: Wanted[T]) -> T:
    parquet = package("pyarrow.parquet", source, "a Parquet file")
    with damage_in_words(source, "Parquet file"), parquet.ParquetFile(path) as file:
        name = _picked(source, name, file.schema_arrow.names, wanted)
        return wanted.of_arrow(file.read(columns=[name]).column(0), f"{source}: {name}")


def _of_arrow(path: Path, source: str, name: str | None, wanted: Wanted[T]) -> T:
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
        name = _picked(source, name, names, wanted)
        mapped.seek(0)
        table = opened(mapped, included_fields=[names.index(name)]).read_all()
        return wanted.of_arrow(table.column(0), f"{source}: {name}")


def _of_json(path: Path, source: str, name: str | None, wanted: Wanted[T]) -> T:
    data = path.read_bytes().removeprefix(MARK)
    lines = not data.lstrip().startswith(b"[")
    if wanted.in_lists and path.suffix.lower() in LINES and not BEGINS_OBJECTS.match(data):
        lines = True  # each line may be a list
    try:
        if name is None and _is_plain(row := _first_row(data, lines=lines), wanted):
            found = _rows(data, wanted.of_json, lines=lines and wanted.in_lists)
        else:
            if name is None:
                name = _picked(source, None, list(row) if isinstance(row, dict) else [], wanted)
            found = [
                row.values for row in _rows(data, type_of_rows(source, name, wanted.of_json), lines=lines)
            ]
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if name is None:
            raise InputError(
                f"{source} is no JSON of {wanted.things} ({error}): give one {wanted.one} a line"
            ) from None
        known = f"or not in all of its rows ({error}): name a file of {wanted.things}"
        raise wanted.unknown(name, source, known) from None
    return wanted.of_values(found, source if name is None else f"{source}: {name}")


def _is_plain(row: Any, wanted: Wanted[Any]) -> bool:
    """Return whether a row is no object with columns."""
    return isinstance(row, int | str) or (wanted.in_lists and not isinstance(row, dict))


def _rows(data: bytes, kind: Any, *, lines: bool) -> list[Any]:
    found: list[Any] = (
        msgspec.json.Decoder(kind).decode_lines(data) if lines else msgspec.json.decode(data, type=list[kind])
    )
    return found


def _first_row(data: bytes, *, lines: bool) -> Any:
    """Return the first value of a list, or of lines, None without any."""
    if lines:
        return msgspec.json.decode(data.strip().partition(b"\n")[0])
    rows = msgspec.json.decode(data, type=list[msgspec.Raw])
    return msgspec.json.decode(rows[0]) if rows else None


def _of_hdf5(path: Path, source: str, name: str | None, wanted: Wanted[T]) -> T:
    h5py = package("h5py", source, "an HDF5 file")
    try:
        with h5py.File(path, "r") as file:
            name = _picked(source, name, list(file), wanted)
            here = isinstance(file.get(name, getlink=True), h5py.HardLink)
            values = file[name] if here else None
            if values is None or values.external or values.is_virtual:
                raise InputError(f"{source}[{name}] lies in other files: copy it into one with h5py")
            if values.dtype.kind != "O":
                refuse_missing(values, path, source, f"{source}[{name}]")
                return _of_array(np.asarray(values[...]), source, name, wanted)
        found = dataset_text(path, name)
        if found is None:
            raise ValueError(name)
        return _of_array(found, source, name, wanted)
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError, TypeError):
        raise InputError(f"{source}: {name} cannot be read: write the file again") from None


def _of_npz(path: Path, source: str, name: str | None, wanted: Wanted[T]) -> T:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [entry for entry in archive.namelist() if entry.endswith(NPY)]
        name = _picked(source, name, [entry.removesuffix(NPY) for entry in names], wanted)
        values = open_npz(path, source, "base", name).whole()
    except UNREADABLE:
        raise InputError(f"{source}: {name} is damaged, or no numbers and no text: write it again") from None
    return _of_array(values, source, name, wanted)


READERS: dict[str, Read] = {
    "a zip file": _of_npz,
    "an HDF5 file": _of_hdf5,
    "a parquet file": _of_parquet,
    "an arrow file": _of_arrow,
    "an arrow stream": _of_arrow,
}
