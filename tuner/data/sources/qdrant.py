"""A collection of Qdrant, read page by page in the order of its ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.packages import package
from tuner.data.formats.spool import written
from tuner.data.formats.wanted import T, Wanted
from tuner.data.sources.address import Address
from tuner.data.sources.tables import ID, chosen_collection
from tuner.errors import InputError

DTYPE = np.dtype(np.float32)
PAGE = 1_000


def open_qdrant(address: Address, role: Role, column: str | None) -> FlatFile:
    """Return the vectors of a collection, in the order of their ids.

    Args:
        address: ``qdrant://host:6333?collection=items``, with ``api_key=`` and ``vector=`` where they are
            needed. A folder is not read: the client's local mode unpickles what lies in it.
        column: name of the vector, where points have several and the address names none.

    Raises:
        InputError: it cannot be reached, or it cannot be told which vectors are meant.
    """
    with _collection(address) as (client, name):
        kinds = client.get_collection(name).config.params.vectors
        vector = _vector(kinds, address, column)
        d = kinds[vector].size if isinstance(kinds, dict) else kinds.size
        named = f"{address.shown}[{name}]"
        return written(named, d, DTYPE, _blocks(client, name, vector, d, named))


def qdrant_column(address: Address, name: str, wanted: Wanted[T]) -> T:
    """Return the ids (n,) of the points, or what their payloads have of a name, in the order of the points.

    Args:
        address: as for the vectors.
        name: ``id``, or a key of the payloads.

    Raises:
        InputError: a point has none, or as ``open_qdrant``.
    """
    with _collection(address) as (client, collection):
        pages = _pages(client, collection, with_vectors=False, with_payload=False if name == ID else [name])
        found = [
            point.id if name == ID else (point.payload or {}).get(name) for page in pages for point in page
        ]
        return wanted.of_values(found, f"{address.shown}[{collection}][{name}]")


def _collection(address: Address) -> AbstractContextManager[tuple[Any, str]]:
    """Give a client and the name of the collection.

    Raises:
        InputError: it cannot be reached, or it cannot be told which collection is meant.
    """
    qdrant = package("qdrant_client", address.shown, "a collection of Qdrant")

    def names(client: Any) -> list[str]:
        return [each.name for each in client.get_collections().collections]

    return chosen_collection(address, partial(_client, qdrant, address), names)


def _client(qdrant: Any, address: Address) -> Any:
    if not address.host:
        raise InputError(f"{address.shown} names no server: give qdrant://host:6333?collection=NAME")
    host, _, port = address.host.partition(":")
    key = address.asked.get("api_key")
    return qdrant.QdrantClient(
        host=host, port=int(port or 6333), api_key=key, https=bool(key) or None, timeout=30
    )


def _vector(kinds: Any, address: Address, column: str | None) -> str | None:
    """Return the name of the vector that is meant, None where points have one without a name."""
    if not isinstance(kinds, dict):
        return None
    name = address.asked.get("vector", column)
    if name is None and len(kinds) == 1:
        return str(next(iter(kinds)))
    if name not in kinds:
        there = ", ".join(sorted(kinds)[:8]) or "none"
        raise InputError(f"{address.shown}: say which vectors with --column: there is {there}")
    return name


def _pages(client: Any, name: str, **wanted: Any) -> Iterator[list[Any]]:
    offset = None
    while True:
        points, offset = client.scroll(name, limit=PAGE, offset=offset, **wanted)
        yield points
        if offset is None:
            return


def _blocks(client: Any, name: str, vector: str | None, d: int, named: str) -> Iterator[NDArray[Any]]:
    done = 0
    for points in _pages(client, name, with_vectors=True if vector is None else [vector], with_payload=False):
        rows = [point.vector if vector is None else (point.vector or {}).get(vector) for point in points]
        for row, value in enumerate(rows, done):
            if value is None or len(value) != d:
                raise InputError(f"{named}: row {row} has no such vector: leave such points out")
        if rows:
            yield np.array(rows, dtype=DTYPE)
        done += len(rows)
