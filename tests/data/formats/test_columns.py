"""A column beside the vectors is the ids of their rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.inputs import open_inputs
from tuner.errors import InputError

reason = "the extra 'formats' is not installed"
h5py = pytest.importorskip("h5py", reason=reason)
pa = pytest.importorskip("pyarrow", reason=reason)
pq = pytest.importorskip("pyarrow.parquet", reason=reason)
feather = pytest.importorskip("pyarrow.feather", reason=reason)
ipc = pytest.importorskip("pyarrow.ipc", reason=reason)

N = 5_000
X = np.random.default_rng(0).standard_normal((N, 4)).astype(np.float32)
KEYS = np.arange(N) * 7 + 3
NAMES = [f"dök-{number}" for number in range(N)]


def table() -> Any:
    emb = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 4)
    return pa.table({"key": KEYS, "emb": emb, "name": NAMES, "score": np.ones(N)})


def stream(path: Path) -> None:
    with ipc.new_stream(path, table().schema) as out:
        out.write_table(table(), max_chunksize=999)


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["key"], file["emb"], file["score"] = KEYS, X, np.ones(N)
        file.create_dataset("name", data=NAMES, dtype=h5py.string_dtype())


def objects() -> list[dict[str, Any]]:
    rows = zip(KEYS.tolist(), X.tolist(), NAMES, strict=True)
    return [{"key": key, "emb": x, "name": name, "score": 1.5} for key, x, name in rows]


WRITERS: dict[str, Callable[[Path], object]] = {
    "x.parquet": lambda path: pq.write_table(table(), path, row_group_size=700),
    "x.feather": lambda path: feather.write_feather(table(), path, chunksize=999),
    "x.arrow": stream,
    "x.h5": hdf5,
    "x.npz": lambda path: np.savez(path, key=KEYS, emb=X, name=np.array(NAMES), score=np.ones(N)),
    "x.jsonl": lambda path: path.write_text("\n".join(map(json.dumps, objects()))),
    "x.json": lambda path: path.write_text(json.dumps(objects())),
}
ALL = pytest.mark.parametrize("name", WRITERS)


@ALL
def test_ids_are_a_column_of_the_file(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    numbers, _ = open_inputs(tmp_path / name, None, "key")
    assert numbers.ids is not None
    assert numbers.ids.tolist() == KEYS.tolist()
    assert numbers.ids_source == f"{tmp_path / name}[key]"
    texts, _ = open_inputs(str(tmp_path / name), None, "name")
    assert texts.ids is not None
    assert texts.ids.tolist() == NAMES
    np.testing.assert_array_equal(texts.read(0, N), X)


@ALL
def test_a_name_that_is_no_column_is_told(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    with pytest.raises(InputError, match=r"--ids 'kye' is no file and no column of .*x\."):
        open_inputs(tmp_path / name, None, "kye")
    with pytest.raises(InputError, match=r"score"):
        open_inputs(tmp_path / name, None, "score")
    with pytest.raises(InputError, match=r"emb"):
        open_inputs(tmp_path / name, None, "emb")


def test_columns_of_shards_follow_each_other(tmp_path: Path) -> None:
    for number in range(2):
        pq.write_table(table().slice(number * 2_000, 2_000), tmp_path / f"part-{number}.parquet")
    found, _ = open_inputs(tmp_path, None, "key")
    assert found.ids is not None
    assert found.ids.tolist() == KEYS[:4_000].tolist()


def test_ids_of_a_table_in_python() -> None:
    found, _ = open_inputs(table(), None, "key")
    assert found.ids is not None
    assert found.ids.tolist() == KEYS.tolist()
    with pytest.raises(InputError, match="--ids 'kye' is no file and no column of the base, which has key"):
        open_inputs(table(), None, "kye")


def test_a_file_without_columns_is_told(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(InputError, match=r"--ids 'key' is no file, and .*x.npy has no named columns"):
        open_inputs(tmp_path / "x.npy", None, "key")


def test_empty_rows_are_told(tmp_path: Path) -> None:
    held = pa.table({"key": [1, None], "emb": [[1.0, 2.0], [3.0, 4.0]]})
    pq.write_table(held, tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"key has empty rows \(null\)"):
        open_inputs(tmp_path / "x.parquet", None, "key")


@pytest.mark.parametrize("name", ["x.parquet", "x.arrow", "x.feather"])
def test_flipped_bytes_are_told_or_harmless(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    content, rng, messages = (tmp_path / name).read_bytes(), np.random.default_rng(2), []
    for place in (*rng.integers(0, 600, 40), *rng.integers(len(content) - 1_500, len(content), 60)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / name).write_bytes(bytes(damaged))
        try:
            open_inputs(tmp_path / name, None, "name")
        except InputError as error:
            messages.append(str(error))
    assert messages


ALONE: dict[str, Callable[[Path], object]] = {
    "x.parquet": lambda path: pq.write_table(table().select(["key"]), path),
    "x.feather": lambda path: feather.write_feather(table().select(["key"]), path),
    "x.npz": lambda path: np.savez(path, KEYS),
    "x.jsonl": lambda path: path.write_text("\n".join(f'{{"key": {key}}}' for key in KEYS)),
    "objects.json": lambda path: path.write_text(json.dumps([{"key": key} for key in KEYS.tolist()])),
    "list.json": lambda path: path.write_text("\ufeff" + json.dumps(KEYS.tolist())),
    "x.h5": lambda path: h5py.File(path, "w").create_dataset("key", data=KEYS).file.close(),
}


@pytest.mark.parametrize("name", ALONE)
def test_a_file_of_one_column_is_a_list_of_ids(name: str, tmp_path: Path) -> None:
    ALONE[name](tmp_path / name)
    for source in (tmp_path / name, str(tmp_path / name)):
        found, _ = open_inputs(X, None, source)
        assert found.ids is not None
        assert found.ids.tolist() == KEYS.tolist()


@ALL
def test_of_a_file_of_several_columns_none_is_guessed(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    with pytest.raises(
        InputError, match=r"has 4 columns \((key, emb, name|emb, key, name)[^)]*\): save the ids"
    ):
        open_inputs(X, None, tmp_path / name)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.jsonl", '{"key": 1}\n{"id": 2}', r"\(Object missing required field `key`.*\)"),
        ("x.json", "[1, [2]]", "is no JSON of ids"),
        ("x.json", "[]", r"has 0 columns \(none\)"),
        ("x.json", "[1, 2", r"is no JSON of ids \(Input data was truncated\)"),
        ("x.json", "[" * 100_000, "is no JSON of ids"),
        ("x.json", "[NaN]", "is no JSON of ids"),
    ],
)
def test_what_is_no_column_of_ids_is_told(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        open_inputs(X, None, tmp_path / name)


def test_a_key_with_quotes_is_told(tmp_path: Path) -> None:
    WRITERS["x.jsonl"](tmp_path / "x.jsonl")
    with pytest.raises(InputError, match="has quotes or control characters"):
        open_inputs(tmp_path / "x.jsonl", None, 'k"y')


def test_a_column_that_lies_in_another_file_is_not_read(tmp_path: Path) -> None:
    hdf5(tmp_path / "other.h5")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["emb"], file["key"] = X, h5py.ExternalLink(str(tmp_path / "other.h5"), "key")
        file.create_dataset("id", shape=(N,), dtype="i8", external=[(str(tmp_path / "other.h5"), 0, 8 * N)])
    for name in ("key", "id"):
        with pytest.raises(InputError, match=r"lies in other files: copy it into one"):
            open_inputs(tmp_path / "x.h5", None, name)
