"""JSON documents and lines are read as the .npy file of the same rows; what is no vector is told by row."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tuner.data.vectors import open_vectors
from tuner.errors import InputError, ResourceError

X = np.random.default_rng(0).standard_normal((5_000, 12)).astype(np.float32)
ROWS = X.tolist()
OBJECTS = [{"id": number, "text": "a [1, 2", "emb": row, "tags": ["x"]} for number, row in enumerate(ROWS)]
TEXTS = {
    "rows.json": json.dumps(ROWS),
    "pretty.json": json.dumps(ROWS, indent=1),
    "objects.json": json.dumps(OBJECTS),
    "lists.json": json.dumps({"train": ROWS, "test": ROWS[:40], "n": 5_000, "names": ["a"]}),
    "rows.jsonl": "\n".join(map(json.dumps, ROWS)) + "\n\n",
    "objects.jsonl": "\n".join(map(json.dumps, OBJECTS)),
    "objects.ndjson": "\n\n" + "\r\n".join(map(json.dumps, OBJECTS)),
    "lines.json": "\n".join(map(json.dumps, OBJECTS)),
    "marked.json": "\ufeff" + json.dumps(ROWS),
    "marked.jsonl": "\ufeff" + "\n".join(map(json.dumps, ROWS)),
    "marked lines.json": "\ufeff" + "\n".join(map(json.dumps, OBJECTS)),
    "row lines.json": "\n\n".join(map(json.dumps, ROWS)),
    "a row a line.json": "[" + ",\n".join(map(json.dumps, ROWS)) + "]\n\n",
    "rows": json.dumps(ROWS),
    "objects.data": json.dumps(OBJECTS),
}


def written(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return folder / name


@pytest.mark.parametrize("name", TEXTS)
def test_rows_are_those_of_the_npy_file(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    found = open_vectors(written(tmp_path, name, TEXTS[name]), "base")
    assert found.fingerprint == open_vectors(tmp_path / "x.npy", "base").fingerprint
    assert found.source.endswith((name, "[emb]", "[train]"))


def test_lists_of_usual_names_are_told_apart(tmp_path: Path) -> None:
    path = written(tmp_path, "lists.json", TEXTS["lists.json"])
    assert open_vectors(path, "queries").n == 40


@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_a_key_says_which(name: str, tmp_path: Path) -> None:
    objects = [{"title": row[:4], "body": row} for row in ROWS[:50]]
    text = json.dumps(objects) if name == "x.json" else "\n".join(map(json.dumps, objects))
    path = written(tmp_path, name, text)
    with pytest.raises(InputError, match=r"holds 2 matrices: say which with --column: there is title \? x 4"):
        open_vectors(path, "base")
    assert open_vectors(path, "base", "body").d == 12
    with pytest.raises(InputError, match="has no key 'bdy': there is body"):
        open_vectors(path, "base", "bdy")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", "[[1, 2], [3]]", r"x.json: row 1 has 1 numbers, where the first has 2"),
        ("x.jsonl", "[1, 2]\n[3, 4]\n[5]\n", "row 2 has 1 numbers, where the first has 2"),
        (
            "x.jsonl",
            '{"emb": [1, 2]}\n{"emb": null}\n',
            r"row 1 is no vector \(Expected `array`, got",
        ),
        ("x.jsonl", '{"emb": [1, 2]}\n{"id": 4}\n', "row 1 is no vector .*missing required field `emb`"),
        (
            "x.json",
            '[{"emb": [1, 2]}, {"emb": [1, "a"]}]',
            "row 1 is no vector .*Expected `float`",
        ),
        ("x.json", "[[1, 2], [3, NaN]]", "holds NaN, and JSON has no such number: leave such rows out"),
        ("x.json", "[[1, 2], [3, -Infinity]]", "holds -Infinity, and JSON has no such number"),
        ("x.jsonl", "[1, 2]\n[3, NaN]\n", r"row 1 is no vector \(NaN, and JSON has no such number\)"),
        ("x.jsonl", "[1, Infinity]\n", r"row 0 is no vector \(Infinity, and JSON has no such number\)"),
        ("x.jsonl", "[1, 2]\n[3, x]\n", "row 1 is no vector .*malformed"),
        ("x.jsonl", '{"q\\"x": [1, 2]}\n', "the key 'q\"x' has quotes or control characters: rename it"),
        ("x.json", "[[1, 2], [3, 4", "is not JSON: write it again"),
        ("x.json", "[" * 100_000, "is not JSON: write it again"),
        ("x.json", '{"a": ' * 100_000, "is not JSON: write it again"),
        ("x.json", "[]", "has no rows"),
        ("x.json", '{"emb": []}', r"holds no matrix \(n, d\)"),
        ("x.json", "[1, 2, 3]", "holds a number where rows of numbers should be"),
        ("x.json", '["a"]', "holds text where rows of numbers should be"),
        ("x.json", '{"id": 3}', r"holds no matrix \(n, d\)"),
        ("x.jsonl", "3\n4\n", "holds a number where rows should be"),
        ("x.jsonl", "[]\n[]\n", "has no columns"),
        ("x.jsonl", "\n\n", "row 0 is no vector .*truncated"),
        ("x.jsonl", '{"emb": "[1, 2]"}\n', r"holds no matrix \(n, d\)"),
    ],
)
def test_what_is_no_vector_is_told(name: str, text: str, message: str, tmp_path: Path) -> None:
    path = written(tmp_path, name, text)
    with pytest.raises(InputError, match=message) as caught:
        open_vectors(path, "base")
    assert str(caught.value).startswith(str(path))


def test_a_row_is_counted_over_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.data.formats.json_text.BLOCK_BYTES", 1_000)
    path = written(tmp_path, "x.jsonl", TEXTS["rows.jsonl"].rstrip() + "\n[1]\n")
    with pytest.raises(InputError, match="row 5000 has 1 numbers"):
        open_vectors(path, "base")


def test_text_that_is_no_utf8_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b'{"emb": [1, 2], "a": "\xff"}\n')
    with pytest.raises(InputError, match=r"is not JSON|no UTF-8"):
        open_vectors(tmp_path / "x.jsonl", "base")


def test_a_document_that_memory_cannot_hold_is_told_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path, "x.json", TEXTS["rows.json"])
    short = psutil.virtual_memory()._replace(available=path.stat().st_size)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: short)
    with pytest.raises(
        ResourceError, match=r"read whole, and memory is short: write a row a line \(.jsonl\)"
    ):
        open_vectors(path, "base")


def test_flipped_bytes_are_told_or_harmless(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name in ("objects.json", "objects.jsonl", "rows.json"):
        small: Any = OBJECTS[:20] if "objects" in name else ROWS[:20]
        messages: list[str] = []
        text = json.dumps(small) if name.endswith(".json") else "\n".join(map(json.dumps, small))
        for _ in range(150):
            damaged = bytearray(text.encode())
            damaged[int(rng.integers(len(damaged)))] ^= 1 << int(rng.integers(8))
            (tmp_path / name).write_bytes(bytes(damaged))
            try:
                found = open_vectors(tmp_path / name, "base")
                found.read(0, found.n)
            except InputError as error:
                messages.append(str(error))
            assert all(message.startswith(str(tmp_path / name)) for message in messages)
