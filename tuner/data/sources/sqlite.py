"""A SQLite file: a column of float32 bytes, as sqlite-vec and others write them, or of JSON lists."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec
import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role
from tuner.data.formats.columns import refuse_unknown
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.spool import written
from tuner.data.formats.wanted import T, Wanted
from tuner.data.sources.tables import batches, chosen_column, of_bytes, of_texts, quoted
from tuner.errors import InputError

DTYPE = np.dtype("<f4")
PARTS_OF_VEC0 = ("_chunks", "_rowids", "_info", "_auxiliary")
"""Ends of the names of tables that sqlite-vec keeps its own in, whole chunks of rows in one value."""
ROW_NUMBERS = ("rowid", "_rowid_", "oid")
"""Names of the number of a row, of which a table may have columns of its own."""
TABLES = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
FEWEST_BYTES = 8
"""Bytes below which a value is no vector."""


def open_sqlite(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return a column of vectors, its rows in the order of rowid, or of the primary key where there is none.

    The file is opened for reading only.

    Args:
        column: ``table.column``, or a column that only one table has; None for the only one.

    Raises:
        InputError: it is damaged, has no such column, or rows of different lengths.
    """
    with _connected(path, source) as file:
        found = _chosen(file, source, role, column)
        named, read = f"{source}[{found.table}.{found.field}]", of_texts if found.is_text else of_bytes

        def blocks() -> Iterator[NDArray[Any]]:
            done = 0
            for values in batches(file.execute(_all_of(file, found.table, found.field))):
                yield read(values, found.d, DTYPE, named, done)
                done += len(values)

        return written(named, found.d, DTYPE, blocks(), found.n)


def sqlite_column(path: Path, source: str, column: str | None, name: str, wanted: Wanted[T], role: Role) -> T:
    """Return a column of the table that has the vectors, in the order of its rows.

    Args:
        column: column of the vectors, as for ``open_sqlite``.
        name: name of the column.
        wanted: what its rows are.
        role: what the vectors are.

    Raises:
        InputError: the table has no such column, or it holds something else.
    """
    with _connected(path, source) as file:
        table = _chosen(file, source, role, column).table
        known = [row[1] for row in file.execute(f"PRAGMA table_info({quoted(table)})").fetchall()]
        refuse_unknown(f"{source}[{table}]", name, known, wanted)
        values = chain.from_iterable(batches(file.execute(_all_of(file, table, name))))
        return wanted.of_values(values, f"{source}[{table}.{name}]")


class _Column(NamedTuple):
    """A column of vectors.

    Attributes:
        n: number of rows.
        d: numbers of the first vector.
        is_text: whether they are written as text.
    """

    table: str
    field: str
    n: int
    d: int
    is_text: bool


@contextmanager
def _connected(path: Path, source: str) -> Iterator[sqlite3.Connection]:
    """Open a file for reading only; what fails in it is a sentence."""
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as file:
            file.execute("PRAGMA trusted_schema = OFF")
            yield file
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise InputError(f"{source} is a damaged SQLite file, or locked ({error}): copy it again") from None


def _chosen(file: sqlite3.Connection, source: str, role: Role, column: str | None) -> _Column:
    firsts = dict(_firsts(file))
    shapes = {
        ".".join(key): (file.execute(f"SELECT count(*) FROM {quoted(key[0])}").fetchone()[0], d)  # noqa: S608 - quoted
        for key, (d, _) in firsts.items()
    }
    name = chosen_column(shapes, source, role, column)
    key = next((key for key in firsts if ".".join(key) == name), None)
    if key is None:
        raise InputError(f"{source}: {name} holds no vectors: name another column")
    return _Column(*key, *shapes[name], firsts[key][1])


def _all_of(file: sqlite3.Connection, table: str, field: str) -> str:
    """Return the statement that reads a column in the order of its rows."""
    return f"SELECT {quoted(field)} FROM {quoted(table)} ORDER BY {_order(file, table)}"  # noqa: S608 - quoted


def _firsts(file: sqlite3.Connection) -> Iterator[tuple[tuple[str, str], tuple[int, bool]]]:
    """Yield table and column of what may be vectors, with their numbers and whether they are text."""
    for (table,) in file.execute(TABLES).fetchall():
        if table.startswith("sqlite_") or table.endswith(PARTS_OF_VEC0) or "_vector_chunks" in table:
            continue
        for row in file.execute(f"PRAGMA table_info({quoted(table)})").fetchall():
            field = row[1]
            asked = f"SELECT {quoted(field)} FROM {quoted(table)} WHERE {quoted(field)} IS NOT NULL LIMIT 1"  # noqa: S608 - quoted
            first = file.execute(asked).fetchone()
            found = None if first is None else _numbers(first[0])
            if found is not None:
                yield (table, field), found


def _numbers(value: Any) -> tuple[int, bool] | None:
    """Return how many numbers a value holds and whether it is text, None where it is no vector."""
    if isinstance(value, bytes) and len(value) >= FEWEST_BYTES and not len(value) % DTYPE.itemsize:
        return len(value) // DTYPE.itemsize, False
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return len(msgspec.json.decode(value, type=list[float])), True
        except msgspec.DecodeError:
            return None
    return None


def _order(file: sqlite3.Connection, table: str) -> str:
    """Return what rows are ordered by."""
    keys = [(row[5], row[1]) for row in file.execute(f"PRAGMA table_info({quoted(table)})") if row[5]]
    own = {row[1].lower() for row in file.execute(f"PRAGMA table_info({quoted(table)})")}
    number = next((name for name in ROW_NUMBERS if name not in own), "")
    try:
        file.execute(f"SELECT {number or 1} FROM {quoted(table)} LIMIT 1")  # noqa: S608 - a constant, and quoted
    except sqlite3.OperationalError:  # WITHOUT ROWID
        number = ""
    return number or ", ".join(quoted(name) for _, name in sorted(keys)) or "1"
