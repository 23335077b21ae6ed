"""Neighbours among allowed rows are those of brute force, from lists of all rows or without them."""

import numpy as np
import pytest
from conftest import finish

from tuner.recall.allowed import Filters
from tuner.recall.filtered_truth import filtered_hits, filtered_truth
from tuner.types import FloatArray, IdArray

N, NQ, D, K = 900, 40, 12, 10


@pytest.fixture(scope="module")
def world() -> tuple[FloatArray, FloatArray, Filters]:
    """Return rows of which some are equal, queries, and filters from nearly all rows to k of them."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal((N, D)).astype(np.float32)
    x[100:180] = x[100]
    sizes = [850, 400, 90, 30, K]
    rows = [np.sort(rng.choice(N, size, replace=False)) for size in sizes]
    of_query = np.arange(NQ) % len(rows)
    queries = rng.standard_normal((NQ, D)).astype(np.float32)
    queries[:3] = x[100] + 1e-3
    return x, queries, Filters.of_rows(rows, of_query, N, "planted")


def brute(x: FloatArray, queries: FloatArray, filters: Filters) -> tuple[IdArray, FloatArray]:
    """Return the nearest allowed rows (nq, K), and the distance of the last of them."""
    distances = ((queries[:, None].astype(np.float64) - x[None]) ** 2).sum(axis=2)
    for query, number in enumerate(filters.of_query):
        distances[query, ~filters.mask(int(number))] = np.inf
    order = np.argsort(distances, axis=1, kind="stable")[:, :K]
    return order, np.take_along_axis(distances, order, axis=1)[:, -1]


@pytest.mark.parametrize("depth", [0, 30, 300, N])
def test_truth_is_that_of_brute_force(world: tuple[FloatArray, FloatArray, Filters], depth: int) -> None:
    x, queries, filters = world
    deep = None
    if depth:
        every = ((queries[:, None] - x[None]) ** 2).sum(axis=2)
        deep = np.argsort(every, axis=1, kind="stable")[:, :depth]
    truth = finish(filtered_truth(x, queries, filters, K, deep))
    nearest, last = brute(x, queries, filters)
    np.testing.assert_allclose(truth.kth_distance, last, rtol=1e-6)
    assert (filtered_hits(truth, filters, x, queries, nearest) == K).all()


def test_rows_that_a_filter_forbids_are_no_hits_however_near(
    world: tuple[FloatArray, FloatArray, Filters],
) -> None:
    x, queries, filters = world
    truth = finish(filtered_truth(x, queries, filters, K))
    every = np.argsort(((queries[:, None] - x[None]) ** 2).sum(axis=2), axis=1)[:, :K]
    found = filtered_hits(truth, filters, x, queries, every)
    np.testing.assert_array_equal(found, filters.allow(every).sum(axis=1))
    assert found.sum() < truth.hits(x, queries, every).sum()  # what would be counted without looking


def test_bits_parts_and_shares_are_those_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    masks = rng.random((4, 21)) < 0.4
    filters = Filters.of_rows([np.flatnonzero(mask) for mask in masks], np.array([2, 0, 2, 3]), 21, "planted")
    np.testing.assert_array_equal(filters.counts, masks.sum(axis=1))
    np.testing.assert_allclose(filters.shares, masks.sum(axis=1)[[2, 0, 2, 3]] / 21)
    ids = rng.integers(-1, 21, size=(4, 9))
    expected = np.array(
        [[i >= 0 and masks[f, i] for i in row] for f, row in zip([2, 0, 2, 3], ids, strict=True)]
    )
    np.testing.assert_array_equal(filters.allow(ids), expected)
    some = filters.part(np.array([3, 0]))
    assert len(some.bits) == 2
    np.testing.assert_array_equal(some.mask(int(some.of_query[0])), masks[3])
    kept = np.array([20, 3, 4])
    among = filters.among(kept)
    np.testing.assert_array_equal(among.mask(2), masks[2][kept])
