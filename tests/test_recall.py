"""Recall counts exact distances, not ids, and its bound is Student's t over queries."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from tuner.recall import RELATIVE_TOLERANCE, count_hits, exact_distances, standard_error, summarize

Hits = NDArray[np.int64]
Count = Callable[[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], int], Hits]

TINY = float(np.finfo(np.float32).tiny)
# ids, their exact distances, exact distance of the k-th neighbour, k, hits
CASES = {
    "all right": ([4, 7, 1], [0.1, 0.2, 0.3], 0.3, 3, 3),
    "one too far": ([4, 7, 1], [0.1, 0.2, 0.31], 0.3, 3, 2),
    "a tie at rank k counts whatever its id": ([4, 7, 99], [0.1, 0.3, 0.3], 0.3, 3, 3),
    "the true k-th missed, its tie returned": ([98, 97, 99], [0.3, 0.3, 0.3], 0.3, 3, 3),
    "rounding is not a miss": ([4, 7, 1], [0.1, 0.2, 0.3 * (1 + RELATIVE_TOLERANCE / 2)], 0.3, 3, 3),
    "more than rounding is": ([4, 7, 1], [0.1, 0.2, 0.3 * (1 + 3 * RELATIVE_TOLERANCE)], 0.3, 3, 2),
    "an id twice counts once": ([4, 4, 1], [0.1, 0.1, 0.3], 0.3, 3, 2),
    "an id three times, apart": ([4, 1, 4, 2, 4], [0.1, 0.1, 0.1, 0.3, 0.1], 0.3, 5, 3),
    "nothing returned": ([-1, -1, -1], [np.inf] * 3, 0.3, 3, 0),
    "nothing returned, distances not masked": ([4, -1, -1], [0.1, 0.0, 0.0], 0.3, 3, 1),
    "beyond k does not count": ([4, 7, 1, 3], [0.4, 0.4, 0.1, 0.1], 0.3, 2, 0),
    "copies of the query": ([4, 7, 1], [0.0, 0.0, 1e-9], 0.0, 3, 2),
}


def _arrays(case: str) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64], int, int]:
    ids, distances, kth, k, hits = CASES[case]
    return np.array([ids]), np.array([distances]), np.array([kth]), k, hits


@pytest.mark.parametrize("case", CASES)
def test_hits_of_planted_answers(case: str) -> None:
    ids, distances, kth, k, hits = _arrays(case)
    assert count_hits(ids, distances, kth, k).tolist() == [hits]


def test_hits_are_counted_for_each_query_alone() -> None:
    ids = np.array([[1, 2], [2, 1], [1, 1], [-1, 5]])
    distances = np.array([[0.1, 0.9], [0.1, 0.2], [0.1, 0.1], [np.inf, 0.2]])
    hits = count_hits(ids, distances, np.array([0.5, 0.5, 0.5, 0.1]), 2)
    assert hits.dtype == np.int64
    assert hits.tolist() == [1, 2, 1, 0]


def _limit(kth: NDArray[np.float64], tolerance: float = RELATIVE_TOLERANCE) -> NDArray[np.float64]:
    return (kth * (1 + tolerance) + TINY)[:, None]


def _every_return(ids: Hits, distances: NDArray[np.float64], kth: NDArray[np.float64], k: int) -> Hits:
    return ((distances[:, :k] <= _limit(kth)) & (ids[:, :k] >= 0)).sum(axis=1)


def _neighbours_only(ids: Hits, distances: NDArray[np.float64], kth: NDArray[np.float64], k: int) -> Hits:
    """Overfitting to repeats: only *neighbouring* repeats are dropped."""
    right = (distances <= _limit(kth)) & (ids >= 0)
    right[:, 1:] &= ids[:, 1:] != ids[:, :-1]
    return right[:, :k].sum(axis=1)


def _holes_too(ids: Hits, distances: NDArray[np.float64], kth: NDArray[np.float64], k: int) -> Hits:
    return np.array([min(k, int((row[:k] <= limit).sum())) for row, limit in zip(distances, _limit(kth), strict=True)])


def _strictly(ids: Hits, distances: NDArray[np.float64], kth: NDArray[np.float64], k: int) -> Hits:
    return count_hits(ids, distances, kth * (1 - 1e-3), k)


def _without_tolerance(ids: Hits, distances: NDArray[np.float64], kth: NDArray[np.float64], k: int) -> Hits:
    return count_hits(ids, np.where(distances > kth[:, None], np.inf, distances), kth, k)


def _generously(ids: Hits, distances: NDArray[np.float64], kth: NDArray[np.float64], k: int) -> Hits:
    return count_hits(ids, distances, kth * 1.001, k)


def _beyond_k(ids: Hits, distances: NDArray[np.float64], kth: NDArray[np.float64], k: int) -> Hits:
    return np.minimum(k, count_hits(ids, distances, kth, ids.shape[1]))


FAULTS: list[Count] = [
    _every_return,
    _neighbours_only,
    _holes_too,
    _strictly,
    _without_tolerance,
    _generously,
    _beyond_k,
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__.strip("_"))
def test_a_planted_fault_turns_a_case_red(fault: Count) -> None:
    seen = []
    for case in CASES:
        ids, distances, kth, k, hits = _arrays(case)
        seen += [case] if fault(ids, distances, kth, k).tolist() != [hits] else []
    assert seen


def test_counting_by_id_would_say_less() -> None:
    """Rows 0-4 and their copies 5-9: a search that returns the copies is as right as one that does not."""
    rng = np.random.default_rng(0)
    half = rng.standard_normal((5, 4)).astype(np.float32)
    base = np.concatenate([half, half])
    queries = half + np.float32(0.001)
    truth = np.tile([[0]], (5, 1)) + np.arange(5)[:, None]
    returned = truth + 5
    kth = exact_distances(base, queries, truth)[:, 0]
    assert count_hits(returned, exact_distances(base, queries, returned), kth, 1).tolist() == [1] * 5
    assert (returned == truth).sum() == 0


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


def test_the_lower_bound_is_students_t() -> None:
    hits = np.array([10, 9, 8, 10, 4])
    recall = summarize(hits, 10, 0.95)
    deviation = np.std([1.0, 0.9, 0.8, 1.0, 0.4], ddof=1)
    assert recall.mean == pytest.approx(0.82, abs=1e-12)
    assert recall.lower == pytest.approx(0.82 - stats.t.ppf(0.95, 4) * deviation / 5**0.5, abs=1e-12)
    assert recall.p5 == pytest.approx(0.48, abs=1e-12)
    assert recall.share_below_half == pytest.approx(0.2, abs=1e-12)
    assert recall.n_queries == 5
    assert summarize(hits, 10, 0.99).lower < recall.lower
    assert standard_error(hits, 10) == pytest.approx(deviation / 5**0.5, abs=1e-12)


@pytest.mark.parametrize(("hits", "mean"), [(10, 1.0), (7, 0.7)])
def test_where_all_queries_are_equal_the_rule_of_three_bounds(hits: int, mean: float) -> None:
    recall = summarize(np.full(100, hits), 10, 0.95)
    assert recall.mean == pytest.approx(mean, abs=1e-12)
    assert recall.lower == pytest.approx(mean - 2.995732 / 100 / 10, abs=1e-8)
    assert standard_error(np.full(100, hits), 10) == pytest.approx(0.001, abs=1e-12)


def test_the_bound_is_never_below_zero_and_one_query_bounds_nothing() -> None:
    assert summarize(np.array([0, 0, 0, 10]), 10, 0.95).lower == 0.0
    assert summarize(np.array([10]), 10, 0.95).lower == 0.0


def test_the_bound_holds_as_often_as_it_says() -> None:
    """2,000 query sets of 200 correlated queries with a known mean of .95."""
    rng = np.random.default_rng(1)
    hits = rng.binomial(10, rng.beta(9.5, 0.5, (2_000, 200)))
    held = np.mean([summarize(one, 10, 0.95).lower <= 0.95 for one in hits])
    assert 0.935 <= held <= 0.97
    # the unit is the query: neighbours taken one by one would hold far less often
    share = hits.mean(axis=1) / 10
    naive = np.mean(share - 1.645 * np.sqrt(share * (1 - share) / 2_000) <= 0.95)
    assert naive < 0.9
