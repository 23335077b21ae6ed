"""Index files from outside: read in a child process first, and looked through before anything is searched.

faiss believes what a file says. A flipped byte can make it allocate without end, read for minutes, or
follow a link out of its memory. So a child process with limits of time and memory reads the file first,
looks at every size and link, and searches a little; only what it came through is read here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import faiss
import msgspec
import numpy as np
import psutil
from numpy.typing import NDArray

from tuner.errors import InputError
from tuner.runtime import child

MOST_EF = 1 << 20
"""Search parameters above it are taken for damage."""
SPARE_BYTES = 4 << 30
"""Memory that the child may take beside four times the file: the libraries map a lot."""
SPARE_S, BYTES_A_SECOND = 30.0, 20e6
"""Seconds that the child may take: these, and the file at this speed."""
MOST_FACTOR = 1_000
"""Times k that a re-ranking layer may ask for: faiss reads no file that asks for more."""
UNKNOWN = "is a kind of index that is not known here"
ELSEWHERE = "it compares by neither L2 nor inner product"
BEYOND = "can be searched with"
MENDS = {
    UNKNOWN: "give an HNSW, IVF or flat one",
    ELSEWHERE: "give one that does",
    BEYOND: "set it to one of these",
}
PROBED = 4
"""Vectors that the child searches for."""
SLOTS = 1 << 22
"""Link slots looked at at once."""
KNOWN = (faiss.IndexFlat, faiss.IndexScalarQuantizer, faiss.IndexPQ, faiss.IndexRaBitQ)
"""Storages whose sizes can be looked at."""
KNOWN_LISTS = (faiss.IndexIVFFlat, faiss.IndexIVFScalarQuantizer, faiss.IndexIVFPQ, faiss.IndexIVFRaBitQ)
SCALED_TYPES = ("QT_8bit", "QT_6bit", "QT_4bit")
"""Scalar types with a scale of each dimension: two trained floats for each."""


@dataclass(frozen=True)
class Probed:
    """What the child says: what is wrong, empty if nothing, and what the index took of its memory."""

    wrong: str = ""
    resident_bytes: int = 0


def read_index(path: Path) -> faiss.Index:
    """Return the faiss index of a file.

    Raises:
        InputError: there is none that could be searched without harm.
    """
    return read_probed(path)[0]


def read_probed(path: Path) -> tuple[faiss.Index, int]:
    """Return the faiss index of a file, and the bytes that it takes in the memory of a fresh process.

    Raises:
        InputError: there is none that could be searched without harm.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file: name a faiss index")
    probed = _probed(path)
    if probed.wrong:
        raise InputError(f"{path}: {with_mend(probed.wrong)}")
    return faiss.read_index(str(path)), probed.resident_bytes


def with_mend(wrong: str) -> str:
    """Return what is wrong with an index and what to do."""
    mend = next((mend for said, mend in MENDS.items() if said in wrong), "build and write the index again")
    return f"{wrong}: {mend}"


def _probed(path: Path) -> Probed:
    """Return what a child process found out about a file."""
    size = path.stat().st_size
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            child.command(__name__, str(path), str(SPARE_BYTES + 4 * size)),
            capture_output=True,
            text=True,
            check=False,
            timeout=SPARE_S + size / BYTES_A_SECOND,
        )
    except subprocess.TimeoutExpired:
        return Probed("reading it does not come to an end, so it is damaged")
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Probed)
    return Probed("faiss dies of it, so it is damaged or no index")


def probe(path: Path) -> Probed:
    """Return what is to be said of a file; in a child process."""
    before = psutil.Process().memory_info().rss
    try:
        index = faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as error:
        first = next(iter(str(error).splitlines()), "") or "it ends early"
        return Probed(f"faiss cannot read it ({first.split(':')[-1].strip()[:120]})")
    resident_bytes = psutil.Process().memory_info().rss - before
    if wrong := fault(index):
        return Probed(wrong)
    if index.ntotal:
        queries = np.random.default_rng(0).normal(size=(PROBED, index.d)).astype(np.float32)
        index.search(queries, 1)
    return Probed(resident_bytes=max(0, resident_bytes))


