"""Codecs: their names, widths, bytes and faiss objects, and the views of the data that they see.

A *view* is what stands between the prepared base and a codec: a cut of dimensions (PCA or plain
truncation), then zero columns up to the width that the codec's kernel is fast at. Zero columns
change no distance.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import view_codes
from tuner.types import FloatArray, Metric

Cut = Literal["none", "pca", "truncate"]
Kind = Literal["flat", "scalar", "rabitq", "pq", "opq"]
Codes = NDArray[np.uint8]

SCALAR_TYPES = {
    "fp16": "QT_fp16",
    "bf16": "QT_bf16",
    "SQ8": "QT_8bit",
    "SQ6": "QT_6bit",
    "SQ4": "QT_4bit",
    **{f"tqmse{bits}": f"QT_{bits}bit_tqmse" for bits in (1, 2, 3, 4, 8)},
}
RABITQ_BITS = range(1, 10)
TRAIN_ROWS = 4_000
PQ_ITERATIONS = 5
ROUGH_ROWS = 300
OPQ_ROWS = 3_000
OPQ_ITERATIONS = 4
_PQ = re.compile(r"(O?)PQ(d/)?([1-9]\d*)x([48])")


@dataclass(frozen=True)
class Quantizer:
    """A codec at a number of dimensions.

    Attributes:
        name: in faiss's spelling, with m resolved: ``SQ8``, ``PQ64x8``.
        dims: dimensions of the view before padding.
        width: dimensions after padding, the codec's own choice.
        code_bytes: bytes a vector, as faiss stores them.
    """

    name: str
    kind: Kind
    dims: int
    width: int
    bits: int
    m: int
    code_bytes: int

    @property
    def is_slow(self) -> bool:
        """Whether training runs k-means, which takes seconds, or encoding searches for each row's scale."""
        return self.kind in ("pq", "opq") or (self.kind == "rabitq" and self.bits > 1)


