"""A sweep's events become lines; a terminal sees a live one, a pipe only finished stages, --quiet nothing."""

import io
import re
from collections.abc import Generator

import pytest

from tuner.cli.draw import Board, Screen, follow
from tuner.report.progress import RunProgress
from tuner.runtime.remaining import Remaining
from tuner.types import Estimated, Event, ExpectedStage, Note, Progress, StageFinished, StageStarted, Warned

LINES = [
    "exact neighbours: 1.2 s",
    "metric: cosine [norms are 1]",
    "warning: 12 of 400 queries are rows of the base",
    "one graph: done by the earlier run",
]


def _sweep() -> Generator[Event, None, str]:
    yield StageStarted("truth", "exact neighbours")
    yield Progress("truth", 0.5, "block 1")
    yield StageFinished("truth", "exact neighbours", 1.2, 1.1)
    yield Note("metric: cosine [norms are 1]")
    yield Warned("12 of 400 queries are rows of the base")
    yield StageFinished("graph", "one graph", 9.0, 9.0, resumed=True)
    return "result"


def _draw(*, terminal: bool, quiet: bool) -> str:
    console = Screen(file=io.StringIO(), force_terminal=terminal, width=100, color_system=None)
    assert follow(_sweep(), console, quiet=quiet) == "result"
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def _drawn(events: list[Event], *, whole: bool = True) -> str:
    screen = Screen(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    follow((event for event in events), screen, quiet=False, whole=whole)
    assert isinstance(screen.file, io.StringIO)
    return screen.file.getvalue()


def test_a_pipe_gets_plain_lines() -> None:
    assert _draw(terminal=False, quiet=False).splitlines() == LINES


@pytest.mark.parametrize("terminal", [True, False])
def test_quiet_draws_nothing(terminal: bool) -> None:
    assert _draw(terminal=terminal, quiet=True) == ""


def test_a_terminal_keeps_the_lines_above_the_live_one() -> None:
    drawn = _draw(terminal=True, quiet=False)
    places = [drawn.index(line) for line in LINES]
    assert places == sorted(places)


def test_a_terminal_sees_stage_share_and_detail() -> None:
    drawn = _drawn([StageStarted("graph", "one graph"), Progress("graph", 0.04, "row 0 [of 9]")])
    assert "one graph" in drawn
    assert "4%" in drawn
    assert "row 0 [of 9]" in drawn
    assert "left" not in drawn


STAGES = (ExpectedStage("graph", 300.0, 3_000, "rows"), ExpectedStage("timing", 300.0))


def test_one_estimate_is_of_the_whole_run() -> None:
    """Whatever the share of a stage, the time left is that of the run; where work follows, none is said."""
    events: list[Event] = [
        Estimated(600.0, STAGES),
        StageStarted("graph", "one graph"),
        Progress("graph", 0.0),
    ]
    found = re.findall(r"about (\S+ \S+) left in all", _drawn(events))
    assert found
    assert set(found) == {"10 min"}
    assert "stage 1 of 2" in _drawn(events)
    assert "left" not in _drawn([Estimated(0.0), *events[1:]])
    assert "left" not in _drawn(events, whole=False)


def test_a_stage_that_works_through_rows_has_a_rate() -> None:
    seconds = iter([0.0])
    left = Remaining(STAGES, clock=lambda: next(seconds, 10.0))
    left.start("graph")
    assert left.rate() is None
    left.advance(0.5)
    assert left.rate() == (150.0, "rows")
    left.start("timing")
    left.advance(0.5)
    assert left.rate() is None
    begun: list[Event] = [Estimated(600.0, STAGES), StageStarted("graph", "g")]
    assert " rows/s" in _drawn([*begun, Progress("graph", 0.5)])
    assert "/s" not in _drawn(begun)


def test_a_pipe_is_told_what_is_left_when_a_stage_ends() -> None:
    screen = Screen(file=io.StringIO(), width=120)
    events: list[Event] = [
        *(Estimated(600.0, STAGES), StageStarted("graph", "one graph")),
        StageFinished("graph", "one graph", 300.0, 300.0),
        *(StageStarted("timing", "turns"), StageFinished("timing", "turns", 300.0, 300.0)),
    ]
    follow((event for event in events), screen, quiet=False)
    assert isinstance(screen.file, io.StringIO)
    first, last = screen.file.getvalue().splitlines()
    assert first == "one graph: 5 min; about 5 min left in all"
    assert last == "turns: 5 min"


def test_the_display_is_two_lines_of_80_columns_whatever_it_says() -> None:
    progress = RunProgress()
    board = Board(progress)
    progress.see(Estimated(600.0, STAGES))
    progress.see(StageStarted("graph", "a title " * 20))
    progress.see(Progress("graph", 0.5, "a detail " * 20))
    screen = Screen(file=io.StringIO(), width=80, force_terminal=True)
    lines = screen.render_lines(board, screen.options, pad=False)
    assert len(lines) == 2
    assert all(sum(part.cell_length for part in line) <= 80 for line in lines)
    progress.see(StageFinished("graph", "g", 1.0, 1.0))
    assert screen.render_lines(board, screen.options, pad=False) in ([], [[]])


def test_no_color_means_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> str:
        screen = Screen(file=io.StringIO(), force_terminal=True, width=100, color_system="standard")
        follow((event for event in (StageStarted("a", "b"), Warned("c"))), screen, quiet=False)
        assert isinstance(screen.file, io.StringIO)
        return screen.file.getvalue()

    colour = re.compile(r"\x1b\[[0-9;]*(3[0-7]|9[0-7])m")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert colour.search(drawn())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not colour.search(drawn())


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert _draw(terminal=True, quiet=False).splitlines() == LINES


def test_a_stage_that_never_finished_leaves_the_line_to_the_next() -> None:
    last_frame = _drawn([StageStarted("a", "first"), StageStarted("b", "second")]).rpartition("second")[0]
    assert "first" not in last_frame.rpartition("\r")[2]


def test_lines_longer_than_the_screen_are_not_broken() -> None:
    console = Screen(file=io.StringIO(), width=20)

    def note() -> Generator[Event, None, None]:
        yield Note("x" * 50 + " " + "y" * 50)

    follow(note(), console, quiet=False)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "x" * 50 + " " + "y" * 50 + "\n"


def test_an_error_of_the_sweep_comes_through() -> None:
    def broken() -> Generator[Event, None, None]:
        yield StageStarted("truth", "exact neighbours")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        follow(broken(), Screen(file=io.StringIO(), force_terminal=True), quiet=False)
