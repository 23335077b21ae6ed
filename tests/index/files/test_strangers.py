"""Files that are passed as an index and are none."""

from pathlib import Path

import faiss
import numpy as np
import pytest

from tuner.errors import InputError
from tuner.index.files.faiss import read_index
from tuner.index.files.strangers import BINARY
from tuner.index.opened import open_index

X = np.random.default_rng(0).standard_normal((400, 16)).astype(np.float32)


def flat() -> bytes:
    index = faiss.IndexFlatL2(16)
    index.add(X)
    return bytes(faiss.serialize_index(index))


def npy() -> bytes:
    header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (400, 16), }"
    return header.ljust(127) + b"\n" + X.tobytes()


STRANGERS = {
    "pointer": (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer .*git lfs pull"),
    "vectors": (npy(), "is a .npy file, not an index: it holds vectors"),
    "pickle": (b"\x80\x04\x95\x10\0\0\0", "is a pickle, not an index: .* give the index.faiss beside it"),
    "archive": (b"PK\x03\x04" + b"\0" * 40, "is a zip file, not an index: it is an archive"),
    "empty": (b"", "is empty: write the index again"),
    "cut": (flat()[:1000], "it ends before the index does, so it was cut: copy it again"),
    "cut in its header": (flat()[:20], "it ends before the index does"),
    "text": (b"hello world, no index", "so it is no index of faiss: give a file that faiss.write_index"),
    "transform": (b"Pcam" + b"\0" * 99, "so it is no index of faiss"),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGERS)
def test_each_gets_its_own_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    content, sentence = STRANGERS[name]
    path.write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        read_index(path)
    with pytest.raises(InputError, match=sentence):
        open_index(path, 16, None, None)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (
            "RaBitQfs",
            "IndexRaBitQFastScan is a kind .*: give the same index without fs in its factory string",
        ),
        ("IVF4,RaBitQfs", "IndexIVFRaBitQFastScan is a kind .*without fs"),
        ("RQ2x4", "IndexResidualQuantizer is a kind .*: give an HNSW, IVF or flat one of float32, SQ, PQ"),
        ("NSG8,Flat", "IndexNSGFlat is a kind .*: give an HNSW, IVF or flat one"),
    ],
)
def test_kinds_that_are_not_looked_into_are_named(kind: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    index = faiss.index_factory(16, kind)
    index.train(X)
    index.add(X)
    faiss.write_index(index, str(path))
    with pytest.raises(InputError, match=sentence):
        read_index(path)


@pytest.mark.parametrize(
    ("kind", "label"),
    [
        ("PQ4x4", "PQ4x4"),
        ("PQ4x4fs", "PQ4x4fs"),
        ("IVF4,PQ4x4fs", "IVF4,PQ4x4fs"),
        ("OPQ4,PQ4x4fs,RFlat", "Rotate16,PQ4x4fs,Refine(fp32)x1"),
        ("LSH", "LSH16"),
    ],
)
def test_flat_and_blocked_codes_and_bits_are_opened(kind: str, label: str, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    index = faiss.index_factory(16, kind)
    index.train(X)
    index.add(X)
    faiss.write_index(index, str(path))
    assert open_index(path, 16, None, None).label == label


@pytest.mark.parametrize("kind", ["BFlat", "BHNSW8", "BIVF4", "BHash4"])
def test_a_binary_index_is_named(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "index.faiss"
    index = faiss.index_binary_factory(16, kind)
    bits = np.packbits(X > 0, axis=1)
    index.train(bits)
    index.add(bits)
    faiss.write_index_binary(index, str(path))
    assert path.read_bytes()[:4] in BINARY
    with pytest.raises(InputError, match=f"is a faiss {type(index).__name__}, over bits"):
        read_index(path)
