"""The front against brute force, and which point gets which name."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tuner.prediction.pareto import dominated_by_more_than, front, name_points

TIE = 0.02

Points = tuple[NDArray[np.float64], NDArray[np.float64]]


def planted(seed: int) -> Points:
    """Return up to 40 points on a coarse grid, so that many are equal or share a coordinate."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 41))
    steps = int(rng.integers(2, 30))
    return rng.integers(1, steps, n).astype(float), rng.integers(1, steps, n) / 8


def _dominates(a: tuple[float, float], b: tuple[float, float]) -> bool:
    return a[0] <= b[0] and a[1] <= b[1] and a != b


def _front_by_brute_force(memory: NDArray[np.float64], latency: NDArray[np.float64]) -> list[int]:
    points = list(zip(memory.tolist(), latency.tolist(), strict=True))
    kept = [
        number
        for number, point in enumerate(points)
        if not any(_dominates(other, point) for other in points) and point not in points[:number]
    ]
    return sorted(kept, key=lambda number: points[number])


@pytest.mark.parametrize("seed", range(200))
def test_the_front_equals_brute_force(seed: int) -> None:
    memory, latency = planted(seed)
    assert front(memory, latency).tolist() == _front_by_brute_force(memory, latency)


@pytest.mark.parametrize(
    ("memory", "latency", "expected"),
    [
        ([], [], []),
        ([5], [5], [0]),
        ([5, 5, 5], [5, 5, 5], [0]),
        ([3, 2, 1], [1, 2, 3], [2, 1, 0]),
        ([1, 1, 2, 2], [2, 1, 1, 0.5], [1, 3]),
        ([1, 2], [1, 1], [0]),
        ([1, 2, 3], [np.inf, 2, np.inf], [1]),
    ],
)
def test_fronts_by_hand(memory: list[float], latency: list[float], expected: list[int]) -> None:
    found = front(memory, latency)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_more_memory_must_buy_the_share_asked_for() -> None:
    memory, latency = [1, 2, 3, 4, 5], [100, 99, 97.9, 97, 50]
    assert front(memory, latency).tolist() == [0, 1, 2, 3, 4]
    assert front(memory, latency, tie=0.02).tolist() == [0, 2, 4]  # small steps do not add up unseen
    assert front(memory, latency, tie=0.5).tolist() == [0]


@pytest.mark.parametrize("slack", [0.0, 0.15, 0.5])
@pytest.mark.parametrize("seed", range(40))
def test_dominated_equals_brute_force(seed: int, slack: float) -> None:
    (memory, latency), (rivals_memory, rivals_latency) = planted(seed), planted(seed + 1000)
    expected = [
        any(m <= mine and ms < (1 - slack) * s for m, ms in zip(rivals_memory, rivals_latency, strict=True))
        for mine, s in zip(memory, latency, strict=True)
    ]
    assert dominated_by_more_than(memory, latency, rivals_memory, rivals_latency, slack).tolist() == expected


def test_without_rivals_nothing_is_dominated() -> None:
    assert dominated_by_more_than([1, 2], [1, 2], [], [], 0.1).tolist() == [False, False]


# ---------------------------------------------------------------- names


def test_names_by_hand() -> None:
    """Products 400, 300, 240, 480: the third is balanced."""
    assert name_points([100, 150, 240, 500], [4, 2, 1, 1.0 - 2 * TIE], TIE) == {
        "smallest": 0,
        "fastest": 3,
        "balanced": 2,
    }


def test_nothing_has_no_names_and_one_point_has_all() -> None:
    assert name_points([], [], TIE) == {}
    assert name_points([7], [3], TIE) == {"smallest": 0, "fastest": 0, "balanced": 0}


@pytest.mark.parametrize(("advantage", "fastest"), [(0.0, 0), (0.9, 0), (1.1, 1)])
def test_clock_times_within_the_tie_decide_nothing(advantage: float, fastest: int) -> None:
    """The second point is faster by a little more than memory grows: within the tie, less memory wins."""
    latency = [1.0, 1 / (1 + advantage * TIE)]
    assert name_points([100, 200], latency, TIE)["fastest"] == fastest
    assert name_points([100, 100.001], latency, TIE)["balanced"] == fastest


def test_among_ties_of_equal_memory_the_faster_is_taken() -> None:
    assert name_points([100, 100], [1.01, 1.0], TIE) == {"smallest": 1, "fastest": 1, "balanced": 1}


@pytest.mark.parametrize("seed", range(50))
def test_names_equal_brute_force(seed: int) -> None:
    memory, latency = planted(seed)
    points = range(len(memory))
    named = name_points(memory, latency, TIE)
    assert named["smallest"] == min(points, key=lambda at: (memory[at], latency[at]))
    near = [at for at in points if not any(latency[at] > 1.5 * each for each in latency)]
    for name, value, among in (("fastest", latency, points), ("balanced", memory * latency, near)):
        close = [at for at in among if all(value[at] <= value[other] * (1 + TIE) for other in among)]
        assert named[name] == min(close, key=lambda at: (memory[at], value[at]))


@pytest.mark.parametrize(
    ("slow", "balanced"),
    [
        (12.0, 1),  # ClickHouse: a fifth of the memory at 12 times the latency
        (3.0, 1),
        (1.51, 1),
        (1.5, 0),
    ],
)
def test_no_memory_buys_more_than_half_the_latency_again(slow: float, balanced: int) -> None:
    """Its product is the least at every ``slow``: what lies beyond is smallest, not balanced."""
    assert name_points([1, 20], [slow, 1.0], TIE) == {"smallest": 0, "fastest": 1, "balanced": balanced}


@pytest.mark.parametrize("seed", range(50))
def test_balanced_waits_no_longer_than_half_again_and_units_do_not_matter(seed: int) -> None:
    memory, latency = planted(seed)
    named = name_points(memory, latency, TIE)
    assert latency[named["balanced"]] <= 1.5 * latency.min()
    assert name_points(1024 * memory, latency / 1024, TIE) == named


@pytest.mark.parametrize("seed", range(50))
def test_smallest_and_fastest_without_a_tie_are_the_ends_of_the_front(seed: int) -> None:
    memory, latency = planted(seed)
    best = front(memory, latency)
    named = name_points(memory, latency, tie=0.0)
    assert (named["smallest"], named["fastest"]) == (best[0], best[-1])
    assert named["balanced"] in best
