"""The trials of the gate call what was planted, and nothing else."""

from pathlib import Path

import numpy as np
from conftest import planted_rows

from benchmarks.gate.__main__ import cells
from benchmarks.gate.trials import Row, alarms, read_population


def test_a_population_is_of_unit_vectors_none_of_them_twice(tmp_path: Path) -> None:
    rows = planted_rows(300, 8, seed=1)
    np.save(tmp_path / "base.npy", np.concatenate([rows, rows]))
    population = read_population(tmp_path / "base.npy", 200, 100)
    both = np.concatenate([population.base, population.queries])
    assert len(np.unique(both, axis=0)) == 300
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, rtol=1e-5)


def test_a_point_lost_by_every_query_is_called_and_no_change_is_not() -> None:
    before = np.full(2_000, 10)
    rng = np.random.default_rng(0)
    assert alarms(before, before, 20, rng) == 0
    assert alarms(before, before - 1, 20, rng) == 20


def test_what_no_power_line_promised_is_a_dash() -> None:
    assert cells(Row("t", 0.01, 400, 0.5, None)) == ("t", "1.00", "400", "50.0%", "-")
    assert cells(Row("t", 0.01, 400, 0.5, 0.61))[-1] == "61.0%"
