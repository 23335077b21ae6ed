"""Index files from outside: what is damaged is told in a sentence, and nothing dies of it."""

from collections.abc import Callable
from pathlib import Path

import faiss
import hnswlib
import numpy as np
import pytest
from conftest import trained_by_faiss

from tuner.errors import InputError
from tuner.index.files.faiss import read_index, read_probed
from tuner.index.files.hnswlib import read_hnswlib
from tuner.index.files.library import library_of
from tuner.index.files.soundness import fault, with_mend
from tuner.index.layers import links_of_level_0, unreachable

D, N = 16, 400
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
KINDS = (
    *(
        "HNSW8",
        "HNSW8,SQ8",
        "PCA8,HNSW8,SQ4",
        "HNSW8_PQ4x4",
        "HNSW8,Flat,RFlat",
        "L2norm,HNSW8",
        "IVF4,PQ4x4",
    ),
    *("Flat", "SQ8", "PQ4x4", "RaBitQ", "IVF4,Flat", "IVF4,SQ8"),
    *("PQ4x4fs", "IVF4,PQ4x4fs", "IVF4_HNSW8,PQ4x4fsr", "PQ4x4fs,RFlat", "LSH", "LSHrt"),
)


def built(kind: str) -> faiss.Index:
    index = trained_by_faiss(kind, X)
    index.add(X)
    return index


def slots_of(graph: faiss.IndexHNSW) -> np.ndarray:
    slots: np.ndarray = faiss.rev_swig_ptr(graph.hnsw.neighbors.data(), graph.hnsw.neighbors.size())
    return slots


@pytest.mark.parametrize("kind", KINDS)
def test_what_faiss_wrote_is_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    faiss.write_index(built(kind), str(path))
    index, resident_bytes = read_probed(path)
    assert (index.ntotal, index.d) == (N, D)
    assert 0 <= resident_bytes < 100e6


def test_mapped_ids_are_read() -> None:
    mapped = faiss.index_factory(D, "IDMap,HNSW8")
    mapped.add_with_ids(X, np.arange(N) + 1000)
    assert fault(mapped) == ""
    mapped.id_map.resize(N - 1)
    assert "ids" in fault(mapped)


