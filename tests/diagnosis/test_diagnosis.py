"""Planted illnesses: each is named first, with the share that it has by construction."""

import json
from functools import cache
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import trained_by_faiss
from diagnosed import real

import tuner
from tuner.cli.main import tune
from tuner.diagnosis import Diagnosis, to_json, to_markdown

pytestmark = pytest.mark.usefixtures("few_rounds", "one_rebuilt_graph")

N, NQ, D, K = 2_000, 200, 128, 10
NEAR = 0.02
"""Points of recall that a share may be off."""


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return real("base", N, D)


@pytest.fixture(scope="module")
def q() -> np.ndarray:
    return real("queries", NQ, D)


@cache
def as_bytes(kind: str) -> np.ndarray:
    """Return the index of a kind over the rows as they are, serialized: several tests begin with it."""
    x = real("base", N, D)
    index = trained_by_faiss(kind, x)
    index.add(x)
    serialized: np.ndarray = faiss.serialize_index(index)
    return serialized


def built(kind: str, x: np.ndarray, rows: np.ndarray | None = None, ef: int = 200) -> faiss.Index:
    if rows is None and np.array_equal(x, real("base", N, D)):
        index = faiss.deserialize_index(as_bytes(kind))
    else:
        index = trained_by_faiss(kind, x)
        index.add(x if rows is None else rows)
    if "HNSW" in kind:
        faiss.ParameterSpace().set_index_parameter(index, "efSearch", ef)
    return index


def recall_of(found: np.ndarray, x: np.ndarray, q: np.ndarray) -> float:
    """Tie-aware recall, reckoned here from the vectors alone."""
    near = q @ x.T
    kth = np.sort(near, axis=1)[:, -K]
    score = np.where(found >= 0, np.take_along_axis(near, np.maximum(found, 0), axis=1), -np.inf)
    return float((score >= kth[:, None] - 1e-5).mean())


def re_ranked(found: np.ndarray, x: np.ndarray, q: np.ndarray) -> np.ndarray:
    """The nearest K of candidates (nq, m), by exact distances."""
    near = np.einsum("qd,qmd->qm", q, x[found])
    return np.take_along_axis(found, np.argsort(-near, axis=1)[:, :K], axis=1)


def first(found: Diagnosis) -> tuple[str, float]:
    assert found.first is not None
    return found.first.name, found.first.share


def adds_up(found: Diagnosis) -> None:
    total = sum(cause.share for cause in found.causes) + found.residual
    assert total == pytest.approx(1 - found.recall.mean, abs=1e-9)


def test_a_healthy_index_is_called_healthy(x: np.ndarray, q: np.ndarray) -> None:
    found = tuner.diagnose(built("HNSW16", x), x, q)
    assert found.healthy
    assert found.first is None
    adds_up(found)


def test_too_small_an_ef(x: np.ndarray, q: np.ndarray) -> None:
    index = built("HNSW16", x, ef=10)
    now = recall_of(index.search(q, K)[1], x, q)
    found = tuner.diagnose(index, x, q)
    name, share = first(found)
    assert name == "search"
    assert share == pytest.approx(1 - now, abs=NEAR)
    adds_up(found)
    best = found.prescriptions[0]
    assert (best.kind, best.works) == ("search", True)
    assert best.value > 10
    assert index.hnsw.efSearch == 10  # the user's index is as it was


@pytest.mark.parametrize("kind", ["HNSW16,SQ4", "HNSW16_PQ32x8"])
def test_a_coarse_codec(kind: str, x: np.ndarray, q: np.ndarray) -> None:
    index = built(kind, x)
    scan = recall_of(faiss.downcast_index(index.storage).search(q, K)[1], x, q)
    found = tuner.diagnose(index, x, q)
    name, share = first(found)
    assert name == "codec"
    assert share == pytest.approx(1 - scan, abs=NEAR)
    adds_up(found)


def test_cut_dimensions(x: np.ndarray, q: np.ndarray) -> None:
    index = built("PCA48,HNSW16", x)
    matrix = faiss.downcast_VectorTransform(index.chain.at(0))
    flat = faiss.IndexFlatL2(48)
    flat.add(matrix.apply(x))
    left = recall_of(flat.search(matrix.apply(q), K)[1], x, q)
    name, share = first(tuner.diagnose(index, x, q))
    assert name == "dimension cut"
    assert share == pytest.approx(1 - left, abs=NEAR)


