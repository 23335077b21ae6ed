"""Parquet and Arrow (Feather) files: a column of lists, one a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.spool import written
from tuner.errors import InputError

BATCH_ROWS = 4_096
NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""Arrow's names of floats, in numpy's; integers have the same."""


def open_parquet(path: Path, source: str, role: str, column: str | None) -> FlatFile:
    """Return the vectors of the one column of lists, or of that of the name.

    Raises:
        InputError: it is damaged, has no such column, or rows of different lengths.
    """
    arrow, parquet = (package(name, source, "a Parquet file") for name in ("pyarrow", "pyarrow.parquet"))
    try:
        with parquet.ParquetFile(path) as file:
            n, schema = file.metadata.num_rows, file.schema_arrow

            def batches(name: str) -> Iterator[Any]:
                return (batch.column(0) for batch in file.iter_batches(BATCH_ROWS, columns=[name]))

            return _of_column(arrow, schema, n, batches, source, role, column)
    except (arrow.ArrowException, OSError, UnicodeDecodeError):
        raise InputError(f"{source} is a damaged or truncated Parquet file: write it again") from None


def open_arrow(path: Path, source: str, role: str, column: str | None) -> FlatFile:
    """Return the vectors of the one column of lists, or of that of the name.

    Raises:
        InputError: it is damaged, has no such column, or rows of different lengths.
    """
    arrow, ipc = (package(name, source, "an Arrow file") for name in ("pyarrow", "pyarrow.ipc"))
    try:
        with arrow.memory_map(str(path)) as mapped, ipc.open_file(mapped) as file:
            every = range(file.num_record_batches)
            n = sum(file.get_batch(number).num_rows for number in every)

            def batches(name: str) -> Iterator[Any]:
                return _sliced(file.get_batch(number).column(name) for number in every)

            return _of_column(arrow, file.schema, n, batches, source, role, column)
    except (arrow.ArrowException, OSError, UnicodeDecodeError):
        raise InputError(f"{source} is a damaged or truncated Arrow file: write it again") from None


def open_arrow_stream(path: Path, source: str, role: str, column: str | None) -> FlatFile:
    """Return the same of a stream, as Hugging Face's datasets are saved.

    Raises:
        InputError: it is damaged, has no such column, or rows of different lengths.
    """
    arrow, ipc = (package(name, source, "a stream of Arrow") for name in ("pyarrow", "pyarrow.ipc"))
    try:
        with arrow.memory_map(str(path)) as mapped:

            def read(name: str = "") -> Iterator[Any]:
                mapped.seek(0)
                return (batch.column(name) if name else batch for batch in ipc.open_stream(mapped))

            schema, n = ipc.open_stream(mapped).schema, sum(batch.num_rows for batch in read())
            return _of_column(arrow, schema, n, lambda name: _sliced(read(name)), source, role, column)
    except (arrow.ArrowException, OSError, UnicodeDecodeError):
        raise InputError(f"{source} is a damaged or truncated stream of Arrow: write it again") from None


def _sliced(columns: Iterator[Any]) -> Iterator[Any]:
    """Yield columns of whole batches in small ones."""
    for column in columns:
        column.validate(full=True)  # offsets of a damaged file would be followed out of its memory
        for start in range(0, len(column), BATCH_ROWS):
            yield column.slice(start, BATCH_ROWS)


def _of_column(
    arrow: Any, schema: Any, n: int, batches: Any, source: str, role: str, column: str | None
) -> FlatFile:
    lists = {field.name: field.type for field in schema if _is_list(arrow, field.type)}
    shapes = {
        name: (n, kind.list_size) if _is_fixed(arrow, kind) else (n, -1) for name, kind in lists.items()
    }
    name = chosen(shapes, source, role, column, "column of lists")
    named = f"{source}[{name}]" if len(schema) > 1 else source
    d = shapes[name][1] if shapes[name][1] >= 0 else _first_length(batches(name))
    kind = lists[name].value_type
    if not (arrow.types.is_floating(kind) or arrow.types.is_integer(kind)):
        raise InputError(
            f"{named} holds lists of {kind}, but vectors are lists of numbers: name another column"
        )
    blocks = _blocks(package("pyarrow.compute", source, "a file of Arrow"), batches(name), d, named)
    return written(named, d, np.dtype(NAMES.get(str(kind), str(kind))), blocks, n)


def _is_fixed(arrow: Any, kind: Any) -> bool:
    return bool(arrow.types.is_fixed_size_list(kind))


def _is_list(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _first_length(batches: Iterator[Any]) -> int:
    """Return the length of the first row, 0 without any."""
    first = next((batch for batch in batches if len(batch)), None)
    return 0 if first is None or first[0].as_py() is None else len(first[0])


def _blocks(compute: Any, batches: Iterator[Any], d: int, named: str) -> Iterator[NDArray[Any]]:
    """Yield the rows of batches of lists, each of ``d`` numbers."""
    done = 0
    for batch in batches:
        lengths = np.asarray(compute.fill_null(compute.list_value_length(batch), -1))
        wrong = np.flatnonzero(lengths != d)
        if len(wrong):
            row, length = done + int(wrong[0]), int(lengths[wrong[0]])
            what = "is empty (null)" if length < 0 else f"has {length} numbers, where the first has {d}"
            raise InputError(f"{named}: row {row} {what}: leave such rows out, or embed them again")
        values = batch.flatten()
        if values.null_count:
            row = done + int(np.flatnonzero(np.asarray(values.is_null()))[0]) // max(d, 1)
            raise InputError(f"{named}: row {row} holds a null: leave such rows out, or embed them again")
        yield np.asarray(values).reshape(len(batch), d)
        done += len(batch)
