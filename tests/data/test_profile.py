"""What was planted in the data is what the profile counts."""

from typing import TypeVar

import numpy as np
import pytest

from tuner.data import vectors as module
from tuner.data.kind import MetricChoice
from tuner.data.profile import check_queries, rows_without_direction, scan
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.runtime.steps import Driver
from tuner.types import FloatArray, Profile, Steps

T = TypeVar("T")


def _done(steps: Steps[T]) -> T:
    driver = Driver(steps)
    shares = list(driver)
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1
    return driver.result


def _profile(x: np.ndarray, metric: MetricChoice = "auto") -> Profile:
    return _done(scan(open_vectors(x, "base"), metric, seed=0))


def _gaussian(n: int = 500, d: int = 12) -> FloatArray:
    return np.random.default_rng(3).standard_normal((n, d)).astype(np.float32)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 64 * 12 * 4)


def test_shape_norms_and_source() -> None:
    x = np.array([[3, 4], [0, 1], [0, 12]], dtype=np.float16)
    found = _profile(x)
    assert (found.source, found.n, found.d, found.dtype) == ("base array", 3, 2, "float16")
    assert (found.norm_min, found.norm_mean, found.norm_max) == (1, 6, 12)
    assert found.fingerprint == open_vectors(x, "base").fingerprint


def test_duplicates_across_blocks_are_counted_once_each() -> None:
    x = _gaussian()
    x[[10, 200, 499]] = x[0]
    x[300] = x[5]
    found = _profile(x)
    assert (found.n_duplicate_rows, found.largest_duplicate_group) == (4, 4)
    assert _profile(_gaussian()).n_duplicate_rows == 0
    assert _profile(_gaussian()).largest_duplicate_group == 1


def test_rows_that_differ_in_signs_only_are_no_duplicates() -> None:
    bits = np.arange(1024)[:, None] >> np.arange(12) & 1
    assert _profile((2 * bits - 1).astype(np.float32)).n_duplicate_rows == 0


def test_dead_dimensions_are_constant_or_below_rounding() -> None:
    x = _gaussian() * 0.05
    x[:, 2] = 1e-33
    x[:, 5] = 1e-8 * x[:, 0]
    x[:, 7] = 1000.1
    x[:, 9] *= 1e-3
    assert _profile(x).dead_dimensions == (2, 5, 7)
    assert _profile(_gaussian()).dead_dimensions == ()


def test_constants_far_from_zero_are_dead_to_the_last_bit() -> None:
    x = _gaussian(1_003, 60) * 0.01
    x[:, 2:] = 1e4 / np.arange(3, 61)
    assert _profile(x).dead_dimensions == tuple(range(2, 60))


def test_a_spread_far_from_zero_is_alive() -> None:
    x = _gaussian()
    x[:, 4] = 1000 + 0.01 * x[:, 4]
    assert _profile(x).dead_dimensions == ()


def test_spectrum_counts_components_of_planted_variances() -> None:
    signs = np.array([[1, 1, 1, 1], [1, -1, -1, 1], [-1, 1, -1, 1], [-1, -1, 1, 1]])
    columns = np.vstack([signs, -signs]) * np.sqrt([92, 4, 3.5, 0.5])
    assert _profile(columns.astype(np.float32)).spectrum_dims == (1, 2, 3)


def test_spectrum_of_a_wide_matrix_and_of_none() -> None:
    line = np.outer(np.arange(1, 21), np.ones(40)).astype(np.float32)
    assert _profile(line).spectrum_dims == (1, 1, 1)
    assert _profile(np.ones((30, 4), dtype=np.float32)).spectrum_dims == (0, 0, 0)


UNIT = _gaussian() / np.linalg.norm(_gaussian(), axis=1, keepdims=True)
WITH_ZERO = np.vstack([_gaussian(), np.zeros((1, 12), dtype=np.float32)])
COUNTS = np.random.default_rng(1).integers(1, 200, (300, 12))


