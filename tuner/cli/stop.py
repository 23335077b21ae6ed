"""Ctrl-C and SIGTERM end the command line within two seconds, wherever it is.

Python hands a signal to its main thread between two lines of Python, and training, building and linear
algebra in C keep that thread for minutes. So another thread is told by the system at once
(``signal.set_wakeup_fd``). The main thread has a moment to unwind by itself; then the process is ended from
the other one, with its children and temporary folders. Nothing is lost by that: what is kept is written under
a temporary name and renamed.
"""

from __future__ import annotations

import gc
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

import psutil

from tuner.cli.outputs import say
from tuner.text import without_commands

GRACE_S = 1.0
"""Seconds that the main thread has to unwind; what is left of two is for the end itself on a busy machine."""
CHILDREN_S, CLEANING_S = 0.2, 0.4
"""Longest waits for children that were killed, and for the job's own cleaning."""
STOPPED_CODE = 128
"""What is added to the number of a signal in the exit code, as shells do."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHOW_CURSOR = "\x1b[?25h\n"
"""A live line hides a terminal's cursor."""


def nothing() -> None:
    """Clean nothing."""


class Stopping:
    """How the process ends when it is asked to.

    Attributes:
        signal: number of the first signal that asked; SIGINT until one did.
    """

    def __init__(self) -> None:
        self.signal = int(signal.SIGINT)
        self._asked = threading.Event()
        self._finished = threading.Event()
        self._told = threading.Event()
        self._sentence: Callable[[], str] = lambda: "stopped"
        self._clean: Callable[[], None] = nothing

    @property
    def code(self) -> int:
        """The exit code: 130 after Ctrl-C, 143 after SIGTERM."""
        return STOPPED_CODE + self.signal

    @contextmanager
    def during(self, sentence: Callable[[], str], clean: Callable[[], None] = nothing) -> Iterator[None]:
        """Let ``sentence`` be what the user is told if the process is asked to stop in here.

        Args:
            sentence: what was kept, and how to go on.
            clean: removes what only the job itself removes; called only where it cannot unwind.
        """
        before = self._sentence, self._clean
        self._sentence, self._clean = sentence, clean
        yield
        self._sentence, self._clean = before  # not where an exception ends it: that is what is told

    def say(self) -> None:
        """Tell the user that the process was stopped."""
        self._told.set()
        say(f"tune: {self._sentence()}", err=True)

    def interrupt(self, number: int, _: FrameType | None) -> None:
        """Raise KeyboardInterrupt in the main thread, once: what unwinds is left in peace."""
        if not self._asked.is_set():
            self._asked.set()
            self.signal = number
            raise KeyboardInterrupt

    def watch(self, signals: int) -> None:
        """Wait for a signal; end the process if the main thread does not.

        Args:
            signals: file descriptor that the numbers of signals are read from, closed at the end.
        """
        for number in iter(lambda: os.read(signals, 1), b""):
            if number[0] in SIGNALS:
                if not self._finished.wait(GRACE_S):
                    self._end(number[0])
                return

    def finish(self) -> None:
        """Leave the process alone from now on."""
        self._finished.set()

    def _end(self, number: int) -> None:
        """End this process and its children at once."""
        sentence = self._sentence()
        _end_children()
        cleaning = threading.Thread(target=_remove_temporary_folders, args=(self._clean,), daemon=True)
        cleaning.start()
        cleaning.join(CLEANING_S)
        line = "" if self._told.is_set() else without_commands(f"tune: {sentence}") + "\n"
        with suppress(OSError):  # not through Python's file, which the main thread may hold
            os.write(2, ((SHOW_CURSOR if os.isatty(2) else "") + line).encode(errors="replace"))
        os._exit(STOPPED_CODE + number)


def _end_children() -> None:
    """Kill all processes that this one started, with the groups that they lead."""
    children = psutil.Process().children(recursive=True)
    for child in children:
        with suppress(OSError, psutil.Error):
            if os.getpgid(child.pid) == child.pid:
                os.killpg(child.pid, signal.SIGKILL)
            child.kill()
    psutil.wait_procs(children, timeout=CHILDREN_S)


def _remove_temporary_folders(clean: Callable[[], None]) -> None:
    """Remove the temporary folders that are there, and call ``clean``."""
    for each in gc.get_objects():
        if isinstance(each, tempfile.TemporaryDirectory):
            with suppress(OSError):
                each.cleanup()
    clean()


@contextmanager
def stoppable() -> Iterator[Stopping]:
    """Let Ctrl-C and SIGTERM end the process, however long the main thread stays away from Python.

    Signals that were ignored stay ignored, but for SIGTERM. Everything is afterwards as it was.
    """
    stopping = Stopping()
    if threading.current_thread() is not threading.main_thread():
        yield stopping
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    watcher = threading.Thread(target=stopping.watch, args=(reading,), name="stop", daemon=True)
    before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        watcher.start()
        for number, handler in handlers.items():
            if number == signal.SIGTERM or handler is not signal.SIG_IGN:
                signal.signal(number, stopping.interrupt)
        yield stopping
    finally:
        stopping.finish()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(before)
        os.close(writing)  # which the watcher reads as the end
        watcher.join()
        os.close(reading)
