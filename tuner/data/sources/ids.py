"""Ids beside the vectors of a table: a column of the same rows, in the same order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tuner.data.formats.regular import look_at
from tuner.data.formats.signatures import format_of
from tuner.data.sources.address import Address
from tuner.data.sources.duckdb import duckdb_ids
from tuner.data.sources.lance import SUFFIX, lance_ids
from tuner.data.sources.postgres import postgres_ids
from tuner.data.sources.sqlite import sqlite_ids
from tuner.errors import InputError

OF_FILES = {"a SQLite file": sqlite_ids, "a DuckDB file": duckdb_ids}


def ids_at(address: Address, column: str | None, name: str) -> NDArray[Any]:
    """Return a column of ids (n,) of a table behind an address.

    Raises:
        InputError: there is none that can be read.
    """
    if address.scheme in ("postgresql", "postgres"):
        return postgres_ids(address, column, name)
    raise InputError(f"--ids {name!r} is no file: those of {address.shown} are read from a file of their own")


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
