"""A running job on the screen: one live display on a terminal, finished stages as lines elsewhere."""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import closing, nullcontext
from typing import Any, TypeVar

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tuner.report.progress import RunProgress
from tuner.report.words import seconds_text
from tuner.runtime.steps import Driver
from tuner.text import without_commands
from tuner.types import Event, Note, StageFinished, Warned

T = TypeVar("T")
BAR_WIDTH, FRAMES_A_SECOND = 20, 8


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
    live = console.is_terminal and not console.is_dumb_terminal and not quiet
    drawing = Drawing(console, live=live, quiet=quiet, whole=whole)
    driver = Driver(events)
    with closing(events), drawing.display or nullcontext():
        for event in driver:
            drawing.show(event)
    return driver.result


class Drawing:
    """What is drawn of the events of a job.

    Args:
        live: keep the stage that runs up to date in place; otherwise a line for each finished stage.
        quiet: draw nothing at all.
        whole: whether an estimate is of all that the command does.
    """

    def __init__(self, console: Console, *, live: bool, quiet: bool, whole: bool = True) -> None:
        self.console, self.quiet = console, quiet
        self.progress = RunProgress(whole=whole)
        self.display = (
            Live(Board(self.progress), console=console, transient=True, refresh_per_second=FRAMES_A_SECOND)
            if live
            else None
        )

    def show(self, event: Event) -> None:
        """Draw one event."""
        if self.quiet:
            return
        self.progress.see(event)
        match event:
            case StageFinished():
                took = "done by the earlier run" if event.resumed else seconds_text(event.wall_s)
                left = "" if self.display else self.progress.left()
                self._line(f"{event.title}: {took}{'; ' if left else ''}{left}")
            case Note(text):
                self._line(text)
            case Warned(text):
                self._line(f"warning: {text}", style="yellow")
            case _:
                pass

    def _line(self, text: str, style: str | None = None) -> None:
        print_wrapped(self.console, without_commands(text), style)


class Board:
    """The two lines of the stage that runs: its title, and below it share, rate and time left."""

    def __init__(self, progress: RunProgress) -> None:
        self._progress = progress
        self._spinner = Spinner("dots")

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the stage; nothing between two."""
        known = self._progress
        if not known.title:
            return
        head, line = Table.grid(padding=(0, 1)), Table.grid(padding=(0, 1))
        head.add_row(self._spinner, _cut(known.title))
        bar = ProgressBar(1.0, known.share, width=BAR_WIDTH)
        line.add_row(f"  {known.position()}".rstrip() or " ", bar, f"{known.share:.0%}", _cut(known.words()))
        yield head
        yield line


def _cut(text: str) -> Text:
    """Text that is cut where the terminal ends: a display in place cannot wrap."""
    return Text(text, overflow="ellipsis", no_wrap=True)


def print_wrapped(console: Console, text: str, style: str | None = None) -> None:
    """Print one paragraph: wrapped between words on a terminal, one line for a file or a pipe."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)
