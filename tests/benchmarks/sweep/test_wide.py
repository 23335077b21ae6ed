"""Wide vectors are made alike from the same seed, and stay as near to each other as the real ones."""

import numpy as np
from conftest import planted_rows

from benchmarks.sweep.wide import lifted


def test_neighbours_stay_neighbours() -> None:
    rows = planted_rows(400, 28, seed=3)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    wide = lifted(rows, 256, seed=0)
    assert wide.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(wide, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(wide, lifted(rows, 256, seed=0))
    assert not np.array_equal(wide, lifted(rows, 256, seed=1))
    near = [np.argsort(-(x @ x.T), axis=1)[:, 1:11] for x in (rows, wide)]
    kept = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(*near, strict=True)])
    assert kept > 0.5
