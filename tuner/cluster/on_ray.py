"""Workers on a Ray cluster: the one module that knows Ray.

Ray has the queue, the machines, the retries and the way back of results. A task takes all cores of a machine,
unless it needs one alone, so that nothing runs beside what is timed.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from tuner.errors import InputError, ResourceError, TunerError
from tuner.runtime.journal import cpu_seconds
from tuner.runtime.process import use_threads
from tuner.runtime.steps import Driver
from tuner.runtime.workers import LocalWorkers, Workers
from tuner.types import Event, Steps

Item = TypeVar("Item")
T = TypeVar("T")
RETRIES = 5
"""Times that Ray does a task again whose process or machine was lost."""
LOOKED_S, SHOWN_S = 0.2, 1.0
"""Seconds between two looks at what runs, and between two words of a task about itself."""
SLOW = 1.5
"""Times the median from which on an item is one that others waited for."""
ANSWERS_S = 5.0
"""Seconds after which a cluster that does not answer is not there."""
START = "ray start --head"


@contextmanager
def workers_of(ray: str | None, threads: int) -> Iterator[Workers]:
    """Hand out the workers of a Ray cluster, or this process where none is named."""
    if ray is None:
        yield LocalWorkers(threads)
        return
    with ray_workers(ray) as workers:
        yield workers


@contextmanager
def ray_workers(address: str) -> Iterator[RayWorkers]:
    """Hand out the workers of a cluster.

    Args:
        address: address of a cluster, ``auto`` for the one that runs here, ``local`` to start one here.

    Raises:
        InputError: Ray is not installed, or there is no such cluster.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or Ray warns of it
    try:
        import ray  # noqa: PLC0415 - only where it is asked for
    except ImportError:
        raise InputError("--ray needs ray, which is not installed: pip install '.[ray]'") from None
    own = {"include_dashboard": False} if address == "local" else {"address": address}
    try:
        _check_answers(address)
        ray.init(**own, log_to_driver=False, logging_level=logging.ERROR, configure_logging=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(
            f"--ray {address}: no Ray cluster answers there ({str(error).splitlines()[0]:.80}): start one "
            f"with {START}, or give --ray local"
        ) from None
    try:
        yield RayWorkers(ray)
    finally:
        ray.shutdown()


def _check_answers(address: str) -> None:
    """Raise OSError if nothing listens at an address: Ray itself tries for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), timeout=ANSWERS_S).close()


@dataclass
class _Board:
    """What tasks say of themselves while they run."""

    shares: dict[str, float] = field(default_factory=dict)
    events: dict[str, list[Event]] = field(default_factory=dict)

    def put(self, key: str, share: float) -> None:
        self.shares[key] = share

    def tell(self, key: str, event: Event) -> None:
        self.events.setdefault(key, []).append(event)

    def read(self) -> dict[str, float]:
        return self.shares

    def events_since(self, key: str, number: int) -> list[Event]:
        return self.events.get(key, [])[number:]


@dataclass(frozen=True)
class _Done:
    """What a task gave, the machine that did it and the seconds it took."""

    value: Any
    machine: str
    wall_s: float
    cpu_s: float


def _do(work: Callable[[Any], Steps[Any]], item: Any, board: Any, key: str, threads: int) -> _Done:
    started_s, shown_s = (time.perf_counter(), cpu_seconds()), 0.0
    use_threads(threads)
    steps = Driver(work(item))
    for share in steps:
        if time.perf_counter() - shown_s > SHOWN_S:
            board.put.remote(key, share)
            shown_s = time.perf_counter()
    return _done(steps.result, started_s)


def _do_events(
    work: Callable[[Any], Generator[Event, None, Any]], item: Any, board: Any, key: str, threads: int
) -> _Done:
    started_s = time.perf_counter(), cpu_seconds()
    use_threads(threads)
    steps = Driver(work(item))
    for event in steps:
        board.tell.remote(key, event)
    return _done(steps.result, started_s)


def _done(value: Any, started_s: tuple[float, float]) -> _Done:
    import ray  # noqa: PLC0415 - this runs on a machine of a cluster

    took = time.perf_counter() - started_s[0], cpu_seconds() - started_s[1]
    return _Done(value, str(ray.get_runtime_context().get_node_id())[:8], *took)


class RayWorkers:
    """The machines of a cluster.

    Args:
        ray: the module.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        here = self._on(ray.get_runtime_context().get_node_id())
        actor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Board)
        self._board = actor.options(scheduling_strategy=here).remote()
        self._running: dict[Any, int] = {}
        self._shares: dict[str, float] = {}
        self._finished: dict[int, _Done] = {}
        self._n_items = self._n_maps = 0
        self.cpu_s_elsewhere = 0.0

    @property
    def n_nodes(self) -> int:
        """Number of machines that are there now."""
        return len(self._nodes())

    def spread(
        self, work: Callable[[Item], Steps[T]], items: Sequence[Item], *, whole_node: bool = True
    ) -> Steps[list[T]]:
        """Yield the share done; return the result of each item, in their order."""
        self._begin(len(items))
        nodes = self._nodes()
        cores = min(int(node["Resources"].get("CPU", 1)) for node in nodes) if whole_node else 1
        task = self._ray.remote(_do)
        for number, item in enumerate(items):
            node = nodes[number % len(nodes)]["NodeID"]
            options = {"num_cpus": cores, "max_retries": RETRIES, "scheduling_strategy": self._on(node)}
            ref = task.options(**options).remote(work, item, self._board, self._key(number), cores)
            self._running[ref] = number
        while self._running:
            for ref in self._ended():
                number = self._running.pop(ref)
                self._finished[number] = self._value_of(ref)
                self.cpu_s_elsewhere += self._finished[number].cpu_s
            self._shares = self._now()
            yield self._share()
        return [self._finished[number].value for number in range(len(items))]

    def follow(
        self, work: Callable[[Item], Generator[Event, None, T]], item: Item
    ) -> Generator[Event, None, T]:
        """Yield the events of work on one item, on a machine that does nothing else; return its result."""
        self._begin(1)
        node = self._nodes()[0]
        cores = int(node["Resources"].get("CPU", 1))
        options = {"num_cpus": cores, "max_retries": RETRIES, "scheduling_strategy": self._on(node["NodeID"])}
        key = self._key(0)
        ref = self._ray.remote(_do_events).options(**options).remote(work, item, self._board, key, cores)
        self._running[ref] = 0
        n_seen = 0
        while True:
            ended = self._ended()
            events = self._ask(self._board.events_since.remote(key, n_seen), [])
            n_seen += len(events)
            yield from events
            if ended:
                self._running.clear()
                found: T = self._value_of(ref).value
                return found

    def describe(self) -> str:
        """Return how many items are done on how many machines, and how far the last of them is."""
        if self._n_items < 2:
            return ""
        text = f"{len(self._finished)} of {self._n_items} done, {self.n_nodes} machines"
        left = [(self._shares.get(self._key(number), 0.0), number) for number in self._running.values()]
        if not left or len(self._finished) == 0:
            return text
        share, number = min(left)
        return f"{text}; waiting for number {number}, {share:.0%}"

    def describe_slowest(self) -> str:
        """Return which item of the last work took far longer than most; empty where none did."""
        if len(self._finished) < 3:
            return ""
        number, slowest = max(self._finished.items(), key=lambda each: each[1].wall_s)
        median = sorted(each.wall_s for each in self._finished.values())[len(self._finished) // 2]
        if slowest.wall_s < SLOW * median or slowest.wall_s - median < SHOWN_S:
            return ""
        return f"number {number} on {slowest.machine} took {slowest.wall_s:.1f} s, most took {median:.1f} s"

    def _begin(self, n_items: int) -> None:
        self._running, self._shares, self._finished = {}, {}, {}
        self._n_items, self._n_maps = n_items, self._n_maps + 1

    def _key(self, number: int) -> str:
        return f"{self._n_maps}-{number}"

    def _nodes(self) -> list[dict[str, Any]]:
        found = [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU", 0) >= 1]
        if not found:
            raise ResourceError("the Ray cluster has no machine with a core left: start one and use --resume")
        return sorted(found, key=lambda node: str(node["NodeID"]))

    def _on(self, node_id: str) -> Any:
        """Return the strategy that prefers a machine, and takes another where that is lost."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415 - as above

        return NodeAffinitySchedulingStrategy(node_id=node_id, soft=True)

    def _ended(self) -> list[Any]:
        refs = list(self._running)
        ended, _ = self._ray.wait(refs, num_returns=len(refs), timeout=LOOKED_S)
        return list(ended)

    def _now(self) -> dict[str, float]:
        found: dict[str, float] = self._ask(self._board.read.remote(), self._shares)
        return found

    def _ask(self, ref: Any, otherwise: Any) -> Any:
        """Return what the board says; what it cannot say now, it says at the next look."""
        with suppress(self._ray.exceptions.RayError):
            return self._ray.get(ref, timeout=10 * SHOWN_S)
        return otherwise

    def _share(self) -> float:
        running = sum(self._shares.get(self._key(number), 0.0) for number in self._running.values())
        return (len(self._finished) + running) / self._n_items

    def _value_of(self, ref: Any) -> _Done:
        """Return what a task gave.

        Raises:
            InputError, ResourceError: as the task raised it.
        """
        errors = self._ray.exceptions
        try:
            done: _Done = self._ray.get(ref)
        except errors.RayTaskError as error:
            if isinstance(error.cause, TunerError | OSError):
                raise error.cause from None
            raise
        except (errors.WorkerCrashedError, errors.OutOfMemoryError, errors.NodeDiedError) as error:
            raise ResourceError(
                f"a task was lost {RETRIES + 1} times, the last time because of {type(error).__name__}: give "
                "the machines more memory, or more shards; --resume goes on from what was finished"
            ) from None
        return done
