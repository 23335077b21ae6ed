"""Lists of the user's own ids: numbers, text, deleted rows, and one sentence for what is none."""

from pathlib import Path

import numpy as np
import pytest

from tuner.data.ids import IdSource, describe_rows, named, read_ids
from tuner.data.profile import scan
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError
from tuner.runtime.steps import result_of

ROWS = np.arange(20, dtype=np.float32).reshape(5, 4)
KEYS = np.array([7, 2**62, 5, 0, 9])


@pytest.fixture
def vectors(tmp_path: Path) -> Vectors:
    np.save(tmp_path / "base.npy", ROWS)
    return open_vectors(tmp_path / "base.npy", "base")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7\n4611686018427387904\n5\n0\n9\n", KEYS),
        ("\ufeff7\r\n4611686018427387904\r\n5\r\n0\r\n9", KEYS),
        ("a\nb\n\nd\n e \n", np.array(["a", "b", "", "d", "e"])),
        ("1\n2\n\n4\n5\n", np.array([1, 2, -1, 4, 5])),
        ("007\n8\n9\n10\n11\n", np.array(["007", "8", "9", "10", "11"])),
    ],
)
def test_a_text_file_has_one_id_a_line(tmp_path: Path, text: str, expected: np.ndarray) -> None:
    path = tmp_path / "ids.txt"
    path.write_bytes(text.encode())
    found = read_ids(path).names
    assert found.dtype.kind == expected.dtype.kind
    assert found.tolist() == expected.tolist()


@pytest.mark.parametrize(
    "source",
    [
        KEYS,
        KEYS.astype(np.uint64),
        KEYS.astype(str),
        KEYS.astype("S19"),
        KEYS.tolist(),
        np.array(KEYS.tolist(), dtype=object),
    ],
)
def test_numbers_are_numbers_however_they_are_kept(source: IdSource, tmp_path: Path) -> None:
    assert read_ids(source).names.tolist() == KEYS.tolist()
    if isinstance(source, np.ndarray) and source.dtype != object:
        np.save(tmp_path / "ids.npy", source)
        assert read_ids(tmp_path / "ids.npy").names.tolist() == KEYS.tolist()


def test_rows_that_were_deleted_on_purpose_are_left_out(vectors: Vectors) -> None:
    assert describe_rows(named(vectors, KEYS)) == ""
    left = named(vectors, ["a", "", "c", "", "e"])
    assert (left.n, left.source) == (3, vectors.source)
    assert left.ids is not None
    assert left.ids.tolist() == ["a", "c", "e"]
    np.testing.assert_array_equal(left.read(0, 3), ROWS[[0, 2, 4]])
    np.testing.assert_array_equal(left.rows(np.array([2, 0])), ROWS[[4, 0]])
    rows = left.in_file(np.array([1, 2]))
    assert rows is not None
    assert rows.tolist() == [2, 4]
    assert left.fingerprint == open_vectors(ROWS[[0, 2, 4]], "base").fingerprint
    assert describe_rows(left).startswith("2 rows of ")
    assert "deleted on purpose" in describe_rows(left)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ([1, 2, 3, 4], "has 4 ids and .* has 5 rows: give one id a row, and -1 .* deleted on purpose"),
        (["id", "a", "b", "c", "d", "e"], "leave the heading id out"),
        ([1, 2, 3, 2, 2], r"has 2 for row 1 and row 3 \(2 of its ids are repeated\)"),
        (["a", "b", "a", "", ""], "has a for row 0 and row 2"),
        ([-1] * 5, "marks every row as deleted"),
        (np.arange(5.0), r"holds float64.*x\.astype\('int64'\)"),
        (np.arange(10).reshape(5, 2), r"has shape \(5, 2\), but ids are a list"),
        (np.array([0, 1, 2, 3, 2**63], dtype=np.uint64), "below 2\\^63"),
    ],
)
def test_what_is_no_list_of_these_rows_is_refused(vectors: Vectors, source: IdSource, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        named(vectors, source)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"IxFI\x04\0\0\0", "is a faiss index and no list of ids"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer and no list of ids"),
        (b"\xff\xfe1\x00", "neither .npy nor UTF-8 text"),
        (None, "does not exist"),
    ],
)
def test_other_files_are_named(tmp_path: Path, data: bytes | None, sentence: str) -> None:
    path = tmp_path / "ids"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match=sentence):
        read_ids(path)


def test_pickled_ids_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "ids.npy", np.array(["a", None], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled"):
        read_ids(tmp_path / "ids.npy")


def test_a_bad_row_is_named_by_its_number_in_the_file() -> None:

    rows = ROWS.copy()
    rows[3] = np.nan
    with pytest.raises(InputError, match="the first is row 3"):
        result_of(scan(named(open_vectors(rows, "base"), [-1, 1, -1, 3, 4]), "l2", seed=0))
