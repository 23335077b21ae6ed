"""Both ways to an answer stand in one table, the new run's figures are the unit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from conftest import planted_rows

from benchmarks.sweep import rows as growth
from benchmarks.sweep.since import ANEW, SINCE, Row, lines, measured


def row(way: str, wall_s: float, memory_bytes: int, time_ratio: float, broken: str = "") -> Row:
    return Row(
        way=way,
        label="HNSW8,SQ8",
        ef_search=80,
        recall=0.96,
        recall_lower=0.951,
        wall_s=wall_s,
        cpu_s=2 * wall_s,
        memory_bytes=memory_bytes,
        time_ratio=time_ratio,
        broken=broken,
    )


def test_shares_are_those_of_the_new_run() -> None:
    found = lines([row(SINCE, 20.0, 110, 1.5), row(ANEW, 80.0, 100, 1.0)])
    assert found[2].endswith("| 20.0 | 40.0 | 0.25 | 1.65 |")
    assert found[3].endswith("| 80.0 | 160.0 | 1.00 | 1.00 |")
    assert "since (swept again)" in lines([row(SINCE, 1, 1, 1, "x"), row(ANEW, 1, 1, 1)])[2]


def test_an_answer_is_built_again_and_anew(tmp_path: Path) -> None:
    x = planted_rows(1_200, 16, seed=1)
    np.save(tmp_path / "base.npy", x[:1_000])
    np.save(tmp_path / "queries.npy", x[1_000:])
    found = measured(tmp_path / "base.npy", tmp_path / "queries.npy", 0.1, 0.9, 0, tmp_path)
    assert [each.way for each in found] == [SINCE, ANEW]
    assert all(each.recall_lower >= 0.9 for each in found)
    assert np.load(tmp_path / "before.npy").shape == (909, 16)
    np.testing.assert_array_equal(np.load(tmp_path / "before.npy"), np.load(tmp_path / "all.npy")[:909])


def test_a_row_of_the_table_of_growth_adds_up() -> None:
    made = growth.Row(
        n=1_000_000,
        label="HNSW8,SQ8",
        ef_search=80,
        recall_lower=0.951,
        stage_cpu_s={"profile": 3.0, "graph": 100.0, "timing": 20.0},
        stage_peak_bytes={"graph": 2_000_000_000},
        cpu_s=123.0,
        wall_s=70.0,
        peak_bytes=2_000_000_000,
        ordinary_builds=0.9,
        product=4.2,
    )
    assert (
        "| 100.0 | 0.0 | 0.0 | 20.0 | 0.0 | 3.0 | 123 | 70 | 2 GB | 0.90 | 4.2 |" in growth.lines([made])[4]
    )
