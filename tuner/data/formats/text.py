"""Text: rows of numbers with commas, tabs or spaces between them, and words with their vectors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.flat import FlatFile
from tuner.data.formats.spool import written
from tuner.errors import InputError

SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None, ".vec": None}
"""None is any white space."""
ROWS = 4_096
PLACE = re.compile(r"'(.*)' to float32 at row (\d+), column (\d+)")
CHANGED = re.compile(r"number of columns changed from (\d+) to (\d+) at row (\d+)")
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?|[-+]?(nan|inf)", re.IGNORECASE)
DTYPE = np.dtype(np.float32)


class Layout(NamedTuple):
    """How rows are written.

    Attributes:
        separator: what stands between numbers, None for white space.
        head: lines before the first row.
        d: numbers of a row.
        words: whether a word stands before them.
    """

    separator: str | None
    head: int
    d: int
    words: bool


def open_text(path: Path, source: str) -> FlatFile:
    """Return the rows of a text file as float32.

    A first line without numbers is one of names; two whole numbers before words are those of word2vec.

    Raises:
        InputError: it is no UTF-8, a cell is no number, or rows differ in length.
    """
    try:
        layout = _layout(path, source)
        return written(source, layout.d, DTYPE, _blocks(path, source, layout))
    except UnicodeDecodeError:
        raise InputError(f"{source} is no UTF-8 text: save the vectors with np.save") from None


def _layout(path: Path, source: str) -> Layout:
    separator = SEPARATORS[path.suffix.lower()]
    with path.open(encoding="utf-8-sig") as file:
        first, second = (_cells(file.readline(), separator) for _ in range(2))
    head = int(_is_head(first, second, separator))
    row = second if head else first
    d = _numbers_at_the_end(row)
    words = separator is None and 0 < d < len(row)
    if not d or (d < len(row) and not words):
        raise InputError(
            f"{source}: line {head + 1} is no vector: give numbers alone, or one word before numbers with "
            "white space between them; or save the vectors with np.save"
        )
    return Layout(separator, head, d, words)


def _is_head(first: list[str], second: list[str], separator: str | None) -> bool:
    """Return whether the first line is one of names, or the two numbers that word2vec writes before words."""
    if not _numbers_at_the_end(first):
        return True
    two = separator is None and len(first) == 2 and all(cell.isdigit() for cell in first)
    return two and _numbers_at_the_end(second) == int(first[1]) < len(second)


def _cells(line: str, separator: str | None) -> list[str]:
    return [cell.strip().strip('"') for cell in line.strip().split(separator)]


def _numbers_at_the_end(cells: list[str]) -> int:
    return sum(1 for _ in takewhile(NUMBER.fullmatch, reversed(cells)))


def _blocks(path: Path, source: str, layout: Layout) -> Iterator[NDArray[Any]]:
    """Yield the rows, some thousands at a time."""
    done = 0
    columns = range(-layout.d, 0) if layout.words else None
    with path.open(encoding="utf-8-sig") as file:
        for _ in range(layout.head):
            file.readline()
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", UserWarning)  # that there is no more
                    block = np.loadtxt(
                        file,
                        dtype=DTYPE,
                        comments=None,
                        delimiter=layout.separator,
                        usecols=columns,
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
            if block.shape[1] != layout.d:
                raise InputError(
                    f"{source}: row {done} has {block.shape[1]} numbers, where the first has {layout.d}: "
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
