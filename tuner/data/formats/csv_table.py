"""A table of text with names of columns: a list of numbers in one of them, or numbers in numbered ones."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import islice, takewhile
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import Role, chosen
from tuner.errors import InputError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)
NUMBERED = re.compile(r"(.*?)(\d+)")
KEYS = frozenset({"", "id", "ids", "index", "idx", "key", "uuid", "row", "unnamed: 0"})
"""Names, in lower case, of a first column that is no part of a vector: the first is the one pandas writes."""
FEWEST = 8
"""Whole numbers in ascending order from which on a first line is one of names, as pandas makes them."""
ROWS = 4_096
ENCODING = "utf-8-sig"


class Columns(NamedTuple):
    """Where the vector of a row stands.

    Attributes:
        first: number of its first column.
        d: its numbers.
        listed: whether they are a list in that one column.
    """

    first: int
    d: int
    listed: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix, with -1 for rows that were not counted."""
        return -1, self.d


def numbers_at_the_end(cells: list[str]) -> int:
    """Return how many of the last cells are numbers."""
    return sum(1 for _ in takewhile(NUMBER.fullmatch, reversed(cells)))


def is_head(cells: list[str]) -> bool:
    """Return whether a line is one of names.

    >>> is_head(["id", "e0", "e1"]), is_head(["0.5", "1"]), is_head(["", *map(str, range(8))])
    (True, False, True)
    """
    n = numbers_at_the_end(cells)
    if not n:
        return True
    return n >= FEWEST and cells[-n:] in ([*map(str, range(n))], [*map(str, range(1, n + 1))])


def columns_of(
    names: list[str], row: list[str], source: str, role: Role, column: str | None
) -> Columns | None:
    """Return where vectors stand in a table, by its names and its first row; None where there are none.

    Raises:
        InputError: it cannot be told, or there is no column of the name that was asked for.
    """
    if not names or len(names) != len(row):
        return None
    found = _listed(names, row) or _numbered(names, row)
    if found:
        shapes = {name: () if name not in found else found[name].shape for name in (*names, *found)}
        name = chosen(shapes, source, role, column, "column")
        if name not in found:
            raise InputError(f"{source}: {name} holds {row[names.index(name)]!r:.40}, and no list of numbers")
        return found[name]
    return _last(names, row)


def _last(names: list[str], row: list[str]) -> Columns | None:
    """Return the numbers at the end of a row without a key before them, None without any."""
    first = len(row) - numbers_at_the_end(row)
    first += first == 0 and names[0].lower() in KEYS and len(row) > 1
    return Columns(first, len(row) - first) if first < len(row) else None


def _listed(names: list[str], row: list[str]) -> dict[str, Columns]:
    """Return the columns whose first cell is a list of numbers."""
    found = {}
    for place, (name, cell) in enumerate(zip(names, row, strict=True)):
        values = list_of(cell) if cell.startswith("[") else None
        if values is not None and len(values):
            found[name] = Columns(place, len(values), listed=True)
    return found


def _numbered(names: list[str], row: list[str]) -> dict[str, Columns]:
    """Return the runs of two and more columns of one name and ascending numbers that hold numbers."""
    found: dict[str, Columns] = {}
    begin, parts = 0, [NUMBERED.fullmatch(name) for name in names]
    for place in range(1, len(names) + 1):
        before, here = parts[place - 1], parts[place] if place < len(names) else None
        goes_on = (
            before is not None
            and here is not None
            and before[1] == here[1]
            and int(here[2]) == int(before[2]) + 1
        )
        if goes_on:
            continue
        if before is not None and place - begin > 1 and all(map(NUMBER.fullmatch, row[begin:place])):
            found[before[1].rstrip("_-. ") or names[begin]] = Columns(begin, place - begin)
        begin = place
    return found


