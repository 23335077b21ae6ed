"""Flat codes, FastScan and LSH are opened as faiss writes them: what codes lose, and what is stale."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from conftest import trained_by_faiss
from diagnosed import at_unit_length, recall_of

import tuner
from tuner.index.opened import open_object
from tuner.index.stored import StoredVectors, compare, stored_codes
from tuner.types import Metric

pytestmark = pytest.mark.usefixtures("few_rounds")

K, NEAR = 10, 0.02
FLAT = ("PQ8x4", "PQ8x4fs", "PQ7x4fs", "LSH", "LSHrt", "L2norm,LSH16t", "OPQ8,PQ8x4fs")
LABELS = {
    "LSH": "LSH24",
    "LSHrt": "LSH24",
    "L2norm,LSH16t": "L2norm,LSH16",
    "OPQ8,PQ8x4fs": "Rotate24,PQ8x4fs",  # a file does not say that it is an OPQ
}
LISTS = ("IVF4,PQ8x4fs", "IVF4,PQ8x4fsr", "IVF4_HNSW8,PQ8x4fs")
GRAPHS = ("PQ8x4fs", "LSHrt")


def rows_for(kind: str, x: np.ndarray) -> np.ndarray:
    """Return as many columns as sub-codes divide."""
    return at_unit_length(x[:, :21]) if "PQ7" in kind else x


def built(kind: str, x: np.ndarray, rows: np.ndarray | None = None) -> faiss.Index:
    index = trained_by_faiss(kind, x)
    index.add(x if rows is None else rows)
    return index


def over(kind: str, x: np.ndarray) -> faiss.Index:
    """Return a graph over codes of a kind for which the factory has no name."""
    codes = trained_by_faiss(kind, x)
    graph = faiss.IndexHNSW(codes, 16)
    graph.add(x)
    graph.hnsw.efSearch = 400
    return graph


@pytest.fixture(scope="module")
def unit(small: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return at_unit_length(small[0]), at_unit_length(small[1])


@pytest.mark.parametrize("kind", ["LSH16", "LSH16t"])
def test_columns_that_codes_do_not_keep_are_not_read_from_memory(
    kind: str, unit: tuple[np.ndarray, np.ndarray]
) -> None:
    x = unit[0][:200]
    stored = StoredVectors([], built(kind, x), 0.0, np.zeros(1, dtype=np.int64))
    junk = [np.full_like(x, np.inf) for _ in range(50)]
    del junk  # faiss gets memory that holds infinities
    for decoded in (stored.decoded(x), stored.at(np.arange(len(x)))):
        assert np.isfinite(decoded).all()
        assert not decoded[:, 16:].any()
        assert np.abs(decoded[:, :16]).min() > 0.5


@pytest.mark.parametrize("kind", FLAT)
def test_what_flat_codes_lose(kind: str, unit: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, q = (rows_for(kind, rows) for rows in unit)
    index = built(kind, x)
    left = recall_of(index.search(q, K)[1], x, q)
    assert left < 0.9
    faiss.write_index(index, str(tmp_path / "i.faiss"))
    found = tuner.diagnose(tmp_path / "i.faiss", x, q, metric="cosine")
    assert found.first is not None
    assert found.first.name == "codec"
    assert found.first.share == pytest.approx(1 - left, abs=NEAR)
    assert {cause.name for cause in found.causes} == {"codec", "graph", "search"}
    assert found.label == LABELS.get(kind, kind)
    assert sum(found.costs.bytes.values()) == found.index_bytes + found.costs.bytes["allocator"]


@pytest.mark.parametrize("kind", LISTS)
def test_what_fast_lists_lose(kind: str, unit: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    x, q = unit
    index = built(kind, x)
    now = recall_of(index.search(q, K)[1], x, q)
    index.nprobe = 4
    left = recall_of(index.search(q, K)[1], x, q)
    index.nprobe = 1
    faiss.write_index(index, str(tmp_path / "i.faiss"))
    found = tuner.diagnose(tmp_path / "i.faiss", x, q, metric="cosine")
    shares = {cause.name: cause.share for cause in found.causes}
    assert shares.pop("codec") == pytest.approx(1 - left, abs=NEAR)
    assert shares.pop("search") == pytest.approx(left - now, abs=NEAR)
    assert shares == {"graph": 0.0}


@pytest.mark.parametrize("kind", GRAPHS)
def test_what_a_graph_over_them_loses(kind: str, unit: tuple[np.ndarray, np.ndarray]) -> None:
    x, q = unit
    graph = over(kind, x)
    storage = faiss.downcast_index(graph.storage)
    decoded = storage.reconstruct_n(0, len(x))
    near = np.argsort(((q[:, None] - decoded[None]) ** 2).sum(axis=2), axis=1)[:, :K]
    found = tuner.diagnose(graph, x, q, metric="cosine")
    assert found.first is not None
    assert found.first.name == "codec"
    assert found.first.share == pytest.approx(1 - recall_of(near, x, q), abs=0.04)


@pytest.mark.parametrize("kind", ["PQ8x4fs", "IVF4,PQ8x4fs", "LSHrt"])
def test_a_changed_row_is_told_from_its_code(kind: str, unit: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = unit
    rows = x.copy()
    rows[:300] = -x[:300]
    opened = open_object(
        faiss.deserialize_index(faiss.serialize_index(built(kind, x, rows))), x.shape[1], None
    )
    stored = stored_codes(opened)
    at = stored.at(np.arange(len(x)))
    for same in (
        compare(stored, x[opened.ids], at).same_vector,
        compare(stored, x[opened.ids], at).same_code,
    ):
        assert not same[opened.ids < 300].any()
        assert same[opened.ids >= 300].mean() > 0.99


@pytest.mark.parametrize("metric", ["cosine", "ip"])
@pytest.mark.parametrize("kind", ["PQ12x4", "HNSW16_PQ12x4"])
def test_a_store_is_put_beside_codes_that_are_compared_by_inner_product(
    kind: str, metric: Metric, unit: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    x, q = unit
    index = faiss.index_factory(x.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
    codes = faiss.downcast_index(index.storage) if "HNSW" in kind else index
    codes.do_polysemous_training = False
    index.train(x)
    index.add(x)
    if "HNSW" in kind:
        index.hnsw.efSearch = 400
    out = tmp_path / "mended.faiss"
    found = tuner.diagnose(index, x, q, metric=metric, recall=0.85, apply=1, out=out)
    assert found.first is not None
    assert found.first.name == "codec"
    assert (found.prescriptions[0].kind, found.prescriptions[0].works) == ("store", True)
    assert recall_of(faiss.read_index(str(out)).search(q, K)[1], x, q) > 0.8
