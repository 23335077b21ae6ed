"""Rows that were held out as queries are in the index that is handed over, and its recall is what is said."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import hurried
import numpy as np
import pytest
from conftest import planted_rows

import tuner
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.gate import CheckOptions, check, save_baseline
from tuner.index.insertion import insert, over_codes
from tuner.recall.metric import without_rows
from tuner.recall.truth import search_exactly, with_rows
from tuner.runtime.steps import result_of
from tuner.sweep import added_rows, finalists, whole_index
from tuner.sweep.hopeless import smallest_bytes
from tuner.types import FloatArray, Metric, Options, Space

N, FRESH, D, K = 3000, 1000, 24, 10
SPACE = Space(M=(6, 12), codecs=("fp32", "SQ8"), cuts=(1.0,), rerank_factors=(1,), ef_search_max=1024)
LINKS = replace(SPACE, M=(4, 12), codecs=("SQ8",))
NATIVE = ("SQ8",)


@pytest.fixture(scope="module")
def x() -> FloatArray:
    rows = planted_rows(N + FRESH, D, 5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def tuned(x: FloatArray, folder: Path, **asked: Any) -> tuner.Result:
    return tuner.tune(x, **{"recall": 0.9, "out": folder, "space": SPACE, "threads": 1, **asked})


@dataclass(frozen=True)
class Run:
    """A finished run and its folder, which several tests read."""

    result: tuner.Result
    folder: Path


@pytest.fixture(scope="module")
def usual(x: FloatArray, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("usual")
    return Run(tuned(x[:N], folder), folder)


@pytest.fixture(scope="module")
def smallest(x: FloatArray, tmp_path_factory: pytest.TempPathFactory) -> tuner.Result:
    """A run that measured more than it handed over, on a clock that says so each time."""
    with pytest.MonkeyPatch.context() as patch:
        hurried.plant_clock(patch)
        found = tuned(x[:N], tmp_path_factory.mktemp("smallest"), prefer="smallest")
    assert len(found.points) > 1
    return found


def recall_of(index: faiss.Index, x: FloatArray, queries: FloatArray) -> float:
    truth = faiss.knn(queries, x, K)[1]
    ids = index.search(queries, K)[1]
    return float(np.mean([len(set(a) & set(b)) / K for a, b in zip(ids, truth, strict=True)]))


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("native", [(), NATIVE])
def test_every_row_of_the_file_is_in_the_index_and_ids_are_rows(
    x: FloatArray, metric: Metric, native: tuple[str, ...], usual: Run, tmp_path: Path
) -> None:
    base, found, folder = x[:N], usual.result, usual.folder
    if (metric, native) != (found.profile.metric, ()):
        found, folder = tuned(base, tmp_path, metric=metric, native=native), tmp_path
    index = faiss.read_index(str(folder / "index.faiss"))
    assert index.ntotal == N
    held_out = np.array(found.queries.held_out_rows)
    assert len(held_out) == found.queries.n
    for rows in (held_out, np.delete(np.arange(N), held_out)[:300]):
        assert np.mean(index.search(base[rows], 1)[1][:, 0] == rows) > 0.95
    best = found.best
    assert best is not None
    assert (folder / "index.faiss").stat().st_size == best.memory_bytes
    assert best.memory_per_vector_bytes == pytest.approx(best.memory_bytes / N)
    layers = [type(faiss.downcast_index(index)).__name__]
    assert "IndexIDMap" not in layers, "rows are positions: no row number is kept"


def test_fresh_queries_find_what_was_said(x: FloatArray, usual: Run) -> None:
    found = usual.result
    best = found.best
    assert best is not None
    assert recall_of(found.index(), x[:N], x[N:]) >= best.recall_lower
    assert found.whole is not None
    assert found.whole.n_added == len(found.queries.held_out_rows)
    # a query that is a row of the index is found a little too well
    assert found.whole.recall.mean >= best.recall - 0.005


def test_rows_that_nothing_leads_to_are_noticed(
    x: FloatArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault: the rows are added as codes, and no link leads to them."""

    def forget(index: faiss.IndexHNSW, encoder: Any, rows: FloatArray) -> None:
        n = index.ntotal
        insert(index, encoder, rows)
        offsets = faiss.vector_to_array(index.hnsw.offsets)
        slots = faiss.rev_swig_ptr(index.hnsw.neighbors.data(), index.hnsw.neighbors.size())
        kept = slots[: offsets[n]]
        kept[kept >= n] = -1

    monkeypatch.setattr(added_rows, "insert", forget)
    found = tuned(x[:N], tmp_path)
    assert found.status == "not_reached"
    assert found.whole is None
    assert not (tmp_path / "index.faiss").exists()


