"""Encoders: trained codecs with the transforms in front of them."""

from __future__ import annotations

import faiss
import numpy as np

from tuner.data.base import view_codes
from tuner.index.codecs import SCALAR_TYPES, Codes, Quantizer, new_index
from tuner.index.projections import Projection, Rotation, behind, chain_of
from tuner.runtime.process import kept_threads, use_threads
from tuner.types import FloatArray, Metric

TRAIN_ROWS = 4_000
PQ_ITERATIONS = 5
ROUGH_ROWS = 300
OPQ_ROWS = 3_000
OPQ_ITERATIONS = 4


class Encoder:
    """A trained codec with the transforms in front of it.

    Args:
        codec: name, width and bytes of the codec.
        projection: dimensions that it sees.
        chain: transforms from the prepared base to the codec's width.
        template: trained index of the codec's class, without vectors.
    """

    def __init__(
        self,
        codec: Quantizer,
        projection: Projection,
        chain: list[faiss.VectorTransform],
        template: faiss.IndexHNSW,
    ) -> None:
        self.codec = codec
        self.projection = projection
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
    projection: Projection,
    rotation: Rotation | None,
    metric: Metric,
    sample: FloatArray,
    seed: int,
    *,
    roughly: bool = False,
) -> Encoder:
    """Return a trained encoder.

    Args:
        rotation: axes for ``pca`` projections.
        metric: decides whether cut rows are normalised again.
        sample: (rows, d) prepared rows.
        seed: random seed of PQ's k-means.
        roughly: one pass over few rows: enough to time the codec, not to judge it.
    """
    chain = chain_of(codec, projection, rotation, metric, sample.shape[1])
    encoder = Encoder(codec, projection, chain, new_index(codec, 2))
    with kept_threads():
        if codec.kind in ("pq", "opq"):
            use_threads(1)  # its many small loops are over before a second thread has woken up
        _fit(encoder, sample, seed, roughly=roughly)
    encoder.template.is_trained = True
    return encoder


def _fit(encoder: Encoder, sample: FloatArray, seed: int, *, roughly: bool) -> None:
    """Train what of an encoder is trained, and put a rotation in front of it where its codec wants one."""
    codec = encoder.codec
    iterations = (1, 1) if roughly else (PQ_ITERATIONS, OPQ_ITERATIONS)
    few = sample[:ROUGH_ROWS] if roughly else sample
    if codec.kind == "opq":
        # faiss's OPQ corrupts memory where there are fewer rows than dimensions
        enough = np.resize(few[:OPQ_ROWS], (max(len(few[:OPQ_ROWS]), 2 * codec.width), sample.shape[1]))
        encoder.chain.append(_train_opq(codec, encoder.transform(enough), seed, iterations[1]))
    if codec.kind in ("pq", "opq"):
        clustering = encoder.storage.pq.cp
        clustering.niter, clustering.seed = iterations[0], seed
        clustering.min_points_per_centroid = 1  # silences a warning; the sample is bounded on purpose
        few = few[:TRAIN_ROWS]
    if codec.kind != "flat":  # which learns nothing
        encoder.storage.train(encoder.transform(few))


def from_bytes(codec: Quantizer, projection: Projection, data: bytes) -> Encoder:
    """Return the encoder that ``Encoder.to_bytes`` kept."""
    whole = faiss.deserialize_index(np.frombuffer(data, dtype=np.uint8))
    chain = [faiss.downcast_VectorTransform(whole.chain.at(i)) for i in range(whole.chain.size())]
    encoder = Encoder(codec, projection, chain, faiss.downcast_index(whole.index))
    encoder.owner = whole
    return encoder


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
    elif isinstance(trained, faiss.IndexLSH):
        fresh.rrot, fresh.thresholds = trained.rrot, trained.thresholds


def empty_storage(storage: faiss.Index) -> faiss.Index:
    """Return a storage of the same kind and training that holds nothing."""
    d, metric = storage.d, storage.metric_type
    if hasattr(storage, "sq"):
        fresh = faiss.IndexScalarQuantizer(d, storage.sq.qtype, metric)
    elif hasattr(storage, "rabitq"):
        fresh = faiss.IndexRaBitQ(d, metric, storage.rabitq.nb_bits)
    elif hasattr(storage, "pq"):
        fresh = faiss.IndexPQ(d, storage.pq.M, storage.pq.nbits, metric)
    elif isinstance(storage, faiss.IndexLSH):
        fresh = faiss.IndexLSH(d, storage.nbits, storage.rotate_data, storage.train_thresholds)
    else:
        fresh = faiss.IndexFlat(d, metric)
    copy_training(storage, fresh)
    if hasattr(fresh, "pq"):
        fresh.pq.compute_sdc_table()  # a graph compares codes by it, and faiss aborts without
    return fresh