@lru_cache(maxsize=4096)
def quantizer(name: str, dims: int) -> Quantizer:
    """Return the codec called ``name`` at ``dims`` dimensions.

    Args:
        name: ``fp32``, a scalar type, ``RaBitQ<bits>``, ``PQ<m>x<4|8>`` or ``PQd/<q>x<4|8>`` (m is
            the width over q), with ``OPQ`` likewise.

    Raises:
        ValueError: no such codec.
    """
    if name == "fp32":
        return Quantizer(name, "flat", dims, dims, 32, 0, 4 * dims)
    if name in SCALAR_TYPES:
        # faiss's scalar kernels are only vectorised where the width is a multiple of 8
        width = _multiple(dims, 8)
        storage = faiss.ScalarQuantizer(width, getattr(faiss.ScalarQuantizer, SCALAR_TYPES[name]))
        return Quantizer(name, "scalar", dims, width, storage.bits, 0, storage.code_size)
    if name.startswith("RaBitQ") and name[6:].isdigit() and int(name[6:]) in RABITQ_BITS:
        bits = int(name[6:])
        # whole 64-bit words are faster to count, where they do not cost much memory
        width = _multiple(dims, 64)
        width = width if width <= 1.3 * dims else _multiple(dims, 8)
        code_bytes = faiss.RaBitQuantizer(width).compute_code_size(width, bits)
        return Quantizer(name, "rabitq", dims, width, bits, 0, code_bytes)
    match = _PQ.fullmatch(name)
    if match is None:
        raise ValueError(f"no codec is called {name}")
    rotated, relative, number, nbits = match[1], match[2], int(match[3]), int(match[4])
    m = -(-dims // number) if relative else min(number, dims)
    width = _multiple(dims, m)
    kind: Kind = "opq" if rotated else "pq"
    return Quantizer(f"{rotated}PQ{m}x{nbits}", kind, dims, width, nbits, m, (m * nbits + 7) // 8)


def _multiple(dims: int, step: int) -> int:
    return -(-dims // step) * step


def new_index(codec: Quantizer, M: int) -> faiss.IndexHNSW:
    """Return an empty HNSW index of the typed class that faiss can serialize, metric L2."""
    if codec.kind == "flat":
        index = faiss.IndexHNSWFlat(codec.width, M, faiss.METRIC_L2)
    elif codec.kind == "scalar":
        qtype = getattr(faiss.ScalarQuantizer, SCALAR_TYPES[codec.name])
        index = faiss.IndexHNSWSQ(codec.width, qtype, M, faiss.METRIC_L2)
    elif codec.kind == "rabitq":
        index = faiss.IndexHNSWRaBitQ(codec.width, M, codec.bits)
    else:
        index = faiss.IndexHNSWPQ(codec.width, codec.m, M, codec.bits, faiss.METRIC_L2)
    if index.metric_type != faiss.METRIC_L2:
        raise AssertionError(f"faiss built {codec.name} with metric {index.metric_type}")
    return index


# ---------------------------------------------------------------- views


@dataclass(frozen=True)
class Rotation:
    """Principal axes of the prepared base.

    Attributes:
        axes: (d, d) float32, by falling variance, a row each.
        mean: (d,) float32; zero for cosine, where inner products must survive the cut.
    """

    axes: FloatArray
    mean: FloatArray


def fit_rotation(sample: FloatArray, metric: Metric) -> Rotation:
    """Return the principal axes of ``sample`` (rows, d).

    Cosine keeps the origin (axes of the second moment, not of the covariance): the cut vectors are
    normalised again, so that L2 on them ranks as the cosine of what is left.
    """
    mean = np.zeros(sample.shape[1], np.float32) if metric == "cosine" else sample.mean(axis=0)
    centred = sample - mean if metric != "cosine" else sample
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    return Rotation(axes=np.ascontiguousarray(axes.T[::-1], dtype=np.float32), mean=mean)


@dataclass(frozen=True)
class View:
    """Which dimensions of the prepared base a codec sees."""

    cut: Cut
    dims: int


class Encoder:
    """A trained codec with the transforms in front of it.

    Args:
        codec: its name, width and bytes.
        view: what it sees.
        chain: transforms from the prepared base to the codec's width.
        template: trained index of the codec's class, without vectors.
    """

    def __init__(
        self, codec: Quantizer, view: View, chain: list[faiss.VectorTransform], template: faiss.IndexHNSW
    ) -> None:
        self.codec = codec
        self.view = view
        self.chain = chain
        self.template = template
        self.storage = faiss.downcast_index(template.storage)
        self.owner: faiss.Index | None = None
        """The index that owns chain and template, when they were read back."""

    def transform(self, x: FloatArray) -> FloatArray:
        """Return prepared rows (m, d) as the codec sees them, (m, width) float32."""
        x = np.ascontiguousarray(x, dtype=np.float32)
        for step in self.chain:
            x = step.apply(x)
        return x

    def encode(self, x: FloatArray) -> Codes:
        """Return the codes (m, code_bytes) of prepared rows (m, d)."""
        codes: Codes = self.storage.sa_encode(self.transform(x))
        return codes

    def empty(self, M: int) -> faiss.IndexHNSW:
        """Return a trained, empty HNSW index of this codec."""
        index = new_index(self.codec, M)
        copy_training(self.storage, faiss.downcast_index(index.storage))
        index.is_trained = True
        return index

    def storage_over(self, codes: Codes) -> faiss.Index:
        """Return a flat or scalar-quantizer index that searches ``codes`` in place: a re-ranking store."""
        codec = self.codec
        if codec.kind == "flat":
            storage = faiss.IndexFlatL2(codec.width)
        elif codec.kind == "scalar":
            qtype = getattr(faiss.ScalarQuantizer, SCALAR_TYPES[codec.name])
            storage = faiss.IndexScalarQuantizer(codec.width, qtype, faiss.METRIC_L2)
        else:
            raise ValueError(f"{codec.name} cannot hold a re-ranking store")
        copy_training(self.storage, storage)
        view_codes(storage, codes)
        return storage

    def to_bytes(self) -> bytes:
        """Return the trained codec and its transforms as faiss serializes them."""
        return bytes(faiss.serialize_index(behind(self.chain, self.template)))


def train(
    codec: Quantizer,
    view: View,
    rotation: Rotation | None,
    metric: Metric,
    sample: FloatArray,
    seed: int,
    *,
    roughly: bool = False,
) -> Encoder:
    """Return a trained encoder.

    Args:
        rotation: axes for ``pca`` views.
        metric: decides whether cut rows are normalised again.
        sample: (rows, d) prepared rows.
        seed: of the k-means of PQ.
        roughly: one pass over few rows: enough to time the codec, not to judge it.
    """
    iterations = (1, 1) if roughly else (PQ_ITERATIONS, OPQ_ITERATIONS)
    few = sample[:ROUGH_ROWS] if roughly else sample
    chain = _chain(codec, view, rotation, metric, sample.shape[1])
    encoder = Encoder(codec, view, chain, new_index(codec, 2))
    if codec.kind == "opq":
        # faiss's OPQ corrupts memory where there are fewer rows than dimensions
        enough = np.resize(few[:OPQ_ROWS], (max(len(few[:OPQ_ROWS]), 2 * codec.width), sample.shape[1]))
        chain.append(_train_opq(codec, encoder.transform(enough), seed, iterations[1]))
    if codec.kind in ("pq", "opq"):
        clustering = encoder.storage.pq.cp
        clustering.niter, clustering.seed = iterations[0], seed
        clustering.min_points_per_centroid = 1  # silences a warning; the sample is bounded on purpose
        few = few[:TRAIN_ROWS]
    encoder.storage.train(encoder.transform(few))
    encoder.template.is_trained = True
    return encoder


def from_bytes(codec: Quantizer, view: View, data: bytes) -> Encoder:
    """Return the encoder that ``Encoder.to_bytes`` kept."""
    whole = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    chain = [faiss.downcast_VectorTransform(whole.chain.at(i)) for i in range(whole.chain.size())]
    encoder = Encoder(codec, view, chain, faiss.downcast_index(whole.index))
    encoder.owner = whole
    return encoder


def behind(chain: list[faiss.VectorTransform], index: faiss.Index) -> faiss.IndexPreTransform:
    """Return ``index`` behind the transforms, none of them owned by the result."""
    whole = faiss.IndexPreTransform(index)
    for step in reversed(chain):
        whole.prepend_transform(step)
    whole.ntotal, whole.is_trained = index.ntotal, True
    return whole


def _train_opq(codec: Quantizer, sample: FloatArray, seed: int, iterations: int) -> faiss.OPQMatrix:
    matrix = faiss.OPQMatrix(codec.width, codec.m)
    matrix.niter, matrix.niter_pq, matrix.niter_pq_0 = iterations, 2, 4
    matrix.max_train_points = OPQ_ROWS
    product = faiss.ProductQuantizer(codec.width, codec.m, codec.bits)
    product.cp.min_points_per_centroid, product.cp.seed = 1, seed
    matrix.pq = product
    matrix.train(sample)
    matrix.pq = None
    return matrix


def copy_training(trained: faiss.Index, fresh: faiss.Index) -> None:
    """Give a storage what training gave another of its kind; codes are not copied."""
    fresh.is_trained = True
    if hasattr(trained, "sq"):
        fresh.sq = trained.sq
    elif hasattr(trained, "rabitq"):
        fresh.rabitq, fresh.center = trained.rabitq, trained.center
        fresh.qb, fresh.centered = trained.qb, trained.centered
    elif hasattr(trained, "pq"):
        fresh.pq = trained.pq


def empty_storage(storage: faiss.Index) -> faiss.Index:
    """Return a storage of the same kind and training that holds nothing."""
    d, metric = storage.d, storage.metric_type
    if hasattr(storage, "sq"):
        fresh = faiss.IndexScalarQuantizer(d, storage.sq.qtype, metric)
    elif hasattr(storage, "rabitq"):
        fresh = faiss.IndexRaBitQ(d, metric, storage.rabitq.nb_bits)
    elif hasattr(storage, "pq"):
        fresh = faiss.IndexPQ(d, storage.pq.M, storage.pq.nbits, metric)
    else:
        fresh = faiss.IndexFlat(d, metric)
    copy_training(storage, fresh)
    if hasattr(fresh, "pq"):
        fresh.pq.compute_sdc_table()  # a graph compares codes by it, and faiss aborts without
    return fresh


def _chain(
    codec: Quantizer, view: View, rotation: Rotation | None, metric: Metric, d: int
) -> list[faiss.VectorTransform]:
    """Return the transforms from the prepared base to the codec's width."""
    steps: list[faiss.VectorTransform] = []
    if view.cut == "pca":
        if rotation is None:
            raise ValueError("a PCA view needs a rotation")
        axes = np.zeros((codec.width, d), dtype=np.float32)
        axes[: view.dims] = rotation.axes[: view.dims]
        step = faiss.LinearTransform(d, codec.width, True)
        faiss.copy_array_to_vector(axes.ravel(), step.A)
        faiss.copy_array_to_vector(-(axes @ rotation.mean), step.b)
        step.is_trained = True
        steps.append(step)
    elif view.dims != d or codec.width != d:
        kept = np.full(codec.width, -1, dtype=np.int32)
        kept[: view.dims] = np.arange(view.dims)
        step = faiss.RemapDimensionsTransform(d, codec.width, True)
        faiss.copy_array_to_vector(kept, step.map)
        steps.append(step)
    if view.cut != "none" and metric == "cosine":
        steps.append(faiss.NormalizationTransform(codec.width, 2.0))
    return steps
