"""Kinds of data are told apart: packed bits from bytes that are numbers, embeddings from coordinates."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from tuner.data.kind import Shape, choose_metric, looks_packed

DOCS = Path(__file__).parents[2] / "datasets" / "docs-minilm-384" / "base.npy"


@pytest.fixture(scope="module")
def embeddings() -> NDArray[np.float32]:
    return np.asarray(np.load(DOCS)[:3000], dtype=np.float32)


def quantiles(x: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Every byte value equally often: the marginals of random bits."""
    return np.searchsorted(np.quantile(x, np.linspace(0, 1, 257)[1:-1]), x).astype(np.uint8)


@pytest.mark.parametrize("width", [384, 128])
@pytest.mark.parametrize("threshold", [0.0, 0.03])
def test_packed_signs_are_seen(embeddings: NDArray[np.float32], width: int, threshold: float) -> None:
    assert looks_packed(np.packbits(embeddings[:, :width] > threshold, axis=1))


def test_random_bits_are_packed_bits() -> None:
    assert looks_packed(np.random.default_rng(0).integers(0, 256, (500, 64), dtype=np.uint8))


def test_numbers_in_bytes_are_numbers(embeddings: NDArray[np.float32]) -> None:
    around = np.clip(embeddings / np.abs(embeddings).max() * 127 + 128, 0, 255).astype(np.uint8)
    counts = np.minimum(np.random.default_rng(0).gamma(0.6, 40, (2000, 128)), 255).astype(np.uint8)
    pixels = (load_digits().data * 15.9).astype(np.uint8)
    for numbers in (around, quantiles(embeddings), counts, pixels):
        assert not looks_packed(numbers)


def test_too_few_rows_or_columns_say_nothing() -> None:
    bits = np.random.default_rng(0).integers(0, 256, (500, 64), dtype=np.uint8)
    assert not looks_packed(bits[:100])
    assert not looks_packed(bits[:, :8])


def shape(x: NDArray[np.float64]) -> Shape:
    norms = np.linalg.norm(x, axis=1)
    there = norms[norms > 0]
    return Shape(
        x.shape[1], float(there.min()), float(there.max()), int((norms == 0).sum()), False, (x**2).sum(axis=0)
    )


def test_zero_rows_among_unit_vectors_keep_cosine(embeddings: NDArray[np.float32]) -> None:
    x = embeddings.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    x[::50] = 0
    assert choose_metric(shape(x), "auto") == (
        "cosine",
        "all norms are within 1 % of 1, so cosine, ip and l2 rank alike; "
        "60 zero rows left out of the index, which have no direction",
    )


def test_coordinates_and_one_huge_column_are_no_embedding() -> None:
    r = np.random.default_rng(0)
    metric, reason = choose_metric(shape(np.c_[r.uniform(40, 60, 3000), r.uniform(-5, 30, 3000)]), "auto")
    assert metric == "l2"
    assert "coordinates, no embedding" in reason
    features = r.normal(size=(3000, 32))
    features[:, 7] = 1.7e9 + r.uniform(0, 1e7, 3000)
    metric, reason = choose_metric(shape(features), "auto")
    assert metric == "l2"
    assert reason.startswith("column 7 holds 100.0% of all squared values, so this is no embedding")
    assert choose_metric(shape(features), "cosine") == ("cosine", "asked for")


def test_what_the_file_says_goes_before_what_the_values_look_like() -> None:
    counts = replace(shape(np.ones((300, 8))), counts_only=True, norm_min=0.5)
    assert choose_metric(counts, "auto")[0] == "l2"
    assert choose_metric(counts, "auto", "angular") == (
        "cosine",
        "the file says that its distance is angular",
    )
    assert choose_metric(counts, "auto", "Dot")[0] == "ip"
    assert choose_metric(counts, "l2", "angular") == ("l2", "asked for")
    assert choose_metric(counts, "auto", "hamming") == choose_metric(counts, "auto")
