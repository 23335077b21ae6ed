"""Doubts that the data alone raise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuner.data.profile import scan
from tuner.data.vectors import open_vectors
from tuner.runtime.steps import result_of
from tuner.sweep.doubts import timing_doubts
from tuner.sweep.prepare import doubts_of
from tuner.types import Latency, QuerySet


@pytest.mark.parametrize(
    ("shape", "on_its_side"), [((24, 400), True), ((400, 24), False), ((100, 700), False)]
)
def test_a_file_on_its_side_is_told(shape: tuple[int, int], on_its_side: bool, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal(shape).astype(np.float32))
    base = open_vectors(tmp_path / "x.npy", "base")
    profile = result_of(scan(base, "l2", seed=0))
    found = [doubt.text for doubt in doubts_of(base, profile, QuerySet(source="", fingerprint="", n=2))]
    assert any("lies on its side, so save x.T" in text for text in found) == on_its_side


def latency(p50_us: float, p95_us: float) -> Latency:
    return Latency(mean_s=1e-4, p50_s=1e-6 * p50_us, p95_s=1e-6 * p95_us, p99_s=1e-2, n_rounds=6)


@pytest.mark.parametrize(
    ("p95_us", "noise", "waited", "sentences"),
    [
        (90.0, 0.02, 0.05, []),
        (1000.0, 0.02, 0.05, ["p95 of HNSW8,SQ8 is 1 ms, 20 x its median"]),
        (90.0, 0.07, 0.05, ["the same index entered twice differed by 7%"]),
        (90.0, 0.02, 0.6, ["others had the processor for 60% of the time"]),
        (201.0, 0.06, 0.11, ["entered twice", "p95 of HNSW8,SQ8 is 201 us, 4 x", "for 11% of the time"]),
    ],
)
def test_a_busy_machine_is_told_by_noise_by_the_tail_and_by_the_processor(
    p95_us: float, noise: float, waited: float, sentences: list[str]
) -> None:
    latencies = {"HNSW6,SQ6": latency(80, 120), "HNSW8,SQ8": latency(50, p95_us)}
    found = [doubt.text for doubt in timing_doubts(latencies, noise, waited)]
    assert len(found) == len(sentences)
    for text, sentence in zip(found, sentences, strict=True):
        assert text.startswith("the machine was busy: ")
        assert sentence in text


def test_without_latencies_there_is_no_tail() -> None:
    assert timing_doubts({}, 0.0, 0.0) == ()
