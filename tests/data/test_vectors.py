"""Rows come back as they were stored, whatever the dtype, the memory order and the place."""

import hashlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tuner.data import vectors as module
from tuner.data.vectors import KINDS, open_vectors, row_hashes
from tuner.errors import InputError

Matrix = NDArray[Any]


@pytest.fixture(params=KINDS)
def stored(request: pytest.FixtureRequest) -> Matrix:
    return np.random.default_rng(7).uniform(0, 100, (103, 7)).astype(request.param)


@pytest.fixture(params=["array", "C file", "Fortran file", "Fortran array", "mapped array"])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 10 * 7 * 4)


def _put(matrix: Matrix, place: str, folder: Path) -> Matrix | Path:
    if place == "array":
        return matrix
    if place == "Fortran array":
        return np.asfortranarray(matrix)
    path = folder / "x.npy"
    np.save(path, np.asfortranarray(matrix) if place == "Fortran file" else matrix)
    return np.load(path, mmap_mode="r") if place == "mapped array" else path


@pytest.mark.usefixtures("small_blocks")
def test_rows_come_back_as_float32(stored: Matrix, place: str, tmp_path: Path) -> None:
    vectors = open_vectors(_put(stored, place, tmp_path), "base")
    expected = stored.astype(np.float32)
    scattered = np.array([102, 0, 1, 2, 50, 0, 9, 10])
    assert (vectors.n, vectors.d, vectors.dtype) == (103, 7, stored.dtype)
    np.testing.assert_array_equal(vectors.read(0, 103), expected, strict=True)
    np.testing.assert_array_equal(vectors.read(8, 33), expected[8:33], strict=True)
    np.testing.assert_array_equal(vectors.rows(scattered), expected[scattered], strict=True)
    assert vectors.rows(np.array([], dtype=np.int64)).shape == (0, 7)


@pytest.mark.usefixtures("small_blocks")
def test_fingerprint_is_of_the_values_not_of_the_place(stored: Matrix, place: str, tmp_path: Path) -> None:
    header = f"103 7 {stored.dtype.str} ".encode()
    expected = hashlib.blake2b(header + stored.tobytes(), digest_size=16).hexdigest()
    assert open_vectors(_put(stored, place, tmp_path), "base").fingerprint == expected


def test_fingerprint_tells_shape_dtype_and_one_value_apart() -> None:
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    changed = x.copy()
    changed[3, 5] += 1
    variants: list[Matrix] = [
        x,
        changed,
        x.reshape(6, 4),
        x.view(np.uint8).reshape(4, 24),
        x.astype(np.float16),
    ]
    assert len({open_vectors(variant, "base").fingerprint for variant in variants}) == 5


def test_big_endian_and_version_3_files_are_read(tmp_path: Path) -> None:
    x = np.arange(12, dtype=">f4").reshape(3, 4)
    with (tmp_path / "x.npy").open("wb") as file:
        np.lib.format.write_array(file, x, version=(3, 0))
    vectors = open_vectors(tmp_path / "x.npy", "base")
    np.testing.assert_array_equal(vectors.read(0, 3), x.astype(np.float32), strict=True)
    assert vectors.dtype == np.dtype("<f4")
    assert vectors.fingerprint == open_vectors(x.astype(np.float32), "base").fingerprint


def test_float64_beyond_float32_becomes_infinite_without_a_warning() -> None:
    assert np.isinf(open_vectors(np.array([[1e300, 0.0]]), "base").read(0, 1)).tolist() == [[True, False]]


def test_blocks_cover_all_rows_and_hold_at_most_4_mib() -> None:
    blocks = list(open_vectors(np.zeros((10_000, 300), dtype=np.float16), "base").blocks())
    assert blocks == [(0, 3495), (3495, 6990), (6990, 10_000)]
    wide = open_vectors(np.zeros((2, 2_000_000), dtype=np.int8), "base")
    assert list(wide.blocks()) == [(0, 1), (1, 2)]


@pytest.mark.parametrize("order", ["C", "F"])
def test_one_pass_over_a_file_holds_a_few_blocks(tmp_path: Path, order: str) -> None:
    np.save(tmp_path / "x.npy", np.zeros((200_000, 50), dtype=np.float32, order=order))  # type: ignore[call-overload]
    vectors = open_vectors(tmp_path / "x.npy", "base")
    tracemalloc.start()
    for start, stop in vectors.blocks():
        vectors.read(start, stop)
    assert vectors.fingerprint
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 * module.BLOCK_BYTES < vectors.n * vectors.d * 4


def test_what_was_read_is_the_callers_own() -> None:
    x = np.ones((3, 2), dtype=np.float32)
    open_vectors(x, "base").read(0, 3)[:] = 5
    assert x.tolist() == [[1, 1]] * 3


def test_a_private_mapping_keeps_what_the_user_wrote(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((4, 2), dtype=np.float32))
    mapped = np.load(tmp_path / "x.npy", mmap_mode="c")
    mapped[1] = 3
    assert open_vectors(mapped[1:], "base").read(0, 1).tolist() == [[3, 3]]
    assert mapped[1].tolist() == [3, 3]


@pytest.mark.parametrize("index", [[-1], [3], [0, 7]])
def test_rows_outside_are_refused(index: list[int]) -> None:
    with pytest.raises(IndexError, match="of 3"):
        open_vectors(np.zeros((3, 2)), "base").rows(np.array(index))


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((100, 4), dtype=np.float32))
    vectors = open_vectors(path, "base")
    path.write_bytes(path.read_bytes()[:-1])
    assert vectors.read(0, 99).shape == (99, 4)
    with pytest.raises(InputError, match=r"x\.npy became shorter"):
        vectors.read(0, 100)


def test_row_hashes_are_equal_where_all_bits_are() -> None:
    block = np.array([[1, 2], [2, 1], [1, 2], [0.0, 1], [-0.0, 1]], dtype=np.float32)
    hashes = row_hashes(block)
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 4


def test_what_was_computed_from_a_mapped_array_is_an_array(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(12, dtype=np.float64).reshape(4, 3))
    computed = np.load(tmp_path / "x.npy", mmap_mode="r")[:3].astype(np.float32)
    assert isinstance(computed, np.memmap)  # of no file
    assert open_vectors(computed, "base").read(0, 3).tolist() == computed.tolist()
