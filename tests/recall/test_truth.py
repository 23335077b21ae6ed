"""Truth is what brute force in float64 says, whatever the block size, and a cache never changes it."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from conftest import K, N, World, finish, scores

from tuner.recall import truth as module
from tuner.recall.truth import MARGIN, Truth, cached, search_exactly
from tuner.runtime.cache import cache_dir, trim_cache
from tuner.types import Metric

METRICS: tuple[Metric, ...] = ("l2", "cosine", "ip")


@pytest.mark.parametrize("metric", METRICS)
def test_equals_brute_force_in_the_users_metric(world: Callable[..., World], metric: Metric) -> None:
    one = world(metric)
    np.testing.assert_array_equal(np.sort(one.truth.ids[:, :K]), np.sort(one.nearest))
    best = np.sort(scores(metric, one.file, one.raw), axis=1)[:, -K]
    squared = (one.raw.astype(np.float64) ** 2).sum(axis=1)
    kth = {
        "l2": -best,
        "cosine": 2 - 2 * best / np.sqrt(squared),
        "ip": squared + one.base.radius**2 - 2 * best,
    }[metric]
    np.testing.assert_allclose(one.truth.kth_distance, kth, rtol=2e-5)


@pytest.mark.parametrize("metric", METRICS)
def test_another_metric_would_be_seen(world: Callable[..., World], metric: Metric) -> None:
    """The worlds' metrics disagree on many neighbours, so that a mistaken metric cannot pass."""
    one = world(metric)
    for other in METRICS:
        if other != metric:
            assert one.recall(world(other).truth.ids[:, :K]) < 0.6


@pytest.mark.parametrize("block_rows", [1, 100, 300, N - 1, N, 4 * N])
def test_blocks_do_not_change_it(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, block_rows: int
) -> None:
    one = world("l2")
    monkeypatch.setattr(module, "BLOCK_BYTES", 4 * one.base.d * block_rows)
    found = finish(search_exactly(one.base.x, one.queries, 300, K))
    assert found.ids.shape == (len(one.queries), 300)
    np.testing.assert_array_equal(found.ids, one.truth.ids[:, :300])
    np.testing.assert_array_equal(found.right, one.truth.right)
    np.testing.assert_array_equal(found.kth_distance, one.truth.kth_distance)


@pytest.mark.parametrize(("depth", "expected"), [(1, 5 + MARGIN), (40, 40), (10_000, 50)])
def test_depth_is_at_least_k_and_a_margin_and_at_most_n(depth: int, expected: int) -> None:
    x = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)
    assert finish(search_exactly(x, x[:3], depth, 5)).ids.shape == (3, expected)


def test_the_kth_distance_survives_the_rounding_of_blas() -> None:
    """Far from the origin the expanded form |q|^2 + |x|^2 - 2 q.x loses digits, the k-th distance none."""
    rng = np.random.default_rng(2)
    x = (100 + rng.standard_normal((400, 8))).astype(np.float32)
    queries = (100 + rng.standard_normal((20, 8))).astype(np.float32)
    truth = finish(search_exactly(x, queries, 5, 5))
    np.testing.assert_allclose(truth.kth_distance, -np.sort(scores("l2", x, queries))[:, -5], rtol=1e-12)
    assert truth.hits(x, queries, truth.ids).sum() >= 20 * 5 - 2


def test_right_rows_are_the_k_nearest_and_their_ties() -> None:
    x = np.array([[1], [-1], [2], [3], [-3], [5]], dtype=np.float32)
    truth = finish(search_exactly(x, np.zeros((1, 1), dtype=np.float32), 1, 4))
    assert sorted(truth.ids[truth.right].tolist()) == [0, 1, 2, 3, 4]
    assert truth.right.shape == truth.ids.shape == (1, 6)
    assert truth.kth_distance.tolist() == [9.0]


def test_hits_take_a_copy_for_the_original() -> None:
    x = np.arange(12, dtype=np.float32).reshape(12, 1)
    x[11] = x[3]
    truth = finish(search_exactly(x, np.array([[3.1]], dtype=np.float32), 2, 2))
    assert truth.kth_distance == pytest.approx([0.01], rel=1e-5)
    hits = [
        truth.hits(x, np.array([[3.1]], dtype=np.float32), np.array([ids]))
        for ids in ([3, 11], [11, 3], [3, 4])
    ]
    assert [int(one[0]) for one in hits] == [2, 2, 1]


def test_a_part_is_of_the_queries_named() -> None:
    right = np.array([[True, True, False], [True, False, False], [False] * 3, [True] * 3])
    truth = Truth(
        ids=np.arange(12).reshape(4, 3), right=right, kth_distance=np.array([0.0, 1.0, 2.0, 3.0]), k=2
    )
    part = truth.part(np.array([3, 1]))
    assert part.ids.tolist() == [[9, 10, 11], [3, 4, 5]]
    assert part.right.tolist() == [[True, True, True], [True, False, False]]
    assert part.kth_distance.tolist() == [3.0, 1.0]
    assert part.k == 2


