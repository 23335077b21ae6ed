"""What every codec promises at every width, and what stands between the prepared base and its codes."""

from collections.abc import Callable
from functools import cache

import faiss
import numpy as np
import pytest
from conftest import D, World

from tuner.data.base import view_codes
from tuner.index.assemble import Encoded
from tuner.index.codecs import SCALAR_TYPES, new_index, quantizer
from tuner.index.encoders import PQ_ITERATIONS, Encoder, from_bytes, train
from tuner.index.projections import Projection, Rotation, behind, fit_rotation
from tuner.types import DEFAULT_CODECS, FloatArray, Metric

CODECS = (*DEFAULT_CODECS, "tqmse3", "tqmse8", "RaBitQ9", "OPQd/2x4", "PQ16x8")
DIMS = (17, 50, 64, 100, 300, 1000)
SLOW_TO_TRAIN = ("OPQd/4x8", "OPQd/2x4")
N_ROWS = 320


@cache
def rows(dims: int) -> FloatArray:
    return np.random.default_rng(dims).standard_normal((N_ROWS, dims)).astype(np.float32)


@cache
def trained(name: str, dims: int) -> Encoder:
    return train(quantizer(name, dims), Projection("none", dims), None, "l2", rows(dims), 0, roughly=True)


CONTRACT = pytest.mark.parametrize(
    ("name", "dims"),
    [
        (name, dims)
        for name in CODECS
        for dims in DIMS
        if not (name in SLOW_TO_TRAIN and dims > 100)  # seconds of singular values, and no new path
    ],
)


@CONTRACT
def test_the_codec_is_faisss_to_the_byte(name: str, dims: int) -> None:
    codec, encoder = quantizer(name, dims), trained(name, dims)
    for index in (encoder.template, encoder.empty(5), new_index(codec, 5)):
        storage = faiss.downcast_index(index.storage)
        assert storage.code_size == storage.sa_code_size() == codec.code_bytes
        assert storage.d == index.d == codec.width
        assert index.metric_type == storage.metric_type == faiss.METRIC_L2
        assert index.ntotal == storage.ntotal == 0
    codes = encoder.encode(rows(dims))
    assert codes.dtype == np.uint8
    assert codes.shape == (N_ROWS, codec.code_bytes)


@CONTRACT
def test_the_name_says_it_all(name: str, dims: int) -> None:
    codec = quantizer(name, dims)
    assert "/" not in codec.name
    assert quantizer(codec.name, dims) == codec
    assert codec.dims == dims
    assert codec.is_slow == ("PQ" in name or (name.startswith("RaBitQ") and name != "RaBitQ1"))


@CONTRACT
def test_serialized_and_back_it_codes_the_same(name: str, dims: int) -> None:
    encoder = trained(name, dims)
    again = from_bytes(encoder.codec, encoder.projection, encoder.to_bytes())
    assert (again.codec, again.projection) == (encoder.codec, encoder.projection)
    np.testing.assert_array_equal(again.transform(rows(dims)), encoder.transform(rows(dims)))
    np.testing.assert_array_equal(again.encode(rows(dims)), encoder.encode(rows(dims)))
    assert again.to_bytes() == encoder.to_bytes()


@CONTRACT
def test_padding_changes_no_distance(name: str, dims: int) -> None:
    encoder = trained(name, dims)
    seen = encoder.transform(rows(dims))
    assert seen.shape == (N_ROWS, encoder.codec.width)
    if encoder.codec.kind == "opq":  # a rotation comes last
        np.testing.assert_allclose((seen**2).sum(axis=1), (rows(dims) ** 2).sum(axis=1), rtol=1e-4)
    else:
        np.testing.assert_array_equal(seen[:, :dims], rows(dims))
        assert not seen[:, dims:].any()


@pytest.mark.parametrize("dims", DIMS)
def test_widths_are_those_that_the_kernels_like(dims: int) -> None:
    assert quantizer("fp32", dims).width == dims
    for name in SCALAR_TYPES:
        width = quantizer(name, dims).width
        assert width % 8 == 0
        assert dims <= width < dims + 8
    for bits in (1, 2, 4, 8):
        width = quantizer(f"RaBitQ{bits}", dims).width
        assert width % 64 == 0 or (width % 8 == 0 and width < dims + 8)
    for name in ("PQd/4x8", "PQd/8x8", "PQd/2x4", "OPQd/4x8", "PQ16x8"):
        codec = quantizer(name, dims)
        assert codec.width % codec.m == 0
        assert dims <= codec.width < dims + codec.m


