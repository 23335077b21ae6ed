"""What is believed of an index that was read: only what was looked at, every size and every link.

faiss believes what a file says. An index whose sizes do not fit, or whose links lead out of it, is not
searched.
"""

from __future__ import annotations

from itertools import pairwise

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.index.layers import layers_of

MOST_EF = 1 << 20
"""Search parameters above it are taken for damage."""
MOST_FACTOR = 1_000
"""Largest multiple of k that a re-ranking layer may ask for: faiss reads no file that asks for more."""
UNKNOWN = "is a kind of index that is not known here"
ELSEWHERE = "it compares by neither L2 nor inner product"
BEYOND = "can be searched with"
ENDS_EARLY = "ends before the index does, so it was cut"
NO_FAISS = "is no index of faiss"
MENDS = {
    "RaBitQFastScan": "give the same index without fs in its factory string, whose codes are the same",
    ENDS_EARLY: "copy it again, or write the index again",
    NO_FAISS: "give a file that faiss.write_index wrote",
    UNKNOWN: "give an HNSW, IVF or flat one of float32, SQ, PQ, PQ with fs, RaBitQ or LSH codes",
    ELSEWHERE: "give one that does",
    BEYOND: "set it to one of these",
}
SLOTS = 1 << 22
"""Link slots looked at at once."""
KNOWN = (
    *(faiss.IndexFlat, faiss.IndexScalarQuantizer, faiss.IndexPQ, faiss.IndexRaBitQ),
    *(faiss.IndexPQFastScan, faiss.IndexLSH),
)
"""Storages whose sizes can be looked at."""
KNOWN_LISTS = (
    *(faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ, faiss.IndexIVFRaBitQ),
    faiss.IndexIVFPQFastScan,
)
FAST_BITS, FAST_BLOCK = 4, 32
"""Bits of a FastScan sub-code, and the vectors whose sub-codes lie together or a multiple of them."""
SCALED_TYPES = ("QT_8bit", "QT_6bit", "QT_4bit")
"""Scalar types with a scale of each dimension: two trained floats for each."""


def with_mend(wrong: str) -> str:
    """Return what is wrong with an index and what to do."""
    mend = next((mend for words, mend in MENDS.items() if words in wrong), "build and write the index again")
    return f"{wrong}: {mend}"


def fault(index: faiss.Index) -> str:
    """Return what is wrong with an index that was read, empty if nothing is."""
    layers = layers_of(index)
    for outer, inner in pairwise(layers):
        if outer.ntotal != inner.ntotal:
            return f"it says {outer.ntotal:,} vectors outside and {inner.ntotal:,} inside, so it is damaged"
        if wrong := _wrapper_fault(outer, inner):
            return wrong
    return _core_fault(layers[-1])


def _wrapper_fault(outer: faiss.Index, inner: faiss.Index) -> str:
    if isinstance(outer, faiss.IndexPreTransform):
        return _chain_fault(outer, inner)
    if outer.d != inner.d:
        return f"its parts have {outer.d} and {inner.d} columns, so it is damaged"
    if hasattr(outer, "id_map"):
        return "" if outer.id_map.size() == outer.ntotal else "its ids are not as many as its vectors"
    if isinstance(outer, faiss.IndexRefine):
        store = faiss.downcast_index(outer.refine_index)
        if (store.ntotal, store.d) != (outer.ntotal, outer.d):
            return "its re-ranking store holds other vectors than its graph, so it is damaged"
        return _range_fault("k_factor", outer.k_factor, MOST_FACTOR) or fault(store)
    return f"{type(outer).__name__} {UNKNOWN}"