def list_of(cell: str) -> NDArray[np.float32] | None:
    """Return the numbers of a list as JSON or numpy write it, None where it is none.

    >>> list_of("[0.5, 1]").tolist(), list_of("[0.5 1. ]").tolist(), list_of("[a]")
    ([0.5, 1.0], [0.5, 1.0], None)
    """
    try:
        values: list[Any] = msgspec.json.decode(cell, type=list[float])
    except msgspec.DecodeError:
        values = cell.removeprefix("[").removesuffix("]").replace(",", " ").split()
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 is infinite, and told by its row
            return np.array(values, dtype=np.float64).astype(np.float32)
    except ValueError:
        return None


def rows_of(file: IO[str], separator: str, source: str) -> Iterator[list[str]]:
    """Yield the cells of each row; empty lines are none.

    Raises:
        InputError: a cell is longer than can be read.
    """
    try:
        for row in csv.reader(file, delimiter=separator, skipinitialspace=True):
            if row:
                yield [cell.strip() for cell in row]
    except csv.Error as error:
        raise InputError(f"{source} is no table ({error}): save the vectors with np.save") from None


def listed_blocks(path: Path, source: str, separator: str, columns: Columns) -> Iterator[NDArray[Any]]:
    """Yield the lists of a column, some thousands of rows at a time.

    Raises:
        InputError: a row has none, or one of another length.
    """
    done, place = 0, columns.first
    with path.open(encoding=ENCODING, newline="") as file:
        rows = rows_of(file, separator, source)
        next(rows)
        while block := list(islice(rows, ROWS)):
            values = [list_of(row[place]) if place < len(row) else None for row in block]
            for number, each in enumerate(values):
                if each is None or len(each) != columns.d:
                    raise InputError(_sentence(source, done + number, block[number], each, columns))
            yield np.array(values, dtype=np.float32)
            done += len(block)


def _sentence(
    source: str, row: int, cells: list[str], found: NDArray[np.float32] | None, columns: Columns
) -> str:
    at = f"{source}: row {row}"
    if found is not None:
        return f"{at} has {len(found)} numbers, where the first has {columns.d}: write it again"
    cell = cells[columns.first] if columns.first < len(cells) else ""
    if "..." in cell:
        return f"{at} was shortened to '...' when it was written: save the vectors with np.save"
    return f"{at} has {cell!r:.40} and no list of numbers: leave such rows out"


def csv_names(path: Path) -> list[str]:
    """Return the names of the columns of a table, none where it has no line of names."""
    with path.open(encoding=ENCODING, newline="", errors="replace") as file:
        names = next(rows_of(file, SEPARATORS[path.suffix.lower()], str(path)), [])
    return names if is_head(names) else []


def csv_column(path: Path, source: str, name: str) -> NDArray[np.str_]:
    """Return the cells (n,) of a column that a table has.

    Raises:
        InputError: a row is shorter, or it is no text.
    """
    try:
        with path.open(encoding=ENCODING, newline="") as file:
            rows = rows_of(file, SEPARATORS[path.suffix.lower()], source)
            names = next(rows)
            place = names.index(name)
            first = next(rows, [])
            _refuse_part_of_vector(names, first, place, source)
            cells = [row[place] if place < len(row) else None for row in (first, *rows)]
    except UnicodeDecodeError:
        raise InputError(f"{source} is no UTF-8 text: write it again") from None
    if None in cells:
        raise InputError(f"{source}: row {cells.index(None)} ends before {name}: write it again")
    return np.array(cells, dtype=np.str_)


def _refuse_part_of_vector(names: list[str], row: list[str], place: int, source: str) -> None:
    """Raise InputError if a column was taken for one of the numbers of the vector."""
    if len(names) != len(row) or _listed(names, row) or _numbered(names, row):
        return
    columns = _last(names, row)
    if columns is not None and columns.first <= place < columns.first + columns.d:
        raise InputError(
            f"{source}: {names[place]} stands among the numbers of the vectors: number the names of these, "
            "as in e0, e1, or call it id"
        )
