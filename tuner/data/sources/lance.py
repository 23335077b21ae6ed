"""A table of LanceDB: its folder, read as Arrow in the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from tuner.data.formats.arrow import BATCH_ROWS, of_columns
from tuner.data.formats.choice import Role
from tuner.data.formats.columns import refuse_unknown
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.wanted import T, Wanted
from tuner.errors import InputError

SUFFIX = ".lance"


def open_lance(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the one column of lists of a table, or that of the name.

    Args:
        path: folder ``NAME.lance`` of the table.

    Raises:
        InputError: it is damaged, has no such column, or rows of different lengths.
    """
    table, n = _table(path, source)

    def columns(name: str) -> Iterator[Any]:
        return (batch.column(0) for batch in table.search().select([name]).to_batches(BATCH_ROWS))

    with _damage_in_words(source):
        return of_columns(table.schema, n, columns, source, role, column)


def lance_column(path: Path, source: str, name: str, wanted: Wanted[T]) -> T:
    """Return a column of a table, in the order of its rows.

    Args:
        name: name of the column.
        wanted: what its rows are.

    Raises:
        InputError: the table has no such column, or it holds something else.
    """
    table, _ = _table(path, source)
    refuse_unknown(source, name, table.schema.names, wanted)
    with _damage_in_words(source):
        found = [batch.column(0) for batch in table.search().select([name]).to_batches(BATCH_ROWS)]
        return wanted.of_values(chain.from_iterable(each.to_pylist() for each in found), f"{source}[{name}]")


def _table(path: Path, source: str) -> tuple[Any, int]:
    """Return a table and the number of its rows."""
    lancedb = package("lancedb", source, "a table of LanceDB")
    try:
        table = lancedb.connect(str(path.parent)).open_table(path.stem)
        return table, table.count_rows()
    except Exception as error:  # noqa: BLE001 - its errors have no type of their own
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{source} cannot be read by LanceDB ({reason}): check the folder") from None


@contextmanager
def _damage_in_words(source: str) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, OSError):
        raise InputError(
            f"{source} is a damaged table of LanceDB: copy it again, or restore a version"
        ) from None
