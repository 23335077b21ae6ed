"""What commands show and write alike: tables, lines of a verdict, files that the user named."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from tuner.cli.draw import Screen, print_wrapped
from tuner.errors import InputError
from tuner.runtime.journal import write_atomically
from tuner.text import without_commands
from tuner.types import Line

STYLES = {"pass": "green", "fail": "bold red", "info": "dim", "warn": "yellow"}
GAP, A_FEW = 2, 4
"""Spaces between two columns, and letters that a column gets before wider ones get theirs."""


def write_file(path: Path | None, data: bytes) -> None:
    """Write a file that the user named, if one was.

    Raises:
        InputError: it cannot be written.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): name another file") from None


def say(text: str, *, err: bool = False) -> None:
    """Print one line, wrapped between words on a terminal; what it names may come from anywhere."""
    text = without_commands(text)
    if (sys.stderr if err else sys.stdout).isatty():
        width = shutil.get_terminal_size().columns
        text = textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)
    click.echo(text, err=err)


def refuse_to_replace(path: Path, *, force: bool, instead: str) -> None:
    """Raise InputError if a file is there and may not be replaced.

    Args:
        path: file to be written.
        force: whether it may be replaced.
        instead: what to do instead of ``--force``.
    """
    if path.exists() and not force:
        raise InputError(f"{path} is there already: use --force to replace it, or {instead}")


def show_table(screen: Screen, head: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table whose words are whole, unless it has no rows."""
    cells = [list(map(without_commands, row)) for row in rows]
    titles = list(head)
    widths = whole_words(list(zip(titles, *cells, strict=True)), screen.width)
    table = Table(box=None, pad_edge=False)
    for title, width in zip(titles, widths, strict=True):
        table.add_column(title, width=width, overflow="fold")
    for row in cells:
        table.add_row(*row)
    if cells:
        screen.print(table)


def whole_words(columns: list[tuple[str, ...]], width: int) -> list[int] | list[None]:
    """Return the width of each column of text in which no word is cut; None each where there is none.

    >>> whole_words([("a", "be"), ("to be or not", "to be")], 12)
    [2, 8]
    """
    widths = [max((len(word) for cell in column for word in cell.split()), default=0) for column in columns]
    spare = width - GAP * (len(columns) - 1) - sum(widths)
    if spare < 0:
        return [None] * len(columns)
    most = [max(map(len, column)) for column in columns]
    for number, short in enumerate(map(int.__sub__, most, widths)):
        if short <= min(A_FEW, spare):  # figures stay with their units
            widths[number] += short
            spare -= short
    while spare and (short := max(map(int.__sub__, most, widths))) > 0:
        widths[[m - w for m, w in zip(most, widths, strict=True)].index(short)] += 1
        spare -= 1
    return widths


def show_verdict(
    screen: Screen, lines: Iterable[Line], headline: str, json: str | bytes | None, *, quiet: bool
) -> None:
    """Print the lines of a verdict, what it comes to, and the same as JSON if that is wanted."""
    if not quiet:
        table = Table(box=None, show_header=False, pad_edge=False)
        for line in lines:
            status = Text(line.status, style=STYLES[line.status])
            table.add_row(status, without_commands(line.name), without_commands(line.text))
        screen.print(table)
    show_text(screen, headline)
    if json is not None:
        click.echo(json, nl=False)


def show_text(screen: Screen, text: str) -> None:
    """Print one paragraph."""
    print_wrapped(screen, without_commands(text))


def show_paragraph(screen: Screen, text: str) -> None:
    """Print one paragraph wrapped between words, wherever it goes: it stands among tables as wide."""
    screen.print(without_commands(text), markup=False, highlight=False)
