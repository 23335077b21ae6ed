"""The options that give filters, of every command that searches with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from tuner.cli.complete import complete_file

F = TypeVar("F", bound=Callable[..., Any])
FILTERS = (
    click.option(
        "--labels",
        metavar="FILE|NAME",
        shell_complete=complete_file,
        help="Labels of the rows, one or a list each: a file as for --ids, JSON, or a column of FILE.",
    ),
    click.option(
        "--query-labels",
        metavar="FILE|NAME",
        shell_complete=complete_file,
        help="Labels of the queries likewise: each may be answered with rows that have any of its labels.",
    ),
    click.option(
        "--filters",
        metavar="FILE",
        shell_complete=complete_file,
        help="Sparse matrix of scipy.sparse.save_npz: a row a query, an entry a row that is allowed.",
    ),
    click.option(
        "--where",
        metavar="SQL|NAME",
        help="Condition on the columns of FILE that allows rows, or a column of the queries with one each.",
    ),
)


def filter_options(command: F) -> F:
    """Give a command the options that give filters."""
    for option in reversed(FILTERS):
        command = option(command)
    return command
