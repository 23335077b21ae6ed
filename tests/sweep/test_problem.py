"""The margin and the aim of a problem, by hand."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.sweep.problem import Problem
from tuner.types import Options, Recall

Z95, Z90 = 1.6448536269514722, 1.282
K = 10


def problem(recall: float = 0.9, n_tune: int = 400, n_validate: int = 400, **changes: Any) -> Problem:
    base: Any = SimpleNamespace(n=1000, d=32)
    nothing: Any = np.zeros((0, 32), dtype=np.float32)
    truth: Any = None
    return Problem(
        options=Options(recall=recall, k=K, **changes),
        base=base,
        raw=nothing,
        queries=nothing,
        truth=truth,
        tune=np.arange(n_tune),
        validate=np.arange(n_tune, n_tune + n_validate),
        links_path=Path("links"),
        threads=1,
    )


# ---------------------------------------------------------------- what a measured point needs


def test_what_a_point_needs_by_hand() -> None:
    """99 queries with 9 hits of 10 and one imaginary with none: standard deviation .09, error .09 / 10."""
    hits = np.full(99, 9)
    halves = problem(0.85, 99, 99)
    expected = Z95 * 0.009 + 1 / 100 + Z90 * 2**0.5 * 0.009
    assert halves.margin(hits) == pytest.approx(expected, rel=1e-9)
    assert halves.needed(hits) == pytest.approx(0.85 + expected, rel=1e-9)


def test_a_smaller_held_out_half_asks_for_more() -> None:
    """A quarter of the queries: twice the error there, and 1 / 26 for the imaginary one."""
    hits = np.full(100, 9)
    few = problem(0.85, 100, 25)
    on_tune = 0.9 / 101
    expected = Z95 * 2 * on_tune + 1 / 26 + Z90 * 5**0.5 * on_tune
    assert few.margin(hits) == pytest.approx(expected, rel=1e-9)
    assert few.margin(hits) > problem(0.85, 100, 100).margin(hits)


def test_more_confidence_asks_for_more() -> None:
    hits = np.full(100, 9)
    usual, sure = problem(), problem(confidence=0.99)
    assert sure.margin(hits) - usual.margin(hits) == pytest.approx(
        (2.3263478740408408 - Z95) * 0.9 / 101, rel=1e-9
    )


def test_no_more_than_all_is_needed() -> None:
    assert problem(0.999).needed(np.full(400, 9)) == 1.0


# ---------------------------------------------------------------- what predictions aim at


def test_the_aim_by_hand() -> None:
    """Hits 8 and 10 of 10 in turn: .1 from their mean, and the imaginary query adds 1 / sqrt(400) = .05."""
    hits = np.tile([8, 10], 200)
    spread = np.hypot(0.1 * (400 / 399) ** 0.5, 0.05)
    error = spread / 20
    expected = 0.9 + Z95 * error + 1 / 401 + Z90 * 2**0.5 * error
    assert expected == pytest.approx(0.9218, abs=1e-4)
    assert problem().aim_of(hits) == pytest.approx(expected, rel=1e-9)


def test_the_aim_knows_the_sizes_of_both_halves() -> None:
    """The spread is that of the queries given, however few; the halves are 400 and 100."""
    spread = np.hypot(0.1 * 2**0.5, 0.05)
    expected = 0.8 + Z95 * spread / 10 + 1 / 101 + Z90 * spread * np.hypot(1 / 20, 1 / 10)
    assert problem(0.8, 400, 100).aim_of(np.array([8, 10])) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("target", "most"), [(0.95, 0.985), (0.99, 0.997), (1.0, 1.0)])
def test_the_aim_leaves_three_tenths_of_the_misses(target: float, most: float) -> None:
    wild = np.tile([0, 10], 20)
    assert problem(target, 40, 40).aim_of(wild) == pytest.approx(most, rel=1e-12)


def test_until_it_is_measured_the_aim_supposes_the_usual_spread() -> None:
    """1.5 times that of independent hits: sqrt(.9 x .1 / 10) x 1.5 = .1423."""
    spread = np.hypot(1.5 * (0.9 * 0.1 / 10) ** 0.5, 0.05)
    expected = 0.9 + Z95 * spread / 20 + 1 / 401 + Z90 * 2**0.5 * spread / 20
    assert problem().aim == pytest.approx(expected, rel=1e-9)
    assert replace(problem(), measured_aim=0.93).aim == 0.93


def test_the_aim_is_what_hits_of_that_spread_need() -> None:
    """Prediction and judgement agree to a thousandth: the imaginary query is modelled, not counted."""
    one = problem(0.9)
    hits = np.tile([8, 9, 10, 10], 100)
    assert one.aim_of(hits) == pytest.approx(one.needed(hits), abs=0.001)


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, float("inf")),
        ({"max_memory_bytes": 5000}, 5000.0),
        ({"max_memory_per_vector": 4.5}, 4500.0),
        ({"max_memory_bytes": 5000, "max_memory_per_vector": 4.5}, 4500.0),
        ({"max_memory_bytes": 4000, "max_memory_per_vector": 4.5}, 4000.0),
    ],
)
def test_the_stricter_memory_limit_counts(limits: dict[str, Any], most: float) -> None:
    assert problem(**limits).max_memory_bytes() == most


@pytest.mark.parametrize(("lower", "holds"), [(0.9, True), (0.8999, False)])
def test_the_held_out_half_supports_the_target_by_its_lower_bound(lower: float, holds: bool) -> None:
    recall = Recall(mean=0.99, lower=lower, p5=0.8, share_below_half=0.0, n_queries=400)
    assert problem().validated(recall) == holds
