"""A running sweep on the screen: a live line a stage on a terminal, finished stages as lines elsewhere."""

from __future__ import annotations

import errno
import time
from collections.abc import Generator
from contextlib import closing, nullcontext
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TaskProgressColumn, TextColumn

from tuner import types
from tuner.report.words import seconds_text
from tuner.runtime.steps import Driver
from tuner.text import without_commands
from tuner.types import Event, Finished, Note, StageFinished, StageStarted, Warned

T = TypeVar("T")
TRUSTED_SHARE = 0.05
"""From this share on, the time left is extrapolated from the time gone; before it is the stage's guess."""


class Screen(Console):
    """A console that takes text as it is, and leaves what a closed output means to the command line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def on_broken_pipe(self) -> None:
        """Pass the error on; rich would exit with 1, which is the code for no."""
        raise BrokenPipeError(errno.EPIPE, "the reader closed the output")


def follow(events: Generator[Event, None, T], console: Console, *, quiet: bool) -> T:
    """Run ``events`` to their end, drawing each on ``console``, and return their result."""
    drawing = Drawing(console, live=console.is_terminal and not quiet, quiet=quiet)
    driver = Driver(events)
    with closing(events), drawing.progress or nullcontext():
        for event in driver:
            drawing.show(event)
    return driver.result


def seconds_left(done: float, gone_s: float, estimate_s: float | None) -> float | None:
    """Return the seconds that a stage still needs, or None if nothing is known.

    Args:
        done: share done in [0, 1].
        estimate_s: guess of the whole stage, made before it began.
    """
    if done >= TRUSTED_SHARE:
        return gone_s * (1 - done) / done
    return None if estimate_s is None else max(0.0, estimate_s - gone_s)


class Drawing:
    """The line of the stage that runs.

    Args:
        live: keep the line up to date in place; otherwise a line for each finished stage.
        quiet: draw nothing at all.
    """

    def __init__(self, console: Console, *, live: bool, quiet: bool) -> None:
        self.console = console
        self.quiet = quiet
        self.progress = _progress(console) if live else None
        self.task: TaskID | None = None
        self.stage: StageStarted | None = None
        self.began_s = 0.0

    def show(self, event: Event) -> None:
        """Draw one event."""
        if self.quiet:
            return
        match event:
            case StageStarted():
                self._start(event)
            case types.Progress():
                self._advance(event)
            case StageFinished():
                self._finish(event)
            case Note(text):
                self._line(text)
            case Warned(text):
                self._line(f"warning: {text}", style="yellow")
            case Finished():
                pass

    def _start(self, event: StageStarted) -> None:
        self.stage, self.began_s = event, time.perf_counter()
        if self.progress:
            self._clear()
            left = _left_text(event.estimate_s)
            self.task = self.progress.add_task(event.title, total=1.0, left=left, detail="")

    def _advance(self, event: types.Progress) -> None:
        if self.progress and self.task is not None and self.stage:
            gone_s = time.perf_counter() - self.began_s
            left = _left_text(seconds_left(event.done, gone_s, self.stage.estimate_s))
            self.progress.update(self.task, completed=event.done, left=left, detail=event.detail)

    def _finish(self, event: StageFinished) -> None:
        self._clear()
        took = "done by the earlier run" if event.resumed else seconds_text(event.wall_s)
        self._line(f"{event.title}: {took}")

    def _clear(self) -> None:
        if self.progress and self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None

    def _line(self, text: str, style: str | None = None) -> None:
        text = without_commands(text)
        self.console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TaskProgressColumn(),
        TextColumn("{task.fields[left]}", markup=False),
        TextColumn("{task.fields[detail]}", markup=False, style="dim"),
        console=console,
        transient=True,
    )


def _left_text(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds_text(seconds)} left"
