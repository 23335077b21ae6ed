"""Shares of long work, scaled into the share of a longer one."""

import pytest

from tuner.runtime.steps import Driver, as_progress, result_of, scaled
from tuner.types import Progress, Steps


def work(*shares: float) -> Steps[str]:
    yield from shares
    return "done"


def shares_and_result(steps: Steps[str]) -> tuple[list[float], str]:
    driver = Driver(steps)
    return list(driver), driver.result


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.25, 1.0]),
        (0.5, 0.75, [0.5, 0.5625, 0.75]),
        (0.25, 0.25, [0.25, 0.25, 0.25]),
    ],
)
def test_shares_lie_between_the_two_ends(low: float, high: float, expected: list[float]) -> None:
    assert shares_and_result(scaled(work(0.0, 0.25, 1.0), low, high)) == (expected, "done")


def test_work_without_a_share_returns_its_result() -> None:
    assert shares_and_result(scaled(work(), 0.2, 0.4)) == ([], "done")


def test_scales_nest() -> None:
    shares, result = shares_and_result(scaled(scaled(work(0.0, 1.0), 0.5, 1.0), 0.0, 0.5))
    assert (shares, result) == ([0.25, 0.5], "done")


def test_nothing_is_done_before_it_is_asked_for_and_errors_come_through() -> None:
    def broken() -> Steps[str]:
        yield 0.5
        raise ValueError("planted")

    steps = scaled(broken(), 0.0, 0.1)
    assert next(steps) == pytest.approx(0.05)
    with pytest.raises(ValueError, match="planted"):
        next(steps)


def test_shares_become_progress_of_a_stage_and_the_result_comes_back() -> None:
    driver = Driver(as_progress("load", work(0.25, 1.0)))
    assert list(driver) == [Progress("load", 0.25), Progress("load", 1.0)]
    assert driver.result == "done"
    assert result_of(work(0.5)) == "done"


def test_work_that_is_left_half_way_is_closed() -> None:
    closed = []

    def half() -> Steps[None]:
        try:
            yield 0.5
        finally:
            closed.append(True)

    steps = as_progress("load", half())
    next(steps)
    steps.close()
    assert closed == [True]
