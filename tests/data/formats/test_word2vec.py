"""The binary file of word2vec: its vectors are those of the .npy file, damage is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tuner.data.formats import word2vec
from tuner.data.vectors import open_vectors
from tuner.errors import InputError

X = np.random.default_rng(0).standard_normal((3_000, 10)).astype(np.float32)


def binary(x: np.ndarray, end: bytes = b"\n") -> bytes:
    """Return what word2vec.c writes; gensim writes no line ends."""
    words = [f"wörd{number}".encode() for number in range(len(x))]
    rows = b"".join(word + b" " + row.tobytes() + end for word, row in zip(words, x, strict=True))
    return f"{len(x)} {x.shape[1]}\n".encode() + rows


@pytest.mark.parametrize("end", [b"\n", b""])
@pytest.mark.parametrize("block", [300, 4 << 20])
def test_vectors_are_those_of_the_npy_file(
    end: bytes, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(word2vec, "BLOCK_BYTES", block)
    (tmp_path / "w.bin").write_bytes(binary(X, end))
    np.save(tmp_path / "x.npy", X)
    found = open_vectors(tmp_path / "w.bin", "base")
    assert found.fingerprint == open_vectors(tmp_path / "x.npy", "base").fingerprint


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-30],
        lambda data: data.replace(b" ", b"_").replace(b"3000_10", b"3000 10"),
        lambda data: data.replace(b"3000 10\n", b"3100 10\n") + b"\0" * 4_000,
        lambda data: data.replace(b"3000 10\n", b"3000 11\n") + b"\0" * 20_000,
        lambda data: data[:2_000] + b"x" * (len(data) - 2_000),
    ],
)
def test_damage_is_told_or_ends_in_wrong_rows_of_the_right_shape(
    damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    (tmp_path / "w.bin").write_bytes(damage(binary(X)))
    seen = ""
    try:
        seen = f"{tmp_path / 'w.bin'} {open_vectors(tmp_path / 'w.bin', 'base').n}"
    except InputError as error:
        seen = str(error)
    assert seen.startswith(str(tmp_path / "w.bin"))


def test_a_file_that_ends_within_a_vector_is_told(tmp_path: Path) -> None:
    data = binary(X)
    (tmp_path / "w.bin").write_bytes(data[: len(data) - 20])
    with pytest.raises(InputError, match=r"says 3,000 words of 10 numbers, and word 2999 has none"):
        open_vectors(tmp_path / "w.bin", "base")


def test_raw_numbers_are_no_such_file(tmp_path: Path) -> None:
    (tmp_path / "raw.bin").write_bytes(X.tobytes())
    with pytest.raises(InputError, match="fromfile"):
        open_vectors(tmp_path / "raw.bin", "base")
