"""The second back-end: float32, a graph of its own, the same prepared rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import K, World, finish

from tuner.index import hnswlib_index as hnsw_lib
from tuner.index.hnswlib_index import build
from tuner.types import Metric


@pytest.mark.parametrize("metric", ["l2", "cosine", "ip"])
def test_it_finds_the_neighbours_of_the_users_metric(
    world: Callable[..., World], monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    monkeypatch.setattr(hnsw_lib, "ROWS", 500)  # several blocks
    one = world(metric)
    built = finish(build(one.base, 16, 200, 0, 1))
    built.set_ef(700)  # ip's added column makes a hard graph
    ids = built.search(one.queries, K)
    assert ids.dtype == np.int64
    assert ids.shape == (len(one.queries), K)
    assert one.recall(ids) > 0.97
    assert built.cpu_s > 0


def test_ef_search_buys_recall(world: Callable[..., World]) -> None:
    one = world("cosine")
    built = finish(build(one.base, 4, 20, 0, 1))
    found = []
    for ef_search in (K, 40, 300):
        built.set_ef(ef_search)
        found.append(one.recall(built.search(one.queries, K)))
    assert found[0] < found[1] < found[2]


def test_serialized_bytes_are_those_of_the_file(world: Callable[..., World], tmp_path: Path) -> None:
    one = world("l2")
    built = finish(build(one.base, 8, 40, 0, 1))
    built.index.save_index(str(tmp_path / "index.bin"))
    assert built.serialized_bytes() == (tmp_path / "index.bin").stat().st_size
    # a row holds its vector, 2 M links with their count, and its label; header and upper levels come on top
    row = 4 * one.base.d + 4 * (2 * 8 + 1) + 8
    assert 0 < built.serialized_bytes() - one.base.n * row < one.base.n * 16


def test_one_thread_and_one_seed_give_one_graph(
    world: Callable[..., World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hnsw_lib, "ROWS", 500)  # several blocks
    one = world("l2")
    files = []
    for number, seed in enumerate((3, 3, 4)):
        path = tmp_path / str(number)
        finish(build(one.base, 8, 40, seed, 1)).index.save_index(str(path))
        files.append(path.read_bytes())
    assert files[0] == files[1] != files[2]
