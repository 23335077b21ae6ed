"""A ceiling is what an exhaustive scan of the codes would find, re-ranked as the store would."""

from collections.abc import Callable
from dataclasses import replace

import faiss
import numpy as np
import pytest
from conftest import K, N, World
from numpy.typing import NDArray

from tuner.data.base import Base, view_codes
from tuner.index.assemble import Encoded
from tuner.prediction import ceilings as module
from tuner.prediction.ceilings import (
    Pool,
    code_distances,
    encode_rows,
    make_pool,
    measure_ceiling,
    store_distances,
)
from tuner.recall.truth import Truth
from tuner.types import Ceiling, Metric

FACTORS = (1, 2, 4, 8)
CODECS = ("fp32", "fp16", "SQ8", "SQ4", "tqmse2", "PQd/4x8", "PQd/2x4", "OPQd/4x8", "RaBitQ1", "RaBitQ4")


def _scan(world: World, codec: Encoded, kept: int) -> NDArray[np.int64]:
    """Return the rows (nq, kept) that faiss finds by scanning all codes."""
    owner = codec.encoder.empty(4)
    storage = faiss.downcast_index(owner.storage)
    view_codes(storage, codec.codes)
    found: NDArray[np.int64] = storage.search(codec.encoder.transform(world.queries), kept)[1]
    return found


def _reranked(world: World, codec: Encoded, store: Encoded, factor: int) -> float:
    """Return the recall of faiss's scan, its best k r re-ranked by the decoded store in float64."""
    rows = _scan(world, codec, K * factor)
    decoded = store.encoder.storage.sa_decode(store.codes).astype(np.float64)
    queries = store.encoder.transform(world.queries)
    distances = ((decoded[rows] - queries[:, None, :]) ** 2).sum(axis=2)
    first = np.take_along_axis(rows, np.argsort(distances, axis=1)[:, :K], axis=1)
    return float(world.truth.hits(world.base.x, world.queries, first).mean() / K)


@pytest.mark.parametrize("metric", ["l2", "ip"])
@pytest.mark.parametrize("name", CODECS)
def test_a_ceiling_equals_an_exhaustive_scan(
    world: Callable[..., World], encoded: Callable[..., Encoded], name: str, metric: Metric
) -> None:
    one, codec = world(metric), encoded(metric, name)
    stores = {store: encoded(metric, store) for store in ("fp32", "fp16", "SQ8")}
    pool = make_pool(one.base, one.queries, one.truth)
    ceiling = measure_ceiling(
        pool,
        codec.encoder,
        codec.codes,
        {store: store_distances(pool, one.base, store, stores[store].encoder) for store in stores},
        FACTORS,
        1.5,
    )
    assert (ceiling.codec, ceiling.dims, ceiling.cut) == (codec.encoder.codec.name, one.base.d, "none")
    assert (ceiling.code_bytes, ceiling.train_s) == (codec.codes.shape[1], 1.5)
    one_hit = 1 / K / len(one.queries)
    plain = one.truth.hits(one.base.x, one.queries, _scan(one, codec, K)).mean() / K
    assert ceiling.recall_at[1] == pytest.approx(plain, abs=1.5 * one_hit)  # equal codes may swap
    for factor in set(FACTORS[1:]) & ceiling.recall_at.keys():
        for store, exact in stores.items():
            expected = _reranked(one, codec, exact, factor)
            assert ceiling.recall_with[store][factor] == pytest.approx(expected, abs=1.5 * one_hit)
        assert ceiling.recall_with["fp32"][factor] == pytest.approx(ceiling.recall_at[factor], abs=1e-12)


def test_recall_grows_with_the_rerank_factor(
    world: Callable[..., World], encoded: Callable[..., Encoded]
) -> None:
    one, codec = world("l2"), encoded("l2", "RaBitQ1")
    pool = make_pool(one.base, one.queries, one.truth)
    reached = measure_ceiling(pool, codec.encoder, codec.codes, {}, FACTORS, 0.0).recall_at
    assert list(reached) == list(FACTORS)
    assert list(reached.values()) == sorted(reached.values())
    assert reached[1] < 0.5
    assert reached[8] > 0.8


