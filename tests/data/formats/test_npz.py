"""Arrays of a .npz file are read as the .npy file of the same rows; damaged and hostile ones are told."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.data.formats import spool
from tuner.data.vectors import open_vectors
from tuner.errors import InputError, ResourceError

X = np.random.default_rng(0).standard_normal((3_000, 40)).astype(np.float32)
Q = X[:70] + 1


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("x", [X, X.astype(np.float16), np.asfortranarray(X), X.astype(">f4")])
def test_the_only_matrix_needs_no_name(save: Any, x: np.ndarray[Any, Any], tmp_path: Path) -> None:
    save(tmp_path / "x.npz", emb=x, seed=np.array(5), names=np.array(["a", "b"]))
    np.save(tmp_path / "x.npy", x)
    found, wanted = open_vectors(tmp_path / "x.npz", "base"), open_vectors(tmp_path / "x.npy", "base")
    assert found.source == f"{tmp_path / 'x.npz'}[emb]"
    assert found.fingerprint == wanted.fingerprint
    np.testing.assert_array_equal(found.read(100, 400), x[100:400].astype(np.float32))


def test_a_compressed_matrix_is_read_from_a_copy_that_goes_with_it(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "x.npz", X)
    found = open_vectors(tmp_path / "x.npz", "base")
    copy = found.npy_file
    assert copy is not None
    np.testing.assert_array_equal(np.load(copy), X)
    del found
    assert not copy.parent.exists()


def test_matrices_of_usual_names_are_told_apart_by_what_they_are_for(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, train=X, test=Q, neighbors=np.zeros((70, 10), np.int32))
    assert (open_vectors(path, "base").n, open_vectors(path, "queries").n) == (3_000, 70)
    assert open_vectors(path, "base", "test").n == 70


def test_where_it_cannot_be_told_which_the_names_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, left=X, right=Q)
    with pytest.raises(InputError, match=r"2 matrices: .*--column: there is left 3,000 x 40, right 70 x 40"):
        open_vectors(path, "base")
    with pytest.raises(InputError, match="has no array 'rigth': there is right 70 x 40"):
        open_vectors(path, "base", "rigth")
    assert open_vectors(path, "base", "right").n == 70


def archive(*entries: tuple[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", kind) as file:
        for name, content in entries:
            file.writestr(name, content)
    return out.getvalue()


def npy(x: np.ndarray[Any, Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, x, allow_pickle=True)
    return out.getvalue()


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


GOOD = archive(("emb.npy", npy(X)))
PACKED = archive(("emb.npy", npy(X)), kind=zipfile.ZIP_DEFLATED)
DAMAGED: dict[str, tuple[bytes, str]] = {
    "cut": (GOOD[: len(GOOD) // 2], "damaged or truncated zip file"),
    "only its beginning": (b"PK\x03\x04abcd", "damaged or truncated zip file"),
    "no arrays": (archive(("readme.txt", b"hello")), r"holds no matrix \(n, d\): it is empty"),
    "no matrix": (archive(("a.npy", npy(X[0]))), "holds no matrix .*: there is a 40"),
    "no array in an entry": (archive(("emb.npy", b"not an array at all")), r"is no \.npy array"),
    "an empty entry": (archive(("emb.npy", b"")), r"is no \.npy array"),
    "an entry cut": (archive(("emb.npy", npy(X)[:-8])), "where its header promises"),
    "an entry cut in its header": (archive(("emb.npy", npy(X)[:30])), "damaged or truncated header"),
    "more than promised": (archive(("emb.npy", npy(X) + b"xx")), "where its header promises"),
    "pickled": (archive(("emb.npy", npy(np.array([[1, "a"], [None, 2]], dtype=object)))), "pickled Python"),
    "packed bytes flipped": (flipped(PACKED, len(PACKED) // 2), "damaged"),
    "promising more than there is": (
        archive(("emb.npy", npy(X)[:128].replace(b"(3000, 40)", b"(9000, 40)") + npy(X)[128:])),
        "where its header promises 1,440,128",
    ),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    content, message = DAMAGED[name]
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match=message):
        open_vectors(tmp_path / "x.npz", "base")


def test_entries_beside_arrays_are_never_unpacked(tmp_path: Path) -> None:
    """Nor is what lies outside of the folder."""
    content = archive(("../../evil.npy", npy(X)), ("/etc/evil", b"x"), kind=zipfile.ZIP_DEFLATED)
    (tmp_path / "x.npz").write_bytes(content)
    found = open_vectors(tmp_path / "x.npz", "base")
    assert found.n == len(X)
    assert found.npy_file is not None
    assert found.npy_file.name == "vectors.npy"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.npz"]


def test_a_bomb_is_told_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "x.npz", np.zeros((2_000_000, 8), np.float32))
    assert (tmp_path / "x.npz").stat().st_size < 100_000
    usage: Callable[[str], Any] = lambda _: type("Usage", (), {"free": 100 << 20})  # noqa: E731
    monkeypatch.setattr(shutil, "disk_usage", usage)
    with pytest.raises(
        ResourceError, match=r"takes 64,000,128 bytes unpacked, where .* has 104,857,600 free"
    ):
        open_vectors(tmp_path / "x.npz", "base")


@pytest.mark.parametrize("save", [np.savez_compressed, np.savez])
def test_a_full_disk_is_told(save: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """/dev/full takes nothing. What is not compressed needs no copy."""
    save(tmp_path / "x.npz", X)
    (tmp_path / "vectors.npy").symlink_to("/dev/full")
    monkeypatch.setattr(spool, "ScratchFolder", lambda: SimpleNamespace(path=tmp_path))
    if save is np.savez:
        assert open_vectors(tmp_path / "x.npz", "base").n == len(X)
        return
    with pytest.raises(ResourceError, match=r"and .* cannot take it \(No space left on device\): set TMPDIR"):
        open_vectors(tmp_path / "x.npz", "base")


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_every_kind_of_compression_that_is_damaged_is_told(kind: int, tmp_path: Path) -> None:
    content, rng = archive(("emb.npy", npy(X[:500])), kind=kind), np.random.default_rng(2)
    n_told = 0
    for place in rng.integers(0, len(content), 60):
        (tmp_path / "x.npz").write_bytes(flipped(content, int(place)))
        try:
            open_vectors(tmp_path / "x.npz", "base")
        except InputError:
            n_told += 1
    assert n_told > 40


def test_an_encrypted_file_is_told(tmp_path: Path) -> None:
    """Bit 0 of an entry's flags, in the archive's list and in front of the entry."""
    content = bytearray(GOOD)
    content[6] |= 1
    listed = content.rindex(b"PK\x01\x02")
    content[listed + 8] |= 1
    (tmp_path / "x.npz").write_bytes(bytes(content))
    with pytest.raises(InputError, match="is encrypted"):
        open_vectors(tmp_path / "x.npz", "base")
