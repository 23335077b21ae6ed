"""Long work as generators: they yield the share done and return the result."""

from __future__ import annotations

from typing import TypeVar

from tuner.types import Steps

T = TypeVar("T")


def scaled(steps: Steps[T], low: float, high: float) -> Steps[T]:
    """Yield the shares of ``steps`` as shares from ``low`` to ``high``; return its result."""
    while True:
        try:
            yield low + (high - low) * next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
