"""Recall in the tests of others: any callable, and the fixture of the pytest plugin."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import hnswlib
import numpy as np
import pytest
from conftest import planted_rows
from numpy.typing import NDArray

import tuner
from tuner.errors import InputError
from tuner.gate import save_baseline, write_baseline
from tuner.testing import Search, assert_recall
from tuner.types import FloatArray, Space

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[1]
N, NQ, D, K = 2000, 200, 24, 10
X = planted_rows(N + NQ, D, 12)
BASE, QUERIES = X[:N], X[N:]


def exactly(queries: FloatArray, k: int) -> NDArray[np.int64]:
    """Cosine, by brute force."""
    unit = BASE / np.linalg.norm(BASE, axis=1, keepdims=True)
    return np.argsort(-queries @ unit.T, axis=1)[:, :k]


def forgetful(share: float) -> Search:
    """Exact search that loses its last answer for so many of the queries."""

    def search(queries: FloatArray, k: int) -> NDArray[np.int64]:
        ids = exactly(queries, k)
        ids[: round(share * len(ids)), -1] = -1
        return ids

    return search


def test_a_search_that_finds_everything_passes() -> None:
    found = assert_recall(exactly, QUERIES, BASE, at_least=1.0, k=K, metric="cosine")
    assert found.mean == 1.0
    assert found.n_queries == NQ


def test_a_k_of_numpy_is_a_number_and_lists_are_arrays() -> None:
    lists: dict[str, Any] = {"queries": QUERIES.tolist(), "base": BASE.tolist(), "k": np.int64(K)}
    assert assert_recall(exactly, **lists, at_least=1.0, metric="cosine").mean == 1.0


def test_recall_is_counted_by_the_query() -> None:
    found = assert_recall(forgetful(0.5), QUERIES, BASE, at_least=0.9, k=K, metric="cosine")
    assert found.mean == pytest.approx(0.95)


def test_what_is_surely_below_fails_and_what_may_be_chance_does_not() -> None:
    # .95, with 95 % surely at most .956
    assert_recall(forgetful(0.5), QUERIES, BASE, at_least=0.954, k=K, metric="cosine")
    below = r"recall@10 by cosine is 0\.9500 .* surely below 0\.96"
    with pytest.raises(AssertionError, match=below) as failure:
        assert_recall(forgetful(0.5), QUERIES, BASE, at_least=0.96, k=K, metric="cosine")
    assert "of 10, query 0 finds 9" in str(failure.value)
    assert "1.17 points below it is noticed with 95% power" in str(failure.value)


def test_ties_count_whichever_row_is_returned() -> None:
    twice = np.concatenate([BASE, BASE])
    other_copy = lambda queries, k: exactly(queries, k) + N  # noqa: E731
    both = lambda queries, k: np.sort(np.hstack([exactly(queries, 5), exactly(queries, 5) + N]))  # noqa: E731
    assert assert_recall(both, QUERIES, twice, at_least=1.0, k=K, metric="cosine").mean == 1.0
    assert assert_recall(other_copy, QUERIES, twice, at_least=0.4, k=K, metric="cosine").mean == 0.5


def test_a_real_index_and_a_file(tmp_path: Path) -> None:
    index = faiss.IndexHNSWFlat(D, 16)
    index.add(BASE)
    np.save(tmp_path / "base.npy", BASE)
    search = lambda queries, k: index.search(queries, k)[1]  # noqa: E731
    assert_recall(search, QUERIES, tmp_path / "base.npy", at_least=0.9, k=K, metric="l2")
    with pytest.raises(AssertionError, match="surely below"):
        assert_recall(search, QUERIES, tmp_path / "base.npy", at_least=0.9, k=K, metric="ip")


def test_a_starved_search_that_finds_as_much_was_not_used() -> None:
    assert_recall(
        exactly,
        QUERIES,
        BASE,
        at_least=0.9,
        k=K,
        metric="cosine",
        starved=forgetful(1.0),
    )
    with pytest.raises(AssertionError, match="the index was not used"):
        assert_recall(exactly, QUERIES, BASE, at_least=0.9, k=K, metric="cosine", starved=exactly)


MASK = np.random.default_rng(3).random((NQ, N)) < 0.1
"""One row in ten, others for each query."""


def filtered(mask: NDArray[np.bool_]) -> Search:
    """Exact search among the rows that a mask (nq, n) allows."""

    def search(queries: FloatArray, k: int) -> NDArray[np.int64]:
        unit = BASE / np.linalg.norm(BASE, axis=1, keepdims=True)
        return np.argsort(np.where(mask, -queries @ unit.T, np.inf), axis=1)[:, :k]

    return search


def after_the_search(queries: FloatArray, k: int) -> NDArray[np.int64]:
    """A post-filter: what of the nearest 50 is allowed."""
    near = exactly(queries, 50)
    kept = np.take_along_axis(MASK, near, axis=1)
    first = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(np.where(kept, near, -1), first, axis=1)


def test_a_search_that_filters_is_judged_among_the_rows_allowed() -> None:
    asked: dict[str, Any] = {"at_least": 1.0, "k": K, "metric": "cosine"}
    assert assert_recall(filtered(MASK), QUERIES, BASE, allowed=MASK, **asked).mean == 1.0
    lists = [np.flatnonzero(each) for each in MASK]
    assert assert_recall(filtered(MASK), QUERIES, BASE, allowed=lists, **asked).mean == 1.0
    one = filtered(np.repeat(MASK[:1], NQ, axis=0))
    names = np.array([f"doc-{row}" for row in range(N)])
    named = lambda queries, k: names[one(queries, k)]  # noqa: E731
    assert assert_recall(one, QUERIES, BASE, allowed=MASK[0], **asked).mean == 1.0
    assert assert_recall(one, QUERIES, BASE, allowed=lists[0].tolist(), **asked).mean == 1.0
    assert assert_recall(named, QUERIES, BASE, ids=names, allowed=names[MASK[0]], **asked).mean == 1.0
    deleted = np.where(np.arange(N) % 7 == 0, "", names)
    kept = MASK & (deleted != "")
    of_kept = lambda queries, k: names[filtered(kept)(queries, k)]  # noqa: E731
    assert assert_recall(of_kept, QUERIES, BASE, ids=deleted, allowed=MASK, **asked).mean == 1.0


def test_ties_count_among_the_rows_allowed() -> None:
    """The other copy of a row is as near, and is a hit only where it is allowed."""
    twice, both = np.concatenate([BASE, BASE]), np.hstack([MASK, MASK])
    other = lambda queries, k: filtered(MASK)(queries, k) + N  # noqa: E731
    found = assert_recall(other, QUERIES, twice, at_least=0.4, k=K, metric="cosine", allowed=both)
    assert found.mean == 0.5  # both copies of each are among the nearest
    first = np.hstack([MASK, np.zeros_like(MASK)])
    with pytest.raises(AssertionError, match="the filter forbids 2,000 answers, to 200 queries of 200"):
        assert_recall(other, QUERIES, twice, at_least=0.1, k=K, metric="cosine", allowed=first)


def test_a_filter_that_is_ignored_fails_whatever_recall_is() -> None:
    one = MASK.copy()
    one[:] = True
    one[7, exactly(QUERIES[7:8], 1)] = False
    with pytest.raises(AssertionError, match="the filter forbids 1 answer, to 1 query of 200") as failure:
        assert_recall(exactly, QUERIES, BASE, at_least=0.5, k=K, metric="cosine", allowed=one)
    assert "among the allowed rows is 0.9995" in str(failure.value)


def test_a_filter_after_the_search_leaves_fewer_than_k() -> None:
    with pytest.raises(AssertionError, match=r"among the allowed rows is .* surely below 0\.9") as failure:
        assert_recall(after_the_search, QUERIES, BASE, at_least=0.9, k=K, metric="cosine", allowed=MASK)
    short = int((np.take_along_axis(MASK, exactly(QUERIES, 50), axis=1).sum(axis=1) < K).sum())
    assert short > NQ / 2
    assert f"{short} of 200 queries got fewer than 10 answers" in str(failure.value)


@pytest.mark.parametrize(
    ("allowed", "sentence"),
    [
        (MASK[:, :-1], r"allowed has shape \(200, 1999\), and the base has 2,000 rows"),
        (MASK[:-1], "allowed has 199 filters, and there are 200 queries"),
        ([[1, 2, 3]] * NQ, "query 0 may be answered with 3 rows, fewer than k=10"),
        ([1, 2, N], "allowed holds 2000, which is none of the 2,000 row numbers"),
        (["a", "b"], "allowed holds 'a'|allowed holds np.str_"),
        ([0.5] * 20, "allowed holds float"),
        ("rows", "allowed is a str"),
        ([], "allowed is no list of ids"),
    ],
)
def test_what_allows_nothing_that_can_be_asked_is_said(allowed: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        assert_recall(exactly, QUERIES, BASE, at_least=0.9, k=K, allowed=allowed)


@pytest.mark.parametrize(
    ("search", "sentence"),
    [
        (lambda q, k: exactly(q, k)[:-1], "search returned int64 of shape"),
        (lambda q, k: exactly(q, k).astype(float), "search returned float64"),
        (lambda q, k: exactly(q, k) + N, "and the base has 2000"),
        (lambda q, k: [[1]] * 3, "of shape"),
    ],
)
def test_what_search_may_not_return(search: object, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        assert_recall(search, QUERIES, BASE, at_least=0.9, k=K)  # type: ignore[arg-type]


def test_fewer_answers_than_k_are_misses() -> None:
    found = assert_recall(
        lambda queries, k: exactly(queries, 5), QUERIES, BASE, at_least=0.4, k=K, metric="cosine"
    )
    assert found.mean == 0.5


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"at_least": 95}, "recall lies in"),
        ({"k": N}, "use a k from 1"),
        ({"k": True}, "k is True, but it is a whole number"),
        ({"k": 2.5}, "k is 2.5, but it is a whole number"),
        ({"queries": QUERIES[:5]}, "at least 20"),
        ({"queries": QUERIES[:, :-1]}, "23 dimensions"),
    ],
)
def test_what_does_not_fit_is_said(changes: dict[str, object], sentence: str) -> None:
    given = {"queries": QUERIES, "at_least": 0.9, "k": K} | changes
    with pytest.raises(InputError, match=sentence):
        assert_recall(exactly, base=BASE, **given)  # type: ignore[arg-type]


# ---------------------------------------------------------------- the plugin


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    np.save(folder / "base.npy", BASE)
    np.save(folder / "queries.npy", QUERIES)
    space = Space(M=(8,), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_construction=40)
    result = tuner.tune(BASE, recall=0.7, queries=QUERIES, out=folder, space=space, threads=1)
    write_baseline(save_baseline(result), folder / "baseline.yaml")
    return folder


def test_the_fixture_gates(pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makepyfile(
        f"""
        import faiss, pytest

        FOLDER = {str(project)!r}

        def gate(recall_gate, index):
            return recall_gate(
                f"{{FOLDER}}/baseline.yaml", f"{{FOLDER}}/base.npy", queries=f"{{FOLDER}}/queries.npy",
                index=index, threads=1,
            )

        def test_passes(recall_gate):
            assert gate(recall_gate, f"{{FOLDER}}/index.faiss").drop.mean == 0

        def test_fails(recall_gate, tmp_path):
            index = faiss.read_index(f"{{FOLDER}}/index.faiss")
            inner = faiss.downcast_index(index)
            while hasattr(inner, "index"):
                inner = faiss.downcast_index(inner.index)
            inner.hnsw.efSearch = 1
            faiss.write_index(index, str(tmp_path / "starved.faiss"))
            gate(recall_gate, tmp_path / "starved.faiss")

        def test_finds_nothing():
            import numpy as np
            from tuner.testing import assert_recall
            base, queries = (np.load(f"{{FOLDER}}/{{name}}.npy") for name in ("base", "queries"))
            nothing = lambda queries, k: np.full((len(queries), k), -1)
            assert_recall(nothing, queries, base, at_least=0.9)
        """
    )
    # whether or not the package is installed, and so announced, it is loaded once
    plugin = ("-p", "no:vector_index_tuner", "-p", "tuner.pytest_plugin")
    found = pytester.runpytest_subprocess(*plugin)
    found.assert_outcomes(passed=1, failed=2)
    found.stdout.no_fnmatch_line("*testing.py:*")  # a reader sees lines of their own test
    found.stdout.fnmatch_lines(["*regression: HNSW8,SQ8*", "*fail: recall: *"])


def test_the_plugin_imports_nothing_heavy() -> None:
    """Every pytest run in the environment imports it."""
    program = (
        "import sys, tuner.pytest_plugin; sys.exit(bool({'faiss', 'numpy', 'scipy'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_plugin_is_announced() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\nvector_index_tuner = "tuner.pytest_plugin"' in text


def with_distances(queries: FloatArray, k: int, dtype: type = np.float32) -> tuple[Any, Any]:
    ids = exactly(queries, k)
    return np.zeros(ids.shape, dtype=dtype), ids


@pytest.mark.parametrize(
    "search",
    [
        with_distances,
        lambda queries, k: with_distances(queries, k)[::-1],
        lambda queries, k: [part.tolist() for part in with_distances(queries, k)],
        lambda queries, k: (exactly(queries, k).astype(np.uint64), np.zeros((len(queries), k))),
        lambda queries, k: SimpleNamespace(keys=exactly(queries, k), distances=np.zeros((len(queries), k))),
    ],
)
def test_the_ids_of_a_pair_are_what_is_no_real_number(search: Search) -> None:
    assert assert_recall(search, QUERIES, BASE, at_least=1.0, k=K, metric="cosine").mean == 1.0


def test_the_searches_of_faiss_and_hnswlib_are_taken_as_they_are() -> None:
    unit = BASE / np.linalg.norm(BASE, axis=1, keepdims=True)
    flat, graph = faiss.IndexFlatIP(D), hnswlib.Index("cosine", D)
    flat.add(unit)
    graph.init_index(N, random_seed=1)
    graph.add_items(BASE, num_threads=1)
    graph.set_ef(400)
    assert assert_recall(flat.search, QUERIES, BASE, at_least=1.0, k=K, metric="cosine").mean == 1.0
    assert_recall(graph.knn_query, QUERIES, BASE, at_least=0.98, k=K, metric="cosine")


@pytest.mark.parametrize("dtype", [np.int64, np.str_])
def test_a_pair_whose_ids_cannot_be_told_is_refused(dtype: type) -> None:
    search = lambda queries, k: with_distances(queries, k, dtype)  # noqa: E731
    with pytest.raises(InputError, match=r"pair of .* which are the ids is not clear: return them"):
        assert_recall(search, QUERIES, BASE, at_least=0.9, k=K, metric="cosine")


NAMES = np.array([f"doc-{number}" for number in range(N)])
KEYS = np.random.default_rng(13).choice(2**62, N, replace=False)


@pytest.mark.parametrize("ids", [NAMES, NAMES.tolist(), KEYS, KEYS.astype(str)])
def test_own_ids_are_rows_by_the_list(ids: Any) -> None:
    names = np.asarray(ids)
    for search in (lambda q, k: names[exactly(q, k)], lambda q, k: names[exactly(q, k)].tolist()):
        assert assert_recall(search, QUERIES, BASE, ids=ids, at_least=1.0, k=K, metric="cosine").mean == 1.0
    with pytest.raises(InputError, match="none of which is in the list of ids"):
        assert_recall(
            lambda q, k: (names[exactly(q, k)].astype(str).astype(object) + "x").astype(str),
            *(QUERIES, BASE),
            ids=ids,
            at_least=0.9,
            k=K,
            metric="cosine",
        )


def test_nothing_is_written_as_none_or_as_empty_text() -> None:
    for nothing in (None, ""):

        def search(queries: FloatArray, k: int, nothing: str | None = nothing) -> list[list[str | None]]:
            found: Any = NAMES[exactly(queries, k)].astype(object)
            found[:, -1] = nothing
            return list(found.tolist())

        found = assert_recall(search, QUERIES, BASE, ids=NAMES, at_least=0.8, k=K, metric="cosine")
        assert found.mean == pytest.approx(0.9)


def test_a_row_that_was_deleted_on_purpose_is_not_missed() -> None:
    ids = NAMES.copy()
    ids[::2] = ""
    left = np.flatnonzero(ids != "")
    unit = BASE[left] / np.linalg.norm(BASE[left], axis=1, keepdims=True)
    nearest = lambda q, k: ids[left[np.argsort(-q @ unit.T, axis=1)[:, :k]]]  # noqa: E731
    assert assert_recall(nearest, QUERIES, BASE, ids=ids, at_least=1.0, k=K, metric="cosine").mean == 1.0
    # an engine that still returns the others: half of its answers are no ids of the list
    with pytest.raises(AssertionError, match=r"[\d,]+ answers are none of the ids"):
        assert_recall(
            lambda q, k: NAMES[exactly(q, k)],
            *(QUERIES, BASE),
            ids=ids,
            at_least=0.9,
            k=K,
            metric="cosine",
        )
