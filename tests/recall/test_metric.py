"""Recall counts exact distances, not ids."""

from collections.abc import Callable

import numpy as np
import pytest
from conftest import finish
from numpy.typing import NDArray

from tuner.recall.metric import (
    RELATIVE_TOLERANCE,
    exact_distances,
    first_occurrences,
    is_right,
)
from tuner.recall.truth import Truth, search_exactly
from tuner.types import FloatArray, IdArray

Answer = tuple[Truth, FloatArray, FloatArray, IdArray]
Count = Callable[[Truth, FloatArray, FloatArray, IdArray], int]

NEAR = {1: 0.1, 2: 0.2, 3: 0.3}
# squared distance of some of 100 rows on a line (100 for the others), k, ids returned, hits
CASES: dict[str, tuple[dict[int, float], int, list[int], int]] = {
    "all right": (NEAR, 3, [3, 1, 2], 3),
    "one too far": (NEAR | {4: 0.31}, 3, [1, 2, 4], 2),
    "a tie at rank k counts whatever its id": (NEAR | {99: 0.3}, 3, [1, 2, 99], 3),
    "all of them ties": (dict.fromkeys(range(1, 6), 0.3), 3, [5, 3, 4], 3),
    "ties beyond the margin": (dict.fromkeys(range(1, 61), 0.3), 3, [58, 60, 59], 3),
    "ties beyond the margin, and one too far": (dict.fromkeys(range(1, 61), 0.3), 3, [58, 99, 59], 2),
    "rounding is not a miss": (NEAR | {4: 0.3 * (1 + RELATIVE_TOLERANCE / 2)}, 3, [1, 2, 4], 3),
    "more than rounding is": (NEAR | {4: 0.3 * (1 + 3 * RELATIVE_TOLERANCE)}, 3, [1, 2, 4], 2),
    "an id twice counts once": (NEAR, 3, [1, 1, 3], 2),
    "an id three times, apart": (NEAR | {4: 0.4, 5: 0.5}, 5, [1, 2, 1, 3, 1], 3),
    "nothing returned": (NEAR, 3, [-1, -1, -1], 0),
    "little returned": (NEAR, 3, [1, -1, -1], 1),
    "beyond k does not count": (NEAR, 2, [50, 51, 1, 2], 0),
    "copies of the query": ({1: 0.0, 2: 0.0, 3: 0.0, 4: 1e-9}, 2, [3, 4], 1),
}


def answer(case: str) -> Answer:
    near, k, ids, _ = CASES[case]
    base = np.full((100, 1), 10, dtype=np.float32)
    for row, distance in near.items():
        base[row] = distance**0.5
    query = np.zeros((1, 1), dtype=np.float32)
    return finish(search_exactly(base, query, k, k)), base, query, np.array([ids])


@pytest.mark.parametrize("case", CASES)
def test_hits_of_planted_answers(case: str) -> None:
    truth, base, query, ids = answer(case)
    hits = truth.hits(base, query, ids)
    assert hits.dtype == np.int64
    assert hits.tolist() == [CASES[case][3]]


def _counted(
    truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray, share: float = 1.0
) -> NDArray[np.bool_]:
    return is_right(exact_distances(base, query, ids), truth.kth_distance * share)


def _by_id(truth: Truth, _base: FloatArray, _query: FloatArray, ids: IdArray) -> int:
    return len(set(ids[0, : truth.k].tolist()) & set(truth.ids[0, : truth.k].tolist()))


def _every_return(truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray) -> int:
    return int(_counted(truth, base, query, ids[:, : truth.k]).sum())


def _repeats_side_by_side_only(truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray) -> int:
    right = _counted(truth, base, query, ids)[0]
    right[1:] &= ids[0, 1:] != ids[0, :-1]
    return int(right[: truth.k].sum())


def _nothing_is_the_last_row(truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray) -> int:
    moved = base.copy()
    moved[-1] = base[1]
    return int((_counted(truth, moved, query, ids % 100) & first_occurrences(ids + 1))[0, : truth.k].sum())


