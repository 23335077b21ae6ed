"""Vectors as Python holds them: data frames, columns of Arrow, tensors, datasets; none is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuner.data.formats.arrow import BATCH_ROWS, of_columns
from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.errors import InputError

Matrix: TypeAlias = NDArray[Any] | FlatFile
NAME = "vectors"
"""Name of a column that has none."""


def from_object(source: ArrayLike | object, named: str, role: Role, column: str | None) -> Matrix:
    """Return the matrix of an array, a tensor, a data frame, a column or a dataset.

    A tensor and a column of Arrow in one piece are looked at where they lie; lists are copied.

    Args:
        source: what the user gave.
        named: name of it in messages.
        role: what the vectors are, which tells columns of usual names apart.
        column: name of the column; None for the only one that holds vectors.

    Raises:
        InputError: it holds no matrix, or it cannot be told which column is meant.
    """
    if isinstance(source, np.ndarray):
        return source
    home = type(source).__module__.partition(".")[0]
    read = READERS.get(home)
    if read is not None:
        return read(source, named, role, column)
    if hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__"):
        return _of_arrow(source, named, role, column)
    return _of_array(source, named)


def _of_array(source: Any, named: str) -> NDArray[Any]:
    if hasattr(source, "nnz") and hasattr(source, "toarray"):
        raise InputError(f"{named} is a sparse matrix, and indexes hold dense vectors: give x.toarray()")
    try:
        found = np.asarray(source)
    except ValueError as error:
        if "inhomogeneous" not in str(error):
            raise
        raise InputError(f"{named} has rows of different lengths: give each the same columns") from None
    return found.astype(np.float32) if found.dtype.name == "bfloat16" else found


def _of_torch(source: Any, named: str, role: Role, column: str | None) -> NDArray[Any]:
    if not hasattr(source, "detach"):
        return _of_array(source, named)
    tensor = source.detach().cpu()
    if getattr(tensor, "is_sparse", False):
        raise InputError(f"{named} is a sparse tensor, and indexes hold dense vectors: give x.to_dense()")
    if str(tensor.dtype) == "torch.bfloat16":
        tensor = tensor.float()
    return np.asarray(tensor.numpy())


def _of_pandas(source: Any, named: str, role: Role, column: str | None) -> NDArray[Any]:
    if not hasattr(source, "columns"):
        return _stacked(source.to_numpy(), named)
    firsts = {str(name): _first(source[name]) for name in source.columns}
    lists = {name: (len(source), len(first)) for name, first in firsts.items() if _is_list(first)}
    if lists or column is not None:
        shapes = {name: lists.get(name, ()) for name in firsts}
        name = chosen(shapes, named, role, column, "column of lists")
        return _stacked(source[name].to_numpy(), f"{named}[{name}]")
    kinds = {str(dtype) for dtype in source.dtypes}
    if len(kinds) > 1:
        described = ", ".join(f"{name} {dtype}" for name, dtype in list(source.dtypes.items())[:4])
        raise InputError(
            f"{named} has columns of several types ({described}, ...), so some are no part of the vectors: "
            "leave those out"
        )
    return np.asarray(source.to_numpy())


def _first(series: Any) -> Any:
    """Return the first value of a column that is there."""
    if series.dtype != object:
        return None
    there = series.dropna()
    return there.iloc[0] if len(there) else None


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _stacked(values: NDArray[Any], named: str) -> NDArray[Any]:
    """Return a column of rows (n,) as a matrix (n, d)."""
    if values.dtype != object:
        return values
    wrong = next((row for row, value in enumerate(values) if not _is_list(value)), None)
    if wrong is not None:
        raise InputError(f"{named}: row {wrong} is {values[wrong]!r} and no list: leave such rows out")
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    short = np.flatnonzero(lengths != lengths[0])
    if len(short):
        raise InputError(
            f"{named}: row {short[0]} has {lengths[short[0]]} numbers, where the first has {lengths[0]}: "
            "leave such rows out, or embed them again"
        )
    found = np.array(values.tolist())
    is_python = isinstance(values[0], (list, tuple)) and found.dtype == float
    return found.astype(np.float32) if is_python else found  # a model's float32, in Python's only type


def _of_polars(source: Any, named: str, role: Role, column: str | None) -> Matrix:
    kinds = {str(kind) for kind in source.dtypes} if hasattr(source, "columns") else set()
    if kinds and not any(kind.startswith(("List", "Array")) for kind in kinds):
        if len(kinds) > 1:
            raise InputError(
                f"{named} has columns of several types, so some are no part of the vectors: leave those out"
            )
        return np.asarray(source.to_numpy())
    return _of_arrow(source, named, role, column)


def _of_dataset(source: Any, named: str, role: Role, column: str | None) -> Matrix:
    """Return the vectors of a dataset of Hugging Face, its rows in its own order."""
    if isinstance(source, dict):
        raise InputError(f"{named} is a {type(source).__name__} of several datasets: give one of them")
    batches = source.with_format("arrow")
    schema, n = batches[:1].schema, len(source)

    def columns(name: str) -> Iterator[Any]:
        for table in batches.select_columns([name]).iter(BATCH_ROWS):
            yield from table.column(name).chunks

    return of_columns(schema, n, columns, named, role, column)


def _of_arrow(source: Any, named: str, role: Role, column: str | None) -> Matrix:
    """Return a column of a table, or a column alone, of whatever speaks Arrow's protocol."""
    arrow = package("pyarrow", named, "a column of Arrow")
    try:
        is_column = isinstance(source, (arrow.Array, arrow.ChunkedArray)) or not hasattr(source, "columns")
        if is_column:
            chunks = source if isinstance(source, arrow.ChunkedArray) else arrow.chunked_array(source)
            if isinstance(source, arrow.Array):
                chunks = arrow.chunked_array([source])
            table = arrow.table({NAME: chunks})
        else:
            table = arrow.table(source)
    except (arrow.ArrowException, TypeError, ValueError) as error:
        raise InputError(f"{named} cannot be read as Arrow ({error}): give a numpy array") from None
    whole = _in_place(arrow, table, named, role, column)
    if whole is not None:
        return whole

    def columns(name: str) -> Iterator[Any]:
        for chunk in table.column(name).chunks:
            for start in range(0, len(chunk), BATCH_ROWS):
                yield chunk.slice(start, BATCH_ROWS)

    return of_columns(table.schema, table.num_rows, columns, named, role, column)


def _in_place(arrow: Any, table: Any, named: str, role: Role, column: str | None) -> NDArray[Any] | None:
    """Return a view of a column of fixed lists in one piece, without nulls; None where there is none."""
    types = arrow.types
    lists = [
        field.name
        for field in table.schema
        if types.is_fixed_size_list(field.type) and types.is_floating(field.type.value_type)
    ]
    only = lists[0] if len(lists) == len(table.schema) == 1 else None
    name = only if column is None else column
    if name not in lists or table.column(name).num_chunks != 1:
        return None
    chunk = table.column(name).chunk(0)
    values = chunk.flatten()
    if chunk.null_count or values.null_count:
        return None
    view: NDArray[Any] = values.to_numpy(zero_copy_only=True).reshape(len(chunk), chunk.type.list_size)
    return view


READERS: dict[str, Callable[[Any, str, Role, str | None], Matrix]] = {
    "torch": _of_torch,
    "pandas": _of_pandas,
    "polars": _of_polars,
    "datasets": _of_dataset,
    "pyarrow": _of_arrow,
}
"""Readers by the package that an object's type comes from."""
