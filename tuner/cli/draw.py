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

from tuner import types
from tuner.report.words import seconds_text
from tuner.runtime.remaining import Remaining
from tuner.runtime.steps import Driver
from tuner.text import without_commands
from tuner.types import Estimated, Event, Finished, Note, StageFinished, StageStarted, Warned

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
        self.console = console
        self.quiet, self.whole = quiet, whole
        self.board = Board()
        self.display = (
            Live(self.board, console=console, transient=True, refresh_per_second=FRAMES_A_SECOND)
            if live
            else None
        )

    def show(self, event: Event) -> None:
        """Draw one event."""
        if self.quiet:
            return
        match event:
            case Estimated(_, stages):
                self.board.remaining = Remaining(stages) if self.whole and stages else None
            case StageStarted():
                self.board.start(event)
            case types.Progress():
                self.board.advance(event)
            case StageFinished():
                self._finish(event)
            case Note(text):
                self._line(text)
            case Warned(text):
                self._line(f"warning: {text}", style="yellow")
            case Finished():
                pass

    def _finish(self, event: StageFinished) -> None:
        self.board.finish(event)
        took = "done by the earlier run" if event.resumed else seconds_text(event.wall_s)
        left = "" if self.display else self.board.left()
        self._line(f"{event.title}: {took}{'; ' if left else ''}{left}")

    def _line(self, text: str, style: str | None = None) -> None:
        text = without_commands(text)
        print_wrapped(self.console, text, style)


class Board:
    """The two lines of the stage that runs: its title, and below it share, rate and what is left of the run.

    Attributes:
        remaining: what is left of the whole run; None where nobody knows.
    """

    def __init__(self) -> None:
        self.remaining: Remaining | None = None
        self.title, self.detail, self.share = "", "", 0.0
        self._spinner = Spinner("dots")

    def start(self, event: StageStarted) -> None:
        """Show this stage from now on."""
        self.title, self.detail, self.share = event.title, "", 0.0
        if self.remaining:
            self.remaining.start(event.name)

    def advance(self, event: types.Progress) -> None:
        """Show this share of it."""
        self.share, self.detail = event.done, event.detail
        if self.remaining:
            self.remaining.advance(event.done)

    def finish(self, event: StageFinished) -> None:
        """Show it no longer."""
        self.title = ""
        if self.remaining:
            self.remaining.finish(event.name, 0.0 if event.resumed else event.wall_s)

    def left(self) -> str:
        """Return what is left of the whole run, in words; empty without an estimate, or at its end."""
        left_s = self.remaining.seconds() if self.remaining else 0.0
        return f"about {seconds_text(float(f'{left_s:.2g}'))} left in all" if left_s >= 1 else ""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the stage; nothing between two."""
        if not self.title:
            return
        head, line = Table.grid(padding=(0, 1)), Table.grid(padding=(0, 1))
        head.add_row(self._spinner, _cut(self.title))
        texts = [text for text in (self._rate(), self.left(), self.detail) if text]
        bar = ProgressBar(1.0, self.share, width=BAR_WIDTH)
        line.add_row(self._position(), bar, f"{self.share:.0%}", _cut(", ".join(texts)))
        yield head
        yield line

    def _position(self) -> str:
        """``stage 6 of 11``; empty where nobody knows how many there are."""
        known = self.remaining
        return f"  stage {known.position} of {len(known.stages)}" if known and known.position else " "

    def _rate(self) -> str:
        found = self.remaining.rate() if self.remaining else None
        return "" if found is None else f"{float(f'{found[0]:.2g}'):,.0f} {found[1]}/s"


def _cut(text: str) -> Text:
    """Text that is cut where the terminal ends: a display in place cannot wrap."""
    return Text(text, overflow="ellipsis", no_wrap=True)


def print_wrapped(console: Console, text: str, style: str | None = None) -> None:
    """Print one paragraph: wrapped between words on a terminal, one line for a file or a pipe."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=not console.is_terminal)