def _strictly(truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray) -> int:
    return int((_counted(truth, base, query, ids, 0.999) & first_occurrences(ids))[0, : truth.k].sum())


def _without_tolerance(truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray) -> int:
    right = exact_distances(base, query, ids) <= truth.kth_distance[:, None]
    return int((right & first_occurrences(ids))[0, : truth.k].sum())


def _generously(truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray) -> int:
    return int((_counted(truth, base, query, ids, 1.001) & first_occurrences(ids))[0, : truth.k].sum())


def _beyond_k(truth: Truth, base: FloatArray, query: FloatArray, ids: IdArray) -> int:
    return min(truth.k, int((_counted(truth, base, query, ids) & first_occurrences(ids)).sum()))


def _known_rows_only(truth: Truth, _base: FloatArray, _query: FloatArray, ids: IdArray) -> int:
    known = truth.ids[:, : truth.right.shape[1]][truth.right]
    return int((np.isin(ids, known) & first_occurrences(ids))[0, : truth.k].sum())


FAULTS: list[Count] = [
    _by_id,
    _every_return,
    _repeats_side_by_side_only,
    _nothing_is_the_last_row,
    _strictly,
    _without_tolerance,
    _generously,
    _beyond_k,
    _known_rows_only,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_planted_fault_turns_a_case_red(fault: Count) -> None:
    assert any(fault(*answer(case)) != CASES[case][3] for case in CASES)


def test_hits_are_counted_for_each_query_alone() -> None:
    base = np.arange(50, dtype=np.float32)[:, None]
    queries = np.array([[0.1], [10.1], [20.1], [30.1]], dtype=np.float32)
    truth = finish(search_exactly(base, queries, 2, 2))
    ids = np.array([[0, 1], [0, 1], [20, 20], [31, -1]])
    assert truth.hits(base, queries, ids).tolist() == [2, 0, 1, 1]


def test_counting_by_id_would_say_less() -> None:
    """3 % of 2,000 rows are copies: a search that returns a copy for its original is as right."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((2_000, 4)).astype(np.float32)
    base[1_940:] = base[:60]
    queries = base[:60] + np.float32(0.001)
    truth = finish(search_exactly(base, queries, 10, 1))
    first = np.arange(60)[:, None]
    for returned in (first, first + 1_940):
        assert truth.hits(base, queries, returned).tolist() == [1] * 60
    by_id = [(returned == truth.ids[:, :1]).sum() for returned in (first, first + 1_940)]
    assert sum(by_id) == 60  # whichever of the two the exact search happened to name first


def test_the_first_of_equal_ids_counts() -> None:
    ids = np.array([[3, 3, 1, 3], [-1, 2, -1, 0], [5, 6, 7, 8]])
    assert first_occurrences(ids).tolist() == [
        [True, False, True, False],
        [False, True, False, True],
        [True, True, True, True],
    ]


def test_exact_distances_by_hand() -> None:
    base = np.array([[0, 0], [3, 4], [1, 1]], dtype=np.float32)
    queries = np.array([[0, 0], [1, 1]], dtype=np.float32)
    found = exact_distances(base, queries, np.array([[1, 0, -1], [2, -1, 1]]))
    assert found.dtype == np.float64
    assert found.tolist() == [[25, 0, np.inf], [0, np.inf, 13]]


def test_exact_distances_sum_in_float64_and_across_blocks() -> None:
    """600,000 columns put every query in a block of its own; a float32 sum of them is wrong by 1e-4."""
    step = np.float32(0.1)
    base = np.zeros((2, 600_000), dtype=np.float32)
    queries = np.stack([np.full(600_000, step), np.full(600_000, 2 * step), np.full(600_000, 3 * step)])
    found = exact_distances(base, queries, np.array([[0, 1]] * 3))
    expected = 600_000 * np.array([np.float64(step * times) ** 2 for times in (1, 2, 3)])
    np.testing.assert_allclose(found, np.stack([expected, expected], axis=1), rtol=1e-6)
