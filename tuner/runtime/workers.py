"""Work on several items, here one after the other, on a cluster side by side: the same functions of items."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Protocol, TypeVar

from tuner.runtime.process import use_threads
from tuner.runtime.steps import scaled
from tuner.types import Event, Steps

Item = TypeVar("Item")
T = TypeVar("T")


class Workers(Protocol):
    """Where work on items is done.

    Functions and items are sent to other machines: functions are found by their names, items are plain data.
    What a function keeps on disk lies in storage that all machines share.
    """

    @property
    def n_nodes(self) -> int:
        """Number of machines."""
        raise NotImplementedError

    @property
    def cpu_s_elsewhere(self) -> float:
        """CPU seconds of all ``spread`` so far in processes that are not children of this one."""
        raise NotImplementedError

    def spread(
        self, work: Callable[[Item], Steps[T]], items: Sequence[Item], *, whole_node: bool = True
    ) -> Steps[list[T]]:
        """Yield the share done; return the result of each item, in their order.

        Args:
            work: function of one item; done again where a machine was lost.
            items: what it is done on.
            whole_node: whether it has all cores of a machine, and nothing runs beside it; else it has one.
        """
        raise NotImplementedError

    def follow(
        self, work: Callable[[Item], Generator[Event, None, T]], item: Item
    ) -> Generator[Event, None, T]:
        """Yield the events of work on one item, which has a machine for itself; return its result."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return in words what is being done now, empty where there is nothing to add to the share."""
        raise NotImplementedError

    def describe_slowest(self) -> str:
        """Return in words which item of the last work kept the others waiting; empty where none did."""
        raise NotImplementedError


class LocalWorkers:
    """This process, which does one item after the other.

    Args:
        threads: number of threads, 0 for all cores.
    """

    n_nodes, cpu_s_elsewhere = 1, 0.0

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def spread(
        self, work: Callable[[Item], Steps[T]], items: Sequence[Item], *, whole_node: bool = True
    ) -> Steps[list[T]]:
        """Yield the share done; return the result of each item, in their order."""
        found = []
        for number, item in enumerate(items):
            use_threads(self.threads)
            found.append((yield from scaled(work(item), number / len(items), (number + 1) / len(items))))
        return found

    def follow(
        self, work: Callable[[Item], Generator[Event, None, T]], item: Item
    ) -> Generator[Event, None, T]:
        """Yield the events of work on one item; return its result."""
        use_threads(self.threads)
        return (yield from work(item))

    def describe(self) -> str:
        """Return nothing: the share says all."""
        return ""

    def describe_slowest(self) -> str:
        """Return nothing: no item waits for another."""
        return ""
