"""Ids beside the vectors of a table: a column of the same rows, in the same order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tuner.data.formats.columns import column_of
from tuner.data.formats.regular import look_at
from tuner.data.formats.signatures import format_of
from tuner.data.sources.address import Address
from tuner.data.sources.chroma import chroma_ids
from tuner.data.sources.duckdb import duckdb_ids
from tuner.data.sources.lance import SUFFIX, lance_ids
from tuner.data.sources.postgres import postgres_ids
from tuner.data.sources.qdrant import qdrant_ids
from tuner.data.sources.remote import fetched
from tuner.data.sources.sqlite import sqlite_ids
from tuner.errors import InputError

OF_COLLECTIONS = {"chroma": chroma_ids, "qdrant": qdrant_ids}
OF_FILES = {"a SQLite file": sqlite_ids, "a DuckDB file": duckdb_ids}


def ids_at(address: Address, column: str | None, name: str, suffixes: frozenset[str]) -> NDArray[Any]:
    """Return the ids (n,) of a table, a collection or a file behind an address.

    Args:
        address: address of the vectors.
        column: column of the vectors.
        name: column of the ids.

    Raises:
        InputError: there is none that can be read.
    """
    if address.scheme in ("postgresql", "postgres"):
        return postgres_ids(address, column, name)
    if address.scheme in OF_COLLECTIONS:
        return OF_COLLECTIONS[address.scheme](address, name)
    copy = fetched(address)
    try:
        found = ids_in(copy.path, column, name)
        return column_of(copy.path, name, suffixes) if found is None else found
    except InputError as error:
        raise InputError(copy.as_given(str(error), address)) from None


def ids_in(path: Path, column: str | None, name: str) -> NDArray[Any] | None:
    """Return a column of ids (n,) of the table of a database file, None where it is no database.

    Args:
        column: column of the vectors.
        name: column of the ids.
    """
    source = os.fspath(path)
    if path.suffix == SUFFIX and path.is_dir():
        return lance_ids(path, source, name)
    if not path.is_file():
        return None
    reader = OF_FILES.get(format_of(look_at(path, source)[1]) or "")
    return None if reader is None else reader(path, source, column, name)
