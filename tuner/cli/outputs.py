"""What commands show and write alike: tables, lines of a verdict, files that the user named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click
from rich.table import Table
from rich.text import Text

from tuner.cli.draw import Screen
from tuner.errors import InputError
from tuner.runtime.journal import write_atomically
from tuner.text import without_commands
from tuner.types import Line

STYLES = {"pass": "green", "fail": "bold red", "info": "dim", "warn": "yellow"}


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
    """Print one line; what it names may come from anywhere."""
    click.echo(without_commands(text), err=err)


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
    """Print a table, unless it has no rows."""
    table = Table(*head, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*map(without_commands, row))
    if table.row_count:
        screen.print(table)


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
    """Print one paragraph, left to the terminal to wrap."""
    screen.print(without_commands(text), markup=False, highlight=False, soft_wrap=True)
