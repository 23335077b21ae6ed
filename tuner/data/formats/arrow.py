"""Parquet and Arrow (Feather) files: a column of lists, one a row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.spool import written
from tuner.errors import InputError

BATCH_ROWS = 4_096
VIEWED = 1 << 20
"""Numbers of a view of lists that are copied together."""
TENSOR = "arrow.fixed_shape_tensor"
NAMES = {"halffloat": "float16", "float": "float32", "double": "float64"}
"""Arrow's names of floats, in numpy's; integers have the same."""


def open_parquet(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the vectors of the one column of lists, or of that of the name.

    Raises:
        InputError: it is damaged, has no such column, or rows of different lengths.
    """
    parquet = package("pyarrow.parquet", source, "a Parquet file")
    with damage_in_words(source, "Parquet file"), parquet.ParquetFile(path) as file:

        def columns(name: str) -> Iterator[Any]:
            return (batch.column(0) for batch in file.iter_batches(BATCH_ROWS, columns=[name]))

        return of_columns(file.schema_arrow, file.metadata.num_rows, columns, source, role, column)


def open_arrow(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the same of an Arrow file."""

    def batches(ipc: Any, mapped: Any) -> Iterator[Any]:
        file = ipc.open_file(mapped)
        return (file.get_batch(number) for number in range(file.num_record_batches))

    return _of_batches(batches, "Arrow file", path, source, role, column)


def open_arrow_stream(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the same of a stream, as Hugging Face's datasets are saved."""
    return _of_batches(
        lambda ipc, mapped: ipc.open_stream(mapped), "Arrow stream", path, source, role, column
    )


def _of_batches(
    batches: Callable[[Any, Any], Iterable[Any]],
    what: str,
    path: Path,
    source: str,
    role: Role,
    column: str | None,
) -> FlatFile:
    """Return the vectors in batches, which are read twice: how many rows there are is known at their end.

    Args:
        batches: returns the batches of a mapped file.
        what: what the file is.
    """
    arrow, ipc = (package(name, source, f"an {what}") for name in ("pyarrow", "pyarrow.ipc"))
    with damage_in_words(source, what), arrow.memory_map(str(path)) as mapped:

        def again() -> Iterable[Any]:
            mapped.seek(0)
            return batches(ipc, mapped)

        n, schema = 0, arrow.schema([])
        for batch in again():
            n, schema = n + batch.num_rows, batch.schema
        columns = partial(_small_columns, again)
        return of_columns(schema, n, columns, source, role, column)


@contextmanager
def damage_in_words(source: str, what: str) -> Iterator[None]:
    """Turn what pyarrow raises over a damaged file into a sentence."""
    arrow = package("pyarrow", source, f"a file of Arrow, {what}")
    try:
        yield
    except (arrow.ArrowException, OSError, UnicodeDecodeError):
        raise InputError(f"{source} is a damaged or truncated {what}: write it again") from None


def _small_columns(again: Callable[[], Iterable[Any]], name: str) -> Iterator[Any]:
    """Yield a column of every batch, some thousand rows at a time."""
    for batch in again():
        column = batch.column(name)
        column.validate(full=True)  # offsets of a damaged file would be followed out of its memory
        for start in range(0, len(column), BATCH_ROWS):
            yield column.slice(start, BATCH_ROWS)


def of_columns(
    schema: Any,
    n: int,
    columns: Callable[[str], Iterator[Any]],
    source: str,
    role: Role,
    column: str | None,
) -> FlatFile:
    """Return the one column of lists of a table, or that of the name, in a copy.

    Args:
        schema: Arrow's schema of the table.
        n: number of rows.
        columns: returns a column by its name, some thousand rows at a time.
        source: name of the table in messages.
        role: what the vectors are, which tells columns of usual names apart.
        column: name that the user gave, None without one.

    Raises:
        InputError: there is no such column, or its rows are no vectors.
    """
    arrow = package("pyarrow", source, "a file of Arrow")
    kinds = {field.name: _as_stored(field.type) for field in schema}
    lists = {name: kind for name, kind in kinds.items() if _is_list(arrow, kind)}
    _refuse_encoded(arrow, kinds, source, {column} if lists or column is not None else set(kinds))
    numbers = {name for name, kind in lists.items() if _is_number(arrow, kind.value_type)}
    shapes: dict[str, tuple[int, ...]] = {
        name: (n, kind.list_size if _is_fixed(arrow, kind) else -1) if name in (numbers or lists) else (n,)
        for name, kind in lists.items()
    }
    name = chosen(shapes, source, role, column, "column of lists")
    named = f"{source}[{name}]" if len(schema) > 1 else source
    if list(schema.names).count(name) > 1:
        raise InputError(f"{named} is the name of several columns: give each a name of its own")
    kind = lists[name].value_type
    if name not in numbers:
        raise InputError(
            f"{named} holds lists of {kind}, but vectors are lists of numbers: name another column"
        )
    d = shapes[name][1] if shapes[name][1] >= 0 else _first_length(columns(name))
    batches = _in_parts(arrow, columns(name), d)
    blocks = _blocks(package("pyarrow.compute", source, "a file of Arrow"), batches, d, named)
    return written(named, d, np.dtype(NAMES.get(str(kind), str(kind))), blocks, n)


def _is_number(arrow: Any, kind: Any) -> bool:
    return bool(arrow.types.is_floating(kind) or arrow.types.is_integer(kind))


def _is_fixed(arrow: Any, kind: Any) -> bool:
    return bool(arrow.types.is_fixed_size_list(kind))


def _is_list(arrow: Any, kind: Any) -> bool:
    types = arrow.types
    is_plain = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(is_plain or _is_view(arrow, kind))


def _is_view(arrow: Any, kind: Any) -> bool:
    return bool(arrow.types.is_list_view(kind) or arrow.types.is_large_list_view(kind))


def _as_stored(kind: Any) -> Any:
    """Return how a type is stored: a tensor of one side is a list."""
    is_row = getattr(kind, "extension_name", "") == TENSOR and len(kind.shape) == 1
    return kind.storage_type if is_row else kind


def _refuse_encoded(arrow: Any, kinds: dict[str, Any], source: str, names: set[str | None]) -> None:
    """Raise InputError if a column of the names keeps its lists once and refers to them."""
    for name, kind in kinds.items():
        is_encoded = arrow.types.is_dictionary(kind) or arrow.types.is_run_end_encoded(kind)
        if is_encoded and _is_list(arrow, kind.value_type) and name in names:
            raise InputError(
                f"{source}[{name}] keeps each list once and refers to it ({kind}): write the column as plain "
                "lists"
            )


def _in_parts(arrow: Any, batches: Iterator[Any], d: int) -> Iterator[Any]:
    """Yield batches of lists as they are stored, views of lists a few rows at a time: they are copied.

    Each row of a view may name the same numbers, so that a small file says many.
    """
    rows = max(1, VIEWED // max(1, d))
    for each in batches:
        batch = getattr(each, "storage", each)
        step = rows if _is_view(arrow, batch.type) else max(1, len(batch))
        for start in range(0, len(batch), step):
            yield batch.slice(start, step)


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
