"""Drops are judged by query, and what the power line promises is what trials show."""

from math import inf

import numpy as np
import pytest

from tuner.recall.paired import HitArray, Power, drop_between, upper_bound, variance_per_drop
from tuner.types import Drop

K = 10


def test_nothing_changed_is_no_drop_and_no_doubt() -> None:
    hits = np.array([10, 9, 10, 3])
    assert drop_between(hits, hits, K, 0.95) == Drop(0.0, 0.0, 0.0, 0.0, 0, 4)


def test_all_lost_the_same_is_no_doubt_either() -> None:
    before = np.array([10, 9, 10, 4])
    found = drop_between(before, before - 2, K, 0.95)
    assert (found.mean, found.lower, found.upper) == pytest.approx((0.2, 0.2, 0.2))
    assert found.n_changed == 4


def test_a_drop_by_hand() -> None:
    """Lost .1 by two of ten: mean .02, standard deviation .042164, t(9, .95) = 1.8331."""
    before = np.full(10, 10)
    after = before.copy()
    after[:2] -= 1
    found = drop_between(before, after, K, 0.95)
    width = 1.833113 * 0.0421637 / 10**0.5
    assert found.mean == pytest.approx(0.02)
    assert found.lower == pytest.approx(0.02 - width, abs=1e-6)
    assert found.upper == pytest.approx(0.02 + width, abs=1e-6)
    assert found.n_changed == 2
    gained = drop_between(after, before, K, 0.95)
    assert gained.mean == pytest.approx(-0.02)
    assert gained.upper == pytest.approx(-found.lower)


def test_the_query_is_the_unit_and_not_the_hit() -> None:
    """The same hits lost in bunches are less sure than one by one."""
    before = np.full(200, 10)
    one_by_one, bunched = before.copy(), before.copy()
    one_by_one[:100] -= 1
    bunched[:10] -= 10
    assert drop_between(before, bunched, K, 0.95).lower < drop_between(before, one_by_one, K, 0.95).lower


def test_the_upper_bound_of_recall() -> None:
    assert upper_bound(np.full(30, 9), K, 0.95) == pytest.approx(0.9)
    hits = np.array([10, 8] * 50)
    # mean .9, standard deviation .100504, t(99, .95) = 1.66039
    assert upper_bound(hits, K, 0.95) == pytest.approx(0.9 + 1.66039 * 0.1005038 / 10, abs=1e-5)


def test_variance_per_drop_by_hand() -> None:
    before = np.full(4, 10)
    assert variance_per_drop(before, np.array([10, 10, 10, 6]), K) == pytest.approx(0.04 / 0.1)
    assert variance_per_drop(before, before, K) is None
    assert variance_per_drop(before - 1, before, K) is None


def power(n_queries: int = 1000, allowed: float = 0.005, churn: float = 0.0) -> Power:
    return Power(n_queries=n_queries, allowed=allowed, confidence=0.95, churn=churn, per_drop=0.2)


def test_a_drop_that_is_just_allowed_is_called_one_in_twenty() -> None:
    assert power().chance(0.005) == pytest.approx(0.05, abs=1e-6)
    assert power(churn=0.01).chance(0.005) == pytest.approx(0.05, abs=1e-6)


def test_chances_grow_with_the_drop_and_with_the_queries() -> None:
    chances = [power().chance(drop) for drop in (0.0, 0.005, 0.01, 0.02, 0.1)]
    assert chances == sorted(chances)
    assert power(4000).chance(0.008) > power(1000).chance(0.008) > power(100).chance(0.008)


def test_the_visible_drop_has_that_power() -> None:
    for one in (power(), power(200), power(churn=0.02), power(allowed=0.0)):
        assert one.chance(one.visible()) == pytest.approx(0.95, abs=1e-3)


def test_where_nothing_is_surely_seen_the_visible_drop_is_infinite() -> None:
    assert Power(3, 0.0, 0.95, churn=5.0, per_drop=1.0).visible() == inf


def test_an_unchanged_index_that_loses_nothing_is_certain() -> None:
    certain = Power(100, 0.005, 0.95, churn=0.0, per_drop=0.0)
    assert (certain.chance(0.005), certain.chance(0.0051)) == (0.0, 1.0)


def test_as_many_queries_as_it_says_see_the_drop() -> None:
    needed = power(churn=0.005).queries_for(0.01)
    assert power(needed, churn=0.005).chance(0.01) == pytest.approx(0.95, abs=0.01)
    with pytest.raises(ValueError, match="is allowed"):
        power().queries_for(0.005)


def lose(hits: HitArray, share: float, rng: np.random.Generator) -> HitArray:
    """Take hits away in bunches: a query that loses any loses one to four."""
    losing = rng.random(len(hits)) < share / 0.25
    taken = np.where(losing, rng.integers(1, 5, len(hits)), 0)
    return np.maximum(hits - taken, 0)


@pytest.mark.parametrize("drop", [0.005, 0.0075, 0.01])
def test_trials_show_what_the_power_promises(drop: float) -> None:
    """Drops planted in 400 query sets of 1,000 each are called as often as promised, within 5 points."""
    rng = np.random.default_rng(7)
    called, promised = [], []
    for _ in range(400):
        before = np.full(1000, 10)
        after = lose(before, drop, rng)
        found = drop_between(before, after, K, 0.95)
        called.append(found.lower > 0.005)
        # what lost hits look like is measured on another search, as the check does
        other = variance_per_drop(before, lose(before, 0.02, rng), K)
        assert other is not None
        promised.append(Power(1000, 0.005, 0.95, churn=0.0, per_drop=other).chance(drop))
    assert np.mean(called) == pytest.approx(np.mean(promised), abs=0.05)


def test_an_unchanged_index_raises_no_alarm() -> None:
    """Hits that come and go, as between two builds: 400 checks, at most 1 % alarms."""
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(400):
        true = rng.beta(30, 1.5, 1000)
        before, after = rng.binomial(K, true), rng.binomial(K, true)
        alarms += drop_between(before, after, K, 0.95).lower > 0.005
    assert alarms <= 4
