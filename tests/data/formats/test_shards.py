"""The files of a folder or of a pattern are one matrix, in the order of their names."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.vectors import open_vectors
from tuner.errors import InputError

X = np.random.default_rng(0).standard_normal((2_000, 12)).astype(np.float32)
CUTS = (0, 700, 701, 1_500, 2_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four files of 700, 1, 799 and 500 rows, and what others leave beside them."""
    found = tmp_path / "shards"
    found.mkdir()
    for number, (start, stop) in enumerate(pairwise(CUTS)):
        np.save(found / f"part-{number:05}-of-00004.npy", X[start:stop])
    (found / "_SUCCESS").touch()
    (found / ".part.npy").write_bytes(b"hidden")
    (found / "dataset_info.json").write_text("{}")
    return found


@pytest.mark.parametrize("pattern", ["", "*.npy", "part-*"])
def test_the_rows_are_those_of_one_file(folder: Path, pattern: str) -> None:
    np.save(folder.parent / "x.npy", X)
    found = open_vectors(str(folder / pattern) if pattern else folder, "base")
    assert (found.n, found.d, found.npy_file) == (2_000, 12, None)
    assert found.fingerprint == open_vectors(folder.parent / "x.npy", "base").fingerprint
    some = np.random.default_rng(1).permutation(2_000)[:300]
    np.testing.assert_array_equal(found.rows(some), X[some])
    np.testing.assert_array_equal(found.read(699, 702), X[699:702])
    np.testing.assert_array_equal(found.read(1_500, 2_000), X[1_500:])


def test_one_file_of_a_folder_is_that_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert open_vectors(tmp_path, "base").source == str(tmp_path / "x.npy")


def test_a_folder_of_base_and_queries_is_not_joined(tmp_path: Path) -> None:
    for name, x in (("train-00000-of-00002", X[:9]), ("train-00001-of-00002", X[9:50]), ("test", X[:3])):
        np.save(tmp_path / f"{name}.npy", x)
    assert (open_vectors(tmp_path, "base").n, open_vectors(tmp_path, "queries").n) == (50, 3)


def test_files_of_other_columns_or_types_are_told(folder: Path) -> None:
    np.save(folder / "part-00009.npy", X[:, :5])
    with pytest.raises(InputError, match=r"part-00009\.npy is 2000 x 5, where .*00004\.npy is 700 x 12"):
        open_vectors(folder, "base")
    np.save(folder / "part-00009.npy", X.astype(np.float16))
    with pytest.raises(InputError, match=r"part-00009\.npy has dtype float16, where .* has float32"):
        open_vectors(folder, "base")
    np.save(folder / "part-00009.npy", X[0])
    with pytest.raises(InputError, match=r"part-00009\.npy is 12, where"):
        open_vectors(folder, "base")
    (folder / "part-00009.npy").write_bytes(b"")
    with pytest.raises(InputError, match=r"part-00009\.npy is empty"):
        open_vectors(folder, "base")


def test_a_folder_of_several_formats_or_none_is_told(folder: Path) -> None:
    np.savez(folder / "x.npz", X)
    with pytest.raises(InputError, match=r"is a directory of \.npy and \.npz files: say which"):
        open_vectors(folder, "base")
    assert open_vectors(str(folder / "*.npz"), "base").n == 2_000
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match="is a directory without files of vectors"):
        open_vectors(folder / "empty", "base")
    with pytest.raises(InputError, match=r"\*\.fvecs does not exist"):
        open_vectors(str(folder / "*.fvecs"), "base")


def test_a_name_with_an_asterisk_is_that_file(tmp_path: Path) -> None:
    np.save(tmp_path / "x[1]*.npy", X[:5])
    np.save(tmp_path / "x1y.npy", X)
    assert open_vectors(tmp_path / "x[1]*.npy", "base").n == 5


def test_a_dataset_of_hugging_face_is_a_folder_of_streams(tmp_path: Path) -> None:
    """As ``datasets`` saves them: streams of Arrow, with what it computed beside them."""
    pa: Any = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")
    for name, x in (
        ("data-00000-of-00002", X[:900]),
        ("data-00001-of-00002", X[900:]),
        ("cache-0123456789abcdef", X[:3]),
    ):
        table = pa.table({"text": ["a"] * len(x), "embedding": list(x)})
        file = str(tmp_path / f"{name}.arrow")
        with pa.OSFile(file, "wb") as out, pa.ipc.new_stream(out, table.schema) as stream:
            stream.write_table(table, max_chunksize=250)
    (tmp_path / "state.json").write_text("{}")
    found = open_vectors(tmp_path, "base")
    assert found.n == 2_000
    np.testing.assert_array_equal(found.read(0, 2_000), X)
    path = tmp_path / "data-00001-of-00002.arrow"
    content = path.read_bytes()
    for damaged in (content[:30], content[: len(content) // 2], content[:8] + b"\xff" * 90 + content[98:]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged or truncated Arrow stream"):
            open_vectors(tmp_path, "base")
