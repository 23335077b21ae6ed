"""Files of texmex and big-ann-benchmarks are read as a .npy file of the same rows; damaged ones are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.vectors import open_vectors
from tuner.errors import InputError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3_000, 128)).astype(np.float32)
BYTES = RNG.integers(0, 256, (3_000, 128)).astype(np.uint8)


def counted(x: np.ndarray[Any, Any]) -> bytes:
    """Rows that begin with their number of columns."""
    row = np.dtype([("d", "<i4"), ("x", x.dtype, x.shape[1:])])
    rows = np.empty(len(x), dtype=row)
    rows["d"], rows["x"] = x.shape[1], x
    return rows.tobytes()


def headed(x: np.ndarray[Any, Any]) -> bytes:
    """Rows behind their number and that of their columns."""
    return np.array(x.shape, "<u4").tobytes() + x.tobytes()


GOOD: dict[str, tuple[np.ndarray[Any, Any], bytes]] = {
    "x.fvecs": (X, counted(X)),
    "wide.fvecs": (np.tile(X[:50], 5), counted(np.tile(X[:50], 5))),
    "x.bvecs": (BYTES, counted(BYTES)),
    "x.fbin": (X, headed(X)),
    "x.u8bin": (BYTES, headed(BYTES)),
    "x.i8bin": (BYTES.view(np.int8), headed(BYTES.view(np.int8))),
    "UPPER.FBIN": (X, headed(X)),
}


@pytest.mark.parametrize("name", GOOD)
def test_the_rows_are_those_of_the_npy_file(name: str, tmp_path: Path) -> None:
    x, content = GOOD[name]
    (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "x.npy", x)
    found, wanted = open_vectors(tmp_path / name, "base"), open_vectors(tmp_path / "x.npy", "base")
    assert (found.n, found.d, found.dtype) == (*x.shape, x.dtype)
    assert found.fingerprint == wanted.fingerprint
    some = RNG.permutation(len(x))[:100]
    np.testing.assert_array_equal(found.rows(some), x[some].astype(np.float32))
    assert found.npy_file is None
    assert wanted.npy_file == tmp_path / "x.npy"


def changed(content: bytes, place: int, value: int) -> bytes:
    return content[:place] + np.int32(value).tobytes() + content[place + 4 :]


FVECS, FBIN = GOOD["x.fvecs"][1], GOOD["x.fbin"][1]
DAMAGED = {
    "cut in a row": ("x.fvecs", FVECS[:-1], r"truncated or damaged: .* after 515 bytes of row 2,999"),
    "cut in its first number": ("x.fvecs", FVECS[:3], "truncated inside its header"),
    "no columns": ("x.fvecs", changed(FVECS, 0, 0), "says that it has 0 columns"),
    "too many columns": ("x.fvecs", changed(FVECS, 0, 1 << 30), "says that it has 1,073,741,824 columns"),
    "negative columns": ("x.fvecs", changed(FVECS, 0, -5), r"columns, so it is damaged or no \.fvecs"),
    "other columns": ("x.fvecs", changed(FVECS, 0, 100), "truncated or damaged: rows of 100 columns"),
    "floats called bytes": (
        "x.bvecs",
        FVECS[: 516 * 100],
        "truncated or damaged: rows of 128 columns take 132",
    ),
    "text": ("x.fvecs", b"word 1 2 3\n" * 9, "damaged"),
    "cut behind its header": ("x.fbin", FBIN[:9], r"is truncated: its header says 3,000 x 128 float32"),
    "cut by a byte": ("x.fbin", FBIN[:-1], "is truncated: its header says"),
    "cut in its header": ("x.fbin", FBIN[:7], "truncated inside its header"),
    "more than its header says": ("x.fbin", FBIN + b"x", "no such file or damaged"),
    "rows beyond all bounds": ("x.fbin", changed(FBIN, 0, -2), "4,294,967,294 x 128"),
    "floats called bytes, headed": ("x.u8bin", FBIN, "no such file or damaged"),
    "neighbours": ("x.ivecs", counted(np.zeros((3, 4), "<i4")), "exact neighbours of queries"),
    "neighbours, headed": ("x.ibin", headed(np.zeros((3, 4), "<i4")), "exact neighbours of queries"),
    "no rows": ("x.fbin", headed(np.zeros((0, 4), np.float32)), "has no rows"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_told_in_one_sentence(name: str, tmp_path: Path) -> None:
    file, content, message = DAMAGED[name]
    (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        open_vectors(tmp_path / file, "base")
    assert str(caught.value).startswith(str(tmp_path / file))


def test_a_row_of_another_length_is_told_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.fvecs").write_bytes(changed(FVECS, 516 * 2_345, 64))
    found = open_vectors(tmp_path / "x.fvecs", "base")
    np.testing.assert_array_equal(found.read(0, 2_345), X[:2_345])
    with pytest.raises(InputError, match="row 2345 says that it has 64 columns, where the first has 128"):
        found.read(0, found.n)


def test_a_file_that_shrinks_while_it_is_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.fbin"
    path.write_bytes(FBIN)
    found = open_vectors(path, "base")
    path.write_bytes(FBIN[:-200])
    with pytest.raises(InputError, match="became shorter while it was read"):
        found.read(0, found.n)
