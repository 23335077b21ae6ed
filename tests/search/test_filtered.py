"""An index under filters, whatever its layers: it answers with allowed vectors alone, and the nearest."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

import tuner
from tuner.errors import InputError
from tuner.search import Allowed, FilteredIndex
from tuner.search.flat_codes import FlatCodes
from tuner.types import FloatArray

N, D, K = 1500, 16, 10
POLICY = """
index: {kind: hnsw}
filters:
  scan_below_rows: 200
  bands:
  - {least_share: 0.5, ef_search: 40}
  - {least_share: 0.2, ef_search: 90}
  - {least_share: 0.01, ef_search: null}
"""


@pytest.fixture(scope="module")
def x() -> FloatArray:
    """Return rows of unit norm."""
    x = np.random.default_rng(7).standard_normal((N, D)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def made(kind: str, x: FloatArray) -> faiss.Index:
    """Return an index of a kind; those with "ids" answer with 1,000 less than 3 times the row."""
    codes = {
        "flat": lambda d: faiss.IndexHNSWFlat(d, 8),
        "SQ8": lambda d: faiss.IndexHNSWSQ(d, faiss.ScalarQuantizer.QT_8bit, 8),
        "PQ": lambda d: faiss.IndexHNSWPQ(d, 8, 8, 8),
        "RaBitQ": lambda d: faiss.IndexHNSWRaBitQ(d, 8, 4),
    }
    graph = codes[kind.split("+", maxsplit=1)[0]](D)
    index: faiss.Index = graph
    kept = [index]
    if "transform" in kind:
        step = faiss.NormalizationTransform(D, 2.0)
        index = faiss.IndexPreTransform(step, index)
    if "refine" in kind:
        store = faiss.IndexFlat(D)
        refine = faiss.IndexRefine(index, store)
        refine.k_factor = 4
        kept.append(index)
        index = refine
    if "ids" in kind:
        kept.append(index)
        index = faiss.IndexIDMap(index)
    graph.hnsw.efConstruction = 60
    index.train(x)
    if "ids" in kind:
        index.add_with_ids(x, 3 * np.arange(len(x)) - 1000)
    else:
        index.add(x)
    return faiss.deserialize_index(faiss.serialize_index(index))  # which owns all that it is made of


def nearest(x: FloatArray, queries: FloatArray, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nearest of some rows, by brute force."""
    distances = ((queries[:, None] - x[rows][None]) ** 2).sum(axis=2)
    return rows[np.argsort(distances, axis=1)[:, :K]]


@pytest.mark.parametrize(
    "kind",
    ["flat", "SQ8", "PQ", "RaBitQ", "SQ8+transform", "PQ+refine", "SQ8+ids", "PQ+transform+refine+ids"],
)
def test_answers_are_allowed_and_near(x: FloatArray, kind: str) -> None:
    index = FilteredIndex(made(kind, x), ((0.5, 60), (0.1, 400)), 60)
    rng = np.random.default_rng(2)
    queries = x[:20] + 0.05 * rng.standard_normal((20, D)).astype(np.float32)
    exact = "flat" in kind or "refine" in kind
    for size in (50, 300, 1200):
        rows = np.sort(rng.choice(N, size, replace=False))
        names = 3 * rows - 1000 if "ids" in kind else rows
        distances, found = index.search(queries, K, allowed=rng.permutation(names))
        assert np.isin(found, names).all()
        assert (np.diff(distances, axis=1) >= 0).all()
        found_rows = (found + 1000) // 3 if "ids" in kind else found
        pairs = zip(found_rows, nearest(x, queries, rows), strict=True)
        recall = np.mean([np.isin(mine, theirs).mean() for mine, theirs in pairs])
        assert recall > (0.98 if exact else 0.95 if "SQ8" in kind else 0.5)
        again = index.search(queries, K, allowed=index.allow(names))
        np.testing.assert_array_equal(again[1], found)
    mask = np.zeros(N, dtype=bool)
    mask[[5, 9]] = True
    few = index.search(queries, K, allowed=mask)[1]
    expected = {3 * 5 - 1000, 3 * 9 - 1000} if "ids" in kind else {5, 9}
    assert all(set(each[:2].tolist()) == expected and (each[2:] == -1).all() for each in few)
    assert (index.search(queries, K, allowed=np.zeros(N, dtype=bool))[1] == -1).all()
    np.testing.assert_array_equal(index.search(queries, K)[1], index.index.search(queries, K)[1])


