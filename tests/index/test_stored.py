"""Vectors that an index holds beside the rows that they should be: same, scaled or others."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from tuner.index.assemble import metric_transform
from tuner.index.opened import open_object
from tuner.index.projections import behind
from tuner.index.stored import compare, stored_best, stored_codes

N, D = 600, 24
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
EVERY = np.arange(N)


def built(kind: str, rows: np.ndarray) -> faiss.Index:
    index = faiss.index_factory(D, kind)
    index.train(X)
    index.add(rows)
    return index


@pytest.mark.parametrize("kind", ["Flat", "HNSW8", "HNSW8,SQ4", "PCA12,HNSW8,SQ8", "HNSW8_PQ6x4", "RaBitQ"])
def test_rows_encoded_again_give_the_same_codes(kind: str) -> None:
    index = built(kind, X)
    stored = stored_codes(open_object(index, D, None))
    found = compare(stored, X, stored.at(EVERY))
    assert found.same_code.all()
    assert found.same_vector.all()
    assert not found.scaled.any()


def test_other_rows_and_other_lengths_are_told_apart() -> None:
    rows = X.copy()
    rows[:100] = -X[:100]
    rows[100:200] *= 3
    index = built("HNSW8", rows)
    stored = stored_codes(open_object(index, D, None))
    found = compare(stored, X, stored.at(EVERY))
    assert found.same_code.tolist() == [False] * 200 + [True] * 400
    assert np.flatnonzero(found.scaled).tolist() == list(range(100, 200))


def test_a_coarse_code_of_a_near_vector_is_no_same_code() -> None:
    """What may be one vector to a diagnosis is another code to the gate, whose rows were encoded here."""
    near = X + np.random.default_rng(1).normal(0, 0.1, X.shape).astype(np.float32)
    index = built("HNSW8,SQ4", near)
    stored = stored_codes(open_object(index, D, None))
    found = compare(stored, X, stored.at(EVERY))
    assert found.same_vector.mean() > 0.9
    assert found.same_code.mean() < 0.1


def test_a_column_that_turns_inner_products_into_distances_is_none_of_the_rows() -> None:
    radius = float(np.linalg.norm(X, axis=1).max())
    last = np.sqrt(np.maximum(radius**2 - (X.astype(np.float64) ** 2).sum(axis=1), 0)).astype(np.float32)
    graph = faiss.IndexHNSWFlat(D + 1, 8)
    graph.add(np.hstack([X, last[:, None]]))
    step = metric_transform("ip", D)
    assert step is not None
    opened = open_object(behind([step], graph), D, None)
    stored = stored_codes(opened, radius)
    assert compare(stored, X, stored.at(EVERY)).same_code.all()
    without = stored_codes(opened)
    assert compare(without, X, without.at(EVERY)).same_code.mean() < 0.1


def test_lists_and_re_ranking_stores_are_read_by_position() -> None:
    index = built("IVF4,SQ8", X)
    opened = open_object(index, D, None)
    stored = stored_best(opened)
    assert compare(stored, X[opened.ids], stored.at(EVERY)).same_code.all()
    refined = built("HNSW8,SQ4,RFlat", X)
    exact, codes = (of(open_object(refined, D, None)) for of in (stored_best, stored_codes))
    assert np.array_equal(exact.at(EVERY), X)
    assert not np.array_equal(codes.at(EVERY), X)
