"""Which rows become queries depends on the seed alone, and no query is in two places."""

import numpy as np
import pytest

from tuner.data import vectors as module
from tuner.data.split import count_in_base, hold_out, random_order
from tuner.data.vectors import open_vectors


@pytest.mark.parametrize(
    ("n", "expected"),
    [
        (3, 0),
        (100, 20),
        (1_000, 200),
        (2_000, 400),
        (3_000, 600),
        (5_000, 1_000),
        (18_500, 1_850),
        (10**6, 2_000),
    ],
)
def test_how_many_rows_are_held_out(n: int, expected: int) -> None:
    assert len(hold_out(n, None, 0)) == expected


NONE = np.zeros(0, dtype=np.int64)


def test_held_out_rows_are_distinct_ascending_and_of_the_seed() -> None:
    rows = hold_out(5_000, 300, 11)
    assert rows.dtype == np.int64
    assert (np.diff(rows) > 0).all()
    assert 0 <= rows[0] <= rows[-1] < 5_000
    np.testing.assert_array_equal(rows, hold_out(5_000, 300, 11))
    assert not np.array_equal(rows, hold_out(5_000, 300, 12))


@pytest.mark.parametrize("nq", [20, 21, 1_001])
def test_the_order_is_complete_random_and_of_the_seed(nq: int) -> None:
    order = random_order(nq, 5)
    np.testing.assert_array_equal(np.sort(order), np.arange(nq))
    np.testing.assert_array_equal(order, random_order(nq, 5))
    assert not np.array_equal(order, random_order(nq, 6))
    assert not np.array_equal(order, np.arange(nq))


def test_a_seed_draws_what_earlier_versions_drew() -> None:
    """Frozen baselines hold the hits of each query: other draws would orphan them."""
    assert hold_out(100, 5, 0).tolist() == [26, 30, 50, 61, 81]
    assert random_order(7, 0).tolist() == [1, 3, 6, 0, 4, 2, 5]


def test_queries_in_the_base_are_counted_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 16 * 8 * 4)
    base = np.random.default_rng(0).standard_normal((200, 8)).astype(np.float32)
    base[150] = base[0]
    queries = np.random.default_rng(1).standard_normal((50, 8)).astype(np.float32)
    queries[[4, 9, 40]] = base[[0, 199, 0]]
    queries[5] = np.nextafter(base[1], np.float32(np.inf))
    assert count_in_base(open_vectors(base, "base"), np.asarray(queries, dtype=np.float32), NONE) == 3


def test_queries_of_another_dtype_match_after_conversion() -> None:
    base = np.arange(40, dtype=np.uint8).reshape(10, 4)
    queries = base[[2, 7]].astype(np.float64)
    assert count_in_base(open_vectors(base, "base"), np.asarray(queries, dtype=np.float32), NONE) == 2


def test_held_out_rows_are_not_counted_but_their_copies_are() -> None:
    base = np.arange(40, dtype=np.float32).reshape(10, 4)
    base[7] = base[2]
    held_out = np.array([2, 5])
    assert count_in_base(open_vectors(base, "base"), base[held_out], held_out) == 1
    assert count_in_base(open_vectors(base, "base"), base[held_out], NONE) == 2
