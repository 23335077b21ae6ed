"""In the prepared space L2 ranks as the user's metric does, and rows keep their numbers."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import NQ, K, World, file_limit, finish, planted_rows, scores

from tuner.data import base as module
from tuner.data.base import Base, open_prepared, prepare, prepared_queries, view_codes
from tuner.data.vectors import open_vectors
from tuner.types import FloatArray, IdArray, Metric

METRICS: tuple[Metric, ...] = ("l2", "cosine", "ip")
NONE = np.zeros(0, dtype=np.int64)


def _prepared(rows: FloatArray, metric: Metric, folder: Path, held_out: IdArray = NONE) -> Base:
    largest = float(np.linalg.norm(rows.astype(np.float32), axis=1).max())
    return finish(prepare(open_vectors(rows, "base"), metric, held_out, largest, folder / "base.f32"))


def _squared_l2(base: Base, queries: FloatArray) -> FloatArray:
    return np.asarray(((queries[:, None, :].astype(np.float64) - base.x[None, :, :]) ** 2).sum(axis=2))


@pytest.mark.parametrize("metric", METRICS)
def test_l2_ranks_all_rows_as_the_users_metric(tmp_path: Path, metric: Metric) -> None:
    rows = planted_rows(500, 12, seed=1)
    asked = planted_rows(40, 12, seed=2) * 3
    base = _prepared(rows, metric, tmp_path)
    order = np.argsort(_squared_l2(base, prepared_queries(asked, metric)), axis=1)
    mine = np.take_along_axis(scores(metric, rows, asked), order, axis=1)
    # float32 of the prepared rows may swap neighbours that are nearer to each other than this
    assert (np.diff(mine, axis=1) <= 2e-6 * np.abs(mine).max()).all()


def test_without_the_added_column_inner_product_would_rank_otherwise(tmp_path: Path) -> None:
    rows, asked = planted_rows(500, 12, seed=1), planted_rows(40, 12, seed=2)
    base = _prepared(rows, "ip", tmp_path)
    best = scores("ip", rows, asked).argmax(axis=1)
    assert (_squared_l2(base, prepared_queries(asked, "ip")).argmin(axis=1) == best).all()
    assert ((rows[None] - asked[:, None]) ** 2).sum(axis=2).argmin(axis=1).tolist() != best.tolist()


def test_prepared_rows_by_hand(tmp_path: Path) -> None:
    rows = np.array([[3, 4], [0, 5], [0, 1]], dtype=np.float32)
    assert _prepared(rows, "l2", tmp_path).x.tolist() == rows.tolist()
    by_hand = np.array([[0.6, 0.8], [0, 1], [0, 1]])
    np.testing.assert_allclose(_prepared(rows, "cosine", tmp_path).x, by_hand, rtol=1e-7)
    ip = _prepared(rows, "ip", tmp_path)
    by_hand = np.array([[3, 4, 0], [0, 5, 0], [0, 1, 24**0.5]])
    np.testing.assert_allclose(ip.x, by_hand, rtol=1e-7)
    assert ip.radius == 5
    assert (ip.n, ip.d) == (3, 3)
    # |q - x|^2 = |q|^2 + R^2 - 2 <q, x> with q = (1, 2)
    queries = prepared_queries(np.array([[1, 2]], dtype=np.float32), "ip")
    np.testing.assert_allclose(_squared_l2(ip, queries), [[5 + 25 - 22, 5 + 25 - 20, 5 + 25 - 4]], rtol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_queries_given_stay_as_they_are(metric: Metric) -> None:
    asked = planted_rows(5, 4, seed=3)
    before = asked.copy()
    prepared = prepared_queries(asked, metric)
    assert prepared.dtype == np.float32
    assert prepared.flags.c_contiguous
    np.testing.assert_array_equal(asked, before)


@pytest.mark.parametrize("block_rows", [1, 3, 50, 1_000])
@pytest.mark.parametrize("held_out", [[], [0], [99], [0, 1, 2, 3], [5, 17, 18, 19, 60, 99]])
def test_held_out_rows_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_rows: int, held_out: list[int]
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * 3 * block_rows)
    rows = np.arange(300, dtype=np.float32).reshape(100, 3)
    base = _prepared(rows, "l2", tmp_path, np.array(held_out, dtype=np.int64))
    kept = [row for row in range(100) if row not in held_out]
    assert base.n == len(kept)
    np.testing.assert_array_equal(base.x, rows[kept])
    if held_out:
        assert base.rows is not None
        assert base.rows.tolist() == kept
    else:
        assert base.rows is None


@pytest.mark.parametrize("dtype", ["float16", "float64", "int8", "uint8"])
def test_any_dtype_becomes_float32(tmp_path: Path, dtype: str) -> None:
    rows = np.random.default_rng(0).integers(1, 100, (20, 5)).astype(dtype)
    base = _prepared(rows, "l2", tmp_path)
    assert base.x.dtype == np.float32
    np.testing.assert_array_equal(base.x, rows)


def test_a_world_with_held_out_queries_is_the_world_without(world: Callable[..., World]) -> None:
    held, own = world("ip", True), world("ip")
    assert len(held.file) == len(own.file) + NQ
    np.testing.assert_array_equal(held.base.x[:, :-1], own.base.x[:, :-1])
    np.testing.assert_array_equal(held.file[held.base.rows], own.file)


def test_an_interrupted_preparation_leaves_no_base(tmp_path: Path) -> None:
    path = tmp_path / "base.f32"
    steps = prepare(open_vectors(np.ones((10, 2), dtype=np.float32), "base"), "l2", NONE, 2**0.5, path)
    next(steps)
    steps.close()
    assert not path.exists()


def test_opening_again_gives_the_same_base(tmp_path: Path) -> None:
    rows = planted_rows(50, 6, seed=1)
    made = _prepared(rows, "ip", tmp_path, np.array([4, 9]))
    again = open_prepared(tmp_path / "base.f32", made.n, made.d, "ip", np.array([4, 9]), made.radius)
    np.testing.assert_array_equal(again.x, made.x)
    np.testing.assert_array_equal(again.rows, made.rows)
    assert (again.metric, again.radius) == (made.metric, made.radius)
    assert [path.name for path in tmp_path.iterdir()] == ["base.f32"]
    with pytest.raises(ValueError, match="read-only"):
        again.x[0, 0] = 1


@pytest.mark.parametrize("metric", METRICS)
def test_an_index_over_the_mapped_rows_finds_the_truth(world: Callable[..., World], metric: Metric) -> None:
    one = world(metric)
    index = faiss.IndexFlatL2(one.base.d)
    view_codes(index, one.base.x.view(np.uint8))
    assert (index.ntotal, index.d, index.metric_type) == (one.base.n, one.base.d, faiss.METRIC_L2)
    np.testing.assert_array_equal(np.sort(index.search(one.queries, K)[1]), np.sort(one.nearest))


def test_codes_are_searched_in_place() -> None:
    x = np.zeros((3, 2), dtype=np.float32)
    index = faiss.IndexFlatL2(2)
    view_codes(index, x.view(np.uint8))
    x[1] = 7  # a copy would not see it
    distances, ids = index.search(np.full((1, 2), 7, dtype=np.float32), 1)
    assert (ids.tolist(), distances.tolist()) == ([[1]], [[0.0]])


def test_codes_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="codes of 12 bytes for an index of 16"):
        view_codes(faiss.IndexFlatL2(4), np.zeros((5, 12), dtype=np.uint8))


def test_samples_are_rows_in_order_and_of_the_seed(tmp_path: Path) -> None:
    base = _prepared(np.arange(100, dtype=np.float32).reshape(100, 1), "l2", tmp_path)
    sample = base.sample(10, 5)
    assert sample.shape == (10, 1)
    assert (np.diff(sample[:, 0]) > 0).all()
    np.testing.assert_array_equal(sample, base.sample(10, 5))
    assert sample.tolist() != base.sample(10, 6).tolist()
    for size in (100, 1_000):
        np.testing.assert_array_equal(base.sample(size, 5), base.x)


def test_released_pages_are_read_again(tmp_path: Path) -> None:
    rows = planted_rows(400, 8, seed=1)
    base = _prepared(rows, "l2", tmp_path)
    base.release()
    np.testing.assert_array_equal(base.x, rows)
    Base(x=rows, rows=None, metric="l2", radius=0.0).release()


def test_the_last_rows_that_find_no_room_are_told(tmp_path: Path) -> None:
    """NumPy's tofile leaves the file short and says nothing."""
    vectors, path = open_vectors(np.ones((10, 4), dtype=np.float32), "base"), tmp_path / "base.f32"
    with file_limit(10 * 4 * 4 - 3), pytest.raises(OSError, match="too large") as caught:
        finish(prepare(vectors, "l2", np.zeros(0, np.int64), 1.0, path))
    assert caught.value.filename == str(path)
    assert not path.exists()
