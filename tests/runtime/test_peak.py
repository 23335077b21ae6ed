"""The peak of a stage is its own, that of the process is the largest."""

import sys

import numpy as np
import pytest

from tuner.runtime import peak

MEGABYTE = 1 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_is_that_of_its_stage() -> None:
    peak.begin_peak()
    x = np.ones(80 * MEGABYTE, dtype=np.uint8)
    large = peak.peak_since_begin()
    del x
    peak.begin_peak()
    small = peak.peak_since_begin()
    assert small < large - 40 * MEGABYTE
    assert peak.peak_rss_bytes() > small + 40 * MEGABYTE


def test_where_nothing_is_forgotten_it_is_the_peak_so_far(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    for name in ("CLEAR", "STATUS"):
        monkeypatch.setattr(peak, name, type(peak.CLEAR)("/nowhere/at/all"))
    peak.begin_peak()
    assert peak.peak_since_begin() > MEGABYTE
