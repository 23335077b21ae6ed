"""Labels, whatever they lie in, allow the rows that have any label of the query."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.filters import FiltersAsked, open_filters
from tuner.data.filters.label_sets import LabelSets, joined, labels_of_array, labels_of_values
from tuner.data.ids import named
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters

N, NQ = 60, 25
RNG = np.random.default_rng(5)
X = RNG.standard_normal((N, 4)).astype(np.float32)
Q = RNG.standard_normal((NQ, 4)).astype(np.float32)
WORDS = [f"wört {number}" for number in range(6)]
ONE = [WORDS[number] for number in RNG.integers(0, 6, N)]
ASKED = [WORDS[number] for number in RNG.integers(0, 6, NQ)]
SETS = [sorted({WORDS[each] for each in RNG.integers(0, 6, RNG.integers(0, 4))}) for _ in range(N)]
SETS[0] = list(WORDS)
ASKED_SETS = [sorted({WORDS[each] for each in RNG.integers(0, 6, RNG.integers(1, 4))}) for _ in range(NQ)]
NO_ROWS = np.zeros(0, dtype=np.int64)


def as_set(value: Any) -> set[str]:
    values = value if isinstance(value, list | tuple) else [value]
    return {str(each) for each in values if each not in (None, "")}


def expected(labels: list[Any], asked: list[Any]) -> np.ndarray:
    """Whether each query allows each row, pair by pair."""
    return np.array([[bool(as_set(row) & as_set(query)) for row in labels] for query in asked])


def masks(found: Filters) -> np.ndarray:
    return np.array([found.mask(number) for number in found.of_query])


def base_and_queries(x: np.ndarray = X) -> tuple[Vectors, Vectors]:
    return open_vectors(x, "base"), open_vectors(Q, "queries")


def given(labels: Any, asked: Any, x: Any = X, q: Any = Q) -> Filters:
    vectors = open_vectors(x, "base", "emb"), open_vectors(q, "queries", "emb")
    found = open_filters(FiltersAsked(labels, asked), vectors, (x, q), "emb")
    assert found is not None
    return found.filters(NO_ROWS)


def as_parquet(path: Path, values: list[Any]) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")
    pytest.importorskip("pyarrow.parquet").write_table(pa.table({"l": values}), path, row_group_size=7)


def as_arrow(path: Path, values: list[Any]) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")
    with pytest.importorskip("pyarrow.ipc").new_file(path, pa.schema([("l", pa.array(values).type)])) as out:
        out.write_table(pa.table({"l": values}), max_chunksize=11)


SINGLE: dict[str, Callable[[Path, list[Any]], object]] = {
    "l.npy": lambda path, values: np.save(path, np.array(values)),
    "l.txt": lambda path, values: path.write_text("\n".join(map(str, values)) + "\n", encoding="utf-8"),
    "l.npz": lambda path, values: np.savez(path, np.array(values)),
}
ANY: dict[str, Callable[[Path, list[Any]], object]] = {
    "l.json": lambda path, values: path.write_text(json.dumps(values)),
    "l.jsonl": lambda path, values: path.write_text("\n".join(map(json.dumps, values))),
    "objects.json": lambda path, values: path.write_text(json.dumps([{"l": each} for each in values])),
    "objects.jsonl": lambda path, values: path.write_text(
        "\n".join(json.dumps({"x": [1.5], "l": each}) for each in values).replace('"x": [1.5], ', "")
    ),
    "l.parquet": as_parquet,
    "l.arrow": as_arrow,
}


@pytest.mark.parametrize("name", [*SINGLE, *ANY])
def test_one_label_a_row_from_every_file(name: str, tmp_path: Path) -> None:
    write = (SINGLE | ANY)[name]
    write(tmp_path / name, ONE)
    write(tmp_path / f"q-{name}", ASKED)
    found = given(tmp_path / name, str(tmp_path / f"q-{name}"))
    np.testing.assert_array_equal(masks(found), expected(ONE, ASKED))
    assert len(found.bits) == len(set(ASKED))
    assert {found.names[number] for number in found.of_query} == set(ASKED)
    assert found.source == str(tmp_path / f"q-{name}")


@pytest.mark.parametrize("name", ANY)
def test_several_labels_a_row_from_every_file_that_has_lists(name: str, tmp_path: Path) -> None:
    ANY[name](tmp_path / name, SETS)
    ANY[name](tmp_path / f"q-{name}", ASKED_SETS)
    found = given(tmp_path / name, tmp_path / f"q-{name}")
    np.testing.assert_array_equal(masks(found), expected(SETS, ASKED_SETS))
    assert len(found.bits) == len({tuple(each) for each in ASKED_SETS})


def test_lists_arrays_and_tables_of_python() -> None:
    wanted = expected(SETS, ASKED_SETS)
    np.testing.assert_array_equal(masks(given(SETS, ASKED_SETS)), wanted)
    np.testing.assert_array_equal(masks(given([tuple(each) for each in SETS], ASKED_SETS)), wanted)
    np.testing.assert_array_equal(masks(given(np.array(ONE), ASKED)), expected(ONE, ASKED))
    np.testing.assert_array_equal(masks(given(np.array(ONE, dtype=object), ASKED)), expected(ONE, ASKED))


def test_columns_of_the_files_of_vectors(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    tables = [
        pa.table({"emb": x.tolist(), "tags": sets, "kind": one, "year": range(len(x))})
        for x, sets, one in ((X, SETS, ONE), (Q, ASKED_SETS, ASKED))
    ]
    paths = [tmp_path / "x.parquet", tmp_path / "q.parquet"]
    for table, path in zip(tables, paths, strict=True):
        pq.write_table(table, path)
    for x, q in (paths, tables):
        np.testing.assert_array_equal(masks(given("tags", "tags", x, q)), expected(SETS, ASKED_SETS))
        np.testing.assert_array_equal(masks(given("kind", "kind", x, q)), expected(ONE, ASKED))
    with pytest.raises(InputError, match=r"--labels 'knd' is no file and no column of .*which has kind"):
        given("knd", "kind", *paths)
    with pytest.raises(InputError, match=r"--query-labels 'knd' is no file and no column of .*q\.parquet"):
        given("kind", "knd", *paths)
    with pytest.raises(InputError, match=r"emb holds .*and labels are whole numbers or text, one or a list"):
        given("emb", "kind", *paths)


def test_labels_of_a_table_of_a_database(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="the extra 'duckdb' is not installed")
    for name, x, sets in (("x", X, SETS), ("q", Q, ASKED_SETS)):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb")) as file:
            file.execute("CREATE TABLE items (emb FLOAT[4], tags VARCHAR[])")
            file.executemany("INSERT INTO items VALUES (?, ?)", list(zip(x.tolist(), sets, strict=True)))
    found = given("tags", "tags", tmp_path / "x.duckdb", tmp_path / "q.duckdb")
    np.testing.assert_array_equal(masks(found), expected(SETS, ASKED_SETS))


def test_files_of_a_folder_follow_each_other(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    for number, part in enumerate((slice(0, 31), slice(31, N))):
        table = pa.table({"emb": X[part].tolist(), "tags": SETS[part]})
        pq.write_table(table, tmp_path / f"part-{number}.parquet")
    np.testing.assert_array_equal(masks(given("tags", ASKED_SETS, tmp_path)), expected(SETS, ASKED_SETS))


def test_nulls_empty_text_and_nulls_in_lists_are_no_label(tmp_path: Path) -> None:
    values = [["a", None], None, [], ["", "b"], ["a", "a", "b"]]
    pa = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")
    pq = pytest.importorskip("pyarrow.parquet")
    fixed = pa.array([["a", "b"], None, ["b", "b"], ["a", None], None], pa.list_(pa.string(), 2))
    words = pa.array(["a", None, "", "b", "a"]).dictionary_encode()
    pq.write_table(pa.table({"l": values}), tmp_path / "l.parquet")
    pq.write_table(pa.table({"l": words}), tmp_path / "words.parquet")
    as_arrow(tmp_path / "fixed.arrow", fixed)
    (tmp_path / "l.json").write_text(json.dumps(values))
    (tmp_path / "l.txt").write_text("a\n\n \nb\na\n")
    kinds = {
        "l.parquet": values,
        "l.json": values,
        "words.parquet": ["a", None, None, "b", "a"],
        "fixed.arrow": fixed.to_pylist(),
        "l.txt": ["a", "", "", "b", "a"],
    }
    for name, rows in kinds.items():
        found = given(tmp_path / name, ["a", "b"], X[:5], Q[:2])
        np.testing.assert_array_equal(masks(found), expected(rows, ["a", "b"]), err_msg=name)


@pytest.mark.parametrize("asked", [[7, 9], ["7", "9"], np.array([7, 9], dtype=np.uint64), [[7], ["9"][:1]]])
def test_a_number_and_its_text_are_one_label(asked: Any) -> None:
    if isinstance(asked, list) and isinstance(asked[0], list):
        asked = [["7"], ["9"]]
    found = given(np.array([7, 9, 7, 11]), asked, X[:4], Q[:2])
    assert masks(found).tolist() == [[True, False, True, False], [False, True, False, False]]


def test_rows_held_out_ask_for_their_own_labels() -> None:
    base = open_vectors(X, "base")
    found = open_filters(FiltersAsked(ONE), (base, None), (X, None))
    assert found is not None
    held_out = np.array([3, 17, 4])
    own = found.filters(held_out)
    np.testing.assert_array_equal(masks(own), expected(ONE, [ONE[row] for row in held_out]))
    assert (own.n, own.n_queries) == (N, 3)


def test_labels_are_of_all_rows_and_filters_of_those_that_are_kept() -> None:
    keys = np.where(np.arange(N) % 3 == 1, -1, np.arange(N))
    base, queries = named(open_vectors(X, "base"), keys), open_vectors(Q, "queries")
    kept = np.flatnonzero(keys >= 0)
    found = open_filters(FiltersAsked(SETS, ASKED_SETS), (base, queries), (X, Q))
    assert found is not None
    np.testing.assert_array_equal(masks(found.filters(NO_ROWS)), expected(SETS, ASKED_SETS)[:, kept])
    held_out = open_filters(FiltersAsked(ONE), (base, None), (X, None))
    assert held_out is not None
    np.testing.assert_array_equal(
        masks(held_out.filters(np.array([5]))), expected(ONE, [ONE[kept[5]]])[:, kept]
    )
    only_deleted = ["x" if row == 1 else "y" for row in range(N)]
    with pytest.raises(InputError, match="query 0 asks for 'x', and no row of the list of labels has"):
        open_filters(FiltersAsked(only_deleted, ["x"] * NQ), (base, queries), (X, Q))


def test_what_decides_is_in_the_fingerprint() -> None:
    base, queries = base_and_queries()

    def print_of(labels: Any, asked: Any) -> str:
        used = (base, queries) if asked is not None else (base, None)
        found = open_filters(FiltersAsked(labels, asked), used, (X, Q))
        assert found is not None
        return found.fingerprint

    other, other_asked = [*ONE[:-1], WORDS[ONE[-1] == WORDS[0]]], [*ASKED[:-1], WORDS[ASKED[-1] == WORDS[0]]]
    assert print_of(ONE, ASKED) == print_of(np.array(ONE), list(ASKED))
    prints = {print_of(*each) for each in ((ONE, ASKED), (other, ASKED), (ONE, other_asked), (ONE, None))}
    assert len(prints) == 4
    assert print_of(other, None) not in prints


@pytest.mark.parametrize(
    ("labels", "asked", "sentence"),
    [
        (ONE[:-1], ASKED, r"labels of 59 rows and base array has 60 rows: give one entry a row"),
        (["kind", *ONE], ASKED, "is the first, kind, a heading"),
        (ONE, ASKED[1:], "labels of 24 queries and queries array has 25 queries"),
        (
            ONE,
            [*ASKED[:7], "wörd", "wörd", *ASKED[9:]],
            "query 7 asks for 'wörd', and no row .*2 queries of 25",
        ),
        (ONE, [*ASKED[:3], ["nope", ASKED[3]], *ASKED[4:]], "query 3 asks for 'nope'.*1 query of 25"),
        (ONE, [*ASKED[:5], None, *ASKED[6:]], r"query 5 asks for no label \(1 query of 25"),
        ([None] * N, ASKED, "query 0 asks for"),
        (np.ones((N, 2), dtype=int), ASKED, r"shape \(60, 2\), but labels are a list"),
        (np.ones(N), ASKED, r"holds float64.*x\.astype\('int64'\)"),
        (np.ones(N, dtype=bool), ASKED, "holds bool"),
        ([1, "a", *ONE[2:]], ASKED, "row 1 holds 'a' where others hold 1: give numbers alone, or text alone"),
        ([*ONE[:9], 1.5, *ONE[10:]], ASKED, "row 9 holds 1.5, and labels are whole numbers or text"),
        ([*ONE[:9], True, *ONE[10:]], ASKED, "row 9 holds True, and labels"),
        ([*ONE[:9], ["a", ["b"]], *ONE[10:]], ASKED, r"row 9 holds \['b'\], and labels"),
        (ONE, None, "what the queries of queries array ask for: give that with --query-labels"),
        ([*ONE[:2], None, None, *ONE[4:]], "held out", r"row 2 has no label \(2 rows of 60 have none\)"),
        (ONE, "without queries", "--query-labels is for queries of your own"),
        (None, ASKED, "--query-labels is for --labels"),
        (
            "kind",
            ASKED,
            "--labels 'kind' is no file, and the base has no named columns: name a file of labels",
        ),
    ],
)
def test_what_does_not_fit_is_one_sentence(labels: Any, asked: Any, sentence: str) -> None:
    vectors: tuple[Vectors, Vectors | None] = base_and_queries()
    if asked in ("held out", "without queries"):
        vectors = vectors[0], None
        asked = None if asked == "held out" else ASKED
    with pytest.raises(InputError, match=sentence) as raised:
        open_filters(FiltersAsked(labels, asked), vectors, (X, Q))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("l.json", b'[["a", ["b"]]]', r"no JSON of labels \(.*\$\[0\]\[1\].*\): give one label a line"),
        ("l.json", b'[1, "a"]', "row 1 holds 'a' where others hold 1"),
        ("l.json", b"[1.5, 2]", "no JSON of labels"),
        ("l.json", b"[1, 2", "no JSON of labels"),
        ("l.jsonl", b'["a"]\n{"b": 1}', "no JSON of labels"),
        ("l.json", b'[{"a": 1, "b": 2}]', r"has 2 columns \(a, b\): save the labels alone"),
        ("l.txt", b"\xff\xfe1\x00", "neither .npy nor UTF-8 text: give a .npy of integers or of text"),
        ("l.npy", b"\x93NUMPY\x01\x00", "truncated"),
        ("l", b"IxFI\x04\0\0\0", "is a faiss index and no list of labels"),
        ("l", None, "does not exist"),
    ],
)
def test_files_that_are_no_labels_are_told(
    name: str, content: bytes | None, sentence: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=sentence):
        given(tmp_path / name, ["a"], X[:1], Q[:1])


def test_pickled_labels_are_not_opened(tmp_path: Path) -> None:
    np.save(tmp_path / "l.npy", np.array(["a", None], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="pickled"):
        given(tmp_path / "l.npy", ASKED)
    np.save(tmp_path / "m.npy", np.ones((N, 2), dtype=np.int64))
    with pytest.raises(InputError, match=r"m\.npy has shape \(60, 2\), but labels are a list"):
        given(tmp_path / "m.npy", ASKED)


def test_parts_with_other_labels_are_joined() -> None:
    whole = joined([labels_of_values([["b", "a"], None], "x"), labels_of_array(np.array([3, 3]), "y")])

    def rows(sets: LabelSets) -> list[set[str]]:
        return [set(sets.names[each].tolist()) for each in np.split(sets.codes, sets.starts[1:-1])]

    assert rows(whole) == [{"a", "b"}, set(), {"3"}, {"3"}]
    assert rows(whole.rows(np.array([3, 0]))) == [{"3"}, {"a", "b"}]
