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
from tuner.types import Estimated, Event, Finished, Note, StageFinished, StageStarted, Warned

T = TypeVar("T")


class Screen(Console):
    """A console that takes text as it is, and leaves what a closed output means to the command line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def on_broken_pipe(self) -> None:
        """Pass the error on; rich would exit with 1, which is the code for no."""
        raise BrokenPipeError(errno.EPIPE, "the reader closed the output")


def follow(events: Generator[Event, None, T], console: Console, *, quiet: bool, whole: bool = True) -> T:
    """Run ``events`` to their end, drawing each on ``console``, and return their result.

    Args:
        whole: whether these are all of the command's work, so that an estimate is of the whole.
    """
    drawing = Drawing(console, live=console.is_terminal and not quiet, quiet=quiet, whole=whole)
    driver = Driver(events)
    with closing(events), drawing.progress or nullcontext():
        for event in driver:
            drawing.show(event)
    return driver.result


class Drawing:
    """The line of the stage that runs.

    Args:
        live: keep the line up to date in place; otherwise a line for each finished stage.
        quiet: draw nothing at all.
        whole: whether an estimate is of all that the command does.
    """

    def __init__(self, console: Console, *, live: bool, quiet: bool, whole: bool = True) -> None:
        self.console = console
        self.quiet, self.whole = quiet, whole
        self.progress = _progress(console) if live else None
        self.task: TaskID | None = None
        self.ends_s: float | None = None

    def show(self, event: Event) -> None:
        """Draw one event."""
        if self.quiet:
            return
        match event:
            case Estimated(wall_s):
                self.ends_s = time.perf_counter() + wall_s if self.whole else None
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
        if self.progress:
            self._clear()
            self.task = self.progress.add_task(event.title, total=1.0, left=self._left(), detail="")

    def _advance(self, event: types.Progress) -> None:
        if self.progress and self.task is not None:
            self.progress.update(self.task, completed=event.done, left=self._left(), detail=event.detail)

    def _left(self) -> str:
        """Return what is left of the whole run's estimate, in words; empty without one, or after it."""
        left_s = 0.0 if self.ends_s is None else self.ends_s - time.perf_counter()
        return f"about {seconds_text(round(left_s))} left in all" if left_s >= 1 else ""

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
        print_wrapped(self.console, text, style)


def print_wrapped(console: Console, text: str, style: str | None = None) -> None:
    """Print one paragraph: wrapped between words on a terminal, one line for a file or a pipe."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)


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
