"""Commands of ``tune`` in forked processes: what takes seconds to import is imported once."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tuner.cli.main import main

POLL_S = 0.005
DEFECT = 70
"""Exit code of a process whose own code failed before the command began."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: exit code, or minus the number of the signal that ended it.
        words: what it wrote on both streams.
        wall_s: wall seconds that it took.
    """

    code: int
    words: str
    wall_s: float

    @property
    def killed(self) -> bool:
        """Whether it was killed before it ended."""
        return self.code == -signal.SIGKILL


class Running:
    """A command of ``tune`` in a process group of its own.

    Args:
        arguments: its arguments.
        folder: where it runs, and where its words are kept.
        environment: what its environment has beside this one's.
        begin: called in the process before the command.
    """

    def __init__(
        self,
        arguments: list[str],
        folder: Path,
        environment: dict[str, str],
        begin: Callable[[], object] = lambda: None,
    ) -> None:
        self._words = folder / f"words-{time.monotonic_ns()}.txt"
        self._words.touch()
        self._began = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            _run(arguments, folder, environment, self._words, begin)

    def kill(self) -> None:
        """Kill it and all that it started."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:  # it has not made its group yet
            os.kill(self.pid, signal.SIGKILL)

    def ended(self, kill_after_s: float = float("inf")) -> Ended:
        """Wait for its end, and kill it after some seconds; return how it ended."""
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            wall_s = time.monotonic() - self._began
            if pid:
                words = self._words.read_text(encoding="utf-8", errors="replace")
                return Ended(os.waitstatus_to_exitcode(status), words, wall_s)
            if wall_s >= kill_after_s:
                self.kill()
                kill_after_s = float("inf")
            time.sleep(POLL_S)


def _run(
    arguments: list[str],
    folder: Path,
    environment: dict[str, str],
    words: Path,
    begin: Callable[[], object],
) -> None:
    """Become the command; never return."""
    try:
        assert threading.active_count() == 1  # noqa: S101 - a fork takes one thread along
        os.setsid()
        to = os.open(words, os.O_WRONLY | os.O_APPEND)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(to, 1)
        os.dup2(to, 2)
        os.environ.update(environment)
        tempfile.tempdir = None
        os.chdir(folder)
        begin()
    except BaseException:  # noqa: BLE001 - nothing of a fork may go on in its parent's place
        traceback.print_exc()
        os._exit(DEFECT)
    code = DEFECT
    try:
        main(arguments)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else DEFECT
    except BaseException:  # noqa: BLE001 - likewise
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
