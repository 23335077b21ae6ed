"""Vectors in a database or behind an address: read in batches into a copy, which goes after the run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tuner.data.formats.choice import Role
from tuner.data.formats.flat import FlatFile
from tuner.data.sources.address import Address
from tuner.data.sources.chroma import open_chroma
from tuner.data.sources.postgres import open_postgres
from tuner.data.sources.qdrant import open_qdrant

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
READERS: Mapping[str, Callable[[Address, Role, str | None], FlatFile]] = {
    "postgresql": open_postgres,
    "postgres": open_postgres,
    "qdrant": open_qdrant,
    "chroma": open_chroma,
}
"""Readers of databases by scheme; other schemes are fsspec's, and name files."""


def is_address(source: str) -> bool:
    """Return whether a source is an address and no path.

    >>> is_address("s3://bucket/x.npy"), is_address("shards/x.npy")
    (True, False)
    """
    return URL.match(source) is not None


def open_address(source: str, role: Role, column: str | None) -> FlatFile | None:
    """Return the vectors of a database, None where the address is that of a file.

    Args:
        source: such as ``postgresql://host/db?table=items&column=embedding``.
        role: what the vectors are.
        column: name of the column, where the address names none.

    Raises:
        InputError: the database cannot be reached, or it cannot be told which column is meant.
    """
    address = Address.of(source)
    reader = READERS.get(address.scheme)
    return None if reader is None else reader(address, role, column)


def shown(source: str) -> str:
    """Return an address as messages, reports and folders show it: without user, password and signature.

    >>> shown("postgresql://me:secret@db.example/x?table=t&password=p")
    'postgresql://db.example/x?table=t'
    """
    return Address.of(source).shown if is_address(source) else source