def test_a_shallow_pool_says_the_same(world: Callable[..., World], encoded: Callable[..., Encoded]) -> None:
    """Half the rows as the pool: its ceiling is that of all rows within .01, and never below it."""
    one, codec = world("l2"), encoded("l2", "SQ4")
    shallow = replace(one.truth, ids=one.truth.ids[:, : N // 2])
    found = []
    for truth in (one.truth, shallow):
        pool = make_pool(one.base, one.queries, truth)
        codes = encode_rows(one.base, codec.encoder, pool.rows)
        found.append(measure_ceiling(pool, codec.encoder, codes, {}, (1, 4), 0.0).recall_at)
    for factor in (1, 4):
        assert 0 <= found[1][factor] - found[0][factor] < 0.01


def test_the_pool_by_hand() -> None:
    """On a line, k = 2; row 5 is a copy of row 1, so that three rows are within the second distance."""
    x = np.array([[0], [1], [2], [3], [10], [1]], dtype=np.float32)
    base = Base(x=x, rows=None, metric="l2", radius=0.0)
    queries = np.array([[0.1], [9]], dtype=np.float32)
    ids = np.array([[0, 1, 5, 2], [4, 3, 2, 5]])
    truth = Truth(ids=ids, right=ids < 0, kth_distance=np.array([0.81, 36.0]), k=2)
    pool = make_pool(base, queries, truth)
    assert pool.rows.tolist() == [0, 1, 2, 3, 4, 5]
    assert pool.rows[pool.positions].tolist() == truth.ids.tolist()
    assert pool.right.tolist() == [[True, True, True, False], [True, True, False, False]]
    assert (pool.depth, pool.k) == (4, 2)
    by_hand = np.array([[0.01, 0.81, 0.81, 3.61], [1, 36, 49, 64]])
    np.testing.assert_allclose(store_distances(pool, base, "fp32", None), by_hand, rtol=1e-5)


@pytest.mark.parametrize("name", ["SQ8", "PQd/4x8", "RaBitQ2"])
def test_blocks_do_not_change_it(
    world: Callable[..., World],
    encoded: Callable[..., Encoded],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    one, codec = world("l2"), encoded("l2", name)
    truth = replace(one.truth, ids=one.truth.ids[:, :50])
    found = []
    for block_bytes in (1, 1 << 24):
        monkeypatch.setattr(module, "BLOCK_BYTES", block_bytes)
        pool = make_pool(one.base, one.queries, truth)
        codes = encode_rows(one.base, codec.encoder, pool.rows)
        np.testing.assert_array_equal(codes, codec.codes[pool.rows])
        found.append(code_distances(pool, codec.encoder, codes))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["fp32", "SQ8", "RaBitQ4", "PQd/2x4"])
def test_all_codes_block_by_block_are_the_codes(
    world: Callable[..., World],
    encoded: Callable[..., Encoded],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    codec = encoded("l2", name)
    codes = encode_rows(world("l2").base, codec.encoder)
    np.testing.assert_array_equal(codes, codec.encoder.encode(np.array(world("l2").base.x)))


# ---------------------------------------------------------------- the edge of the pool


def _planted(
    monkeypatch: pytest.MonkeyPatch,
    encoded: Callable[..., Encoded],
    best: list[int],
    depth: int,
    factors: tuple[int, ...],
) -> Ceiling:
    """Return the ceiling of one query, k = 10, whose codes put the pool's places ``best`` first."""
    places = best + [place for place in range(depth) if place not in best]
    distances = np.empty((1, depth), dtype=np.float32)
    distances[0, places] = np.arange(depth)
    pool = Pool(
        queries=np.zeros((1, 2), dtype=np.float32),
        rows=np.arange(depth, dtype=np.int32),
        positions=np.arange(depth, dtype=np.int32)[None, :],
        distances=np.arange(depth, dtype=np.float32)[None, :],
        right=np.arange(depth)[None, :] < K,
        k=K,
    )
    monkeypatch.setattr(module, "code_distances", lambda *_: distances)
    exact = np.arange(depth, dtype=np.float32)[None, :]
    codec = encoded("l2", "SQ8")
    return measure_ceiling(pool, codec.encoder, codec.codes, {"fp32": exact}, factors, 0.0)


@pytest.mark.parametrize(
    ("far", "offered"),
    [
        ([], True),
        ([99], True),  # one of 20: the 5 % that are allowed
        ([90, 99], False),
        ([89, 88, 87], True),  # far, but not in the last tenth
    ],
)
def test_a_factor_that_touches_the_edge_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, encoded: Callable[..., Encoded], far: list[int], offered: bool
) -> None:
    ceiling = _planted(monkeypatch, encoded, [*far, *range(5)], 100, (1, 2))
    assert ceiling.recall_at[1] == (K - len(far)) / K
    assert (2 in ceiling.recall_at) == offered
    assert (2 in ceiling.recall_with["fp32"]) == offered
    if offered:
        assert ceiling.recall_at[2] == 1.0


def test_a_factor_deeper_than_the_pool_is_not_offered(
    monkeypatch: pytest.MonkeyPatch, encoded: Callable[..., Encoded]
) -> None:
    """Of 40 rows the best 40 hold every right one, whatever the codec: that would be no ceiling."""
    ceiling = _planted(monkeypatch, encoded, list(range(39, -1, -1)), 40, (1, 2, 4, 8))
    assert ceiling.recall_at == {1: 0.0}
    assert ceiling.recall_with == {"fp32": {}}


def test_copies_beyond_k_do_not_make_more_than_all(
    monkeypatch: pytest.MonkeyPatch, encoded: Callable[..., Encoded]
) -> None:
    pool = Pool(
        queries=np.zeros((1, 2), dtype=np.float32),
        rows=np.arange(100, dtype=np.int32),
        positions=np.arange(100, dtype=np.int32)[None, :],
        distances=np.arange(100, dtype=np.float32)[None, :],
        right=np.arange(100)[None, :] < 15,
        k=K,
    )
    exact = np.arange(100, dtype=np.float32)[None, :]
    monkeypatch.setattr(module, "code_distances", lambda *_: exact)
    codec = encoded("l2", "SQ8")
    ceiling = measure_ceiling(pool, codec.encoder, codec.codes, {"fp32": exact}, (1, 2), 0.0)
    assert ceiling.recall_at == {1: 1.0, 2: 1.0}


@pytest.mark.parametrize("share", [1.0, 0.5])
@pytest.mark.parametrize("depth", [40, 100, 400])
def test_codes_that_tie_do_not_keep_the_order_of_the_truth(
    monkeypatch: pytest.MonkeyPatch, encoded: Callable[..., Encoded], depth: int, share: float
) -> None:
    """The pool stands nearest first: an order among ties that is the pool's own would look like recall 1.

    Up to some hundreds of rows numpy's argpartition leaves equal ones where they stand. The nearest half, or
    all, have the same code: of 20 such rows 10 are right, so that about half of k are found.
    """
    places = np.tile(np.arange(depth), (50, 1))
    pool = Pool(
        queries=np.zeros((50, 2), dtype=np.float32),
        rows=np.arange(depth, dtype=np.int32),
        positions=places.astype(np.int32),
        distances=places.astype(np.float32),
        right=places < K,
        k=K,
    )
    alike = (places >= share * depth).astype(np.float32)
    monkeypatch.setattr(module, "code_distances", lambda *_: alike)
    codec = encoded("l2", "SQ8")
    ceiling = measure_ceiling(pool, codec.encoder, codec.codes, {}, (1,), 0.0)
    assert ceiling.recall_at[1] <= 0.5
