"""An index as the source of vectors: the rows that it holds, their ids, and what cannot be taken out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import hnswlib
import numpy as np
import pytest
from installed import needs

import tuner
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.types import FloatArray

N, D = 3_000, 16
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
IDS = np.random.default_rng(1).permutation(10 * N)[:N].astype(np.int64)
WHOLE = ["Flat", "HNSW8", "IDMap,Flat", "IVF8,Flat", "IVF300,Flat", "HNSW8,Flat,RFlat", "IVF8,SQ8,RFlat"]


def written(kind: str, path: Path, ids: Any = None, x: FloatArray = X) -> Path:
    """Let faiss write an index."""
    index = faiss.index_factory(x.shape[1], kind)
    index.train(x)
    if ids is None and "IDMap" not in kind:
        index.add(x)
    else:
        index.add_with_ids(x, np.arange(len(x)) if ids is None else ids)
    faiss.write_index(index, str(path))
    return path


def opened(path: Path) -> Vectors:
    return open_inputs(path, None)[0]


@pytest.mark.parametrize("kind", WHOLE)
def test_rows_of_whole_vectors_are_those_of_the_npy_file(kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    found = opened(written(kind, tmp_path / "x.faiss"))
    assert found.fingerprint == open_vectors(tmp_path / "x.npy", "base").fingerprint
    assert (found.ids, found.remark, found.source) == (None, "", str(tmp_path / "x.faiss"))


@pytest.mark.parametrize("kind", ["IDMap,Flat", "IDMap2,HNSW8", "IVF8,Flat"])
def test_ids_of_faiss_are_those_of_the_rows(kind: str, tmp_path: Path) -> None:
    found = opened(written(kind, tmp_path / "x", IDS))
    order = np.argsort(IDS) if kind.startswith("IVF") else np.arange(N)
    assert found.ids is not None
    np.testing.assert_array_equal(found.ids, IDS[order])
    np.testing.assert_array_equal(found.read(0, N), X[order])


def test_a_permutation_of_row_numbers_is_undone(tmp_path: Path) -> None:
    order = np.random.default_rng(2).permutation(N)
    found = opened(written("IDMap,Flat", tmp_path / "x", order))
    assert found.ids is None
    np.testing.assert_array_equal(found.rows(order), X)


@pytest.mark.parametrize(
    ("kind", "codec", "error"),
    [
        ("SQfp16", "fp16", 4e-3),
        ("HNSW8,SQ8", "SQ8", 0.03),
        ("IVF8,SQ8", "SQ8", 0.03),
        ("SQbf16", "bf16", 0.02),
    ],
)
def test_decoded_vectors_come_with_a_remark(kind: str, codec: str, error: float, tmp_path: Path) -> None:
    found = opened(written(kind, tmp_path / "x"))
    assert 0 < np.abs(found.read(0, N) - X).max() < error
    assert found.remark.startswith(f"the vectors are decoded from the {codec} codes of ")


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("PQ4", "keeps PQ4x8 codes, from which the vectors cannot be taken: give the file of vectors"),
        ("IVF8,PQ4", "keeps PQ4x8 codes"),
        ("SQ4", "keeps SQ4 codes"),
        ("PCA8,Flat", "keeps vectors behind PCA8, from which"),
    ],
)
def test_codes_that_lose_too_much_are_refused(kind: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        opened(written(kind, tmp_path / "x"))


@pytest.mark.parametrize("space", ["l2", "ip", "cosine"])
def test_rows_of_hnswlib(space: str, tmp_path: Path) -> None:
    index = hnswlib.Index(space, D)
    index.init_index(N + 10)
    index.add_items(X, num_threads=2)  # which may not be in order
    index.save_index(str(tmp_path / "x.bin"))
    found = opened(tmp_path / "x.bin")
    want = X / np.linalg.norm(X, axis=1, keepdims=True) if space == "cosine" else X
    assert found.ids is None
    np.testing.assert_allclose(found.read(0, N), want, rtol=1e-5 if space == "cosine" else 0)


def test_labels_of_hnswlib_are_ids_and_deleted_ones_are_left_out(tmp_path: Path) -> None:
    index = hnswlib.Index("l2", D)
    index.init_index(N)
    index.add_items(X, IDS, num_threads=1)
    for label in IDS[:3]:
        index.mark_deleted(label)
    index.save_index(str(tmp_path / "x"))
    found = opened(tmp_path / "x")
    assert found.ids is not None
    np.testing.assert_array_equal(found.ids, IDS[3:])
    np.testing.assert_array_equal(found.read(0, N - 3), X[3:])


@pytest.mark.parametrize(
    ("dtype", "kind", "codec"),
    [
        ("f32", np.float32, ""),
        ("f16", np.float16, "fp16"),
        ("bf16", np.float32, "bf16"),
        ("i8", np.int8, "i8"),
    ],
)
def test_rows_of_usearch(dtype: str, kind: Any, codec: str, tmp_path: Path) -> None:
    needs("usearch")
    from usearch.index import Index  # noqa: PLC0415 - only this test needs it

    index: Any = Index(ndim=D, metric="cos", dtype=dtype)
    index.add(IDS, X, threads=1)
    index.remove(int(IDS[0]))
    index.save(str(tmp_path / "x"))
    found = opened(tmp_path / "x")
    assert found.dtype == kind
    assert codec in found.remark
    assert bool(codec) == bool(found.remark)
    assert found.ids is not None
    np.testing.assert_array_equal(found.ids, IDS[1:])
    if dtype != "i8":
        np.testing.assert_allclose(found.read(0, N - 1), X[1:], rtol=0.01)
    else:
        unit = X[1:] / np.linalg.norm(X[1:], axis=1, keepdims=True)
        np.testing.assert_allclose(found.read(0, N - 1) / 127, unit, atol=0.02)


def test_a_repeated_id_is_told(tmp_path: Path) -> None:
    path = written("IDMap,Flat", tmp_path / "x", np.where(np.arange(N) < 2, 9, IDS + 10))
    with pytest.raises(InputError, match=r"the list of ids in .*x has 9 for row 0 and row 1"):
        opened(path)


def test_ids_that_are_given_come_before_those_of_the_index(tmp_path: Path) -> None:
    path = written("IDMap,Flat", tmp_path / "x", IDS)
    found = open_inputs(path, None, np.arange(N) + 7)[0]
    assert found.ids is not None
    np.testing.assert_array_equal(found.ids, np.arange(N) + 7)
    with pytest.raises(InputError, match=r"'key' is no file, and .* has no named columns"):
        open_inputs(path, None, "key")


def _cut(data: bytearray) -> None:
    del data[len(data) // 2 :]


def _count(data: bytearray) -> None:
    head = data.find(b"usearch")
    data[head + 17 if head >= 0 else 8 if data[:1] == b"I" else 16] ^= 0x40


def _end(data: bytearray) -> None:
    del data[-1:]


def _head(data: bytearray) -> None:
    del data[60:]


@pytest.mark.parametrize("damage", [_cut, _count, _end, _head])
@pytest.mark.parametrize("library", ["faiss", "hnswlib", "usearch"])
def test_damaged_indexes_are_told(library: str, damage: Callable[[bytearray], None], tmp_path: Path) -> None:
    path = tmp_path / "x.index"
    _write(library, path)
    data = bytearray(path.read_bytes())
    damage(data)
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("library", ["hnswlib", "usearch"])
def test_bytes_behind_the_end_are_told(library: str, tmp_path: Path) -> None:
    _write(library, tmp_path / "x")
    with (tmp_path / "x").open("ab") as file:
        file.write(bytes(64))
    with pytest.raises(InputError, match="damaged"):
        opened(tmp_path / "x")


def _write(library: str, path: Path) -> None:
    if library == "faiss":
        written("HNSW8", path, x=X[:300])
    elif library == "hnswlib":
        index = hnswlib.Index("l2", D)
        index.init_index(300)
        index.add_items(X[:300])
        index.save_index(str(path))
    else:
        needs("usearch")
        from usearch.index import Index  # noqa: PLC0415 - only these tests need it

        other: Any = Index(ndim=D, metric="l2sq", dtype="f32")
        other.add(np.arange(300), X[:300])
        other.save(str(path))


def test_an_empty_index_is_told(tmp_path: Path) -> None:
    faiss.write_index(faiss.IndexFlatL2(8), str(tmp_path / "x.faiss"))
    with pytest.raises(InputError, match=r"x\.faiss: holds no vectors: give the file of vectors"):
        opened(tmp_path / "x.faiss")


def test_a_sweep_takes_an_index(tmp_path: Path) -> None:
    path = written("IDMap,SQfp16", tmp_path / "x.faiss", np.arange(900) * 3, X[:900])
    found = tuner.tune(path, recall=0.9, queries=X[900:1_000])
    assert found.status == "exact"
    assert found.profile.source == str(path)
