"""A DuckDB file: a column of FLOAT or DOUBLE arrays or lists, read as Arrow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from tuner.data.formats.arrow import BATCH_ROWS, of_columns
from tuner.data.formats.choice import Role
from tuner.data.formats.columns import refuse_unknown
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.wanted import T, Wanted
from tuner.data.sources.tables import batches, chosen_column, quoted
from tuner.errors import InputError

VECTORS = re.compile(r"(FLOAT|DOUBLE)\[(\d*)\]")
CLOSED = {
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "python_enable_replacements": "false",
    "preserve_insertion_order": "true",
}
"""Settings under which a file can reach nothing but itself."""
COLUMNS = """
SELECT table_schema, table_name, column_name, data_type FROM information_schema.columns
ORDER BY table_schema, table_name, ordinal_position
"""


def open_duckdb(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return a column of vectors, its rows in the order that they were inserted in.

    The file is opened for reading only, and statements reach no other file.

    Args:
        column: ``table.column``, or a column that only one table has; None for the only one.

    Raises:
        InputError: it cannot be opened, has no such column, or rows of different lengths.
    """
    package("pyarrow", source, "a DuckDB file, which is read as Arrow")
    with _connected(path, source) as file:
        name, schema, table, field = _chosen(file, source, role, column)
        place = f"{quoted(schema)}.{quoted(table)}"
        n = file.execute(f"SELECT count(*) FROM {place}").fetchone()[0]  # noqa: S608 - quoted
        asked = f"SELECT {quoted(field)} AS {quoted(name)} FROM {place} ORDER BY rowid"  # noqa: S608 - quoted

        def columns(_: str) -> Iterator[Any]:
            reader = file.execute(asked).to_arrow_reader(BATCH_ROWS)
            return (batch.column(0) for batch in reader)

        whole = file.execute(f"{asked} LIMIT 1").to_arrow_table().schema
        return of_columns(whole, n, columns, f"{source}[{name}]", role, None)


def duckdb_column(path: Path, source: str, column: str | None, name: str, wanted: Wanted[T], role: Role) -> T:
    """Return a column of the table that has the vectors, in the order of its rows.

    Args:
        column: column of the vectors, as for ``open_duckdb``.
        name: name of the column.
        wanted: what its rows are.
        role: what the vectors are.

    Raises:
        InputError: the table has no such column, or it holds something else.
    """
    with _connected(path, source) as file:
        _, schema, table, _ = _chosen(file, source, role, column)
        known = [row[2] for row in file.execute(COLUMNS).fetchall() if row[:2] == (schema, table)]
        refuse_unknown(f"{source}[{table}]", name, known, wanted)
        asked = f"SELECT {quoted(name)} FROM {quoted(schema)}.{quoted(table)} ORDER BY rowid"  # noqa: S608 - quoted
        return wanted.of_values(
            chain.from_iterable(batches(file.execute(asked))), f"{source}[{table}.{name}]"
        )


@contextmanager
def connected_table(path: Path, source: str, column: str | None) -> Iterator[tuple[Any, str]]:
    """Give a connection, and the table that has the vectors, quoted; what fails is a sentence.

    Args:
        column: column of the vectors, as for ``open_duckdb``.
    """
    with _connected(path, source) as file:
        _, schema, table, _ = _chosen(file, source, "base", column)
        yield file, f"{quoted(schema)}.{quoted(table)}"


@contextmanager
def _connected(path: Path, source: str) -> Iterator[Any]:
    """Open a file for reading only; what fails in it is a sentence."""
    duckdb = package("duckdb", source, "a DuckDB file")
    try:
        with closing(duckdb.connect(str(path), read_only=True, config=CLOSED)) as file:
            yield file
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{source} cannot be read by DuckDB ({reason}): check it, or copy it again"
        ) from None


def _chosen(file: Any, source: str, role: Role, column: str | None) -> tuple[str, str, str, str]:
    """Return the name in messages, the schema, the table and the column of the vectors."""
    found = {}
    for schema, table, field, kind in file.execute(COLUMNS).fetchall():
        if match := VECTORS.fullmatch(kind):
            name = f"{table}.{field}" if schema == "main" else f"{schema}.{table}.{field}"
            found[name] = (schema, table, field, int(match[2] or -1))
    name = chosen_column({name: (-1, key[3]) for name, key in found.items()}, source, role, column)
    if name not in found:
        raise InputError(f"{source}: {name} holds no vectors: name another column")
    return (name, *found[name][:3])
