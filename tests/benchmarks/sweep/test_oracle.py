"""The oracle's table shows both runs, their ratios and the noise beside them."""

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from benchmarks.common import ROOT
from benchmarks.sweep.oracle import Ratios, Run, finished, lines, timed
from tuner.report import result_from_json

REPORT = ROOT / "tests" / "golden" / "report.json"
D = 384


def planted_runs() -> list[Run]:
    """The same report twice: the oracle's index has half of the bytes and twice the distances."""
    result = result_from_json(REPORT.read_bytes())
    assert result.recommendation is not None
    ours = replace(result.recommendation, memory_bytes=1000, ndis_per_query=90.0)
    index = faiss.IndexFlatL2(D)
    index.add(np.eye(D, dtype=np.float32))
    return [
        Run(result, ours, index),
        Run(result, replace(ours, memory_bytes=500, ndis_per_query=180.0), index),
    ]


def test_the_ratios_and_the_noise_are_those_that_were_planted() -> None:
    timings = [Ratios((2e-5, 4e-5), 1.0, 1.02), Ratios((3e-5, 4e-5), 1.5, 0.9)]
    text = "\n".join(lines(planted_runs(), timings))
    assert "memory x distance computations, ours over the oracle's: 1.000" in text
    assert "ours over the oracle's: 1.000 and 1.500 in 2 timings (A/A 10.0%" in text
    assert "| 20 and 30 | 90 |" in text
    assert "| 40 and 40 | 180 |" in text
    assert "python" in text.splitlines()[-1]


def test_both_indexes_are_timed_with_ours_twice() -> None:
    queries = np.random.default_rng(0).normal(size=(64, D)).astype(np.float32)
    found = timed(planted_runs(), queries, seed=0)
    assert found.product == pytest.approx(2 * found.latency_s[0] / found.latency_s[1])
    assert found.noise > 0


def test_a_run_whose_report_is_there_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(REPORT.read_bytes())
    index = faiss.IndexFlatL2(D)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    found = finished(Path("no-base.npy"), Path("no-queries.npy"), 0.95, tmp_path, ())
    assert found.answer == found.result.recommendation
    assert found.index.d == D