# ---------------------------------------------------------------- the cache


def _ask(world: World, key: str = "a", depth: int = 50) -> tuple[Truth, bool]:
    return finish(cached((key,), world.base.x, world.queries, depth, K))


def test_a_hit_is_the_same_truth_without_work(
    world: Callable[..., World], cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cache_dir() == cache_folder
    first, was_there = _ask(world("l2"))
    assert not was_there
    monkeypatch.setattr(module, "search_exactly", None)
    second, was_there = _ask(world("l2"))
    assert was_there
    assert second.ids.dtype == first.ids.dtype == np.int64
    np.testing.assert_array_equal(first.ids, second.ids)
    np.testing.assert_array_equal(first.right, second.right)
    assert second.right.dtype == np.bool_
    np.testing.assert_array_equal(first.kth_distance, second.kth_distance)
    assert second.k == K


def test_key_depth_and_k_each_have_their_own(world: Callable[..., World], cache_folder: Path) -> None:
    one = world("l2")
    _ask(one)
    assert not _ask(one, key="b")[1]
    assert not _ask(one, depth=51)[1]
    assert not finish(cached(("a",), one.base.x, one.queries, 50, K - 1))[1]
    assert len(list(cache_folder.rglob("*.npz"))) == 4
    assert not list(cache_folder.rglob("*.tmp"))


def test_other_queries_have_their_own_whatever_the_key(
    world: Callable[..., World], cache_folder: Path
) -> None:
    one = world("l2")
    nudged = one.queries.copy()
    nudged[-1, -1] = np.nextafter(nudged[-1, -1], np.float32(np.inf))
    first, _ = _ask(one)
    for queries in (one.queries[::-1], nudged):
        asked = np.ascontiguousarray(queries)
        found, was_there = finish(cached(("a",), one.base.x, asked, 50, K))
        assert not was_there
        np.testing.assert_array_equal(found.ids, finish(search_exactly(one.base.x, asked, 50, K)).ids)
    reversed_truth, was_there = finish(cached(("a",), one.base.x, one.queries[::-1], 50, K))
    assert was_there
    np.testing.assert_array_equal(reversed_truth.ids[:, :K], first.ids[::-1, :K])
    assert len(list(cache_folder.rglob("*.npz"))) == 3


IN_THE_DIRECTORY = {"method": (10, 99), "deflate": (10, 8), "password": (8, 1)}
"""A byte of an entry of the archive's directory: where, and what it is made."""


@pytest.mark.parametrize(
    "damage",
    [
        "empty",
        "half",
        "bits",
        "text",
        "pickle",
        "other arrays",
        "fewer queries",
        "method",
        "deflate",
        "password",
    ],
)
def test_a_damaged_cache_is_made_again(world: Callable[..., World], cache_folder: Path, damage: str) -> None:
    one = world("l2")
    first, _ = _ask(one)
    (path,) = cache_folder.rglob("*.npz")
    whole = path.read_bytes()
    if damage == "other arrays":
        np.savez(path, x=np.zeros(3))
    elif damage == "fewer queries":
        np.savez(path, ids=first.ids[1:], right=first.right[1:], kth_distance=first.kth_distance[1:])
    elif damage in IN_THE_DIRECTORY:
        offset, value = IN_THE_DIRECTORY[damage]
        entry = whole.index(b"PK\x01\x02") + offset
        path.write_bytes(whole[:entry] + bytes([value]) + whole[entry + 1 :])
    else:
        flipped = bytes(byte ^ 0xFF for byte in whole[400:500])
        path.write_bytes(
            {
                "empty": b"",
                "half": whole[: len(whole) // 2],
                "bits": whole[:400] + flipped + whole[500:],
                "text": b"no truth at all",
                "pickle": b"\x80\x04N.",
            }[damage]
        )
    again, was_there = _ask(one)
    assert not was_there
    np.testing.assert_array_equal(again.ids, first.ids)
    assert _ask(one)[1]


def test_a_cache_that_cannot_be_written_costs_only_time(
    world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "file"))
    for _ in range(2):
        found, was_there = _ask(world("l2"))
        assert not was_there
        np.testing.assert_array_equal(found.ids, world("l2").truth.ids[:, :50])


def test_a_truth_that_is_found_counts_as_used_and_a_new_one_makes_room(
    world: Callable[..., World], cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = world("l2")
    _ask(one, "first")
    (path,) = cache_folder.rglob("*.npz")
    os.utime(path, (1000, 1000))
    assert _ask(one, "first")[1]
    assert path.stat().st_mtime > 1000
    monkeypatch.setattr("tuner.runtime.cache.trim_cache", partial(trim_cache, path.stat().st_size * 3 // 2))
    _ask(one, "second")
    assert len(list(cache_folder.rglob("*.npz"))) == 1
