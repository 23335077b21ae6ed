"""A verdict, line by line, and a loss, cause by cause."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["pass", "fail", "info", "warn"]


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
        share: recall that it takes away.
        text: what was seen, in words.
    """

    name: str
    share: float
    text: str
