"""The benchmark of the causes runs, and a wrong diagnosis would show in it."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.common import ROOT
from benchmarks.diagnosis.catalogue import planted_causes
from benchmarks.diagnosis.causes import diagnosed, main
from benchmarks.diagnosis.indexes import fitting_factory
from benchmarks.diagnosis.planted import Planted
from benchmarks.diagnosis.vectors import read_unit_vectors

pytestmark = pytest.mark.usefixtures("few_rounds", "one_rebuilt_graph")
DATA = ROOT / "datasets" / "docs-minilm-384"
BASE, QUERIES = DATA / "base.npy", DATA / "queries.npy"


@pytest.fixture
def queries(tmp_path: Path) -> Path:
    """Some of the queries: what a cause costs is reckoned from the same ones."""
    np.save(tmp_path / "queries.npy", np.load(QUERIES)[:300])
    return tmp_path / "queries.npy"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "cache"))


def test_there_are_fifteen_causes_and_some_indexes_with_none() -> None:
    names = list(planted_causes())
    assert sum(not name.startswith("healthy") for name in names) >= 15
    assert sum(name.startswith("healthy") for name in names) >= 3


def test_a_cause_is_planted_diagnosed_and_written_down(tmp_path: Path, queries: Path) -> None:
    out = tmp_path / "o.json"
    words = [str(BASE), str(queries), "--out", str(out), "--rows", "3000", "--only", "missing, ef"]
    ran = CliRunner().invoke(main, words)
    assert ran.exit_code == 0, ran.output
    written = json.loads(out.read_text())
    assert (written["base"], written["n"], written["d"]) == ("docs-minilm-384", 3000, 384)
    (row,) = written["rows"]
    assert set(row["truths"]) == {"missing rows", "search"}
    assert row["right"]


def test_product_codes_get_as_many_parts_as_fit() -> None:
    assert fitting_factory("IVF128,PQ96x8", 384) == "IVF128,PQ96x8"
    assert fitting_factory("HNSW16_PQ32x8,RFlat", 50) == "HNSW16_PQ25x8,RFlat"
    assert fitting_factory("HNSW16,SQ4", 50) == "HNSW16,SQ4"


def test_another_truth_is_seen_to_be_missed(queries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = read_unit_vectors(BASE, queries, 2_000, 0)
    planted = planted_causes()["4 bits"](vectors)
    shifted = Planted(planted.index, planted.x, planted.queries, {"codec": planted.losses["codec"] + 0.03})
    monkeypatch.setitem(planted_causes(), "4 bits", lambda _: shifted)
    assert not diagnosed("4 bits", vectors).right
