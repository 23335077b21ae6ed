"""An engine in a process of its own: what crashes there, prints there or takes memory there is not ours.

The parent calls, the child answers over a pipe. When the parent is gone, in whatever way, the child reads the
end of the pipe, closes the engine and ends; when the child is gone, the parent gets ``EngineDiedError``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from types import TracebackType
from typing import cast
from urllib.parse import unquote

import numpy as np

from tuner.data.vectors import Vectors
from tuner.engines.filtering import Tags
from tuner.engines.protocol import Answers, Deployment
from tuner.engines.registry import find_engine, require_installed
from tuner.errors import InputError, TunerError
from tuner.runtime import child
from tuner.types import EngineConfig, FloatArray, IdArray, ReportedConfig, Steps

BLOCK_ROWS = 2_000
IDLE_S, CLOSING_S = 3.0, 30.0
"""A child that works is interrupted after the first, and killed after the second."""
LAST_WORDS = 2_000


class EngineDiedError(TunerError):
    """The engine's process ended, or the engine reported an error of its own."""


class WorkerProcess:
    """The child process of ``tuner.engines.worker``, asked over a pipe."""

    def __init__(self) -> None:
        ours, theirs = os.pipe(), os.pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in end()
        self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            child.command("tuner.engines.worker", str(theirs[0]), str(ours[1])),
            pass_fds=(theirs[0], ours[1]),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,  # Ctrl-C is the parent's to handle: it closes the engine in order
        )
        os.close(theirs[0])
        os.close(ours[1])
        self._calls = Connection(theirs[1], readable=False)
        self._answers = Connection(ours[0], writable=False)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._child.pid

    def ask(self, name: str, arguments: tuple[object, ...]) -> tuple[str, object]:
        """Return what kind of answer a call gets, and the answer.

        Raises:
            EOFError: the process is gone.
            OSError: likewise.
        """
        self._calls.send((name, arguments))
        kind, value = self._answers.recv()
        return kind, value

    def end(self) -> bool:
        """End the process, whatever state it is in; return whether it was killed."""
        if self._log.closed:
            return False
        with suppress(OSError):
            self._calls.close()  # which the child reads as the end
        for wait_s, then in ((IDLE_S, signal.SIGINT), (CLOSING_S, signal.SIGKILL)):
            try:
                self._child.wait(wait_s)
                break
            except subprocess.TimeoutExpired:
                self._child.send_signal(then)
        self._child.wait()
        killed = self._child.returncode < 0
        if killed:  # it could not end what it had started
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, signal.SIGKILL)
        self._answers.close()
        self._log.close()
        return killed

    def last_words(self) -> tuple[int | None, str]:
        """Return the exit status, None while it has none, and the last line that it wrote."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(5.0)
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(0, size - LAST_WORDS))
        words = self._log.read().decode(errors="replace").strip().splitlines()
        return self._child.returncode, words[-1] if words else ""


class EngineProcess:
    """A ``Running`` index in a child process; use it as a context manager.

    Args:
        config: config of the index.
        deployment: place that it is made in.

    Raises:
        InputError: the engine is not installed, or refuses the deployment (no server, a table of that name).
        EngineDiedError: it could not be started.
    """

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        engine = find_engine(config.engine)
        if engine.open is None:
            raise InputError(
                f"{engine.capabilities.title} does not run on a development machine: nothing was verified"
            )
        require_installed(engine, deployment.address)
        self._engine, self.title = engine, engine.capabilities.title
        self.n = deployment.n
        self._order: IdArray | None = None
        self._secrets = _secrets(deployment.address)
        self._worker = WorkerProcess()
        try:
            self._ask("open", config, deployment)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The process that the engine runs in."""
        return self._worker.pid

    def __enter__(self) -> EngineProcess:
        """Return the index itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def load(self, vectors: Vectors, rows: IdArray | None, order: IdArray | None = None) -> Steps[float]:
        """Yield the share done; load rows, build, and return wall seconds.

        Args:
            vectors: the user's file.
            rows: rows of it that are indexed, None for all.
            order: positions in ``rows`` in the order in which they are loaded, each once; None loads them
                as they come. What a search returns are positions in ``rows`` either way.
        """
        n = vectors.n if rows is None else len(rows)
        self._order = order
        if order is not None:
            rows = order if rows is None else rows[order]
        started = time.perf_counter()
        source = vectors.npy_file
        if source is not None:
            self._ask("source", str(source), vectors.in_file(rows))
        for first in range(0, n, BLOCK_ROWS):
            last = min(n, first + BLOCK_ROWS)
            if source is not None:
                self._ask("add_from", first, last)
            else:
                chosen = np.arange(first, last) if rows is None else rows[first:last]
                self._ask("add", first, vectors.rows(chosen))
            yield 0.5 * last / n
        self._ask("build")
        yield 1.0
        return time.perf_counter() - started

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Search with these from now on."""
        self._ask("set_search", ef_search, oversampling)

    def search(self, queries: FloatArray, k: int) -> Answers:
        """Return what queries (nq, d), asked one at a time, get."""
        answers = cast("Answers", self._ask("search", queries, k))
        if self._order is None:
            return answers
        return replace(answers, ids=np.where(answers.ids < 0, -1, self._order[answers.ids]))

    def tag_rows(self, tags: Tags) -> None:
        """Give the tags of all rows, in the order in which they will be loaded; the deployment is tagged."""
        self._ask("tag_rows", tags)

    def has_filters(self) -> bool:
        """Return whether the engine's filtered search is built here."""
        return bool(self._ask("has_filters"))

    def search_tagged(self, queries: FloatArray, k: int, tags: IdArray, *, scan: bool) -> Answers:
        """Return what queries (nq, d), asked one at a time, get among the rows that have their tag.

        Args:
            queries: queries (nq, d).
            k: neighbours asked for.
            tags: tag (nq,) that each query asks for.
            scan: whether the rows that have it are to be scanned.
        """
        return cast("Answers", self._ask("search_tagged", queries, k, tags, scan))

    def answers_from_index(self, tag: int, *, scan: bool) -> bool | None:
        """Return whether the engine's plan of such a search names the index; None if it shows no plan."""
        return cast("bool | None", self._ask("answers_from_index", tag, scan))

    def applied(self) -> ReportedConfig:
        """Return what the engine says it did."""
        return cast("ReportedConfig", self._ask("applied"))

    def index_bytes(self) -> int:
        """Return the engine's reading of its index's bytes."""
        return int(cast("int", self._ask("index_bytes")))

    def table_bytes(self) -> int | None:
        """Return the engine's reading of the bytes that it re-scores from, None if its index holds them."""
        return cast("int | None", self._ask("table_bytes"))

    def close(self) -> None:
        """Close the engine and end its process, whatever state they are in."""
        if self._worker.end():
            self._engine.reap_orphans()

    def _ask(self, name: str, *arguments: object) -> object:
        try:
            kind, value = self._worker.ask(name, arguments)
        except (EOFError, OSError):
            raise EngineDiedError(f"{self.title} died during {name}: {self._last_words()}") from None
        if kind == "input":
            raise InputError(self._without_secret(str(value)))
        if kind == "error":
            raise EngineDiedError(f"{self.title} failed during {name}: {self._without_secret(str(value))}")
        return value

    def _without_secret(self, text: str) -> str:
        for word in self._secrets:
            text = text.replace(word, "***")
        return text

    def _last_words(self) -> str:
        code, words = self._worker.last_words()
        ended = "it does not answer" if code is None else f"exit status {code}"
        return f"{ended}{': ' + self._without_secret(words[:200]) if words else ''}"


def _secrets(address: str | None) -> list[str]:
    """Return what of a DSN or URL no message may repeat: passwords, as written and as meant."""
    if not address:
        return []
    found = re.findall(r"password\s*=\s*('[^']*'|[^\s&]+)", address) + re.findall(r":([^:@/]+)@", address)
    written = [word.strip("'") for word in found]
    return sorted({*written, *map(unquote, written)} - {""}, key=len, reverse=True)
