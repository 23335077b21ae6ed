"""Text from outside on one line: names of files, labels, dates, whatever a report or an error message says.

Every writer of a report, an exported file, XML or an annotation sends what it is given through here.
Python, SQL, YAML, Markdown and CI each end a comment, a cell or a command at another set of characters;
what is taken out here is the union of those sets.
"""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

T = TypeVar("T")

UNSAFE = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: line ends, escape sequences of terminals, U+0085
    "\u2028\u2029"  # line ends of YAML 1.1, JavaScript, str.splitlines
    "\u202a-\u202e\u2066-\u2069"  # bidirectional controls (CVE-2021-42574)
    "\ud800-\udfff\ufffe\uffff"  # no characters: neither UTF-8 nor XML can hold them
)
_RUN = re.compile(f"[ ]*[{UNSAFE}][ {UNSAFE}]*")
_UNSAFE = re.compile(f"[{UNSAFE}]")
_UNSAFE_IN_FILES = re.compile(f"(?![\n\r\t])[{UNSAFE}]")
_COMMAND = re.compile(r":(:[a-z][a-z-]*(?: [^:]*)?::)|#(#\[)")
"""Workflow commands: GitHub looks for ``::name`` behind the spaces of a line, and for ``##[`` anywhere."""


def one_line(text: str) -> str:
    """Return text without control characters; a run of them, with the spaces around it, is one space.

    >>> one_line("a.npy\\nimport os")
    'a.npy import os'
    """
    return _RUN.sub(" ", text).strip() if _UNSAFE.search(text) else text


def one_lined(found: T) -> T:
    """Return a dataclass, mapping or sequence with every text in it on one line.

    >>> one_lined({"created": ["today\\r\\n"]})
    {'created': ['today']}
    """
    return cast("T", _one_lined(found))


def _one_lined(found: Any) -> Any:
    if isinstance(found, str):
        return one_line(found)
    if isinstance(found, dict):
        return {_one_lined(key): _one_lined(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return type(found)(_one_lined(each) for each in found)
    if is_dataclass(found) and not isinstance(found, type):
        return replace(found, **{each.name: _one_lined(getattr(found, each.name)) for each in fields(found)})
    return found


def without_commands(text: str) -> str:
    """Return text on one line that no CI takes for a command, wherever a terminal breaks it.

    >>> without_commands("x ::set-output name=a::b")
    'x : :set-output name=a::b'
    """
    return _COMMAND.sub(lambda found: f": {found[1]}" if found[1] else f"# {found[2]}", one_line(text))


def unsafe_character(text: str) -> str | None:
    """Return the first control character of a text file, but for tabs and line ends; None without any."""
    found = _UNSAFE_IN_FILES.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def counted(n: int, one: str, many: str = "") -> str:
    """``1 row``, ``2 rows``."""
    return f"{n:,} {one if n == 1 else many or one + 's'}"
