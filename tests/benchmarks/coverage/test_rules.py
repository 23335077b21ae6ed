"""Rules of deciding, on planted hits whose truth is known."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.coverage.__main__ import cells, costs_of, decided, outcome
from benchmarks.coverage.pool import Pool
from benchmarks.coverage.rules import RULES, Decision, Means, cheapest, first_from_the_top
from tuner.recall.target import summarize

NQ, K, TARGET = 2_000, 10, 0.9


@pytest.fixture(scope="module")
def pool() -> Pool:
    """Six indexes that are nearly alike: the cheapest that a sample shows is the luckiest."""
    rng = np.random.default_rng(0)
    recall = 1 - 0.2 * np.exp(-0.08 * np.arange(30))
    # half of the luck is the query's own, whichever index it is asked of
    hard = rng.beta(8, 1, size=NQ) / (8 / 9)
    chance = np.clip(recall[None, :, None] * (0.5 + 0.5 * hard), 0, 1)
    hits = rng.binomial(K, np.broadcast_to(chance, (6, 30, NQ))).astype(np.uint8)
    ndis = np.broadcast_to(100.0 + 10 * np.arange(30), (6, 30)).copy()
    names = tuple(f"HNSW{M}" for M in range(6))
    efs = np.broadcast_to(np.arange(10, 40), (6, 30)).copy()
    return Pool(names, np.full(6, 1e6), efs, ndis, hits, K)


def test_the_least_from_which_on_all_hold() -> None:
    good = np.array([[True, False, True, True], [True, True, True, False], [True] * 4, [False] * 4])
    assert first_from_the_top(good).tolist() == [2, 4, 0, 4]


def test_the_bound_is_that_of_a_report(pool: Pool) -> None:
    hits = pool.hits[:1, :3, :500].astype(np.float32)
    lower = Means.of(np.divide(hits, K, dtype=np.float32)).lower()
    expected = [summarize(each.astype(np.int64), K, 0.95).lower for each in hits[0]]
    np.testing.assert_allclose(lower[0], expected, atol=1e-6)


def test_the_cheapest_that_is_certified_is_named() -> None:
    costs, lower = np.array([[1.0, 2.0], [3.0, 4.0], [0.5, 0.6]]), np.full((3, 2), 0.9)
    assert cheapest(costs, np.array([1, 0, 2]), lower, lower) == Decision(0, 1, 0.9, 0.9)
    assert cheapest(costs, np.array([2, 2, 2]), lower, lower) is None


def test_promises_are_kept_by_every_rule_but_the_planted_fault(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.coverage.__main__.COSTS", {"fastest": "distances"})
    monkeypatch.setattr("tuner.recall.together.DRAWS", 10_000)  # the decisions are many
    made = decided(pool, TARGET, 500)
    costs = costs_of(pool, "distances")
    found = {name: outcome(pool, costs, TARGET, made["distances", name]) for name in RULES}
    fault = found.pop("planted fault: the mean")
    assert not fault.kept
    assert "**no**" in cells(500, "fault", fault)
    assert fault.covered < 0.6
    for name in ("before: two halves", "the tuner", "all at once"):
        assert found[name].kept, name
    assert found["the tuner"].distances < found["before: two halves"].distances
    assert found["each on its own"].below >= found["all at once"].below


def test_a_pool_is_read_as_it_was_written(pool: Pool, tmp_path: Path) -> None:
    path = tmp_path / "pool.npz"
    pool.save(path)
    again = Pool.load(path)
    assert again.names == pool.names
    np.testing.assert_array_equal(again.hits, pool.hits)
    np.testing.assert_array_equal(again.recall, pool.recall)
