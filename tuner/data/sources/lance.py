"""A table of LanceDB: its folder, read as Arrow in the order of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tuner.data.formats.arrow import BATCH_ROWS, of_columns
from tuner.data.formats.choice import Role
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.errors import InputError

SUFFIX = ".lance"


def open_lance(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the one column of lists of a table, or that of the name.

    Args:
        path: folder ``NAME.lance`` of the table.

    Raises:
        InputError: it is damaged, has no such column, or rows of different lengths.
    """
    lancedb = package("lancedb", source, "a table of LanceDB")
    try:
        table = lancedb.connect(str(path.parent)).open_table(path.stem)
        schema, n = table.schema, table.count_rows()
    except Exception as error:  # noqa: BLE001 - its errors have no type of their own
        reason = (str(error).splitlines() or [""])[0]
        raise InputError(f"{source} cannot be read by LanceDB ({reason}): check the folder") from None

    def columns(name: str) -> Iterator[Any]:
        return (batch.column(0) for batch in table.search().select([name]).to_batches(BATCH_ROWS))

    try:
        return of_columns(schema, n, columns, source, role, column)
    except (RuntimeError, OSError):
        raise InputError(
            f"{source} is a damaged table of LanceDB: copy it again, or restore a version"
        ) from None
