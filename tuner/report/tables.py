"""Markdown tables and lists."""

import re
from collections.abc import Collection, Iterable, Iterator

from tuner.text import one_line
from tuner.types import OperatingPoint


def code_span(point: OperatingPoint) -> str:
    """The label of the point's index, as code."""
    return f"`{plain(point.configuration.label)}`"


def optional(value: float | None, spec: str) -> str:
    """The figure, or a dash."""
    return "-" if value is None else format(value, spec)


def plain(text: str) -> str:
    """Text that cannot end a table cell, a code span or a line."""
    return one_line(text).replace("|", "/").replace("`", "'")


def prose(text: str) -> str:
    """Text outside a code span, which cannot end a line or open an HTML tag."""
    return re.sub("<(?=[A-Za-z/!?])", "&lt;", one_line(text))


def cell(text: str) -> str:
    """Text as it is, which cannot end a table cell or a line."""
    return one_line(text).replace("|", "\\|")


def facts(*pairs: tuple[str, str]) -> Iterator[str]:
    """A list of names with what is known of each."""
    return (f"- {prose(name)}: {prose(value)}" for name, value in pairs)


def table(head: Iterable[str], rows: Iterable[Iterable[str]], words: Collection[str] = ()) -> Iterator[str]:
    """A table, a line at a time.

    Args:
        head: names of the columns.
        rows: the cells of each row.
        words: names of columns that hold words, which begin at the left.
    """
    names = tuple(head)
    yield f"| {' | '.join(names)} |"
    yield f"|{''.join(':---|' if name in words else '---|' for name in names)}"
    yield from (f"| {' | '.join(map(prose, row))} |" for row in rows)
