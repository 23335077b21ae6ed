"""Rows that are equal bit for bit: told apart by their bits, listed beside an index, and found again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data import copies as module
from tuner.data import vectors
from tuner.data.copies import Copies, copies_among, copies_of, groups_of, list_bytes, read_copies, with_copies
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.report.faiss_lines import copies_lines
from tuner.runtime.steps import result_of

X = np.array([[9, 9], [1, 2], [3, 4], [1, 2], [5, 6], [3, 4], [1, 2]], dtype=np.float32)


def groups(x: np.ndarray) -> list[int]:
    found: list[int] = result_of(groups_of(open_vectors(x, "base"))).tolist()
    return found


def test_rows_of_one_vector_have_one_number_in_the_order_seen() -> None:
    assert groups(X) == [0, 1, 2, 1, 3, 2, 1]


def test_rows_of_one_hash_are_told_apart_by_their_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "row_hashes", lambda block: np.zeros(len(block), dtype=np.int64))
    assert groups(X) == [0, 1, 2, 1, 3, 2, 1]
    monkeypatch.setattr(module, "BLOCK_BYTES", 1)
    assert groups(X) == [0, 1, 2, 1, 3, 2, 1]


def test_zero_and_minus_zero_are_two_and_what_float32_holds_alike_is_one() -> None:
    assert groups(np.array([[0.0, 1], [-0.0, 1], [0.0, 1]], dtype=np.float32)) == [0, 1, 0]
    assert groups(np.array([[1.0, 1], [1 + 1e-12, 1]])) == [0, 0]


def test_some_rows_of_a_file_stand_for_their_copies_among_these() -> None:
    copies = copies_of(np.array([0, 1, 2, 1, 3, 2, 1]), np.array([2, 3, 4, 5, 6]))
    assert copies.first.tolist() == [2, 3, 4]
    assert copies.weights.tolist() == [2, 2, 1]
    assert copies.members.tolist() == [2, 5, 3, 6, 4]
    assert copies.numbers.tolist() == [-1, -1, 0, 1, 2, 0, 1]
    assert copies.n_copies == 2


def test_a_list_names_ids_of_the_index_and_their_copies_in_order() -> None:
    copies = copies_among(open_vectors(X, "base"), None)
    assert copies.pairs(None).tolist() == [[1, 3], [1, 6], [2, 5]]
    ids = np.array([70, 60, 50, 40, 30, 20, 10])
    assert copies.pairs(ids).tolist() == [[50, 20], [60, 40], [60, 10]]


def test_bytes_of_a_list_are_those_of_its_file(tmp_path: Path) -> None:
    for m in (0, 1, 12_345_678):
        pairs = np.zeros((min(m, 1), 2), dtype=np.int64)
        pairs = np.broadcast_to(pairs[:1] if m else pairs, (m, 2))
        path = tmp_path / f"{m}.npy"
        if m < 10:
            module.write_copies(pairs, path)
            assert path.stat().st_size == list_bytes(m)
            assert read_copies(path).shape == (m, 2)
        else:
            np.lib.format.open_memmap(path, "w+", np.int64, (m, 2)).flush()
            assert path.stat().st_size == list_bytes(m)


def test_copies_follow_the_row_that_they_repeat() -> None:
    pairs = copies_among(open_vectors(X, "base"), None).pairs(None)
    found = np.array([[1, 4, 2], [2, -1, -1], [0, 4, 2]])
    ids, places = with_copies(pairs, found, 3)
    assert ids.tolist() == [[1, 3, 6], [2, 5, -1], [0, 4, 2]]
    assert places.tolist() == [[0, 0, 0], [0, 0, 1], [0, 1, 2]]


def test_the_lines_of_a_report_do_the_same(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    copies = copies_among(open_vectors(np.float32(rng.integers(0, 4, (300, 3))), "base"), None)
    pairs = copies.pairs(rng.permutation(10_000)[:300])
    known = np.unique(pairs[:, 0])
    found = np.array([rng.choice(known, 8, replace=False) for _ in range(50)])
    found[3, 5:] = -1
    near = np.sort(rng.random((50, 8)).astype(np.float32), axis=1)
    wanted, places = with_copies(pairs, found, 8)
    module.write_copies(pairs, tmp_path / "copies.npy")
    names: dict[str, Any] = {"np": np, "distances": near, "ids": found}
    exec("\n".join(copies_lines(8, str(tmp_path / "copies.npy"))), names)  # noqa: S102 - our own lines
    assert np.array_equal(names["distances"], np.take_along_axis(near, places, axis=1))
    assert np.array_equal(names["ids"], wanted)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "is missing"),
        (b"", "is empty"),
        (b"not numpy at all", r"is no \.npy array"),
        (np.zeros((3, 2)), r"holds float64 of shape \(3, 2\)"),
        (np.zeros((3, 3), dtype=np.int64), r"holds int64 of shape \(3, 3\)"),
        (np.array([[5, 1], [3, 2]]), "not in the order"),
        (np.array([["a", "b"]], dtype=object), "pickled"),
    ],
)
def test_a_list_that_is_none_gets_one_sentence(content: Any, text: str, tmp_path: Path) -> None:
    path = tmp_path / "copies.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.save(path, content, allow_pickle=True)
    with pytest.raises(InputError, match=text) as refused:
        read_copies(path)
    assert "\n" not in str(refused.value)


def test_a_truncated_list_gets_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "copies.npy"
    module.write_copies(np.arange(20).reshape(10, 2), path)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="is truncated"):
        read_copies(path)


def test_an_answer_gives_no_more_rows_than_were_asked_for() -> None:
    copies = Copies(np.array([0]), np.arange(1000), np.array([0, 1000]))
    assert copies.expanded(np.array([[0, -1]]), 3).tolist() == [[0, 1, 2]]