def _chain_fault(outer: faiss.IndexPreTransform, inner: faiss.Index) -> str:
    d = outer.d
    for number in range(outer.chain.size()):
        step = faiss.downcast_VectorTransform(outer.chain.at(number))
        sizes_fit = step.d_in == d
        if isinstance(step, faiss.LinearTransform):
            sizes_fit &= step.A.size() == step.d_in * step.d_out
            sizes_fit &= not step.have_bias or step.b.size() == step.d_out
        elif isinstance(step, faiss.RemapDimensionsTransform):
            source = faiss.vector_to_array(step.map)
            sizes_fit &= len(source) == step.d_out and source.min() >= -1 and source.max() < step.d_in
        elif not isinstance(step, faiss.NormalizationTransform):
            return f"{type(step).__name__} is a transform that is not known here"
        if not sizes_fit:
            return "the sizes of its transforms do not fit, so it is damaged"
        d = step.d_out
    return "" if d == inner.d else "the sizes of its transforms do not fit, so it is damaged"


def _range_fault(name: str, value: float, most: int) -> str:
    """Look at a search parameter, which a file keeps too."""
    return "" if 1 <= value <= most else f"its {name} is {value:g}, and only 1 to {most:,} {BEYOND}"


def _core_fault(core: faiss.Index) -> str:
    if core.metric_type not in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        return ELSEWHERE
    if isinstance(core, faiss.IndexHNSW):
        storage = faiss.downcast_index(core.storage)
        if (storage.ntotal, storage.d) != (core.ntotal, core.d) or storage.metric_type != core.metric_type:
            return "its graph and its codes are not of one index, so it is damaged"
        if core.ntotal and not is_sound(core):
            return "its graph is damaged, it leads out of the index"
        return _range_fault("efSearch", core.hnsw.efSearch, MOST_EF) or _codes_fault(storage)
    if isinstance(core, faiss.IndexIVF):
        return _lists_fault(core)
    return _codes_fault(core)