def test_the_policy_decides_who_scans(x: FloatArray, monkeypatch: pytest.MonkeyPatch) -> None:
    index = FilteredIndex(made("SQ8", x), ((0.5, 40), (0.2, 90)), 200)
    asked: list[int] = []

    def scan(self: FlatCodes, queries: FloatArray, k: int, rows: NDArray[np.int64]) -> tuple[None, object]:
        asked.append(-len(rows))
        return None, rows[None, :k]

    def search(
        self: FilteredIndex, queries: FloatArray, k: int, some: Allowed, ef: int
    ) -> tuple[None, object]:
        asked.append(ef)
        return None, some.places[None, :k]

    monkeypatch.setattr(FlatCodes, "scan", scan)
    monkeypatch.setattr(FilteredIndex, "search_graph", search)
    for size in (1000, 750, 400, 200, 199, 3):
        index.search(x[:1], K, allowed=np.arange(size))
    assert asked == [40, 40, 90, 90, -199, -3]


def test_rows_that_the_index_lacks_are_left_out(x: FloatArray) -> None:
    index = FilteredIndex(made("SQ8+ids", x), ((0.5, 40),), 200)
    found = index.search(x[:3], K, allowed=np.array([-999, 10**6, 2 - 1000, 3 * 4 - 1000]))[1]
    assert {int(each) for each in found.ravel()} == {3 * 4 - 1000, -1}


def test_an_exact_index_scans_what_is_allowed(x: FloatArray, tmp_path: Path) -> None:
    tuner.tune(x[:400], recall=0.9, metric="l2", out=tmp_path).save(tmp_path)
    index = FilteredIndex.load(tmp_path)
    rows = np.arange(3, 400, 7)
    found = index.search(x[:9], K, allowed=rows)[1]
    np.testing.assert_array_equal(found, nearest(x, x[:9], rows))


def test_an_index_of_lists_is_refused(x: FloatArray) -> None:
    lists = faiss.index_factory(D, "IVF4,Flat")
    lists.train(x)
    lists.add(x)
    with pytest.raises(InputError, match="is a IndexIVFFlat, and filters are for HNSW and exact ones"):
        FilteredIndex(lists, (), 9).search(x[:1], K, allowed=np.arange(20))


def test_what_is_no_filter_is_refused(x: FloatArray) -> None:
    index = FilteredIndex(made("SQ8", x), ((0.5, 40),), 200)
    assert set(index.search(x[:1], K, allowed=np.array([-1, N, 5]))[1].ravel().tolist()) == {5, -1}
    assert (index.search(x[:1], K, allowed=np.array([]))[1] == -1).all()
    for wrong in (np.ones(N - 1, dtype=bool), np.array([0.5]), np.array(["a"]), np.zeros((2, 2), dtype=int)):
        with pytest.raises(InputError, match="but it is one of ids"):
            index.search(x[:1], K, allowed=wrong)


def test_threads_scan_at_the_same_time(x: FloatArray) -> None:
    index = FilteredIndex(made("PQ", x), (), N + 1)
    rng = np.random.default_rng(4)
    filters = [index.allow(np.sort(rng.choice(N, size, replace=False))) for size in range(20, 420)]
    alone = [index.search(x[:4], K, allowed=each)[1] for each in filters]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda each: index.search(x[:4], K, allowed=each)[1], filters))
    np.testing.assert_array_equal(together, alone)


def test_a_folder_is_loaded_with_its_policy(x: FloatArray, tmp_path: Path) -> None:
    faiss.write_index(made("SQ8", x), str(tmp_path / "index.faiss"))
    (tmp_path / "recommended.yaml").write_text(POLICY)
    index = FilteredIndex.load(tmp_path)
    assert (index.bands, index.scan_below) == (((0.5, 40), (0.2, 90)), 200)
    assert index.search(x[:1], 1, allowed=np.arange(300))[1][0, 0] == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "recommended.yaml does not exist: give the results folder"),
        ("index: {kind: hnsw}\n", "has no policy for filters: run tune with --labels"),
        ("filters: 3\n", "is no recommendation"),
        ("index: {kind: hnsw}\nfilters: 3\n", "is no recommendation"),
        (
            "index: {kind: hnsw}\nfilters: {scan_below_rows: 3, bands: [{least_share: a, ef_search: 4}]}\n",
            "is no recommendation",
        ),
        ("- a\n", "has no policy for filters"),
        ("a: [\n", "is no recommendation"),
        (POLICY, "index.faiss does not exist"),
    ],
)
def test_what_is_missing_or_damaged_is_said(text: str | None, says: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "recommended.yaml").write_text(text)
    with pytest.raises(InputError, match=says):
        FilteredIndex.load(tmp_path)