def test_a_point_that_no_longer_holds_gives_way_to_the_next(
    x: FloatArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault: the first index that rows are added to takes ten times as long as before."""
    monkeypatch.setattr(finalists, "SLACK", 100.0)  # whether there is a second finalist is up to no clock
    ratios = iter((10.0, 1.0))
    monkeypatch.setattr(whole_index, "times_slower", lambda *_: next(ratios))
    usual = tuned(x[:N], tmp_path / "usual", prefer="smallest", max_latency_s=1.0, space=LINKS)
    ratios = iter((1e6, 1.0))
    found = tuned(x[:N], tmp_path / "next", prefer="smallest", max_latency_s=1.0, space=LINKS)
    assert usual.best is not None
    assert found.best is not None
    assert found.best.label != usual.best.label
    assert found.index().ntotal == N


def test_a_run_that_reaches_nothing_leaves_no_index_of_an_earlier_one(
    x: FloatArray, usual: Run, tmp_path: Path
) -> None:
    shutil.copytree(usual.folder, tmp_path, dirs_exist_ok=True)
    assert (tmp_path / "index.faiss").exists()
    least = smallest_bytes(Options(recall=0.9, space=SPACE), N, D)
    found = tuned(x[:N], tmp_path, max_memory_bytes=least)  # without the header of a file
    assert found.status == "not_reached"
    assert not (tmp_path / "index.faiss").exists()


def test_ef_search_is_raised_where_the_added_rows_cost_too_much(
    x: FloatArray, smallest: tuner.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault: every tenth of the added rows has no link that leads to it."""
    usual = smallest.best

    def worse(index: faiss.IndexHNSW, encoder: Any, rows: FloatArray) -> None:
        insert(index, encoder, rows)
        offsets = faiss.vector_to_array(index.hnsw.offsets)
        slots = faiss.rev_swig_ptr(index.hnsw.neighbors.data(), index.hnsw.neighbors.size())
        for node in range(0, index.ntotal, 3):
            mine = slots[offsets[node] : offsets[node + 1]]
            mine[4:] = -1

    monkeypatch.setattr(added_rows, "insert", worse)
    found = tuned(x[:N], tmp_path / "worse", prefer="smallest")
    assert found.whole is not None
    assert usual is not None
    assert found.best is not None
    assert found.best.ef_search > usual.ef_search
    assert found.best.recall_lower >= 0.9
    assert recall_of(found.index(), x[:N], x[N:]) >= 0.9


def test_zero_rows_stay_out_and_ids_are_rows_all_the_same(x: FloatArray, tmp_path: Path) -> None:
    base = x[:N].copy()
    base[::50] = 0
    found = tuned(base, tmp_path, metric="cosine")
    index = found.index()
    kept = np.flatnonzero(base.any(axis=1))
    assert index.ntotal == len(kept)
    ids = index.search(base[kept], 1)[1][:, 0]
    assert np.mean(ids == kept) > 0.95
    best = found.best
    assert best is not None
    assert (tmp_path / "index.faiss").stat().st_size == best.memory_bytes


def checked(found: tuner.Result, x: FloatArray, folder: Path, **asked: Any) -> tuner.types.CheckResult:
    return result_of(
        check(
            save_baseline(found, asked.pop("name", None)),
            open_vectors(x, "base"),
            None,
            CheckOptions(threads=1, **asked),
            folder / "check-work",
        )
    )


def test_the_gate_passes_what_was_handed_over_and_names_what_lacks_rows(
    x: FloatArray, usual: Run, tmp_path: Path
) -> None:
    base, found = x[:N], usual.result
    for index in (usual.folder / "index.faiss", None):
        passed = checked(found, base, tmp_path, index=index)
        assert passed.passed, [line.text for line in passed.lines]
    whole = found.index()
    held_out = np.array(found.queries.held_out_rows)
    graph = faiss.downcast_index(faiss.downcast_index(whole).index)
    without = faiss.IndexHNSWFlat(D, graph.hnsw.nb_neighbors(1))
    without.hnsw.efSearch = graph.hnsw.efSearch
    rows = np.delete(np.arange(N), held_out)
    mapped = faiss.IndexIDMap(without)
    mapped.add_with_ids(base[rows], rows)
    faiss.write_index(mapped, str(tmp_path / "without.faiss"))
    failed = checked(found, base, tmp_path, index=tmp_path / "without.faiss")
    lines = {line.name: line for line in failed.lines if line.status == "fail"}
    assert f"vectors {len(rows)}, {N} was frozen" in lines["configuration"].text


def test_a_baseline_without_the_queries_does_not_judge_an_index_that_holds_them(
    x: FloatArray, usual: Run, tmp_path: Path
) -> None:
    base, found = x[:N], usual.result
    older = replace(found, whole=None, queries=replace(found.queries, indexed=False))
    with pytest.raises(InputError, match=r"holds the 600 rows that were held out as queries"):
        checked(older, base, tmp_path, index=usual.folder / "index.faiss")


def test_a_point_that_was_not_handed_over_is_frozen_as_it_was_measured(
    x: FloatArray, smallest: tuner.Result, tmp_path: Path
) -> None:
    base, found = x[:N], smallest
    other = next(place for place in range(len(found.points)) if place != found.named["smallest"])
    found = replace(found, named={**found.named, "fastest": other})
    frozen = save_baseline(found, "fastest")
    assert not frozen.queries.indexed
    assert frozen.n_indexed == N - len(found.queries.held_out_rows)
    passed = checked(found, base, tmp_path, name="fastest")
    assert passed.passed, [line.text for line in passed.lines]


def test_truth_with_more_rows_is_that_of_all_rows(x: FloatArray) -> None:
    base, queries = x[:600], x[N : N + 50]
    kept, added = np.arange(0, 600, 2), np.arange(1, 600, 2)
    some = result_of(search_exactly(base[kept], queries, K, K))
    truth = with_rows(replace(some, ids=kept[some.ids]), added, base, queries)
    whole = result_of(search_exactly(base, queries, K, K))
    np.testing.assert_array_equal(truth.ids[:, :K], whole.ids[:, :K])
    np.testing.assert_allclose(truth.kth_distance, whole.kth_distance)


def test_a_row_is_taken_out_of_its_own_answers() -> None:
    ids = np.array([[3, 1, 2], [5, 6, 7], [-1, 4, -1]])
    np.testing.assert_array_equal(
        without_rows(ids, np.array([1, 9, 4])), [[3, 2, -1], [5, 6, 7], [-1, -1, -1]]
    )


def test_rows_are_inserted_on_the_lowest_level_alone(x: FloatArray) -> None:
    from tuner.index.codecs import quantizer  # noqa: PLC0415
    from tuner.index.encoders import train  # noqa: PLC0415
    from tuner.index.projections import Projection  # noqa: PLC0415

    encoder = train(quantizer("fp32", D), Projection("none", D), None, "l2", x[:1], 0)
    index = over_codes(encoder, 8, 0, [])
    index.add(x[:500])
    before = faiss.vector_to_array(index.hnsw.levels)
    insert(index, encoder, x[500:700])
    levels = faiss.vector_to_array(index.hnsw.levels)
    np.testing.assert_array_equal(levels[:500], before)
    assert set(levels[500:]) == {1}
    index.hnsw.efSearch = 64
    assert np.mean(index.search(x[500:700], 1)[1][:, 0] == np.arange(500, 700)) > 0.98
