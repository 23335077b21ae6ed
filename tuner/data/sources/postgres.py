"""A table of PostgreSQL: a column of pgvector's types, or of arrays."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.spool import written
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
    psycopg = package("psycopg", address.shown, "a table of PostgreSQL")
    try:
        with closing(psycopg.connect(address.without("table", "column"), connect_timeout=10)) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            return _opened(psycopg, connection, address, role, column)
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


def _opened(psycopg: Any, connection: Any, address: Address, role: Role, column: str | None) -> FlatFile:
    found = {}
    for schema, table, field, kind, keys in connection.execute(COLUMNS).fetchall():
        match, wanted = KIND.fullmatch(kind), address.asked.get("table", table)
        if match and wanted in (table, f"{schema}.{table}"):
            name = f"{table}.{field}" if schema == "public" else f"{schema}.{table}.{field}"
            found[name] = (schema, table, field, match[1], int(match[2] or -1), keys or ())
    field_asked = address.asked.get("column", column)
    name = chosen_column(
        {name: (-1, key[4]) for name, key in found.items()}, address.shown, role, field_asked
    )
    if name not in found:
        raise InputError(f"{address.shown}: {name} holds no vectors: name another column")
    schema, table, field, kind, d, keys = found[name]
    sql = psycopg.sql
    order = sql.SQL(", ").join(map(sql.Identifier, keys)) if keys else sql.SQL("ctid")
    value = sql.SQL("{}::text" if kind in ("vector", "halfvec") else "to_json({})::text")
    asked = sql.SQL("SELECT {} FROM {} ORDER BY {}").format(
        value.format(sql.Identifier(field)), sql.Identifier(schema, table), order
    )
    named, dtype = f"{address.shown}[{name}]", np.dtype(DTYPES[kind])
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