@pytest.mark.parametrize(
    ("x", "metric", "chosen", "reason"),
    [
        (UNIT, "auto", "cosine", "within 1 % of 1"),
        (_gaussian(), "auto", "cosine", "direction"),
        (UNIT.astype(np.float16), "auto", "cosine", "within 1 %"),
        ((UNIT * 127).astype(np.int8), "auto", "cosine", "direction"),
        (COUNTS.astype(np.uint8), "auto", "l2", "descriptors"),
        (COUNTS.astype(np.float32), "auto", "l2", "descriptors"),
        (COUNTS + 0.5, "auto", "cosine", "direction"),
        (WITH_ZERO, "auto", "cosine", "1 zero row left out"),
        (WITH_ZERO, "l2", "l2", "asked for"),
        (WITH_ZERO, "ip", "ip", "asked for"),
        (WITH_ZERO, "cosine", "cosine", "asked for; 1 zero row left out of the index"),
        (_gaussian(d=3), "auto", "l2", "coordinates"),
        (COUNTS.astype(np.uint8), "cosine", "cosine", "asked for"),
    ],
)
def test_metric(x: np.ndarray, metric: MetricChoice, chosen: str, reason: str) -> None:
    found = _profile(x, metric)
    assert found.metric == chosen
    assert reason in found.metric_reason


def test_zero_rows_are_counted_under_l2() -> None:
    x = _gaussian()
    x[[3, 77]] = 0
    x[78] = 1e-30
    assert _profile(x, "l2").n_zero_rows == 3


@pytest.mark.parametrize(
    ("rows", "value", "metric", "sentence"),
    [
        (
            [130, 7, 499],
            np.nan,
            "auto",
            "base array has NaN or infinite values as float32 in 3 rows, the first is row 7:",
        ),
        ([63], np.inf, "l2", "in 1 row, the first is row 63:"),
        ([64, 65], 2e18, "l2", "overflow float32 in 2 rows, the first is row 64:"),
        (
            list(range(251)),
            0.0,
            "auto",
            "zero vectors in 251 rows, the first is row 0, more than half of it:",
        ),
    ],
)
def test_bad_rows_are_counted_and_the_first_named(
    rows: list[int], value: float, metric: MetricChoice, sentence: str
) -> None:
    x = _gaussian()
    x[rows] = value
    with pytest.raises(InputError) as caught:
        _profile(x, metric)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(("metric", "left_out"), [("auto", [3, 77, 78]), ("ip", []), ("l2", [])])
def test_zero_rows_have_no_direction(metric: MetricChoice, left_out: list[int]) -> None:
    x = _gaussian()
    x[[3, 77]] = 0
    x[78] = 1e-30
    vectors = open_vectors(x, "base")
    profile = _done(scan(vectors, metric, seed=0))
    assert rows_without_direction(vectors, profile).tolist() == left_out
    assert profile.n_left_out == len(left_out)


def test_packed_bits_are_refused_and_named() -> None:
    bits = np.packbits(_gaussian(500, 256) > 0, axis=1)
    with pytest.raises(InputError, match=r"packed binary embeddings .* 32 bytes for 256 bits.*Hamming"):
        _profile(bits)
    assert _profile(bits.astype(np.float32)).metric == "l2"


def test_queries_are_checked_like_the_base() -> None:
    base = open_vectors(_gaussian(), "base")
    bad = _gaussian()
    bad[3] = 0
    check_queries(base, open_vectors(_gaussian(30), "queries"), "cosine")
    check_queries(base, open_vectors(bad, "queries"), "auto")
    with pytest.raises(InputError, match=r"queries array has zero vectors.* row 3:"):
        check_queries(base, open_vectors(bad, "queries"), "cosine")
    with pytest.raises(InputError, match="queries array has 5 dimensions and base array has 12"):
        check_queries(base, open_vectors(_gaussian(30, 5), "queries"), "l2")


def test_the_same_seed_gives_the_same_profile() -> None:
    assert _profile(_gaussian()) == _profile(_gaussian())
