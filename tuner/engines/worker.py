"""The process that an engine runs in: one index, asked over a pipe by ``tuner.engines.process``."""

from __future__ import annotations

import pickle
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from tuner.data.vectors import Vectors, open_vectors
from tuner.engines.filtering import Filtering
from tuner.engines.protocol import Answers, Deployment, ReScoring
from tuner.engines.registry import find_engine
from tuner.errors import TunerError
from tuner.text import one_line
from tuner.types import EngineConfig, FloatArray, IdArray


class Worker:
    """The child's side: one index, and the file that its rows come from."""

    def __init__(self) -> None:
        self.running: Any = None
        self.vectors: Vectors | None = None
        self.rows: IdArray | None = None

    def open(self, config: EngineConfig, deployment: Deployment) -> None:
        """Start the engine."""
        start = find_engine(config.engine).open
        assert start is not None  # noqa: S101 - the parent looked
        self.running = start(config, deployment)

    def source(self, path: str, rows: IdArray | None) -> None:
        """Take rows from this file."""
        self.vectors, self.rows = open_vectors(path, "base"), rows

    def add_from(self, first: int, last: int) -> None:
        """Load rows of the file."""
        assert self.vectors is not None  # noqa: S101 - the parent named it
        chosen = np.arange(first, last) if self.rows is None else self.rows[first:last]
        self.running.add(first, self.vectors.rows(chosen))

    def search(self, queries: FloatArray, k: int) -> Answers:
        """Search one query at a time, and time each."""
        return timed(lambda number: self.running.search(queries[number], k), len(queries), k)

    def search_tagged(self, queries: FloatArray, k: int, tags: IdArray, scan: bool) -> Answers:
        """Search one query at a time among the rows that have its tag, and time each."""
        wanted = tags.tolist()
        return timed(
            lambda number: self.running.search_tagged(queries[number], k, wanted[number], scan=scan),
            len(queries),
            k,
        )

    def answers_from_index(self, tag: int, scan: bool) -> bool | None:
        """Return whether the engine's plan of such a search names the index."""
        found: bool | None = self.running.answers_from_index(tag, scan=scan)
        return found

    def has_filters(self) -> bool:
        """Return whether the engine can be searched with filters."""
        return isinstance(self.running, Filtering)

    def table_bytes(self) -> int | None:
        """Return the bytes of what the engine re-scores from, None if its index holds them."""
        return self.running.table_bytes() if isinstance(self.running, ReScoring) else None

    def answer(self, name: str, arguments: tuple[object, ...]) -> object:
        """Do what the parent asked."""
        own = getattr(self, name, None)
        return own(*arguments) if own is not None else getattr(self.running, name)(*arguments)


def timed(search: Callable[[int], Sequence[int]], n: int, k: int) -> Answers:
    """Return up to k answers of each of ``n`` searches, by number, and the seconds of each."""
    ids = np.full((n, k), -1, dtype=np.int64)
    seconds = np.empty(n)
    for number in range(n):
        start = time.perf_counter()
        found = search(number)
        seconds[number] = time.perf_counter() - start
        ids[number, : len(found)] = found[:k]
    return Answers(ids=ids, seconds=seconds)


def serve(calls: Connection, answers: Connection) -> None:
    """Answer the parent until it closes the pipe; then close the engine."""
    worker = Worker()
    try:
        while True:
            try:
                name, arguments = calls.recv()
            except EOFError:
                return
            try:
                answers.send(("ok", worker.answer(name, arguments)))
            except TunerError as error:
                answers.send(("input", str(error)))
            except (pickle.PicklingError, BrokenPipeError, KeyboardInterrupt):
                return
            except Exception as error:  # noqa: BLE001 - an engine's error of whatever type is told to the parent
                words = one_line(str(error))[:500]
                answers.send(("error", f"{type(error).__name__}: {words}"))
    finally:
        if worker.running is not None:
            worker.running.close()


def main() -> None:
    """Serve on the two pipes that the arguments name."""
    serve(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