def layers_of(index: faiss.Index) -> list[faiss.Index]:
    """Return an index and what it wraps, from the outside in."""
    layers = [faiss.downcast_index(index)]
    while True:
        outer = layers[-1]
        inner = next((getattr(outer, name) for name in ("index", "base_index") if hasattr(outer, name)), None)
        if inner is None:
            return layers
        layers.append(faiss.downcast_index(inner))


def graph_of(index: faiss.Index) -> faiss.IndexHNSW | None:
    """Return the HNSW index inside, or None."""
    innermost = layers_of(index)[-1]
    return innermost if isinstance(innermost, faiss.IndexHNSW) else None


# ---------------------------------------------------------------- what is believed only when it was seen


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
    """Look at the sizes of a flat, scalar, product or RaBitQ storage."""
    damaged = "its codes are damaged, their sizes do not fit"
    if not isinstance(storage, KNOWN):
        return f"{type(storage).__name__} {UNKNOWN}"
    if storage.codes.size() != storage.ntotal * storage.code_size or storage.d < 1:
        return damaged
    return "" if _code_size_fits(storage, storage.d, storage.code_size) else damaged


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
    return bool(isinstance(storage, faiss.IndexFlat | faiss.IndexIVFFlat) and code_size == 4 * d)


def _lists_fault(core: faiss.IndexIVF) -> str:
    damaged = "its lists are damaged, their sizes do not fit"
    if type(core) not in KNOWN_LISTS:
        return f"{type(core).__name__} {UNKNOWN}"
    quantizer = faiss.downcast_index(core.quantizer)
    lists = core.invlists
    if (quantizer.d, quantizer.ntotal, lists.nlist) != (core.d, core.nlist, core.nlist) or core.nlist < 1:
        return damaged
    if lists.code_size != core.code_size or not _code_size_fits(core, core.d, core.code_size):
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


def links_of_level_0(graph: faiss.IndexHNSW) -> NDArray[np.int64]:
    """Return the number of links (n,) that each node has on level 0."""
    hnsw = graph.hnsw
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    width = hnsw.nb_neighbors(0)
    counts = np.zeros(graph.ntotal, dtype=np.int64)
    step = 1 << 14
    for start in range(0, graph.ntotal, step):
        block = slots[offsets[start : min(graph.ntotal, start + step), None] + np.arange(width)]
        counts[start : start + step] = (block >= 0).sum(axis=1)
    return counts


def unreachable(graph: faiss.IndexHNSW) -> NDArray[np.bool_]:
    """Return which nodes (n,) no walk along links from the entry point comes to."""
    hnsw, n = graph.hnsw, graph.ntotal
    offsets = faiss.vector_to_array(hnsw.offsets).astype(np.int64)
    levels = faiss.vector_to_array(hnsw.levels)
    slots = faiss.rev_swig_ptr(hnsw.neighbors.data(), hnsw.neighbors.size())
    seen = np.zeros(n, dtype=bool)
    seen[hnsw.entry_point] = True
    for level in range(hnsw.max_level, -1, -1):
        columns = np.arange(hnsw.cum_nb_neighbors(level), hnsw.cum_nb_neighbors(level + 1))
        fresh = np.flatnonzero(seen)
        while len(fresh):
            found = np.zeros(n, dtype=bool)
            for start in range(0, len(fresh), 1 << 14):
                nodes = fresh[start : start + (1 << 14)]
                nodes = nodes[levels[nodes] > level]
                linked = slots[offsets[nodes][:, None] + columns]
                found[linked[linked >= 0]] = True
            fresh = np.flatnonzero(found & ~seen)
            seen[fresh] = True
    return ~seen


def _limit(n_bytes: int) -> None:
    """Let this process take no more memory than that, where the system can do so."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (n_bytes, n_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Say on standard output what is to be said of a file; its name and the memory allowed are arguments."""
    _limit(int(sys.argv[2]))
    faiss.omp_set_num_threads(1)
    os.write(1, msgspec.json.encode(probe(Path(sys.argv[1]))))  # the pipe to the parent
