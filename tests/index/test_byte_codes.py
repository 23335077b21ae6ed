"""Bytes to build on: their scale, their ends, and that a graph on them is as good as one on float32."""

from pathlib import Path

import faiss
import numpy as np
import pytest
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.index.byte_codes import ByteEncoder, DistinctBytes, Scale, scale_of
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.graph import build, transplant
from tuner.index.projections import Projection
from tuner.runtime.steps import result_of
from tuner.types import FloatArray


def test_the_scale_reaches_from_the_least_to_the_largest() -> None:
    x = np.array([[-1.0, 0.5], [4.1, 2.0]], dtype=np.float32)
    scale = scale_of(x)
    assert scale.low == -1.0
    assert scale.level == pytest.approx(5.1 / 255)
    assert scale_of(np.full((3, 2), 7.0, dtype=np.float32)).level == 1.0  # no division by nothing


@pytest.mark.parametrize(("d", "width"), [(16, 16), (17, 32), (256, 256), (3, 16)])
def test_rows_become_whole_levels_and_padding_is_nothing(d: int, width: int) -> None:
    encoder = ByteEncoder(Scale(-1.0, 2 / 255), d)
    x = np.random.default_rng(0).uniform(-1, 1, (5, d)).astype(np.float32)
    seen = encoder.transform(x)
    assert seen.shape == (5, width)
    assert seen.dtype == np.float32
    np.testing.assert_array_equal(seen[:, :d], np.rint((x + 1) / (2 / 255)))
    assert not seen[:, d:].any()
    codes = encoder.encode(x)
    assert codes.shape == (5, width)
    assert codes.dtype == np.uint8
    np.testing.assert_array_equal(codes, seen)


def test_what_lies_beyond_the_scale_becomes_its_end() -> None:
    """Cast to a byte without that, 256 levels are 0."""
    encoder = ByteEncoder(Scale(0.0, 1.0), 16)
    x = np.zeros((1, 16), dtype=np.float32)
    x[0, :4] = [-3.0, 255.4, 256.0, 1e9]
    assert encoder.encode(x)[0, :5].tolist() == [0, 255, 255, 255, 0]


def test_faiss_measures_what_numpy_does() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(200, 24)).astype(np.float32)
    encoder = ByteEncoder(scale_of(x), 24)
    index = encoder.empty(8)
    index.add(encoder.transform(x))
    levels = encoder.transform(x)
    distances, ids = index.search(levels[:20], 5)
    exact = ((levels[:20, None, :] - levels[ids]) ** 2).sum(axis=2)
    np.testing.assert_allclose(distances, exact, rtol=1e-6)
    assert ids[:, 0].tolist() == list(range(20))


def test_rows_that_were_there_before_are_moved_by_two_levels_at_most() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(0, 255, (40, 16)).astype(np.float32)
    plain, distinct = ByteEncoder(Scale(0.0, 1.0), 16), DistinctBytes(Scale(0.0, 1.0), 16)
    np.testing.assert_array_equal(distinct.transform(x), plain.transform(x))
    # 10 of this block were in the one before, 5 come twice in it
    block = np.concatenate([x[:10], x[:5], rng.uniform(0, 255, (20, 16)).astype(np.float32)])
    moved = np.abs(distinct.transform(block) - plain.transform(block))
    assert moved[:15].any(axis=1).all()
    assert moved.max() <= 2
    assert not moved[15:].any()
    again = DistinctBytes(Scale(0.0, 1.0), 16)
    again.transform(x)
    np.testing.assert_array_equal(np.abs(again.transform(block) - plain.transform(block)), moved)


@pytest.mark.parametrize("kind", [ByteEncoder, DistinctBytes])
def test_equal_rows_do_not_cut_a_graph_apart(tmp_path: Path, kind: type[ByteEncoder]) -> None:
    """Two rows in three repeat one of four: where they link to each other alone, the rest is out of reach."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(3000, 16)).astype(np.float32)
    x[rng.permutation(3000)[:2000]] = np.repeat(x[:4], 500, axis=0)
    queries = rng.normal(size=(80, 16)).astype(np.float32)
    x.tofile(tmp_path / "base.f32")
    base = Base(np.memmap(tmp_path / "base.f32", np.float32, "r", shape=x.shape), None, "l2", 0.0)
    fp32 = train(quantizer("fp32", 16), Projection("none", 16), None, "l2", x[:1], 0)
    links = result_of(build(base, kind(scale_of(x), 16), 16, 80, 0, tmp_path / "links"))
    index = transplant(links, 8, tmp_path / "links", fp32.empty(8), x.view(np.uint8))
    index.hnsw.efSearch = 700
    exact = ((queries[:, None, :] - x[None]) ** 2).sum(axis=2)
    kth = np.partition(exact, 9, axis=1)[:, 9:10]
    found = np.take_along_axis(exact, index.search(queries, 10)[1], axis=1)
    recall = (found <= kth * 1.00001).mean()
    assert recall > 0.95 if kind is DistinctBytes else recall < 0.9


def recall_of(index: faiss.Index, x: FloatArray, queries: FloatArray) -> float:
    exact: NDArray[np.int64] = np.argsort(((queries[:, None, :] - x[None]) ** 2).sum(axis=2), axis=1)[:, :10]
    found = index.search(queries, 10)[1]
    return float(np.mean([len(set(a) & set(b)) for a, b in zip(exact, found, strict=True)]) / 10)


def test_a_graph_built_on_bytes_is_as_good(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(3000, 20)).astype(np.float32)
    queries = rng.normal(size=(80, 20)).astype(np.float32)
    x.tofile(tmp_path / "base.f32")
    base = Base(np.memmap(tmp_path / "base.f32", np.float32, "r", shape=x.shape), None, "l2", 0.0)
    fp32 = train(quantizer("fp32", 20), Projection("none", 20), None, "l2", x[:1], 0)
    recalls = []
    for number, encoder in enumerate((fp32, ByteEncoder(scale_of(x), 20))):
        path = tmp_path / f"links{number}"
        links = result_of(build(base, encoder, 12, 60, 0, path))
        index = transplant(links, 8, path, fp32.empty(8), x.view(np.uint8))
        index.hnsw.efSearch = 60
        recalls.append(recall_of(index, x, queries))
    assert min(recalls) > 0.9
    assert recalls[1] > recalls[0] - 0.01
