"""What the tables of databases share: which column is meant, and rows of text or bytes as vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role, chosen
from tuner.data.sources.address import Address
from tuner.errors import InputError, TunerError

BATCH_ROWS = 4_096
ID = "id"
"""What the ids of a collection are asked for by, which are no column of it."""


def chosen_column(shapes: Mapping[str, tuple[int, ...]], source: str, role: Role, column: str | None) -> str:
    """Return which ``table.column`` is meant; the column alone will do where one table has it.

    Example:
        >>> chosen_column({"items.embedding": (9, 4), "logs.vector": (9, 2)}, "x.db", "base", "vector")
        'logs.vector'

    Raises:
        InputError: there is none, or it cannot be told which.
    """
    matching = [name for name in shapes if column is not None and name.rpartition(".")[2] == column]
    if len(matching) == 1:
        return matching[0]
    if len(matching) > 1:
        raise InputError(
            f"{source} has {column!r} in {len(matching)} tables: say which with --column {matching[0]}"
        )
    return chosen(shapes, source, role, column, "column of vectors")


@contextmanager
def chosen_collection(
    address: Address, client: Callable[[], Any], names: Callable[[Any], list[str]]
) -> Iterator[tuple[Any, str]]:
    """Give a client and the name of the collection that is meant; what the client raises becomes a sentence.

    Args:
        address: names the collection, or none where there is only one.
        client: opens the client.
        names: names of the collections that a client knows.

    Raises:
        InputError: it cannot be read, or it cannot be told which collection is meant.
    """
    try:
        opened = client()
        known = sorted(names(opened))
        name = address.asked.get("collection", known[0] if len(known) == 1 else "")
        if name not in known:
            there = ", ".join(known[:8]) or "none"
            raise InputError(f"{address.shown}: say which collection with ?collection=NAME: there is {there}")
        yield opened, name
    except TunerError:  # ours, such as a full disk
        raise
    except Exception as error:  # noqa: BLE001 - clients raise those of their databases and transports
        raise InputError(
            f"{address.shown}: cannot be read ({type(error).__name__}): check the address and the collection"
        ) from None


def quoted(name: str) -> str:
    """Return an identifier of SQL in quotes.

    >>> quoted("items")
    '"items"'
    """
    return '"' + name.replace('"', '""') + '"'


def of_texts(rows: Iterable[Any], d: int, dtype: np.dtype[Any], named: str, done: int) -> NDArray[Any]:
    """Return rows that are written as lists in JSON as a matrix.

    Args:
        rows: texts, None where a row is empty.
        d: numbers of each.
        dtype: type of the values.
        named: name of the column in messages.
        done: rows before these.
    """
    found: list[list[float]] = []
    for row, text in enumerate(rows, done):
        if text is None:
            raise InputError(f"{named}: row {row} is empty (NULL): leave such rows out, or embed them again")
        try:
            values = msgspec.json.decode(text, type=list[float])
        except (msgspec.DecodeError, TypeError):
            raise InputError(f"{named}: row {row} is no list of numbers: leave such rows out") from None
        _refuse_length(len(values), d, named, row)
        found.append(values)
    return np.array(found, dtype=dtype).reshape(len(found), d)


def of_bytes(rows: Iterable[Any], d: int, dtype: np.dtype[Any], named: str, done: int) -> NDArray[Any]:
    """Return rows that are the bytes of their values as a matrix; the rest is as in ``of_texts``."""
    found: list[bytes] = []
    for row, data in enumerate(rows, done):
        if data is None:
            raise InputError(f"{named}: row {row} is empty (NULL): leave such rows out, or embed them again")
        if not isinstance(data, bytes):
            raise InputError(
                f"{named}: row {row} is a {type(data).__name__} and no BLOB: leave such rows out"
            )
        _refuse_length(len(data) / dtype.itemsize, d, named, row)
        found.append(data)
    return np.frombuffer(b"".join(found), dtype=dtype).reshape(len(found), d)


def batches(cursor: Any) -> Iterator[list[Any]]:
    """Yield the single values of a cursor's rows, some thousand at a time."""
    while rows := cursor.fetchmany(BATCH_ROWS):
        yield [row[0] for row in rows]


def _refuse_length(length: float, d: int, named: str, row: int) -> None:
    if length != d:
        raise InputError(
            f"{named}: row {row} has {length:g} numbers, where the first has {d}: leave such rows out, or "
            "embed them again"
        )
