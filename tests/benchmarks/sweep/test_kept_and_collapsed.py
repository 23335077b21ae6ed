"""Rows kept and collapsed stand in one table, recall counted again by brute force over every row."""

from pathlib import Path

import numpy as np
from conftest import planted_rows

import tuner
from benchmarks.sweep.duplicates import COLLAPSE, KEEP, Both, Measured, Row, lines, recall_again


def row(way: str, memory_bytes: int, ndis: float) -> Row:
    return Row(
        way=way,
        label="HNSW8,SQ8",
        ef_search=80,
        n_nodes=1_000,
        recall=0.96,
        recall_lower=0.951,
        recall_again=0.959,
        memory_bytes=memory_bytes,
        ndis_per_query=ndis,
        time_ratio=0.5,
        cpu_s=100.0,
        peak_bytes=10**9,
    )


def test_both_ways_stand_in_one_table() -> None:
    both = Both(
        label="HNSW8,SQ8",
        ef_search=[80, 60],
        recall=[0.96, 0.95],
        memory_bytes=[200, 150],
        ndis_per_query=[8, 6],
    )
    text = lines(
        Measured(ways=[row(KEEP, 4_000_000, 900), row(COLLAPSE, 2_000_000, 600)], both=[both]), 2_000
    )
    assert text[2].startswith(
        "| keep | HNSW8,SQ8 | 80 | 1,000 | 0.9600 | 0.9510 | 0.9590 | 4.0 | 2000.0 | 900 |"
    )
    assert "| 2.0 | 1000.0 | 600 | 0.50 |" in text[3]
    assert any("0.0 / 0.0 (-25%) | 8.0 / 6.0 (-25%)" in line for line in text)


def test_recall_is_counted_again_in_all_rows(tmp_path: Path) -> None:
    x = planted_rows(600, 8, seed=1)
    x[300:500] = x[:200]
    np.save(tmp_path / "base.npy", x[:500])
    found = tuner.tune(x[:500], recall=0.9, metric="cosine", duplicates="collapse", out=tmp_path, threads=1)
    assert found.status == "exact"
    assert found.index().ntotal == 300
    assert recall_again(found, tmp_path / "base.npy", x[500:]) == 1