@pytest.mark.parametrize(
    ("name", "dims", "resolved", "width", "code_bytes"),
    [
        ("fp32", 50, "fp32", 50, 200),
        ("fp16", 50, "fp16", 56, 112),
        ("bf16", 384, "bf16", 384, 768),
        ("SQ8", 50, "SQ8", 56, 56),
        ("SQ6", 50, "SQ6", 56, 42),
        ("SQ4", 384, "SQ4", 384, 192),
        ("tqmse1", 64, "tqmse1", 64, 8),
        ("RaBitQ1", 300, "RaBitQ1", 320, 40 + 8),
        ("RaBitQ1", 50, "RaBitQ1", 64, 8 + 8),
        ("RaBitQ1", 25, "RaBitQ1", 32, 4 + 8),
        ("PQd/4x8", 384, "PQ96x8", 384, 96),
        ("PQd/4x8", 50, "PQ13x8", 52, 13),
        ("PQd/2x4", 50, "PQ25x4", 50, 13),
        ("OPQd/4x8", 300, "OPQ75x8", 300, 75),
        ("PQ64x8", 50, "PQ50x8", 50, 50),
    ],
)
def test_widths_and_bytes_by_hand(name: str, dims: int, resolved: str, width: int, code_bytes: int) -> None:
    codec = quantizer(name, dims)
    assert (codec.name, codec.width, codec.code_bytes) == (resolved, width, code_bytes)


@pytest.mark.parametrize(
    "name",
    [
        *(
            "",
            "fp64",
            "sq8",
            "SQ5",
            "SQ8 ",
            "tqmse5",
            "RaBitQ",
            "RaBitQ0",
            "RaBitQ10",
            "RaBitQ-1",
            "PQ8",
            "PQ8x5",
        ),
        *("PQx8", "PQd/x8", "PQ0x8", "PQd/0x4", "XPQ8x8", "PQ8x8,Refine", "OOPQ8x8"),
    ],
)
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="no codec is called"):
        quantizer(name, 64)


def test_scalar_codes_decode_to_within_half_a_step() -> None:
    x = np.random.default_rng(0).uniform(-1, 3, (400, 50)).astype(np.float32)
    for name, levels in (("SQ8", 255), ("SQ6", 63), ("SQ4", 15)):
        encoder = train(quantizer(name, 50), Projection("none", 50), None, "l2", x, 0)
        decoded = encoder.storage.sa_decode(encoder.encode(x))
        step = (x.max(axis=0) - x.min(axis=0)) / levels
        # faiss decodes to the middle of a step and cuts, so up to a whole step at the top of the range
        assert (np.abs(decoded[:, :50] - x) <= 1.01 * step).all()
        assert np.abs(decoded[:, :50] - x).mean() < 0.4 * step.mean()
        assert not decoded[:, 50:].any()


@pytest.mark.parametrize("name", ["PQd/4x8", "OPQd/4x8", "PQd/2x4", "SQ8", "RaBitQ2"])
def test_training_is_of_the_seed(name: str) -> None:
    codec, projection = quantizer(name, 50), Projection("none", 50)
    first, same, other = (
        train(codec, projection, None, "l2", rows(50), seed).to_bytes() for seed in (1, 1, 2)
    )
    assert first == same
    assert (first != other) == (codec.kind in ("pq", "opq"))


def test_an_empty_index_of_multi_bit_rabitq_searches_in_two_steps() -> None:
    """Its class sets the search method; the graphs that are put into it do not (see test_graph)."""
    default = faiss.IndexHNSWFlat(8, 4).hnsw.search_method
    methods = {bits: trained(f"RaBitQ{bits}", 64).empty(4).hnsw.search_method for bits in (1, 2, 4, 8)}
    assert methods[1] == default
    assert default not in (methods[2], methods[4], methods[8])


# ---------------------------------------------------------------- re-ranking stores


@pytest.mark.parametrize("name", ["fp32", "fp16", "bf16", "SQ8"])
def test_a_store_searches_the_codes_in_place(encoded: Callable[..., Encoded], name: str) -> None:
    codec = encoded("l2", name)
    codes = codec.codes.copy()
    store = codec.encoder.storage_over(codes)
    queries = codec.encoder.transform(codec.encoder.storage.sa_decode(codes[:5])[:, :D])
    assert store.search(queries, 1)[1].ravel().tolist() == [0, 1, 2, 3, 4]
    codes[[0, 900]] = codes[[900, 0]]
    assert store.search(queries, 1)[1].ravel().tolist() == [900, 1, 2, 3, 4]


