"""Text: rows of numbers with commas, tabs or spaces between them, and words with their vectors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats import csv_table
from tuner.data.formats.choice import Role
from tuner.data.formats.csv_table import ENCODING, ROWS, Columns, listed_blocks, numbers_at_the_end
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.spool import written
from tuner.errors import InputError

SEPARATORS = {**csv_table.SEPARATORS, ".txt": None, ".vec": None}
"""None is any white space."""
PLACE = re.compile(r"'(.*)' to float32 at row (\d+), column (\d+)")
CHANGED = re.compile(r"number of columns changed from (\d+) to (\d+) at row (\d+)")
DTYPE = np.dtype(np.float32)


class Layout(NamedTuple):
    """How rows are written.

    Attributes:
        separator: what stands between cells, None for white space.
        head: lines before the first row.
        columns: where vectors stand; a word may stand before them.
        alone: whether nothing else stands in a row.
    """

    separator: str | None
    head: int
    columns: Columns
    alone: bool = True


def open_text(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the rows of a text file as float32.

    A first line without numbers is one of names; two whole numbers before words are those of word2vec.

    Args:
        role: what the vectors are, which tells columns of usual names apart.
        column: name of the column of lists, or of numbered columns without their numbers; None for the only.

    Raises:
        InputError: it is no UTF-8, a cell is no number, or rows differ in length.
    """
    try:
        separator = SEPARATORS[path.suffix.lower()]
        found = _words(path) if separator is None else _table(path, source, separator, role, column)
        if found is None:
            raise InputError(
                f"{source}: the first row is no vector: give numbers alone, one list of numbers in a column, "
                "numbered columns, or one word before numbers with white space between them; or save the "
                "vectors with np.save"
            )
        return written(source, found.columns.d, DTYPE, _blocks(path, source, found))
    except UnicodeDecodeError:
        raise InputError(f"{source} is no UTF-8 text: save the vectors with np.save") from None


def _table(path: Path, source: str, separator: str, role: Role, column: str | None) -> Layout | None:
    with path.open(encoding=ENCODING, newline="") as file:
        rows = csv_table.rows_of(file, separator, source)
        first, second = next(rows, []), next(rows, [])
    head = csv_table.is_head(first)
    if head:
        columns = csv_table.columns_of(first, second, source, role, column)
        return None if columns is None else Layout(separator, 1, columns, columns.d == len(second))
    return Layout(separator, 0, Columns(0, len(first))) if numbers_at_the_end(first) == len(first) else None


def _words(path: Path) -> Layout | None:
    with path.open(encoding=ENCODING) as file:
        first, second = (_cells(file.readline()) for _ in range(2))
    head = not numbers_at_the_end(first) or _is_count(first, second)
    row = second if head else first
    d = numbers_at_the_end(row)
    return Layout(None, int(head), Columns(len(row) - d, d), d == len(row)) if d else None


def _is_count(first: list[str], second: list[str]) -> bool:
    """Return whether the first line is the two numbers that word2vec writes before words."""
    two = len(first) == 2 and all(cell.isdigit() for cell in first)
    return two and numbers_at_the_end(second) == int(first[1]) < len(second)


def _cells(line: str) -> list[str]:
    return [cell.strip('"') for cell in line.split()]


def _blocks(path: Path, source: str, layout: Layout) -> Iterator[NDArray[Any]]:
    """Yield the rows, some thousands at a time."""
    separator, columns = layout.separator, layout.columns
    if columns.listed and separator is not None:
        yield from listed_blocks(path, source, separator, columns)
        return
    used = range(columns.first, columns.first + columns.d) if separator else range(-columns.d, 0)
    done = 0
    with path.open(encoding=ENCODING) as file:
        for _ in range(layout.head):
            file.readline() if separator is None else next(csv_table.rows_of(file, separator, source))
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # that there is no more
                    block = np.loadtxt(
                        file,
                        dtype=DTYPE,
                        comments=None,
                        delimiter=separator,
                        usecols=None if layout.alone else used,
                        ndmin=2,
                        max_rows=ROWS,
                        quotechar='"',
                    )
            except ValueError as error:
                if isinstance(error, UnicodeDecodeError):
                    raise
                raise InputError(f"{source}: {_sentence(str(error), done)}") from None
            if not block.size:
                return
            if block.shape[1] != columns.d:
                raise InputError(
                    f"{source}: row {done} has {block.shape[1]} numbers, where the first has {columns.d}: "
                    "write it again"
                )
            yield block
            done += len(block)


def _sentence(error: str, done: int) -> str:
    """Return what numpy says of a cell, by its row in the file."""
    if found := PLACE.search(error):
        return (
            f"row {done + int(found[2])}, cell {found[3]} is {found[1]!r} and no number: leave such rows "
            "out, or save the vectors with np.save"
        )
    if found := CHANGED.search(error):
        return (
            f"row {done + int(found[3]) - 1} has {found[2]} numbers, where the one before has {found[1]}: "
            "write it again"
        )
    return f"rows from {done} on are no vectors ({error}): save them with np.save"
