"""Sizes and durations as a user writes them, ``2GB`` and ``400us``, to bytes and seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

import click

BYTES = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}
BYTES |= {"kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}
SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_AMOUNT = re.compile(r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)\s*([a-zA-Zµμ]+)\s*(/\s*vector)?")


@dataclass(frozen=True, kw_only=True)
class MemoryLimit:
    """A limit on the resident index: in all, or for each vector."""

    total_bytes: int | None = None
    per_vector_bytes: float | None = None


def parse_size(text: str) -> MemoryLimit:
    """Return the limit that ``2GB``, ``600MiB`` or ``180B/vector`` stands for."""
    amount, unit, each = _amount(text)
    if unit.lower() not in BYTES:
        raise click.BadParameter(f"{text!r} is not a size: write 600MB, 2GiB or 180B/vector")
    size = amount * BYTES[unit.lower()]
    if size < 1:
        raise click.BadParameter(f"{text!r} holds no index: write a size above 0")
    return MemoryLimit(per_vector_bytes=size) if each else MemoryLimit(total_bytes=int(size))


def parse_numbers(text: str | float) -> tuple[float, ...]:
    """Return the numbers that ``0.95`` or ``0.95,0.99`` stands for."""
    try:
        return tuple(float(each) for each in str(text).split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no number: write 0.95, or 0.95,0.99 for several") from None


def parse_whole_numbers(text: str | int) -> tuple[int, ...]:
    """Return the whole numbers that ``10`` or ``10,100`` stands for."""
    try:
        return tuple(int(each) for each in str(text).split(","))
    except ValueError:
        raise click.BadParameter(f"{text!r} is no whole number: write 10, or 10,100 for several") from None


def parse_shares(text: str | tuple[float, ...]) -> tuple[float, ...]:
    """Return the shares that ``50%,10%`` or ``0.5,0.1`` stands for, the largest first."""
    if isinstance(text, tuple):
        return text
    try:
        shares = [
            float(each.strip().removesuffix("%")) / (100 if each.strip().endswith("%") else 1)
            for each in text.split(",")
        ]
    except ValueError:
        raise click.BadParameter(f"{text!r} is no list of shares: write 50%,10%,2%,0.5%") from None
    return tuple(sorted(shares, reverse=True))


def parse_duration(text: str) -> float:
    """Return the seconds that ``400us``, ``1.5ms``, ``90s``, ``10m`` or ``1h`` stands for."""
    amount, unit, each = _amount(text)
    if each or unit.lower() not in SECONDS:
        raise click.BadParameter(f"{text!r} is not a duration: write 400us, 1.5ms, 90s, 10m or 1h")
    if amount <= 0:
        raise click.BadParameter(f"{text!r} leaves no time: write a duration above 0")
    return amount * SECONDS[unit.lower()]


def _amount(text: str) -> tuple[float, str, bool]:
    """Return number, unit and whether it is for each vector; an empty unit if the text has no such form."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None:
        return 0.0, "", False
    return float(match[1]), match[2].replace("μ", "µ"), match[3] is not None
