"""What a file of ann-benchmarks says of itself: its distance is taken, its neighbours are checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.inputs import open_inputs
from tuner.data.kind import MetricChoice
from tuner.runtime.steps import result_of
from tuner.sweep.prepare import Prepared, prepare
from tuner.types import Options

h5py = pytest.importorskip("h5py", reason="the extra 'formats' is not installed")
Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(0)
DISTINCT = RNG.standard_normal((300, 12)).astype(np.float32) * RNG.uniform(0.5, 2, (300, 1)).astype(
    np.float32
)
DISTINCT = DISTINCT[np.argsort(-np.linalg.norm(DISTINCT, axis=1))]
X = np.vstack([DISTINCT, DISTINCT])
"""Every row twice, so that each neighbour ties with its copy; the last is near to many."""
Q = RNG.standard_normal((50, 12)).astype(np.float32)
K = 9
"""An odd number: the last of the nearest is one of two alike."""


def nearest(metric: str, reverse: bool = False) -> Array:
    """The 20 nearest rows, of ties the one with the larger number first where reversed."""
    x, q = X.astype(np.float64), Q.astype(np.float64)
    if metric == "angular":
        x, q = (each / np.linalg.norm(each, axis=1, keepdims=True) for each in (x, q))
    far = -q @ x.T if metric != "euclidean" else ((q[:, None] - x) ** 2).sum(axis=2)
    number = np.arange(len(X)) * (-1 if reverse else 1)
    rows = [np.lexsort((number, np.round(each, 9)))[:20] for each in far]
    return np.array(rows, dtype=np.int32)


def prepared(folder: Path, neighbours: Array | None, distance: Any = None, **asked: Any) -> Prepared:
    path, ids = folder / "x.hdf5", asked.pop("ids", None)
    x = asked.pop("x", X)
    with h5py.File(path, "w") as file:
        for name, values in (("train", x), ("test", Q), ("neighbors", neighbours)):
            if values is not None:
                file.create_dataset(
                    name, data=values, chunks=(20, 5) if name == "neighbors" and values.size else None
                )
        if distance is not None:
            file.attrs["distance"] = distance
    base, queries = open_inputs(path, path, ids)
    options = replace(Options(recall=0.9, k=K), **asked)
    return result_of(prepare(base, queries, options, folder / "work", resume=False))


def texts(found: Prepared) -> list[str]:
    return [doubt.text for doubt in found.warnings]


@pytest.mark.parametrize(
    ("distance", "metric"),
    [("angular", "cosine"), ("euclidean", "l2"), ("dot", "ip"), (np.bytes_("dot"), "ip"), (None, "cosine")],
)
def test_the_distance_of_the_file_is_the_metric(distance: Any, metric: str, tmp_path: Path) -> None:
    found = prepared(tmp_path, None, distance)
    profile = found.posed.profile
    assert profile.metric == metric
    assert profile.metric_reason.startswith("the file says that its distance is ") == (distance is not None)
    assert texts(found) == []


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_another_metric_that_is_asked_for_is_kept_and_doubted(metric: MetricChoice, tmp_path: Path) -> None:
    found = prepared(tmp_path, nearest("euclidean"), "euclidean", metric=metric)
    assert found.posed.profile.metric == metric
    start = f"{tmp_path}/x.hdf5[train] says that its distance is euclidean, and cosine is searched by"
    assert [text.startswith(start) for text in texts(found)] == ([] if metric == "l2" else [True])


@pytest.mark.parametrize("distance", ["jaccard", 3, "a\nb", "x" * 100])
def test_a_distance_that_is_not_known_is_no_metric(distance: Any, tmp_path: Path) -> None:
    found = prepared(tmp_path, None, distance)
    assert found.posed.profile.metric == "cosine"
    assert ["which no index here searches by" in text for text in texts(found)] == (
        [True] if distance == "jaccard" else []
    )


@pytest.mark.parametrize("distance", ["angular", "euclidean", "dot"])
@pytest.mark.parametrize("reverse", [False, True])
def test_listed_neighbours_that_are_right_pass_whichever_of_a_tie_they_name(
    distance: str, reverse: bool, tmp_path: Path
) -> None:
    assert texts(prepared(tmp_path, nearest(distance, reverse), distance)) == []


def planted(n: int, row: int | None = None) -> Array:
    """Right neighbours but for the nearest of some queries, which is the farthest row, or another."""
    listed = nearest("euclidean")
    far = ((Q[:, None] - X) ** 2).sum(axis=2).argmax(axis=1)
    listed[:n, 0] = far[:n] if row is None else row
    return listed


@pytest.mark.parametrize("row", [None, -1, len(X), 2**31 - 1])
def test_listed_neighbours_that_are_wrong_are_told_with_their_share(row: int | None, tmp_path: Path) -> None:
    found = texts(prepared(tmp_path, planted(9, row), "euclidean"))
    assert len(found) == 1
    start = (
        f"{9 / (K * len(Q)):.1%} of the neighbours listed for {tmp_path}/x.hdf5[test] are not among the {K}"
    )
    assert found[0].startswith(start)
    assert "nearest by l2" in found[0]


def test_nothing_listed_is_not_the_last_row(tmp_path: Path) -> None:
    listed = nearest("euclidean", reverse=True)
    share = float((listed[:, :K] == len(X) - 1).mean())
    assert share > 0
    listed[listed == len(X) - 1] = -1
    (found,) = texts(prepared(tmp_path, listed, "euclidean"))
    assert found.startswith(f"{share:.1%} of the neighbours")


def test_a_row_that_is_listed_twice_counts_once(tmp_path: Path) -> None:
    listed = nearest("euclidean")
    listed[:, 1] = listed[:, 0]
    (found,) = texts(prepared(tmp_path, listed, "euclidean"))
    assert found.startswith(f"{1 / K:.1%} of the neighbours")


def test_neighbours_by_another_distance_are_told(tmp_path: Path) -> None:
    (found,) = texts(prepared(tmp_path, nearest("dot"), "angular"))
    assert "of the neighbours listed for" in found


def test_fewer_neighbours_than_are_asked_for_are_compared(tmp_path: Path) -> None:
    assert texts(prepared(tmp_path, nearest("euclidean")[:, :5], "euclidean")) == []
    assert len(texts(prepared(tmp_path, planted(50)[:, :5], "euclidean"))) == 1


def test_rows_without_direction_move_no_neighbour(tmp_path: Path) -> None:
    x = X.copy()
    x[[0, 300]] = 0
    listed = nearest("angular")
    kept = np.array([row[~np.isin(row, [0, 300])][:18] for row in listed])
    found = texts(prepared(tmp_path, kept, "angular", x=x))
    assert len(found) == 1
    assert "zero vectors" in found[0]


@pytest.mark.parametrize(
    "listed", [np.zeros((50, 10), np.float32), np.zeros((49, 10), np.int32), np.zeros((50, 0), np.int32)]
)
def test_what_are_no_neighbours_of_these_queries_is_not_compared(listed: Array, tmp_path: Path) -> None:
    assert texts(prepared(tmp_path, listed, "euclidean")) == []


def test_a_base_with_rows_deleted_or_from_elsewhere_is_not_compared(tmp_path: Path) -> None:
    ids = [-1, *range(1, len(X))]
    assert texts(prepared(tmp_path, planted(50), "euclidean", ids=ids)) == []
    np.save(tmp_path / "x.npy", X[::-1].copy())
    base, queries = open_inputs(tmp_path / "x.npy", tmp_path / "x.hdf5")
    options = Options(recall=0.9, k=K, metric="l2")
    assert texts(result_of(prepare(base, queries, options, tmp_path / "other", resume=False))) == []
