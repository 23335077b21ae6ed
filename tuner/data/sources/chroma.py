"""A collection of Chroma in its folder, read page by page in the order that it was filled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
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
DATABASE = "chroma.sqlite3"


def open_chroma(address: Address, role: Role, column: str | None) -> FlatFile:
    """Return the embeddings of a collection.

    Args:
        address: ``chroma:///folder?collection=items``; the collection may be left out if there is only one.
        column: not used: an entry has one embedding.

    Raises:
        InputError: the folder holds no database of Chroma, or it cannot be told which collection is meant.
    """
    with _collection(address) as (collection, named):
        first = collection.get(limit=1, include=["embeddings"])["embeddings"]
        d = 0 if first is None or not len(first) else len(first[0])
        return written(named, d, DTYPE, _blocks(collection), collection.count())


def chroma_column(address: Address, name: str, wanted: Wanted[T]) -> T:
    """Return the ids (n,) of a collection, or what its metadata have of a name, in the order of its entries.

    Args:
        address: as for the embeddings.
        name: ``id``, or a key of the metadata.

    Raises:
        InputError: an entry has none, or as ``open_chroma``.
    """
    with _collection(address) as (collection, named):
        found: list[Any] = []
        for start in range(0, collection.count(), PAGE):
            page = collection.get(limit=PAGE, offset=start, include=["metadatas"])
            metadata = page["metadatas"] or []
            found += page["ids"] if name == ID else [(each or {}).get(name) for each in metadata]
        return wanted.of_values(found, f"{named}[{name}]")


@contextmanager
def _collection(address: Address) -> Iterator[tuple[Any, str]]:
    """Give a collection and its name in messages.

    Raises:
        InputError: the folder holds no database of Chroma, or it cannot be told which collection is meant.
    """
    folder = Path(address.path)
    if not (folder / DATABASE).is_file():  # its client would make one
        raise InputError(
            f"{address.shown}: {folder} holds no {DATABASE}: name the folder of Chroma's database"
        )
    chroma = package("chromadb", address.shown, "a collection of Chroma")

    def names(client: Any) -> list[str]:
        return [each.name for each in client.list_collections()]

    with chosen_collection(address, partial(chroma.PersistentClient, path=str(folder)), names) as (
        client,
        name,
    ):
        yield client.get_collection(name, embedding_function=None), f"{address.shown}[{name}]"


def _blocks(collection: Any) -> Iterator[NDArray[Any]]:
    for start in range(0, collection.count(), PAGE):
        page = collection.get(limit=PAGE, offset=start, include=["embeddings"])
        yield np.asarray(page["embeddings"], dtype=DTYPE)
