"""Recall of distinct rows is counted in all rows: what brute force over every row says."""

import numpy as np
import pytest
from conftest import finish

from tuner.data.copies import Copies, copies_of, groups_of
from tuner.data.vectors import open_vectors
from tuner.recall.metric import is_right, without_rows
from tuner.recall.truth import Truth, search_exactly, with_rows, without_own
from tuner.types import FloatArray, IdArray

N, D, K, NQ = 400, 3, 10, 60


@pytest.fixture(scope="module")
def x() -> FloatArray:
    """Return rows of which most repeat another, one of them 40 times, and some tie without being equal."""
    rng = np.random.default_rng(0)
    x = rng.integers(-3, 4, (N, D)).astype(np.float32)
    x[rng.choice(N, 40, replace=False)] = x[0]
    return x


@pytest.fixture(scope="module")
def copies(x: FloatArray) -> Copies:
    return copies_of(finish(groups_of(open_vectors(x, "base"))), np.arange(N))


def by_brute_force(x: FloatArray, queries: FloatArray, rows: IdArray, own: IdArray | None = None) -> IdArray:
    """Return right rows (nq,) among the first K of rows (nq, >= K), by distances to every row of the file."""
    far = ((queries[:, None].astype(np.float64) - x[None].astype(np.float64)) ** 2).sum(axis=2)
    if own is not None:
        far[np.arange(len(own)), own] = np.inf
    limit = np.sort(far, axis=1)[:, K - 1]
    found = np.take_along_axis(far, np.maximum(rows, 0), axis=1)
    right = is_right(np.where(rows < 0, np.inf, found), limit)[:, :K]
    hits: IdArray = right.sum(axis=1)
    return hits


def answers(m: int, seed: int) -> IdArray:
    """Return answers (NQ, K + 1) of a poor search: distinct nodes, some missing."""
    rng = np.random.default_rng(seed)
    found = np.array([rng.choice(m, K + 1, replace=False) for _ in range(NQ)])
    found[::7, 4:] = -1
    return found


def near_answers(x: FloatArray, queries: FloatArray, m: int, seed: int) -> IdArray:
    """Return the nearest nodes (NQ, K + 1), every fourth of them replaced by any."""
    far = ((queries[:, None] - x[None]) ** 2).sum(axis=2)
    found = np.argsort(far, axis=1, kind="stable")[:, : K + 1]
    rng = np.random.default_rng(seed)
    for mine in found:
        mine[rng.integers(K)] = rng.choice(np.setdiff1d(np.arange(m), mine))
    return found


def test_hits_are_those_of_all_rows(x: FloatArray, copies: Copies) -> None:
    nodes, m = x[copies.first], len(copies.first)
    queries = np.random.default_rng(1).normal(size=(NQ, D)).astype(np.float32) * 2
    truth = finish(search_exactly(nodes, queries, K, K, copies.weights))
    for found in (answers(m, 2), near_answers(nodes, queries, m, 3)):
        hits = truth.hits(nodes, queries, found)
        wanted = by_brute_force(x, queries, copies.expanded(found, K))
        assert hits.tolist() == wanted.tolist()
        assert len(set(hits.tolist())) > 2
    exact = near_answers(nodes, queries, m, 3)
    exact = np.argsort(((queries[:, None] - nodes[None]) ** 2).sum(axis=2), axis=1)[:, :K]
    assert (truth.hits(nodes, queries, exact) == K).all()
    assert (truth.n_distinct < K).any()


def test_another_k_is_counted_in_rows_too(x: FloatArray, copies: Copies) -> None:
    nodes = x[copies.first]
    queries = np.random.default_rng(1).normal(size=(NQ, D)).astype(np.float32)
    truth = finish(search_exactly(nodes, queries, 50, 50, copies.weights)).at(K, nodes, queries)
    plain = finish(search_exactly(nodes, queries, K, K, copies.weights))
    assert np.array_equal(truth.kth_distance, plain.kth_distance)
    found = near_answers(nodes, queries, len(nodes), 4)
    assert np.array_equal(truth.hits(nodes, queries, found), plain.hits(nodes, queries, found))


def test_a_query_that_is_a_row_is_not_its_own_answer_and_its_copies_are(
    x: FloatArray, copies: Copies
) -> None:
    nodes, m = x[copies.first], len(copies.first)
    own = np.random.default_rng(5).choice(N, NQ, replace=False)
    queries, theirs = x[own], copies.numbers[own]
    assert {1} < set(copies.weights[theirs].tolist())
    deep = finish(search_exactly(nodes, queries, K + 1, K + 1, copies.weights))
    truth = without_own(deep, theirs, nodes, queries, K)
    gone = truth.never_answers
    assert gone is not None
    for found in (answers(m, 6), near_answers(nodes, queries, m, 7)):
        hits = truth.hits(nodes, queries, without_rows(found, gone))
        rows = np.full((NQ, K + 1), -1)
        for place, each in enumerate(copies.expanded(found, K + 1)):
            if own[place] not in each and theirs[place] in found[place]:
                # which of equal rows are given is all the same: the query's own is the one left out
                each[np.flatnonzero(copies.numbers[each] == theirs[place])[-1]] = own[place]
            kept = each[(each != own[place]) & (each >= 0)]
            rows[place, : len(kept)] = kept
        assert hits.tolist() == by_brute_force(x, queries, rows, own).tolist()
    parts = truth.part(np.arange(0, NQ, 2))
    assert parts.own is not None
    assert parts.own.tolist() == theirs[::2].tolist()


def test_rows_that_come_back_join_the_row_that_they_repeat(x: FloatArray, copies: Copies) -> None:
    groups = finish(groups_of(open_vectors(x, "base")))
    back = np.sort(np.random.default_rng(8).choice(N, 120, replace=False))
    before = copies_of(groups, np.delete(np.arange(N), back))
    nodes, m = x[copies.first], len(copies.first)
    queries = np.random.default_rng(9).normal(size=(NQ, D)).astype(np.float32)
    kept = copies.numbers[before.first]
    truth = finish(search_exactly(x[before.first], queries, K, K, before.weights))
    weights = np.zeros(m, dtype=np.int64)
    weights[kept] = before.weights
    moved = Truth(kept[truth.ids], truth.right, truth.kth_distance, K, weights)
    grown = with_rows(moved, copies.numbers[back], nodes, queries)
    whole = finish(search_exactly(nodes, queries, K, K, copies.weights))
    assert grown.weights is not None
    assert grown.weights.tolist() == copies.weights.tolist()
    assert np.allclose(grown.kth_distance, whole.kth_distance)
    found = near_answers(nodes, queries, m, 10)
    assert np.array_equal(grown.hits(nodes, queries, found), whole.hits(nodes, queries, found))
    known = copies.numbers[before.members[:5]]  # all of them rows that are there: no node is new
    again = with_rows(moved, known, nodes, queries)
    assert again.weights is not None
    assert (again.weights > 0).sum() == len(before.first)
