"""Vectors as Python holds them: data frames, columns of Arrow, tensors, datasets; none is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tuner.data.formats.arrow import BATCH_ROWS, of_columns
from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.errors import InputError
from tuner.text import one_line

Matrix: TypeAlias = NDArray[Any] | FlatFile
LISTS = ("is_fixed_size_list", "is_list", "is_large_list")
"""Tests for types whose lists lie one after the other."""
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
    if isinstance(source, np.ma.MaskedArray):
        return _unmasked(source, named)
    if isinstance(source, np.ndarray):
        return source if source.dtype != object else _of_cells(source, named)
    if isinstance(source, Mapping) and not hasattr(source, "with_format"):
        raise InputError(
            f"{named} holds several things ({', '.join(map(str, source))[:80]}): give one of them"
        )
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
        has_buffer_alone = hasattr(source, "__dlpack__") and not hasattr(source, "__array__")
        found = np.from_dlpack(source) if has_buffer_alone else np.asarray(source)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        if "inhomogeneous" in str(error) and isinstance(source, Sequence):
            raise _ragged(source, named) from None
        raise InputError(
            f"{named}, a {type(source).__name__}, does not become a numpy array "
            f"({one_line(str(error))[:100]}): give it as one, on the host"
        ) from None
    if found.dtype == object:
        raise _no_numbers(source, found, named)
    return found.astype(np.float32) if found.dtype.name == "bfloat16" else found


def _of_cells(source: NDArray[Any], named: str) -> NDArray[Any]:
    """Return the rows of an array of objects, each an array or a list of its own."""
    if source.ndim == 1 and len(source):
        return _stacked(source, named)
    raise _no_numbers(source, source, named)


def _unmasked(source: Any, named: str) -> NDArray[Any]:
    """Return the values of an array none of whose cells is masked."""
    masked = np.argwhere(np.ma.getmaskarray(source))
    if len(masked):
        raise InputError(
            f"{named}: row {masked[0][0]} has masked cells, as {len(masked):,} are: leave such rows out, or "
            "fill them with x.filled(0)"
        )
    return np.asarray(source.data)


def _ragged(source: Sequence[Any], named: str) -> InputError:
    lengths = [len(row) if hasattr(row, "__len__") else 0 for row in source]
    row = next((row for row, length in enumerate(lengths) if length != lengths[0]), 0)
    return InputError(
        f"{named} has rows of different lengths: give each the same columns, where row {row} has "
        f"{lengths[row]} and row 0 {lengths[0]}"
    )


def _no_numbers(source: Any, found: NDArray[Any], named: str) -> InputError:
    """Return the sentence for an array of objects: the first that is no number."""
    if not found.ndim:
        return InputError(
            f"{named} is a {type(source).__name__} and holds no rows: give an array, a table or a file"
        )
    for (row, *others), cell in np.ndenumerate(found):
        if not isinstance(cell, Real):
            where = "".join(f", column {each}" for each in others[:1])
            return InputError(f"{named}: row {row}{where} is {cell!r:.40} and no number: leave such rows out")
    return InputError(f"{named} holds Python's own numbers: give np.asarray(x, 'float32')")


def _of_torch(source: Any, named: str, role: Role, column: str | None) -> NDArray[Any]:
    if not hasattr(source, "detach"):
        return _of_array(source, named)
    if "strided" not in str(getattr(source, "layout", "strided")):
        raise InputError(f"{named} is a sparse tensor, and indexes hold dense vectors: give x.to_dense()")
    try:
        tensor = source.detach().cpu()
        tensor = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        return np.asarray(tensor.numpy(force=True))
    except (TypeError, RuntimeError, NotImplementedError):
        raise InputError(
            f"{named} is a tensor of {source.dtype} on {source.device}, which numpy cannot read: give "
            "x.float().cpu()"
        ) from None


def _of_pandas(source: Any, named: str, role: Role, column: str | None) -> Matrix:
    if not hasattr(source, "columns"):
        return _of_series(source, named, role)
    firsts = {str(name): _first(source.iloc[:, place]) for place, name in enumerate(source.columns)}
    lists = {name: (len(source), len(first)) for name, first in firsts.items() if _is_vector(first)}
    if lists or column is not None:
        shapes = {name: lists.get(name, ()) for name in firsts}
        name = chosen(shapes, named, role, column, "column of lists")
        labels = [str(label) for label in source.columns]
        if labels.count(name) > 1:
            raise InputError(f"{named} has {labels.count(name)} columns {name!r}: give each its own name")
        return _of_series(source.iloc[:, labels.index(name)], f"{named}[{name}]", role)
    kinds = {str(dtype) for dtype in source.dtypes}
    if len(kinds) > 1:
        described = ", ".join(f"{name} {dtype}" for name, dtype in list(source.dtypes.items())[:4])
        raise InputError(
            f"{named} has columns of several types ({described}, ...), so some are no part of the vectors: "
            "leave those out"
        )
    return np.asarray(source.to_numpy())


def _of_series(series: Any, named: str, role: Role) -> Matrix:
    if not hasattr(series.dtype, "pyarrow_dtype"):
        return _stacked(series.to_numpy(), named)
    column = package("pyarrow", named, "a column of Arrow").array(series.array)
    return _of_arrow(column, named, role, None)


def _first(series: Any) -> Any:
    """Return the first value of a column that is there."""
    if series.dtype.kind != "O":
        return None
    there = series.dropna()
    return there.iloc[0] if len(there) else None


def _is_vector(value: Any) -> bool:
    """Return whether a value is a list, and not one of text, as labels are."""
    return _is_list(value) and not (len(value) and isinstance(value[0], str))


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _stacked(values: NDArray[Any], named: str) -> NDArray[Any]:
    """Return a column of rows (n,) as a matrix (n, d)."""
    if values.dtype != object:
        return values
    wrong = next((row for row, value in enumerate(values) if not _is_list(value)), None)
    if wrong is not None:
        how = "read it with json.loads" if isinstance(values[wrong], str) else "leave such rows out"
        raise InputError(f"{named}: row {wrong} is {values[wrong]!r:.40} and no list: {how}")
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    short = np.flatnonzero(lengths != lengths[0])
    if len(short):
        raise InputError(
            f"{named}: row {short[0]} has {lengths[short[0]]} numbers, where the first has {lengths[0]}: "
            "leave such rows out, or embed them again"
        )
    found = np.array(values.tolist())
    if found.dtype == object:
        raise _no_numbers(values, found, named)
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
    if hasattr(source, "column_name"):  # one column of it
        return _of_dataset(source.source, named, role, source.column_name)
    if not hasattr(source, "__len__"):
        raise InputError(f"{named} is a stream of rows: load it without streaming, or give a Parquet file")
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
    """Return a view of a column of lists of one length in one piece; None where there is none."""
    types = arrow.types
    lists = [
        field.name
        for field in table.schema
        if any(getattr(types, test)(field.type) for test in LISTS)
        and types.is_floating(field.type.value_type)
    ]
    only = lists[0] if len(lists) == len(table.schema) == 1 else None
    name = only if column is None else column
    if name not in lists or table.column(name).num_chunks != 1:
        return None
    chunk = table.column(name).chunk(0)
    if chunk.null_count or not len(chunk):
        return None
    chunk.validate(full=True)
    lengths, values = np.asarray(chunk.value_lengths()), chunk.flatten()
    if values.null_count or (lengths != lengths[0]).any():
        return None  # the reader says which row
    view: NDArray[Any] = values.to_numpy(zero_copy_only=True).reshape(len(chunk), lengths[0])
    return view


READERS: dict[str, Callable[[Any, str, Role, str | None], Matrix]] = {
    "torch": _of_torch,
    "pandas": _of_pandas,
    "polars": _of_polars,
    "datasets": _of_dataset,
    "pyarrow": _of_arrow,
}
"""Readers by the package that an object's type comes from."""
