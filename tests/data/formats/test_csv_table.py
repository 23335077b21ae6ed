"""Tables of text with names of columns: which of them are the vector, and which are ids."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tuner.data.formats import wanted
from tuner.data.formats.columns import column_of
from tuner.data.inputs import open_inputs
from tuner.data.vectors import open_vectors
from tuner.errors import InputError

X = np.random.default_rng(0).standard_normal((5_000, 9)).astype(np.float32)
IDS = [f"sku, {number}" for number in range(len(X))]
QUOTED = [f'"{each}"' for each in IDS]
NAMES = ",".join(f"dim_{number}" for number in range(9))
ROWS = [",".join(map(repr, row)) for row in X.tolist()]


def table(head: str, *before: object, after: str = "") -> str:
    """A table with cells before and after the numbers of each row."""
    lines = [head]
    for i, row in enumerate(ROWS):
        cells = [str(each[i] if isinstance(each, list) else each) for each in before]
        lines.append(",".join([*cells, row]) + after)
    return "\n".join(lines) + "\n"


def listed(begin: str = "[", between: str = ",") -> str:
    rows = [row.replace(",", between) for row in ROWS]
    return "\n".join(
        ["sku,price,embedding", *(f'{q},2.5,"{begin}{row}]"' for q, row in zip(QUOTED, rows, strict=True))]
    )


COUNT = list(range(len(X)))
TABLES = {
    "numbered columns behind ids": table(f"sku,{NAMES}", QUOTED),
    "ids that are numbers": table(f"product,{NAMES}", COUNT),
    "other numbers on both sides": table(f"sku,price,{NAMES},stock", QUOTED, 2.5, after=",7"),
    "numbers as names, as pandas writes them": table(",".join(map(str, range(9)))),
    "an index as pandas writes it": table("," + ",".join(map(str, range(9))), COUNT),
    "names without numbers behind an id": table("id,a,b,c,d,e,f,g,h,i", COUNT),
    "a name of two lines": table(f'"sku\n(ours)",{NAMES}', QUOTED),
    "lines before the names": "\n\n" + table(f"sku,{NAMES}", QUOTED),
    "a list": listed(),
    "a list as numpy writes it": listed("[ ", "\n  "),
}


@pytest.mark.parametrize("name", TABLES)
def test_the_vector_of_a_table_needs_no_naming(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    wanted = open_vectors(tmp_path / "x.npy", "base").fingerprint
    (tmp_path / "x.csv").write_text(TABLES[name])
    assert open_vectors(tmp_path / "x.csv", "base").fingerprint == wanted
    if name == "ids that are numbers":
        (tmp_path / "x.tsv").write_text(TABLES[name].replace(",", "\t"))
        assert open_vectors(tmp_path / "x.tsv", "base").fingerprint == wanted


def test_tables_that_pandas_wrote(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    np.save(tmp_path / "x.npy", X[:50])
    expected = open_vectors(tmp_path / "x.npy", "base").fingerprint
    frame = pandas.DataFrame(X[:50])
    frame.to_csv(tmp_path / "a.csv")
    frame.to_csv(tmp_path / "b.csv", index=False)
    pandas.DataFrame({"sku": IDS[:50], "embedding": X[:50].tolist()}).to_csv(tmp_path / "c.csv")
    for name in ("a", "b", "c"):
        assert open_vectors(tmp_path / f"{name}.csv", "base").fingerprint == expected, name
    assert column_of(tmp_path / "c.csv", "sku", frozenset(), wanted.IDS).tolist() == IDS[:50]
    pandas.DataFrame({"embedding": [np.arange(2_000.0)] * 2}).to_csv(tmp_path / "d.csv")
    with pytest.raises(InputError, match=r"d\.csv: the first row is no vector"):
        open_vectors(tmp_path / "d.csv", "base")


@pytest.mark.parametrize("name", ["numbered columns behind ids", "a list"])
def test_a_column_is_the_ids(name: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(TABLES[name])
    base, _ = open_inputs(tmp_path / "x.csv", None, "sku")
    assert base.ids is not None
    assert base.ids.tolist() == IDS
    with pytest.raises(InputError, match=r"--ids 'skus' is no file and no column of .*, which has sku"):
        open_inputs(tmp_path / "x.csv", None, "skus")


def test_a_number_beyond_float32_is_infinite(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('id,e\na,"[1e999, 2]"\nb,"[1 -1e60]"\n')
    found = open_vectors(tmp_path / "x.csv", "base").read(0, 2)
    np.testing.assert_array_equal(found, [[np.inf, 2], [1, -np.inf]])


def test_ids_that_could_be_a_number_of_the_vector_are_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("product,a,b\n7,1,2\n9,3,4\n")
    with pytest.raises(InputError, match="product stands among the numbers of the vectors: number the names"):
        column_of(tmp_path / "x.csv", "product", frozenset(), wanted.IDS)
    (tmp_path / "x.csv").write_text("id,a,b\n7,1,2\n9,3,4\n")
    assert column_of(tmp_path / "x.csv", "id", frozenset(), wanted.IDS).tolist() == ["7", "9"]


def test_a_row_without_its_id_is_told(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("e_0,e_1,sku\n1,2,a\n3,4\n")
    with pytest.raises(InputError, match="row 1 ends before sku: write it again"):
        column_of(tmp_path / "x.csv", "sku", frozenset(), wanted.IDS)


def test_one_of_several_is_named(tmp_path: Path) -> None:
    rows = [f"{a},{b}" for a, b in zip(ROWS, ROWS[::-1], strict=True)]
    head = ",".join([f"title_{n}" for n in range(9)] + [f"body_{n}" for n in range(9)])
    (tmp_path / "x.csv").write_text("\n".join([head, *rows]) + "\n")
    np.testing.assert_array_equal(open_vectors(tmp_path / "x.csv", "base", "body").read(0, 5_000), X[::-1])
    with pytest.raises(InputError, match="holds 2 matrices: say which with --column: there is title"):
        open_vectors(tmp_path / "x.csv", "base")
    with pytest.raises(InputError, match="has no column 'boddy': there is body"):
        open_vectors(tmp_path / "x.csv", "base", "boddy")


LISTS = listed().splitlines()
WRONG = {
    "no list": ([*LISTS[:5_000], "a,1,none"], "row 4999 has 'none' and no list of numbers"),
    "a shorter list": ([*LISTS[:4], 'a,1,"[1,2]"'], "row 3 has 2 numbers, where the first has 9"),
    "a row without it": ([*LISTS[:4], "a,1"], "row 3 has '' and no list of numbers"),
    "a list that was shortened": ([*LISTS[:4], 'a,1,"[1. ... 2.]"'], r"row 3 was shortened to '\.\.\.'"),
    "a cell without an end": ([*LISTS[:4], 'a,1,"[1,' + "2," * 200_000], "is no table"),
    "a word in a numbered column": (["sku,e0,e1", "a,1,2", "b,x,2"], "row 1, cell 2 is 'x'"),
    "words in all numbered columns": (["sku,e0,e1", "a,u,v"], "the first row is no vector"),
    "more cells than names": (["sku,e0", "a,1,2"], "the first row is no vector"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_table_of_vectors_is_told(name: str, tmp_path: Path) -> None:
    lines, message = WRONG[name]
    (tmp_path / "x.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(InputError, match=message):
        open_vectors(tmp_path / "x.csv", "base")
