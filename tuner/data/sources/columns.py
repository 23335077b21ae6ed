"""A column beside the vectors of a table, ids or labels: of the same rows, in the same order."""

from __future__ import annotations

import os
from pathlib import Path

from tuner.data.formats.choice import Role
from tuner.data.formats.columns import column_of
from tuner.data.formats.regular import look_at
from tuner.data.formats.signatures import format_of
from tuner.data.formats.wanted import T, Wanted
from tuner.data.sources.address import Address
from tuner.data.sources.chroma import chroma_column
from tuner.data.sources.duckdb import duckdb_column
from tuner.data.sources.lance import SUFFIX, lance_column
from tuner.data.sources.postgres import postgres_column
from tuner.data.sources.qdrant import qdrant_column
from tuner.data.sources.remote import fetched
from tuner.data.sources.sqlite import sqlite_column
from tuner.errors import InputError

OF_COLLECTIONS = {"chroma": chroma_column, "qdrant": qdrant_column}
OF_FILES = {"a SQLite file": sqlite_column, "a DuckDB file": duckdb_column}


def column_at(
    address: Address, column: str | None, name: str, suffixes: frozenset[str], wanted: Wanted[T], role: Role
) -> T:
    """Return a column of a table, a collection or a file behind an address.

    Args:
        address: address of the vectors.
        column: column of the vectors.
        name: name of the column.
        wanted: what its rows are.
        role: what the vectors are.

    Raises:
        UnknownColumnError: there is none of that name.
        InputError: it cannot be read.
    """
    if address.scheme in ("postgresql", "postgres"):
        return postgres_column(address, column, name, wanted, role)
    if address.scheme in OF_COLLECTIONS:
        return OF_COLLECTIONS[address.scheme](address, name, wanted)
    copy = fetched(address)
    try:
        return column_in(copy.path, column, name, suffixes, wanted, role)
    except InputError as error:
        raise type(error)(copy.as_given(str(error), address)) from None


def column_in(
    path: Path, column: str | None, name: str, suffixes: frozenset[str], wanted: Wanted[T], role: Role
) -> T:
    """Return a column of a file, a folder or a pattern; the rest is as in ``column_at``."""
    source = os.fspath(path)
    if path.suffix == SUFFIX and path.is_dir():
        return lance_column(path, source, name, wanted)
    reader = OF_FILES.get(format_of(look_at(path, source)[1]) or "") if path.is_file() else None
    if reader is not None:
        return reader(path, source, column, name, wanted, role)
    return column_of(path, name, suffixes, wanted, role)
