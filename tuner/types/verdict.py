"""A verdict, line by line."""

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
