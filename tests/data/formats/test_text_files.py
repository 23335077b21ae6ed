"""Rows of numbers in text, and words with their vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.vectors import open_vectors
from tuner.errors import InputError

X = np.random.default_rng(0).standard_normal((9_000, 7)).astype(np.float32)


def lines(x: np.ndarray[Any, Any], separator: str, words: bool = False) -> str:
    rows = [separator.join(map(repr, row)) for row in x.tolist()]
    if words:
        rows = [f"{'two words' if number % 9 == 1 else 'w'} {row}" for number, row in enumerate(rows)]
    return "\n".join(rows) + "\n"


WRITTEN = {
    "commas": ("x.csv", lines(X, ",")),
    "commas and spaces": ("x.csv", lines(X, ", ")),
    "names of columns": ("x.csv", "a,b,c,d,e,f,g\n" + lines(X, ",")),
    "names in quotes": ("x.csv", '"a","b","c","d","e","f","g"\r\n' + lines(X, ",").replace("\n", "\r\n")),
    "a mark of UTF-8": ("x.csv", "\ufeff" + lines(X, ",")),
    "no end of line": ("x.csv", lines(X, ",").rstrip()),
    "empty lines": ("x.csv", lines(X, ",").replace("\n", "\n\n")),
    "tabs": ("x.tsv", lines(X, "\t")),
    "spaces": ("x.txt", lines(X, "  ")),
    "GloVe": ("x.txt", lines(X, " ", words=True)),
    "word2vec": ("x.vec", "9000 7\n" + lines(X, " ", words=True)),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_the_rows_are_those_of_the_npy_file(name: str, tmp_path: Path) -> None:
    file, text = WRITTEN[name]
    (tmp_path / file).write_bytes(text.encode())
    np.save(tmp_path / "x.npy", X)
    found = open_vectors(tmp_path / file, "base")
    assert (found.n, found.d) == X.shape
    assert found.fingerprint == open_vectors(tmp_path / "x.npy", "base").fingerprint


def test_two_whole_numbers_a_row_are_vectors(tmp_path: Path) -> None:
    """And no head of word2vec, before which words would stand."""
    (tmp_path / "x.txt").write_text("3 2\n4 5\n6 7\n")
    np.testing.assert_array_equal(
        open_vectors(tmp_path / "x.txt", "base").read(0, 3), [[3, 2], [4, 5], [6, 7]]
    )


CSV = lines(X, ",").splitlines()
WRONG: dict[str, tuple[str, bytes | str, str]] = {
    "a word among numbers": ("x.csv", "\n".join([*CSV[:6_000], "1,2,x,4,5,6,7"]), r"row 6000, cell 3 is 'x'"),
    "a cell left out": ("x.csv", "\n".join([*CSV[:5], "1,2,,4,5,6,7"]), "row 5, cell 3 is ''"),
    "a short row": (
        "x.csv",
        "\n".join([*CSV[:5], "1,2,3"]),
        "row 5 has 3 numbers, where the one before has 7",
    ),
    "a short row at a block": ("x.csv", "\n".join([*CSV[:4_096], "1,2,3"]), "row 4096 has 3 numbers, where"),
    "a long row": ("x.csv", "\n".join([*CSV[:5], CSV[5] + ",1"]), "row 5 has 8 numbers"),
    "prose": ("x.txt", "What is this?\nNothing.\n", "the first row is no vector"),
    "a table with names in it": ("x.csv", "id,name\n1,ann\n2,bob\n", "the first row is no vector"),
    "names alone": ("x.csv", "a,b,c\n", "the first row is no vector"),
    "empty lines": ("x.csv", "\n\n\n", "the first row is no vector"),
    "other bytes": ("x.csv", b"1,2\n\xff\xfe,3\n", "no UTF-8 text"),
    "zeros": ("x.txt", b"\0" * 100, "the first row is no vector"),
    "a word without its vector": ("x.txt", "a 1 2\nb 1\n", r"row 1, cell .* is 'b'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_vector_is_told_by_its_row(name: str, tmp_path: Path) -> None:
    file, text, message = WRONG[name]
    (tmp_path / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message) as caught:
        open_vectors(tmp_path / file, "base")
    assert str(caught.value).startswith(str(tmp_path / file))
