"""The benchmarks of the diagnosis run, and a wrong diagnosis would show in them."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import benchmarks.diagnosis.causes
import benchmarks.diagnosis.fixes
import benchmarks.growth.__main__
from benchmarks.diagnosis.causes import diagnosed, ground_of
from benchmarks.diagnosis.planted import Planted, fitted, illnesses

DATA = Path(__file__).parents[2] / "datasets" / "docs-minilm-384"
BASE, QUERIES = str(DATA / "base.npy"), str(DATA / "queries.npy")


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "cache"))


def test_there_are_fifteen_illnesses_and_some_that_are_none() -> None:
    names = list(illnesses())
    assert sum(not name.startswith("healthy") for name in names) >= 15
    assert sum(name.startswith("healthy") for name in names) >= 3


def test_an_illness_is_planted_diagnosed_and_written_down(tmp_path: Path) -> None:
    out = tmp_path / "o.json"
    words = [BASE, QUERIES, "--out", str(out), "--rows", "3000", "--only", "missing, ef"]
    ran = CliRunner().invoke(benchmarks.diagnosis.causes.main, words)
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(out.read_text())["rows"]
    assert set(row["truths"]) == {"missing rows", "search"}
    assert row["right"]


def test_product_codes_get_as_many_parts_as_fit() -> None:
    assert fitted("IVF128,PQ96x8", 384) == "IVF128,PQ96x8"
    assert fitted("HNSW16_PQ32x8,RFlat", 50) == "HNSW16_PQ25x8,RFlat"
    assert fitted("HNSW16,SQ4", 50) == "HNSW16,SQ4"


def test_another_truth_is_seen_to_be_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    ground = ground_of(Path(BASE), Path(QUERIES), 2_000, 0)
    planted = illnesses()["4 bits"](ground)
    shifted = Planted(planted.index, planted.x, planted.queries, {"codec": planted.truths["codec"] + 0.03})
    monkeypatch.setitem(illnesses(), "4 bits", lambda _: shifted)
    assert not diagnosed("4 bits", ground).right


def test_what_is_prescribed_is_applied_and_searched(tmp_path: Path) -> None:
    ground = ground_of(Path(BASE), Path(QUERIES), 2_000, 0)
    row = benchmarks.diagnosis.fixes.mended("HNSW16", 12, ground, tmp_path)
    assert row.kind == "search"
    assert row.holds


def test_growth_is_said_and_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmarks.growth.__main__, "SETTINGS", (("HNSW12", 48),))
    out = tmp_path / "o.json"
    words = [BASE, QUERIES, "--out", str(out), "--rows", "6000"]
    ran = CliRunner().invoke(benchmarks.growth.__main__.main, words)
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(out.read_text())["rows"]
    assert row["low"] < row["said"] < row["high"]
    assert row["high"] - row["low"] < 0.25
