"""A verdict, line by line, and a loss, cause by cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["pass", "fail", "info", "warn"]
CauseName: TypeAlias = Literal[
    "missing rows",
    "stale rows",
    "re-ordered rows",
    "not normalised",
    "foreign rows",
    "repeated ids",
    "metric",
    "dimension cut",
    "codec",
    "re-ranking",
    "graph",
    "duplicates",
    "search",
    "query drift",
    "filter",
]
"""Every cause that can be named, from the file to the answers; reports hold these words."""


@dataclass(frozen=True)
class Line:
    """One thing that was looked at; only ``fail`` makes the whole fail."""

    name: str
    status: Status
    text: str


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One reason for lost recall.

    Attributes:
        name: name of the reason.
        share: recall that it takes away.
        text: what was seen, in words.
    """

    name: CauseName
    share: float
    text: str