@pytest.mark.parametrize("kind", ["HNSW8,SQ8", "IVF4,SQ8", "PQ4x4fs"])
def test_no_cut_or_flipped_file_kills_the_reader(kind: str, tmp_path: Path) -> None:
    """Each damage is either told or harmless: what was read is searched."""
    path, data = tmp_path / "index.faiss", bytes(faiss.serialize_index(built(kind)))
    rng = np.random.default_rng(1)
    damaged = [data[: len(data) // 3]]
    for place in rng.integers(0, 120, 5):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(rng.integers(0, 8))
        damaged.append(bytes(flipped))
    messages = []
    for content in damaged:
        path.write_bytes(content)
        try:
            index = read_index(path)
            index.search(X[:3, : index.d], 1)
        except InputError as error:
            messages.append(str(error))
    assert messages
    assert all(
        message.startswith(str(path)) and message.endswith(("again", "that faiss.write_index wrote"))
        for message in messages
    )


def test_links_that_lead_out_are_seen() -> None:
    index = built("HNSW8")
    slots_of(index)[3] = N + 5
    assert "leads out" in fault(index)


def test_upper_links_to_lower_nodes_are_seen() -> None:
    """faiss would read such a node's upper lists, which are another node's, or nobody's."""
    index = built("HNSW8")
    levels = faiss.vector_to_array(index.hnsw.levels)
    offsets = faiss.vector_to_array(index.hnsw.offsets)
    high = int(np.flatnonzero(levels > 1)[0])
    slots_of(index)[int(offsets[high]) + 16] = int(np.flatnonzero(levels == 1)[0])
    assert "leads out" in fault(index)


def test_an_unknown_kind_is_told() -> None:
    index = faiss.IndexNSGFlat(D, 8)
    index.add(X)
    wrong = fault(index)
    assert "IndexNSGFlat is a kind of index that is not known here" in wrong
    assert with_mend(wrong).endswith(
        "give an HNSW, IVF or flat one of float32, SQ, PQ, PQ with fs, RaBitQ or LSH codes"
    )


@pytest.mark.parametrize(
    ("kind", "damage"),
    [
        ("PQ4x4fs", lambda index: index.codes.resize(index.codes.size() - 64)),
        ("PQ4x4fs", lambda index: setattr(index, "ntotal2", index.ntotal2 + 32)),
        ("PQ4x4fs", lambda index: setattr(index, "M2", 6)),
        ("PQ4x4fs", lambda index: setattr(index, "bbs", 0)),
        ("IVF4,PQ4x4fs", lambda index: setattr(index, "bbs", 64)),
        ("IVF4,PQ4x4fs", lambda index: setattr(index, "M", 2)),
        ("LSHr", lambda index: setattr(index, "nbits", 8)),
        ("LSHt", lambda index: index.thresholds.resize(3)),
        ("LSHr", lambda index: setattr(index.rrot, "d_in", 3)),
        ("LSH", lambda index: index.codes.resize(5)),
    ],
)
def test_codes_in_blocks_and_bits_have_their_sizes(kind: str, damage: Callable[[faiss.Index], None]) -> None:
    index = built(kind)
    assert fault(index) == ""
    damage(index)
    assert "their sizes do not fit" in fault(index)


@pytest.mark.parametrize(
    ("kind", "search_param", "value"),
    [
        ("HNSW8,SQ4,RFlat", "k_factor", 0.0),
        ("HNSW8,SQ4,RFlat", "k_factor", float("nan")),
        ("HNSW8,SQ4,RFlat", "k_factor", 1e9),
        ("HNSW8", "efSearch", 0),
        ("HNSW8", "efSearch", 1 << 30),
        ("IVF4,SQ8", "nprobe", 0),
    ],
)
def test_a_knob_that_cannot_be_searched_with_is_told(kind: str, search_param: str, value: float) -> None:
    index = built(kind)
    setattr(index.hnsw if search_param == "efSearch" else index, search_param, value)
    assert f"its {search_param} is " in fault(index)
    assert with_mend(fault(index)).endswith("can be searched with: set it to one of these")


def test_another_metric_is_told(tmp_path: Path) -> None:
    index = faiss.IndexHNSWFlat(D, 8, faiss.METRIC_L1)
    index.add(X)
    faiss.write_index(index, str(tmp_path / "index.faiss"))
    with pytest.raises(InputError, match="neither L2 nor inner product: give one that does"):
        read_index(tmp_path / "index.faiss")


def test_nodes_out_of_reach_are_counted() -> None:
    index = built("HNSW8")
    before = unreachable(index)
    lost = int(np.flatnonzero(~before & (np.arange(N) != index.hnsw.entry_point))[0])
    slots = slots_of(index)
    offsets = faiss.vector_to_array(index.hnsw.offsets).astype(int)
    for node in range(N):
        own = slots[offsets[node] : offsets[node + 1]]
        own[own == lost] = -1
    assert unreachable(index)[lost]
    assert (unreachable(index) | ~before).all()
    assert before.sum() < unreachable(index).sum() <= before.sum() + 3  # this one, and what it alone led to
    assert links_of_level_0(index)[lost] > 0


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_an_hnswlib_file_finds_what_hnswlib_finds(space: str, tmp_path: Path) -> None:
    index = hnswlib.Index(space, D)
    index.init_index(N + 50, M=8, ef_construction=100)
    index.add_items(X, np.arange(N)[::-1])
    index.set_ef(200)
    index.save_index(str(tmp_path / "h.bin"))
    read = read_hnswlib(tmp_path / "h.bin", D, space)  # type: ignore[arg-type]
    assert fault(read.index) == ""
    read.index.hnsw.efSearch = 200
    found = read.labels[read.index.search(X[:50], 5)[1]]
    assert (found == index.knn_query(X[:50], 5)[0]).mean() > 0.99
    data = (tmp_path / "h.bin").read_bytes()
    with pytest.raises(InputError, match="holds vectors of 16 columns, not of 17"):
        read_hnswlib(tmp_path / "h.bin", D + 1, "l2")
    rng = np.random.default_rng(3)
    messages = []
    for turn in range(60):
        broken = bytearray(data)
        if turn % 2:
            broken = broken[: int(rng.integers(0, len(data)))]
        else:
            broken[int(rng.integers(0, 104))] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "b.bin").write_bytes(broken)
        try:
            read_hnswlib(tmp_path / "b.bin", D, "l2").index.search(X[:3], 3)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) >= 30
    assert all("b.bin" in message for message in messages)


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + 500 * b"0", b"\x93NUMPY" + 200 * b"\xff", b"I", b""])
def test_who_wrote_what_is_no_index_is_not_guessed(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "i").write_bytes(data)
    assert library_of(tmp_path / "i") == "faiss"
    with pytest.raises(InputError, match=r"is no index of faiss|is a \.npy file|was cut|is empty"):
        read_index(tmp_path / "i")