def test_missing_rows_are_added(x: np.ndarray, q: np.ndarray, tmp_path: Path) -> None:
    flat = faiss.IndexFlatIP(x.shape[1])
    flat.add(x[:1_700])
    left = recall_of(flat.search(q, K)[1], x, q)
    out = tmp_path / "fixed.faiss"
    found = tuner.diagnose(built("HNSW16", x, x[:1_700]), x, q, apply=1, out=out)
    name, share = first(found)
    assert name == "missing rows"
    assert share == pytest.approx(1 - left, abs=NEAR)
    assert found.prescriptions[0].kind == "add"
    assert faiss.read_index(str(out)).ntotal == N
    assert found.applied is not None
    assert found.applied.mean >= found.prescriptions[0].recall.lower


def test_stale_rows(x: np.ndarray, q: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    changed = rng.choice(N, 300, replace=False)
    stale = x.copy()
    stale[changed] = -x[changed]
    flat = faiss.IndexFlatIP(x.shape[1])
    flat.add(stale)
    left = recall_of(flat.search(q, K)[1], x, q)
    found = tuner.diagnose(built("HNSW16,SQ8", stale), x, q)
    name, share = first(found)
    assert name == "stale rows"
    assert share == pytest.approx(1 - left, abs=NEAR)
    assert found.prescriptions[0].works


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_rows_that_are_not_finite_are_stale(value: float, x: np.ndarray, q: np.ndarray) -> None:
    rows = x.copy()
    rows[::5, 3] = value
    found = tuner.diagnose(built("Flat", x, rows), x, q)
    assert first(found)[0] == "stale rows"
    assert "400 of 2,000" in found.causes[0].text
    assert first(found)[1] == pytest.approx(0.2, abs=0.05)


def test_rows_in_another_order_get_their_ids_back(x: np.ndarray, q: np.ndarray, tmp_path: Path) -> None:
    out = tmp_path / "fixed.faiss"
    shifted = np.roll(x, 1, axis=0)
    found = tuner.diagnose(built("HNSW16", shifted), x, q, apply=1, out=out)
    assert first(found)[0] == "re-ordered rows"
    assert found.prescriptions[0].kind == "labels"
    assert recall_of(faiss.read_index(str(out)).search(q, K)[1], x, q) > 0.95


def test_rows_that_are_not_normalised(x: np.ndarray, q: np.ndarray) -> None:
    longer = x.copy()
    longer[::5] *= 3
    flat = faiss.IndexFlatL2(x.shape[1])
    flat.add(longer)
    left = recall_of(flat.search(q, K)[1], x, q)
    found = tuner.diagnose(built("HNSW16", longer), x, q, metric="cosine")
    # what it holds is right by cosine, and wrong by the metric that the index compares with
    assert found.recall.mean < 0.95
    assert first(found)[0] == "not normalised"
    assert first(found)[1] == pytest.approx(1 - left, abs=NEAR)


def test_the_wrong_metric(x: np.ndarray, q: np.ndarray) -> None:
    rows = x * np.random.default_rng(1).uniform(0.5, 2, N).astype(np.float32)[:, None]
    index = faiss.IndexHNSWFlat(x.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.add(rows)
    index.hnsw.efSearch = 200
    flat = faiss.IndexFlatIP(x.shape[1])
    flat.add(rows)
    left = recall_of(flat.search(q, K)[1], x, q)
    name, share = first(tuner.diagnose(index, rows, q, metric="cosine"))
    assert name == "metric"
    assert share == pytest.approx(1 - left, abs=NEAR)


def test_who_needs_a_new_graph_is_sent_to_tune(x: np.ndarray, q: np.ndarray) -> None:
    links = faiss.IndexHNSWFlat(x.shape[1], 2)
    links.hnsw.efConstruction = 2
    links.add(x)
    again = tuner.diagnose(links, x, q, recall=0.98)
    assert "rebuild" in {each.kind for each in again.prescriptions}
    assert any("let tune --recall 0.98 compare" in note for note in again.notes)
    turned = tuner.diagnose(built("HNSW16", x, ef=10), x, q)
    assert {each.kind for each in turned.prescriptions}.isdisjoint({"rebuild", "collapse"})
    assert not any("let tune" in note for note in turned.notes)


def test_nodes_out_of_reach(x: np.ndarray, q: np.ndarray) -> None:
    index = built("HNSW16", x)
    hnsw = index.hnsw
    lost = np.zeros(N, dtype=bool)
    lost[np.random.default_rng(2).choice(N, 200, replace=False)] = True
    lost[hnsw.entry_point] = False
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    offsets = faiss.vector_to_array(hnsw.offsets).astype(int)
    for node in range(N):
        own = slots[offsets[node] : offsets[node] + 32]
        kept = own[(own >= 0) & ~lost[np.maximum(own, 0)]]
        own[:] = -1
        own[: len(kept)] = kept
        upper = slots[offsets[node] + 32 : offsets[node + 1]]
        upper[(upper >= 0) & lost[np.maximum(upper, 0)]] = -1
    flat = faiss.IndexFlatIP(x.shape[1])
    flat.add(x[~lost])
    left = recall_of(np.flatnonzero(~lost)[flat.search(q, K)[1]], x, q)
    name, share = first(tuner.diagnose(index, x, q))
    assert name == "graph"
    assert share == pytest.approx(1 - left, abs=NEAR)


def test_too_few_candidates_are_re_ranked(x: np.ndarray, q: np.ndarray) -> None:
    index = built("HNSW16_PQ32x8,RFlat", x)
    faiss.downcast_index(index.base_index).hnsw.efSearch = 400
    scan = faiss.downcast_index(faiss.downcast_index(index.base_index).storage)
    once, often = (recall_of(re_ranked(scan.search(q, K * factor)[1], x, q), x, q) for factor in (1, 16))
    found = tuner.diagnose(index, x, q)
    name, share = first(found)
    assert name == "re-ranking"
    assert share == pytest.approx(often - once, abs=NEAR)
    adds_up(found)
    assert (found.prescriptions[0].kind, found.prescriptions[0].works) == ("search", True)
    assert index.k_factor == 1  # the user's index is as it was


def test_a_file_of_hnswlib_keeps_the_labels_of_its_user(x: np.ndarray, q: np.ndarray, tmp_path: Path) -> None:
    index = hnswlib.Index("ip", x.shape[1])
    index.init_index(N, M=16, ef_construction=100)
    index.add_items(x[::-1], np.arange(N)[::-1], num_threads=1)  # its positions are not its labels
    index.save_index(str(tmp_path / "i.bin"))
    out = tmp_path / "fixed.faiss"
    found = tuner.diagnose(tmp_path / "i.bin", x, q, hnswlib_space="ip", ef_search=10, apply=1, out=out)
    assert first(found)[0] == "search"
    assert recall_of(faiss.read_index(str(out)).search(q, K)[1], x, q) > 0.95


def test_too_few_lists(x: np.ndarray, q: np.ndarray) -> None:
    index = built("IVF64,Flat", x)
    index.nprobe = 2
    now = recall_of(index.search(q, K)[1], x, q)
    found = tuner.diagnose(index, x, q)
    assert first(found)[0] == "search"
    assert first(found)[1] == pytest.approx(1 - now, abs=NEAR)
    assert found.prescriptions[0].search_param == "nprobe"


def test_queries_unlike_the_file(x: np.ndarray, q: np.ndarray) -> None:
    noise = np.random.default_rng(3).normal(size=(100, x.shape[1])).astype(np.float32)
    mixed = np.concatenate([q[:100], noise / np.linalg.norm(noise, axis=1, keepdims=True)])
    found = tuner.diagnose(built("HNSW8", x, ef=30), x, mixed)
    assert found.drift is not None
    assert first(found)[0] == "query drift"


def test_rows_of_the_index_are_asked_for_without_queries(x: np.ndarray) -> None:
    found = tuner.diagnose(built("Flat", x), x)
    assert found.healthy
    assert found.recall.mean == 1
    assert any("give --queries" in note for note in found.notes)


def test_the_command_says_it_and_mends_it(x: np.ndarray, q: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "q.npy", q)
    faiss.write_index(built("HNSW16", x, ef=10), str(tmp_path / "i.faiss"))
    arguments = ["diagnose", "--index", str(tmp_path / "i.faiss"), str(tmp_path / "x.npy")]
    arguments += ["--queries", str(tmp_path / "q.npy")]
    ran = CliRunner().invoke(tune, [*arguments, "--json"], standalone_mode=False)
    assert ran.return_value == 1, ran.output
    assert json.loads(ran.stdout)["first"]["name"] == "search"
    out = tmp_path / "fixed.faiss"
    ran = CliRunner().invoke(tune, [*arguments, "--apply", "1", "-o", str(out)], standalone_mode=False)
    assert ran.return_value == 0, ran.output
    again = ["diagnose", "--index", str(out), *arguments[3:], "--quiet"]
    ran = CliRunner().invoke(tune, again, standalone_mode=False)
    assert ran.stdout.startswith("healthy"), ran.output


def test_the_page_and_the_json_hold_the_same(x: np.ndarray, q: np.ndarray) -> None:
    found = tuner.diagnose(built("HNSW16,SQ4", x, ef=20), x, q)
    page = to_markdown(found)
    assert ", ef_search 20, " in page
    for cause in found.causes:
        assert cause.name in page
    tree = json.loads(to_json(found))
    assert next(iter(tree.items())) == ("schema_version", 2)
    assert tree["recall"]["mean"] == found.recall.mean
    assert (tree["search_param"], tree["value"]) == ("ef_search", 20)
