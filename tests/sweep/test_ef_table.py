"""ef_search for other k and targets: each is certified, by searches of the index that is handed over."""

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import planted_rows

import tuner
from tuner.errors import InputError
from tuner.report import result_to_markdown
from tuner.report.recommended import recommended_yaml
from tuner.sweep import ef_table
from tuner.types import FloatArray, Space

N, NQ, D = 4_000, 600, 24
KS, RECALLS = (10, 1, 40), (0.9, 0.8, 0.97)
PLAIN = Space(M=(6, 12), codecs=("fp32", "SQ8"), cuts=(1.0,), rerank_factors=(1,), ef_search_max=1024)
RERANKED = replace(PLAIN, codecs=("SQ4",), rerank_stores=("fp16",), rerank_factors=(4,))


@pytest.fixture(autouse=True)
def whole_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ef_table, "LEAST_DISTANCES", 5e6)


@pytest.fixture(scope="module")
def x() -> FloatArray:
    rows = planted_rows(N + NQ, D, 5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def tuned(x: FloatArray, folder: Path, queries: FloatArray | None, space: Space) -> tuner.Result:
    return tuner.tune(
        x,
        queries=queries,
        recall=RECALLS[0],
        k=KS[0],
        other_ks=KS,
        other_recalls=RECALLS,
        out=folder,
        space=space,
        threads=1,
    )


def recall_of(index: faiss.Index, x: FloatArray, queries: FloatArray, k: int, ef_search: int) -> float:
    inner = index
    while not hasattr(inner, "hnsw"):
        inner = faiss.downcast_index(
            inner.base_index if isinstance(inner, faiss.IndexRefine) else inner.index
        )
    inner.hnsw.efSearch = ef_search
    truth, ids = faiss.knn(queries, x, k)[1], index.search(queries, k)[1]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(ids, truth, strict=True)]))


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("space", [PLAIN, RERANKED], ids=["plain", "reranked"])
def test_each_cell_holds_in_the_index_handed_over(
    x: FloatArray, held_out: bool, space: Space, tmp_path: Path
) -> None:
    base, queries = x[:N], x[N:]
    found = tuned(base, tmp_path, None if held_out else queries, space)
    cells = {(cell.k, cell.target): cell for cell in found.ef_table}
    assert {k for k, _ in cells} == set(KS)
    assert len(cells) >= 7
    for (k, target), cell in cells.items():
        assert cell.recall.lower >= target
        assert cell.ef_search >= k
        # the queries of the table are some of these, or others where rows were held out
        assert recall_of(found.index(), base, queries, k, cell.ef_search) >= target - 0.01
        higher = [other.ef_search for (n, t), other in cells.items() if n == k and t > target]
        assert all(other >= cell.ef_search for other in higher)
    best = found.best
    assert best is not None
    assert cells[KS[0], RECALLS[0]].ef_search == best.ef_search
    text = recommended_yaml(found) or ""
    assert f"    {KS[0]}: {best.ef_search}" in text.split("ef_search_by_recall_and_k:")[1]
    assert "Other k and targets" in result_to_markdown(found)


def test_what_takes_too_long_is_left_out(
    x: FloatArray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ef_table, "LEAST_DISTANCES", 0.0)
    monkeypatch.setattr(ef_table, "DISTANCES_A_ROW", 0)
    found = tuned(x[:N], tmp_path, x[N:], PLAIN)
    # what is known without a search, and the search that was under way
    assert 1 <= len(found.ef_table) <= 2


@pytest.mark.parametrize(("name", "value"), [("other_ks", (10, 0)), ("other_recalls", (0.9, 95.0))])
def test_values_out_of_range_are_refused(
    x: FloatArray, tmp_path: Path, name: str, value: tuple[float, ...]
) -> None:
    asked: dict[str, tuple[float, ...]] = {name: value}
    with pytest.raises(InputError, match=r"it is at least 1|lies in"):
        tuner.tune(x[:N], recall=0.9, out=tmp_path, **asked)  # type: ignore[arg-type]
