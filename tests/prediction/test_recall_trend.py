"""Recall extrapolated from graphs of nested samples."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.prediction.recall_trend import CURVATURE, fit_trend, height_of, recall_of

SIZES = [8_000, 4_000, 4_000, 2_000, 2_000, 1_000, 1_000]


def recalls(slope: float, bend: float = 0.0, noise: float = 0.0, seed: int = 0) -> list[float]:
    off = np.random.default_rng(seed).normal(0, 1, len(SIZES)) * noise
    x = np.log2(np.array(SIZES) / 8_000)
    return [recall_of(height) for height in 0.2 + slope * x + bend * x**2 + off]


def test_a_straight_line_is_followed() -> None:
    trend = fit_trend(SIZES, recalls(0.02))
    height, _ = trend.height_at(64_000)
    assert height == pytest.approx(0.2 + 3 * 0.02, abs=1e-9)
    assert trend.at(64_000).recall == pytest.approx(recall_of(0.26))
    assert trend.slope == pytest.approx(0.02)


def test_a_plain_bend_is_followed_and_a_noisy_one_is_not_believed() -> None:
    bent = fit_trend(SIZES, recalls(0.02, bend=CURVATURE))
    straight = fit_trend(SIZES, recalls(0.02))
    assert bent.height_at(64_000)[0] > straight.height_at(64_000)[0] + 5 * CURVATURE
    noisy = fit_trend(SIZES, recalls(0.02, noise=0.02))
    assert abs(noisy.coefficients[2]) < CURVATURE / 2


def test_the_error_bar_grows_with_the_distance_and_with_the_noise() -> None:
    quiet, noisy = (fit_trend(SIZES, recalls(0.02, noise=noise)) for noise in (0.001, 0.01))
    near, far = quiet.height_at(16_000)[1], quiet.height_at(256_000)[1]
    assert near < far
    assert quiet.height_at(16_000)[1] < noisy.height_at(16_000)[1]


def test_the_error_bar_holds_where_curvature_is_as_was_seen() -> None:
    rng, inside = np.random.default_rng(1), 0
    for seed in range(300):
        bend = rng.normal(0, CURVATURE)
        truth = 0.2 + 4 * 0.02 + 16 * bend + rng.normal(0, 0.004)
        height, half = fit_trend(SIZES, recalls(0.02, bend, noise=0.004, seed=seed)).height_at(128_000)
        inside += abs(height - truth) <= half
    assert inside >= 0.93 * 300


def test_an_index_that_is_better_than_its_kind_stays_so() -> None:
    trend = fit_trend(SIZES, recalls(0.02))
    assert trend.beyond(8_000, 0.99, 8_000).recall == pytest.approx(0.99)
    assert trend.beyond(8_000, 0.99, 64_000).recall == pytest.approx(recall_of(height_of(0.99) + 0.06))
