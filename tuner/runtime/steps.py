"""Long work as generators: they yield events or the share done, and return the result."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any, Generic, TypeVar

from tuner.types import Event, Progress, Steps

S = TypeVar("S")
T = TypeVar("T")


class Driver(Generic[S, T]):
    """Iterates over the steps of long work and keeps what it returns, which a ``for`` loop drops.

    Attributes:
        result: Return value of the work, once its last step was taken.

    Example:
        >>> driver = Driver(scaled((share for share in (0.0, 1.0)), 0.0, 0.5))
        >>> list(driver), driver.result
        ([0.0, 0.5], None)
    """

    result: T

    def __init__(self, steps: Generator[S, None, T]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[S]:
        """Take one step after the other."""
        self.result = yield from self._steps


def result_of(steps: Generator[Any, None, T]) -> T:
    """Return the result of long work, whatever it yields on the way."""
    driver = Driver(steps)
    for _ in driver:
        pass
    return driver.result


def scaled(steps: Steps[T], low: float, high: float) -> Steps[T]:
    """Yield the shares of ``steps`` as shares from ``low`` to ``high``; return its result."""
    driver = Driver(steps)
    for share in driver:
        yield low + (high - low) * share
    return driver.result


def as_progress(name: str, steps: Steps[T]) -> Generator[Event, None, T]:
    """Yield the shares of ``steps`` as progress of the stage ``name``; return its result."""
    driver = Driver(steps)
    for share in driver:
        yield Progress(name, share)
    return driver.result


def shares_of(events: Generator[Event, None, T]) -> Steps[T]:
    """Yield the share done of each progress among events; return their result."""
    driver = Driver(events)
    for event in driver:
        if isinstance(event, Progress):
            yield event.done
    return driver.result
