"""The benchmark of the fixes applies one and searches what was written."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.common import ROOT
from benchmarks.diagnosis.fixes import fixed
from benchmarks.diagnosis.vectors import read_unit_vectors

pytestmark = pytest.mark.usefixtures("few_rounds", "one_rebuilt_graph")
DATA = ROOT / "datasets" / "docs-minilm-384"


def test_a_fix_is_applied_and_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "cache"))
    np.save(tmp_path / "queries.npy", np.load(DATA / "queries.npy")[:400])
    vectors = read_unit_vectors(DATA / "base.npy", tmp_path / "queries.npy", 2_000, 0)
    row = fixed("HNSW16", 12, vectors, tmp_path)
    assert row.kind == "search"
    assert row.holds
