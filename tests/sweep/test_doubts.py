"""Doubts that the data alone raise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuner.data.profile import scan
from tuner.data.vectors import open_vectors
from tuner.runtime.steps import result_of
from tuner.sweep.prepare import _doubts
from tuner.types import QuerySet


@pytest.mark.parametrize(
    ("shape", "on_its_side"), [((24, 400), True), ((400, 24), False), ((100, 700), False)]
)
def test_a_file_on_its_side_is_told(shape: tuple[int, int], on_its_side: bool, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    profile = result_of(scan(open_vectors(tmp_path / "x.npy", "base"), "l2", seed=0))
    found = [
        doubt.text for doubt in _doubts(profile, QuerySet(source="", fingerprint="", n_tune=1, n_validate=1))
    ]
    assert any("lies on its side, so save x.T" in text for text in found) == on_its_side
