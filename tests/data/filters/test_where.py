"""Conditions of SQL over the columns beside the vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.data.filters import FiltersAsked, open_filters
from tuner.data.filters import where as filters_where
from tuner.data.ids import named
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters

duckdb = pytest.importorskip("duckdb", reason="the extra 'duckdb' is not installed")
pa = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")
pq = pytest.importorskip("pyarrow.parquet")

N, NQ = 5_000, 90
RNG = np.random.default_rng(2)
X = RNG.standard_normal((N, 4)).astype(np.float32)
Q = X[:NQ] + np.float32(0.1)
YEARS = RNG.integers(1990, 2025, N)
LANGUAGES = [None if each == 3 else f"l'{each}" for each in RNG.integers(0, 4, N)]
NEW = YEARS > 2015
HELD_OUT = np.arange(30)


def table() -> Any:
    return pa.table({"emb": X.tolist(), "year": YEARS, "language": LANGUAGES, "fresh": NEW})


def parquet(folder: Path) -> Path:
    pq.write_table(table(), folder / "x.parquet", row_group_size=640)
    return folder / "x.parquet"


def parts(folder: Path) -> Path:
    (folder / "parts").mkdir()
    for number, start in enumerate(range(0, N, 1_900)):
        pq.write_table(table().slice(start, 1_900), folder / "parts" / f"part-{number}.parquet")
    return folder / "parts"


def csv(folder: Path) -> Path:
    frame = pytest.importorskip("pandas", reason="pandas is not installed").DataFrame(table().to_pydict())
    frame.to_csv(folder / "x.csv", index=False)
    return folder / "x.csv"


def tsv(folder: Path) -> Path:
    frame = pytest.importorskip("pandas", reason="pandas is not installed").DataFrame(table().to_pydict())
    frame.to_csv(folder / "x.tsv", index=False, sep="\t")
    return folder / "x.tsv"


def database(folder: Path) -> Path:
    with duckdb.connect(str(folder / "x.duckdb")) as file:
        file.register("given", table())
        file.execute("CREATE TABLE items AS SELECT emb::FLOAT[4] AS emb, year, language, fresh FROM given")
        file.execute("INSERT INTO items SELECT * FROM items LIMIT 9")
        file.execute("DELETE FROM items WHERE rowid >= ?", [N])
    return folder / "x.duckdb"


WRITERS = (parquet, parts, csv, tsv, database)


def given(where: str, path: Path, queries: Any = None, keys: Any = None) -> Filters:
    base = named(open_vectors(path, "base", "emb"), keys)
    asked = None if queries is None else open_vectors(queries, "queries", "emb")
    found = open_filters(FiltersAsked(where=where), (base, asked), (path, queries), "emb")
    assert found is not None
    return found.filters(HELD_OUT if queries is None else np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize("write", WRITERS)
def test_rows_are_allowed_where_a_condition_is_true(write: Any, tmp_path: Path) -> None:
    path = write(tmp_path)
    found = given("year > 2015", path)
    np.testing.assert_array_equal(found.mask(0), NEW)
    assert (len(found.bits), found.n_queries, found.of_query.tolist()) == (1, 30, [0] * 30)
    assert found.names == ("year > 2015",)
    for text, expected in (
        ("language <> 'l''1' -- with a comment", [each not in (None, "l'1") for each in LANGUAGES]),
        ("fresh", NEW),
        (
            "year IN (1999, 2001) OR language IS NULL",
            (YEARS == 1999) | (YEARS == 2001) | np.array([each is None for each in LANGUAGES]),
        ),
        ("row_number() OVER (ORDER BY year DESC) <= 100 AND year > 2000", None),
    ):
        mask = given(text, path).mask(0)
        if expected is None:  # ties are broken as DuckDB likes
            assert mask.sum() == 100
            assert YEARS[mask].min() >= np.sort(YEARS)[-100]
        else:
            np.testing.assert_array_equal(mask, expected, err_msg=text)


def test_queries_may_be_given_or_have_a_condition_each(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    texts = [f"year = {1990 + number % 35}" for number in range(NQ)]
    pq.write_table(pa.table({"emb": Q.tolist(), "condition": texts}), tmp_path / "q.parquet")
    one = given("year > 2015", path, tmp_path / "q.parquet")
    assert (one.n_queries, len(one.bits)) == (NQ, 1)
    each = given("condition", path, tmp_path / "q.parquet")
    assert (each.n_queries, len(each.bits)) == (NQ, 35)
    for query in range(NQ):
        np.testing.assert_array_equal(each.mask(each.of_query[query]), 1990 + query % 35 == YEARS)
    assert each.names[each.of_query[3]] == "year = 1993"
    assert one.source == "--where 'year > 2015'"
    assert each.source == f"{tmp_path / 'q.parquet'}[condition]"


def test_rows_that_were_deleted_are_left_out(tmp_path: Path) -> None:
    keys = np.where(np.arange(N) % 3 == 1, -1, np.arange(N))
    found = given("year > 2015", parquet(tmp_path), keys=keys)
    np.testing.assert_array_equal(found.mask(0), NEW[keys >= 0])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("yaer > 2015", r"is no condition for DuckDB \(Binder Error: .*yaer.*\): correct it"),
        ("year >", r"is no condition for DuckDB \(Parser Error"),
        ("year > 2015) FROM x; SELECT (1", "is (no condition for DuckDB|several statements)"),
        ("year", "gives BIGINT for a row, and a condition is true or false"),
        ("fresh, fresh", "a condition is true or false"),
        (" ", "is empty: write a condition"),
        ("year > 3000", r"--where 'year > 3000' allows no row of .*x\.parquet"),
        ("language::INT > 3", r"is no condition for DuckDB \(Conversion Error"),
        ("count(*) > 3", "is no condition for DuckDB"),
        ("year > (SELECT count(*) FROM read_csv('/etc/passwd'))", r"is no condition for DuckDB \(Permission"),
        ("year > (SELECT count(*) FROM read_text('other.txt'))", r"is no condition for DuckDB \(Permission"),
    ],
)
def test_what_is_no_condition_is_told_with_the_reason(text: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=sentence) as raised:
        given(text, parquet(tmp_path))
    assert "\n" not in str(raised.value)


def test_of_many_conditions_the_wrong_one_is_named(tmp_path: Path) -> None:
    path, texts = parquet(tmp_path), [f"year > {1990 + number % 9}" for number in range(NQ)]
    for wrong, sentence in (
        ("yaer > 3", r"query 44, 'yaer > 3', is no condition for DuckDB \(Binder Error"),
        ("language::INT > 3", r"query 44, 'language::INT > 3', is no condition for DuckDB \(Conversion"),
        ("year > 3000", r"the filter of query 44, 'year > 3000', allows no row of .*\(1 query of 90"),
        ("", "query 44, '', is empty"),
    ):
        texts[44] = wrong
        pq.write_table(pa.table({"emb": Q.tolist(), "condition": texts}), tmp_path / "q.parquet")
        with pytest.raises(InputError, match=sentence):
            given("condition", path, tmp_path / "q.parquet")


def test_conditions_that_are_no_text_are_told(tmp_path: Path) -> None:
    path = parquet(tmp_path)
    pq.write_table(pa.table({"emb": Q.tolist(), "c": [None, *["fresh"] * (NQ - 1)]}), tmp_path / "q.parquet")
    with pytest.raises(InputError, match=r"c has empty rows \(null\), and conditions are one a row"):
        given("c", path, tmp_path / "q.parquet")


def test_files_without_columns_are_told(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(
        InputError, match=r"--where cannot be asked of .*x\.npy: conditions are asked of Parquet"
    ):
        given("year > 3", tmp_path / "x.npy")
    base = open_vectors(X, "base")
    with pytest.raises(InputError, match="name one of Parquet, CSV or DuckDB"):
        open_filters(FiltersAsked(where="year > 3"), (base, None), (X, None))


def test_the_line_that_installs_duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = parquet(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(InputError, match=r"pip install 'duckdb==[\d.]+'"):
        given("year > 3", path)


def test_rows_that_duckdb_counts_otherwise_are_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, numbered = parquet(tmp_path), filters_where._numbered

    def fewer(place: str, order: str = "") -> str:
        return numbered(f"(SELECT * FROM {place} LIMIT {N - 1})", order)  # noqa: S608 - a test

    monkeypatch.setattr(filters_where, "_numbered", fewer)
    with pytest.raises(InputError, match=r"has 4,999 rows for DuckDB and 5,000 rows of vectors"):
        given("year > 3", path)
