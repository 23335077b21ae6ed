"""What is read of a column beside the vectors, ids or labels: one set of readers serves all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from tuner.errors import InputError

T = TypeVar("T")
WHOLE = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
TEXT = ("string", "large_string", "string_view")
"""Arrow's names of types."""


class UnknownColumnError(InputError):
    """There is no column of the name that was asked for."""


@dataclass(frozen=True)
class Wanted(Generic[T]):
    """What the rows of a column are, and how each kind of source becomes it.

    Attributes:
        option: option that asked for it, in messages.
        things: what the rows hold, in messages, such as ``ids``.
        one: one of them.
        of_json: type of a row in JSON, as msgspec takes it.
        in_lists: whether a row may be a list of them.
        of_arrow: takes a column of Arrow and its name in messages.
        of_array: takes an array and its name in messages.
        of_values: takes the values of a database and their name in messages.
        joined: takes what the files of a folder have, in order.
    """

    option: str
    things: str
    one: str
    of_json: Any
    in_lists: bool
    of_arrow: Callable[[Any, str], T]
    of_array: Callable[[NDArray[Any], str], T]
    of_values: Callable[[Iterable[Any], str], T]
    joined: Callable[[Sequence[T]], T]

    @property
    def form(self) -> str:
        """What a list of them is, for whoever gave another file."""
        return f"give a .npy of integers or of text, or a text file with one {self.one} a line"

    def unknown(self, name: str, source: str, known: str) -> UnknownColumnError:
        """Return the sentence for a name that is no column.

        Args:
            known: what there is instead.
        """
        return UnknownColumnError(f"{self.option} {name!r} is no file and no column of {source}, {known}")

    def without_columns(self, name: str, source: str) -> UnknownColumnError:
        """Return the sentence for a name where nothing has one."""
        return UnknownColumnError(
            f"{self.option} {name!r} is no file, and {source} has no named columns: name a file of "
            f"{self.things}"
        )


def ids_of_arrow(column: Any, named: str, things: str = "ids") -> NDArray[Any]:
    """Return a column of Arrow as ids (n,), or other single values: integers or text.

    Raises:
        InputError: it holds something else, or empty rows.
    """
    column.validate(full=True)
    if column.null_count:
        raise InputError(f"{named} has empty rows (null), and {things} are one a row: fill them")
    if str(column.type) not in (*WHOLE, *TEXT):
        raise InputError(f"{named} holds {column.type}, and {things} are whole numbers or text: name another")
    values = column.to_numpy()
    return np.array(values.tolist(), dtype=np.str_) if str(column.type) in TEXT else values


def as_ids(values: Iterable[Any], named: str, things: str = "ids") -> NDArray[Any]:
    """Return the values of a column as ids (n,), or other single values: integers or text.

    Args:
        values: values of all rows.
        named: name of the column in messages.
        things: what they are in messages.

    Raises:
        InputError: one is empty, or neither a whole number nor text.
    """
    found = list(values)
    for row, value in enumerate(found):
        if value is None:
            raise InputError(f"{named}: row {row} is empty (NULL), and {things} are one a row: fill them")
        if isinstance(value, bool) or not isinstance(value, int | str | UUID):
            raise InputError(
                f"{named}: row {row} holds a {type(value).__name__}, and {things} are whole numbers or text: "
                "name another"
            )
    whole = all(isinstance(value, int) for value in found)
    return np.array(found if whole else [str(value) for value in found])


def _as_it_is(values: NDArray[Any], named: str) -> NDArray[Any]:
    """Return an array, which whoever asked for it checks."""
    return values


def single(option: str, things: str, one: str) -> Wanted[NDArray[Any]]:
    """Return what is read where each row has a whole number or a text."""
    of_arrow, of_values = partial(ids_of_arrow, things=things), partial(as_ids, things=things)
    return Wanted(option, things, one, int | str, False, of_arrow, _as_it_is, of_values, np.concatenate)


IDS = single("--ids", "ids", "id")
