"""Empty documents embedded as zeros: cosine stays, they are in no index or truth, every output says so."""

from pathlib import Path

import faiss
import numpy as np
import pytest

import tuner
from tuner.testing import assert_recall

N, D, ZEROS = 2400, 24, 48


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    r = np.random.default_rng(0)
    x = (r.normal(size=(N, 6)) @ r.normal(size=(6, D)) + 0.2 * r.normal(size=(N, D))).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[:: N // ZEROS] = 0
    return x


@pytest.fixture(scope="module")
def saved(x: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> tuple[tuner.Result, Path]:
    folder = tmp_path_factory.mktemp("zeros")
    space = tuner.Space(M=(8,), codecs=("fp32", "SQ8"), cuts=(1.0,), rerank_factors=(1,))
    result = tuner.tune(x, recall=0.8, out=folder, space=space)
    result.save(folder)
    return result, folder


def test_cosine_stays_and_no_zero_row_is_asked_for_or_found(
    x: np.ndarray, saved: tuple[tuner.Result, Path]
) -> None:
    result, _ = saved
    assert result.profile.metric == "cosine"
    assert result.profile.n_left_out == ZEROS
    held_out = np.array(result.queries.held_out_rows)
    assert np.abs(x[held_out]).max(axis=1).min() > 0
    ids = result.index().search(x[held_out], 10)[1]
    assert ids.min() >= 0
    assert np.abs(x[ids]).max(axis=2).min() > 0


def test_every_output_says_how_many_are_left_out(saved: tuple[tuner.Result, Path]) -> None:
    result, folder = saved
    assert any(warning.startswith("48 of 2,400 rows are zero vectors") for warning in result.warnings)
    assert "48 of 2,400 rows are zero vectors" in (folder / "report.md").read_text()
    assert "(48 zero rows left out)" in (folder / "recommended.yaml").read_text()


@pytest.mark.usefixtures("few_rounds")
def test_exact_answers_and_inner_product_indexes_are_right(x: np.ndarray) -> None:
    queries = np.random.default_rng(1).normal(size=(100, D)).astype(np.float32)
    flat = faiss.IndexFlatIP(D)
    flat.add(x)
    recall = assert_recall(lambda q, k: flat.search(q, k)[1], queries, x, at_least=0.99, k=10)
    assert recall.mean == 1
    index = faiss.IndexHNSWFlat(D, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = 200, 150
    index.add(x)
    found = tuner.diagnose(index, x, queries, recall=0.95)
    assert found.recall.mean > 0.99
    assert {cause.name for cause in found.causes if cause.share > 0.01} == set()
