"""A table of PostgreSQL: a column of pgvector's types, or of arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role
from tuner.data.formats.columns import refuse_unknown
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.spool import written
from tuner.data.formats.wanted import T, Wanted
from tuner.data.sources.address import Address, without_login
from tuner.data.sources.tables import BATCH_ROWS, batches, chosen_column, of_texts
from tuner.errors import InputError

DTYPES = {"vector": "<f4", "halfvec": "<f2", "real[]": "<f4", "double precision[]": "<f8"}
KIND = re.compile(r"(vector|halfvec|real\[\]|double precision\[\])(?:\((\d+)\))?")
COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
  (SELECT array_agg(k.attname ORDER BY array_position(i.indkey, k.attnum)) FROM pg_index i
   JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY(i.indkey)
   WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'
ORDER BY 1, 2, a.attnum
"""
NAMES = "SELECT column_name FROM information_schema.columns WHERE table_schema = %s AND table_name = %s"


def open_postgres(address: Address, role: Role, column: str | None) -> FlatFile:
    """Return a column of vectors, its rows in the order of the primary key, or as they lie without one.

    All is read in one transaction that can change nothing.

    Args:
        address: ``postgresql://user:password@host:port/database?table=items&column=embedding``, where table
            and column may be left out if there is only one.
        column: ``table.column``, or a column that only one table has, where the address names none.

    Raises:
        InputError: it cannot be reached, has no such column, or rows of different lengths.
    """
    with _connected(address) as connection:
        return _opened(connection, address, role, column)


def postgres_column(address: Address, column: str | None, name: str, wanted: Wanted[T], role: Role) -> T:
    """Return a column of the table that has the vectors, in the order of its rows.

    Args:
        address: as for ``open_postgres``.
        column: column of the vectors, where the address names none.
        name: name of the column.
        wanted: what its rows are.
        role: what the vectors are.

    Raises:
        InputError: the table has no such column, or it holds something else.
    """
    sql = package("psycopg.sql", address.shown, "a table of PostgreSQL")
    with _connected(address) as connection:
        found = _chosen(connection, address, role, column)
        known = [row[0] for row in connection.execute(NAMES, (found.schema, found.table)).fetchall()]
        refuse_unknown(f"{address.shown}[{found.table}]", name, known, wanted)
        with connection.cursor(name="tune") as cursor:
            cursor.itersize = BATCH_ROWS
            cursor.execute(_all_of(sql, found, sql.Identifier(name)))
            return wanted.of_values(
                chain.from_iterable(batches(cursor)), f"{address.shown}[{found.table}.{name}]"
            )


@contextmanager
def _connected(address: Address) -> Iterator[Any]:
    """Connect, in a transaction that can change nothing; what fails in it is a sentence without secrets."""
    psycopg = package("psycopg", address.shown, "a table of PostgreSQL")
    try:
        with closing(psycopg.connect(address.without("table", "column"), connect_timeout=10)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
    except psycopg.Error as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        secrets = [each for each in connection_secrets(address) if len(each) > 1]
        for secret in secrets:
            reason = reason.replace(secret, "***")
        raise InputError(f"{address.shown}: cannot be read ({reason}): check the address") from None


def connection_secrets(address: Address) -> tuple[str, ...]:
    """Return what of an address must not be shown."""
    login = address.source.removesuffix(without_login(address.source).partition("://")[2])
    password = login.partition("://")[2].partition(":")[2].rpartition("@")[0]
    pieces = sorted(re.split(r"[:/?#@]", password), key=len, reverse=True)
    return (address.source, login, password, *pieces, address.asked.get("password", ""))


class _Column(NamedTuple):
    """A column of vectors.

    Attributes:
        name: name in messages.
        kind: type of PostgreSQL.
        d: dimensions of the type, -1 where it has none.
        keys: columns of the primary key.
    """

    name: str
    schema: str
    table: str
    field: str
    kind: str
    d: int
    keys: tuple[str, ...]


def _chosen(connection: Any, address: Address, role: Role, column: str | None) -> _Column:
    found = {}
    for schema, table, field, kind, keys in connection.execute(COLUMNS).fetchall():
        match, wanted = KIND.fullmatch(kind), address.asked.get("table", table)
        if match and wanted in (table, f"{schema}.{table}"):
            name = f"{table}.{field}" if schema == "public" else f"{schema}.{table}.{field}"
            d = int(match[2] or -1)
            found[name] = _Column(name, schema, table, field, match[1], d, tuple(keys or ()))
    asked = address.asked.get("column", column)
    name = chosen_column({name: (-1, each.d) for name, each in found.items()}, address.shown, role, asked)
    if name not in found:
        raise InputError(f"{address.shown}: {name} holds no vectors: name another column")
    return found[name]


def _all_of(sql: Any, found: _Column, value: Any) -> Any:
    """Return the statement that reads a value of all rows, in their order."""
    order = sql.SQL(", ").join(map(sql.Identifier, found.keys)) if found.keys else sql.SQL("ctid")
    place = sql.Identifier(found.schema, found.table)
    return sql.SQL("SELECT {} FROM {} ORDER BY {}").format(value, place, order)


def _opened(connection: Any, address: Address, role: Role, column: str | None) -> FlatFile:
    sql = package("psycopg.sql", address.shown, "a table of PostgreSQL")
    found = _chosen(connection, address, role, column)
    value = sql.SQL("{}::text" if found.kind in ("vector", "halfvec") else "to_json({})::text")
    asked = _all_of(sql, found, value.format(sql.Identifier(found.field)))
    named, dtype, d = f"{address.shown}[{found.name}]", np.dtype(DTYPES[found.kind]), found.d
    if d < 0:
        first = connection.execute(asked + sql.SQL(" LIMIT 1")).fetchone()
        d = 0 if first is None or first[0] is None else first[0].count(",") + 1

    def blocks() -> Iterator[NDArray[Any]]:
        done = 0
        with connection.cursor(name="tune") as cursor:
            cursor.itersize = BATCH_ROWS
            cursor.execute(asked)
            for values in batches(cursor):
                yield of_texts(values, d, dtype, named, done)
                done += len(values)

    return written(named, d, dtype, blocks())
