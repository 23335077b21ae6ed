"""How far a running job is, in words: what a terminal and a notebook draw."""

from __future__ import annotations

from tuner.report.words import seconds_text
from tuner.runtime.remaining import Remaining
from tuner.types import Estimated, Event, Progress, StageFinished, StageStarted


class RunProgress:
    """The stage that runs, its share, and what is left of the whole run.

    Args:
        whole: whether an estimate is of all that the command does.

    Attributes:
        title: what the stage does; empty between two.
        share: share of it that is done, in [0, 1].
        remaining: what is left of the whole run; None where nobody knows.

    Example:
        >>> progress = RunProgress()
        >>> progress.see(StageStarted("graph", "one graph"))
        >>> progress.see(Progress("graph", 0.5, "level 2"))
        >>> progress.title, progress.share, progress.words()
        ('one graph', 0.5, 'level 2')
    """

    def __init__(self, *, whole: bool = True) -> None:
        self.title, self.share = "", 0.0
        self.remaining: Remaining | None = None
        self._whole, self._detail = whole, ""

    def see(self, event: Event) -> None:
        """Take note of one event."""
        match event:
            case Estimated(_, stages):
                self.remaining = Remaining(stages) if self._whole and stages else None
            case StageStarted(name, title):
                self.title, self._detail, self.share = title, "", 0.0
                if self.remaining:
                    self.remaining.start(name)
            case Progress(_, share, detail):
                self.share, self._detail = share, detail
                if self.remaining:
                    self.remaining.advance(share)
            case StageFinished():
                self.title = ""
                if self.remaining:
                    self.remaining.finish(event.name, 0.0 if event.resumed else event.wall_s)
            case _:
                pass

    def left(self) -> str:
        """Return what is left of the whole run; empty without an estimate, or at its end."""
        left_s = self.remaining.seconds() if self.remaining else 0.0
        return f"about {seconds_text(float(f'{left_s:.2g}'))} left in all" if left_s >= 1 else ""

    def position(self) -> str:
        """Return ``stage 6 of 11``; empty where nobody knows how many there are."""
        known = self.remaining
        return f"stage {known.position} of {len(known.stages)}" if known and known.position else ""

    def words(self) -> str:
        """Return rate, time left and detail of the stage."""
        found = self.remaining.rate() if self.remaining else None
        rate = "" if found is None else f"{float(f'{found[0]:.2g}'):,.0f} {found[1]}/s"
        return ", ".join(text for text in (rate, self.left(), self._detail) if text)