@pytest.mark.parametrize("name", ["PQd/4x8", "RaBitQ4", "OPQd/4x8"])
def test_no_store_of_codes_that_cannot_be_decoded_well(name: str) -> None:
    encoder = trained(name, 64)
    with pytest.raises(ValueError, match="cannot hold a re-ranking store"):
        encoder.storage_over(encoder.encode(rows(64)))


# ---------------------------------------------------------------- cuts


def test_axes_are_the_planted_ones() -> None:
    rng = np.random.default_rng(0)
    variances = np.array([1.0, 9.0, 4.0, 0.25])
    x = (rng.standard_normal((20_000, 4)) * np.sqrt(variances) + 5).astype(np.float32)
    rotation = fit_rotation(x, "l2")
    np.testing.assert_allclose(np.abs(rotation.axes), np.eye(4)[[1, 2, 0, 3]], atol=0.03)
    np.testing.assert_allclose(rotation.axes @ rotation.axes.T, np.eye(4), atol=1e-6)
    np.testing.assert_allclose(rotation.mean, x.mean(axis=0), rtol=1e-5)
    # cosine keeps the origin: the first axis is where the rows lie
    kept = fit_rotation(x, "cosine")
    assert not kept.mean.any()
    np.testing.assert_allclose(np.abs(kept.axes[0]), 0.5, atol=0.05)


@pytest.mark.parametrize("metric", ["l2", "ip", "cosine"])
@pytest.mark.parametrize("codec", ["fp32", "SQ8", "RaBitQ2"])
@pytest.mark.parametrize("cut", ["pca", "truncate"])
def test_a_cut_is_rotate_then_keep_then_normalise(
    world: Callable[..., World], encoded: Callable[..., Encoded], metric: Metric, codec: str, cut: str
) -> None:
    base, dims = world(metric).base, 13
    x = np.array(base.x)
    seen = encoded(metric, codec, cut, dims).encoder.transform(x)
    rotation = fit_rotation(x, metric)
    expected = (x - rotation.mean) @ rotation.axes[:dims].T if cut == "pca" else x[:, :dims]
    if metric == "cosine":
        expected = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert seen.shape[1] == quantizer(codec, dims).width
    np.testing.assert_allclose(seen[:, :dims], expected, atol=2e-6)
    assert not seen[:, dims:].any()


def test_a_whole_rotation_keeps_distances(world: Callable[..., World]) -> None:
    x = np.array(world("l2").base.x)
    encoder = train(quantizer("fp32", D), Projection("pca", D), fit_rotation(x, "l2"), "l2", x, 0)
    seen = encoder.transform(x)
    before, after = (((rows[:50, None] - rows[None, :50]) ** 2).sum(axis=2) for rows in (x, seen))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_pca_needs_axes() -> None:
    with pytest.raises(ValueError, match="needs a rotation"):
        train(quantizer("SQ8", 8), Projection("pca", 8), None, "l2", rows(17), 0)


def test_transforms_in_front_take_the_users_rows() -> None:
    rotation = Rotation(axes=np.eye(17, dtype=np.float32)[::-1].copy(), mean=np.ones(17, dtype=np.float32))
    encoder = train(quantizer("fp32", 5), Projection("pca", 5), rotation, "l2", rows(17), 0)
    index = encoder.empty(4)
    storage = faiss.downcast_index(index.storage)
    codes = encoder.encode(rows(17))
    view_codes(storage, codes)
    whole = behind(encoder.chain, storage)
    expected = rows(17)[:, ::-1][:, :5] - 1
    assert (whole.d, whole.ntotal) == (17, N_ROWS)
    distances, ids = whole.search(rows(17)[:3], 1)
    assert ids.ravel().tolist() == [0, 1, 2]
    np.testing.assert_allclose(distances, 0, atol=1e-5)
    np.testing.assert_array_equal(codes.view(np.float32), expected)


def test_product_codecs_are_trained_on_one_thread_to_the_same_codes_and_threads_are_given_back(
    threads: Callable[[int], None],
) -> None:
    threads(2)
    codec, whole = quantizer("PQd/4x8", 64), Projection("none", 64)
    found = train(codec, whole, None, "l2", rows(64), 0)
    assert faiss.omp_get_max_threads() == 2
    by_faiss = faiss.ProductQuantizer(64, 16, 8)
    by_faiss.cp.niter, by_faiss.cp.seed, by_faiss.cp.min_points_per_centroid = PQ_ITERATIONS, 0, 1
    by_faiss.train(rows(64))
    np.testing.assert_array_equal(
        faiss.vector_to_array(found.storage.pq.centroids), faiss.vector_to_array(by_faiss.centroids)
    )
