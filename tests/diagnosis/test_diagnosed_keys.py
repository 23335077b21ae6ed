"""An index whose ids are keys of a database, asked about with the list of these keys."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import planted_rows
from gated import Run

import tuner
from tuner.types import FloatArray

pytestmark = pytest.mark.usefixtures("few_rounds", "one_rebuilt_graph")

N, NQ, D = 2000, 200, 24
X = planted_rows(N + NQ, D, 21)
BASE, QUERIES = X[:N], X[N:]
KEYS = np.random.default_rng(22).choice(2**62, N, replace=False)
DELETED, LOST = np.arange(0, N, 20), np.arange(5, N, 100)
"""Rows that were deleted on purpose, and rows that should be there and are not."""


def graph_of(rows: np.ndarray, ef: int = 200) -> faiss.Index:
    index = faiss.index_factory(D, "IDMap2,HNSW16,Flat")
    index.add_with_ids(BASE[rows], KEYS[rows])
    faiss.downcast_index(index.index).hnsw.efSearch = ef
    return index


def exactly(base: FloatArray, k: int) -> np.ndarray:
    return np.argsort(((QUERIES[:, None] - base[None]) ** 2).sum(axis=2), axis=1)[:, :k]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    np.save(tmp_path / "base.npy", BASE)
    np.save(tmp_path / "queries.npy", QUERIES)
    np.save(tmp_path / "ids.npy", KEYS)
    return tmp_path


def files(folder: Path, *more: str) -> list[str]:
    queries = str(folder / "queries.npy")
    return [str(folder / "base.npy"), "--queries", queries, "--metric", "l2", "--threads", "1", *more]


def test_keys_are_rows_by_the_list_and_are_written_again(folder: Path, run: Run) -> None:
    index = str(folder / "keys.faiss")
    faiss.write_index(graph_of(np.arange(N), ef=10), index)
    code, _, message = run("diagnose", "--index", index, *files(folder))
    assert code == 2
    assert "with --ids the list of its ids" in message
    mended = folder / "mended.faiss"
    code, out, message = run(
        *("diagnose", "--index", index, *files(folder), "--ids", str(folder / "ids.npy")),
        *("--apply", "1", "-o", str(mended)),
    )
    assert code == 0, out + message
    assert "lost to" in out
    assert "search" in out
    assert "foreign" not in out
    found = faiss.read_index(str(mended)).search(QUERIES, 10)[1]
    assert np.isin(found, KEYS).all()
    assert np.mean([len(set(a) & set(b)) for a, b in zip(found, KEYS[exactly(BASE, 10)], strict=True)]) > 9.5


def test_lost_rows_are_told_from_rows_that_were_deleted_on_purpose(folder: Path) -> None:
    there = np.setdiff1d(np.arange(N), np.concatenate([DELETED, LOST]))
    index = graph_of(there)
    before = faiss.vector_to_array(index.id_map).tolist()
    ids = KEYS.copy()
    ids[DELETED] = -1
    found = tuner.diagnose(index, BASE, QUERIES, ids=ids, metric="l2", threads=1)
    assert faiss.vector_to_array(index.id_map).tolist() == before
    missing = next(cause for cause in found.causes if cause.name == "missing rows")
    assert missing.text == "20 of 1,900 rows of the file are not in the index"
    assert (
        "100 rows of base array deleted on purpose by the list of ids: in no index, and not missed"
        in found.notes
    )
    # the same index, and no word of what was deleted
    found = tuner.diagnose(index, BASE, QUERIES, ids=KEYS, metric="l2", threads=1)
    missing = next(cause for cause in found.causes if cause.name == "missing rows")
    assert missing.text == "120 of 2,000 rows of the file are not in the index"


def test_what_was_deleted_in_the_table_and_not_in_the_index_is_named() -> None:
    ids = KEYS.copy()
    ids[DELETED] = -1
    found = tuner.diagnose(graph_of(np.arange(N)), BASE, QUERIES, ids=ids, metric="l2", threads=1)
    assert [(cause.name, cause.text) for cause in found.causes if cause.share > 0.01] == [
        (
            "foreign rows",
            "100 of 2,000 have an id that the list of ids does not have: deleted there, or of other vectors",
        )
    ]
