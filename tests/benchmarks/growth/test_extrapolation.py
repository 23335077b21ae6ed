"""The benchmark of growth says a recall before it is seen."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import benchmarks.growth.__main__
from benchmarks.common import ROOT

pytestmark = pytest.mark.usefixtures("few_rounds")
DATA = ROOT / "datasets" / "docs-minilm-384"


def test_growth_is_said_and_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(benchmarks.growth.__main__, "SETTINGS", (("HNSW12", 48),))
    out = tmp_path / "o.json"
    words = [str(DATA / "base.npy"), str(DATA / "queries.npy"), "--out", str(out), "--rows", "6000"]
    ran = CliRunner().invoke(benchmarks.growth.__main__.main, words)
    assert ran.exit_code == 0, ran.output
    (row,) = json.loads(out.read_text())["rows"]
    assert row["low"] < row["extrapolated"] < row["high"]
    assert row["high"] - row["low"] < 0.25
