"""Long work as generators: they yield the share done and return the result."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, TypeVar

from tuner.types import Steps

T = TypeVar("T")


def result_of(steps: Generator[Any, None, T]) -> T:
    """Return the result of long work, whatever it yields on the way."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result


def scaled(steps: Steps[T], low: float, high: float) -> Steps[T]:
    """Yield the shares of ``steps`` as shares from ``low`` to ``high``; return its result."""
    while True:
        try:
            yield low + (high - low) * next(steps)
        except StopIteration as stop:
            result: T = stop.value
            return result