def _codes_fault(storage: faiss.Index) -> str:
    """Look at the sizes of a flat, scalar, product, RaBitQ or LSH storage."""
    damaged = "its codes are damaged, their sizes do not fit"
    if not isinstance(storage, KNOWN):
        return f"{type(storage).__name__} {UNKNOWN}"
    n_codes, code_size = storage.ntotal, storage.code_size
    if isinstance(storage, faiss.IndexPQFastScan):
        if not _blocks_fit(storage) or storage.ntotal2 != -(-n_codes // storage.bbs) * storage.bbs:
            return damaged
        n_codes, code_size = storage.ntotal2, storage.M2 // 2
    if storage.codes.size() != n_codes * code_size or storage.d < 1:
        return damaged
    return "" if _code_size_fits(storage, storage.d, storage.code_size) else damaged


def _blocks_fit(storage: faiss.Index) -> bool:
    """Return whether FastScan codes are laid out in blocks as their sub-codes say."""
    pq = storage.pq
    return bool(
        (storage.M, storage.nbits, pq.nbits) == (pq.M, FAST_BITS, FAST_BITS)
        and storage.M2 == 2 * -(-pq.M // 2)
        and storage.bbs > 0
        and storage.bbs % FAST_BLOCK == 0
    )


def _code_size_fits(storage: faiss.Index, d: int, code_size: int) -> bool:
    """Return whether codes of a storage have the size that its quantizer writes and reads."""
    if hasattr(storage, "sq"):
        qtype = storage.sq.qtype
        fresh = faiss.ScalarQuantizer(d, qtype)
        scaled = qtype in [getattr(faiss.ScalarQuantizer, name) for name in SCALED_TYPES]
        trained = 2 * d if scaled else storage.sq.trained.size()
        return bool(
            fresh.code_size == code_size == storage.sq.code_size
            and storage.sq.d == d
            and storage.sq.trained.size() == trained
        )
    if hasattr(storage, "pq"):
        pq = storage.pq
        return bool(
            pq.d == d
            and pq.M * pq.dsub == d
            and 0 < pq.nbits <= 16
            and pq.ksub == 1 << pq.nbits
            and pq.centroids.size() == pq.M * pq.ksub * pq.dsub
            and pq.code_size == code_size == (pq.M * pq.nbits + 7) // 8
        )
    if hasattr(storage, "rabitq"):
        bits = storage.rabitq.nb_bits
        if not 1 <= bits <= 9 or storage.rabitq.d != d:
            return False
        center = getattr(storage, "center", None)
        center_fits = center is None or center.size() == d
        return bool(center_fits and storage.rabitq.compute_code_size(d, bits) == code_size)
    if isinstance(storage, faiss.IndexLSH):
        return _bits_fit(storage, d, code_size)
    return bool(isinstance(storage, faiss.IndexFlat | faiss.IndexIVFFlat) and code_size == 4 * d)


def _bits_fit(storage: faiss.IndexLSH, d: int, code_size: int) -> bool:
    """Return whether the rotation and the thresholds of an LSH index have the sizes that its bits say."""
    bits, rotation = storage.nbits, storage.rrot
    rotated = rotation.A.size() == bits * d and (rotation.d_in, rotation.d_out) == (d, bits)
    return bool(
        bits > 0
        and code_size == (bits + 7) // 8
        and (rotated if storage.rotate_data else bits <= d)
        and storage.thresholds.size() == (bits if storage.train_thresholds else 0)
    )


def _lists_fault(core: faiss.IndexIVF) -> str:
    damaged = "its lists are damaged, their sizes do not fit"
    if type(core) not in KNOWN_LISTS:
        return f"{type(core).__name__} {UNKNOWN}"
    quantizer = faiss.downcast_index(core.quantizer)
    lists = core.invlists
    if (quantizer.d, quantizer.ntotal, lists.nlist) != (core.d, core.nlist, core.nlist) or core.nlist < 1:
        return damaged
    if isinstance(core, faiss.IndexIVFPQFastScan):  # faiss reads no list whose blocks do not fit it
        blocks = faiss.downcast_InvertedLists(lists)
        size = core.M2 // 2 * core.bbs
        whole = _blocks_fit(core) and (blocks.n_per_block, blocks.block_size) == (core.bbs, size)
    else:
        whole = lists.code_size == core.code_size
    if not whole or not _code_size_fits(core, core.d, core.code_size):
        return damaged
    if sum(lists.list_size(number) for number in range(core.nlist)) != core.ntotal:
        return damaged
    return _range_fault("nprobe", core.nprobe, MOST_EF) or fault(quantizer)


def is_sound(graph: faiss.IndexHNSW) -> bool:
    """Return whether a graph that was read leads nowhere but to its own nodes: faiss does not look."""
    hnsw, n = graph.hnsw, graph.ntotal
    levels = faiss.vector_to_array(hnsw.levels).astype(np.int64)
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    widths = faiss.vector_to_array(hnsw.cum_nneighbor_per_level).astype(np.int64)
    if len(levels) != n or len(offsets) != n + 1 or offsets[0] != 0 or levels.min() < 1:
        return False
    uneven = levels.max() >= len(widths) or widths[0] != 0 or (np.diff(widths) < 0).any()
    if uneven or (np.diff(offsets) != widths[levels]).any() or offsets[-1] != hnsw.neighbors.size():
        return False
    if hnsw.max_level != levels.max() - 1 or not 0 <= hnsw.entry_point < n:
        return False
    if levels[hnsw.entry_point] != hnsw.max_level + 1:
        return False
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    for start in range(0, len(slots), SLOTS):
        block = slots[start : start + SLOTS]
        if block.min() < -1 or block.max() >= n:
            return False
    return _climbs_to_its_height(levels, offsets, widths, slots)


def _climbs_to_its_height(
    levels: NDArray[np.int64], offsets: NDArray[np.int64], widths: NDArray[np.int64], slots: NDArray[np.int32]
) -> bool:
    """Return whether links of upper levels lead to nodes that are on that level."""
    for level in range(1, int(levels.max())):
        nodes = np.flatnonzero(levels > level)
        columns = np.arange(widths[level], widths[level + 1])
        linked = slots[offsets[nodes][:, None] + columns]
        if (levels[linked[linked >= 0]] <= level).any():
            return False
    return True
