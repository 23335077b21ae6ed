"""What is left of a run: right within a factor of 1.5 on the runs in reports/, from their beginning on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tuner.report import result_from_json
from tuner.runtime.remaining import Remaining
from tuner.sweep import forecast
from tuner.sweep.forecast import expected_stages, on_this_machine
from tuner.types import ExpectedStage, Options, Result

ROOT = Path(__file__).parents[2]
REPORTS = sorted((ROOT / "reports").glob("*/report.json"))
FACTOR = 1.5
PARTS = 10


@dataclass
class Clock:
    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


def expected(result: Result) -> tuple[ExpectedStage, ...]:
    profile = result.profile
    return expected_stages(profile.n, profile.d, result.queries.n, result.options, threads=2, held_out=False)


def guesses(
    result: Result, stages: tuple[ExpectedStage, ...], slow: float = 1.0
) -> list[tuple[float, float]]:
    """Shares of the run that were over, and the guess of the whole then over what it took."""
    clock = Clock()
    left = Remaining(stages, clock)
    whole_s = slow * sum(stage.wall_s for stage in result.cost.stages)
    found = [(0.0, left.seconds() / whole_s)]
    for stage in result.cost.stages:
        left.start(stage.name)
        began_s = clock.now_s
        for part in range(1, PARTS):
            clock.now_s = began_s + slow * stage.wall_s * part / PARTS
            left.advance(part / PARTS)
            found.append((clock.now_s / whole_s, (clock.now_s + left.seconds()) / whole_s))
        clock.now_s = began_s + slow * stage.wall_s
        left.finish(stage.name, slow * stage.wall_s)
    return found


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parent.name)
def test_the_guess_is_right_within_a_factor_of_one_and_a_half(path: Path) -> None:
    result = result_from_json(path.read_bytes())
    ratios = [ratio for _, ratio in guesses(result, expected(result))]
    assert min(ratios) >= 1 / FACTOR
    assert max(ratios) <= FACTOR


@pytest.mark.parametrize("slow", [0.5, 2.0])
@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.parent.name)
def test_a_machine_of_another_speed_is_noticed(path: Path, slow: float) -> None:
    """Even where the speed was not seen at the start, a quarter of the run corrects the guess."""
    result = result_from_json(path.read_bytes())
    ratios = [ratio for share, ratio in guesses(result, expected(result), slow) if share >= 0.25]
    assert min(ratios) >= 1 / FACTOR
    assert max(ratios) <= FACTOR


def test_there_are_runs_to_hold_it_against() -> None:
    assert len(REPORTS) >= 7


def test_a_guess_that_is_not_corrected_would_be_wrong() -> None:
    result = result_from_json(REPORTS[0].read_bytes())
    whole_s = sum(stage.wall_s for stage in result.cost.stages)
    assert sum(stage.wall_s for stage in expected(result)) / (2.0 * whole_s) < 1 / FACTOR


STAGES = (ExpectedStage("truth", 10.0), ExpectedStage("frontier", 20.0), ExpectedStage("timing", 30.0))


def test_what_came_from_a_cache_tells_nothing_of_what_follows() -> None:
    left = Remaining(STAGES, Clock())
    left.start("truth")
    left.finish("truth", 0.01)
    left.start("frontier-SQ8")
    assert left.seconds() == pytest.approx(50.0)


def test_stages_of_a_group_share_its_seconds() -> None:
    clock = Clock()
    left = Remaining(STAGES, clock)
    left.start("frontier-SQ8")
    clock.now_s = 8.0
    left.finish("frontier-SQ8", 8.0)
    left.start("frontier-fp32")
    assert left.position == 2
    assert left.seconds() == pytest.approx(12.0 + 30.0)
    clock.now_s = 40.0
    assert left.seconds() == pytest.approx(0.1 * 20.0 + 30.0)


def test_an_unknown_stage_changes_nothing() -> None:
    left = Remaining(STAGES, Clock())
    left.start("tea")
    left.finish("tea", 100.0)
    assert left.seconds() == 60.0
    assert left.rate() is None


def test_a_slow_machine_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forecast, "slowness", lambda: 3.0)
    assert [stage.wall_s for stage in on_this_machine(STAGES)] == [30.0, 60.0, 90.0]
    assert 0 < forecast.slowness.__call__() < float("inf")


def test_few_rows_and_a_native_sweep_have_their_own_stages() -> None:
    options = Options(recall=0.9)
    exact = expected_stages(900, 8, 100, options, threads=1, held_out=True, exact=True)
    assert [stage.name for stage in exact] == ["profile", "prepare", "truth"]
    native = expected_stages(9_000, 8, 100, replace(options, exhaustive=True), threads=1, held_out=False)
    names = [stage.name for stage in native]
    assert "native" in names
    assert "frontier" not in names
