"""Filters as conditions of SQL over the columns beside the vectors, which DuckDB reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.filters.fixed import FixedFilters, OneForAll, n_in_file, refuse_empty, refuse_many_bits
from tuner.data.formats.csv_table import SEPARATORS, csv_names
from tuner.data.formats.packages import package
from tuner.data.formats.regular import look_at
from tuner.data.formats.shards import files_of
from tuner.data.formats.signatures import format_of
from tuner.data.matrix import SUFFIXES
from tuner.data.sources import is_address
from tuner.data.sources.address import Address
from tuner.data.sources.duckdb import CLOSED, connected_table
from tuner.data.sources.remote import fetched
from tuner.data.sources.tables import quoted
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters
from tuner.text import counted, one_line

ROW = "row of tune"
"""Name of the column that counts the rows, which no table is expected to have."""
AT_ONCE = 32
"""Conditions of one statement."""
READABLE = "conditions are asked of Parquet, CSV and DuckDB files"


@dataclass(frozen=True)
class Table:
    """What conditions are asked of.

    Attributes:
        source: name in messages.
        place: what stands behind FROM: all rows, with their numbers in ``ROW``.
    """

    connection: Any
    source: str
    place: str


def by_condition(
    condition: str, base: Vectors, path: str | Path, column: str | None, n_queries: int | None
) -> OneForAll:
    """Return the filter that all queries share: the rows for which a condition is true.

    Args:
        condition: SQL over the columns of the base; where it is NULL the row is not allowed.
        base: vectors to index.
        path: file, folder, pattern or address of the base.
        column: name of the vectors among several.
        n_queries: number of the user's queries, None where rows are held out.

    Raises:
        InputError: it is no condition, or allows no row.
    """
    source = f"--where {one_line(condition)!r:.80}"
    with _opened(path, column) as table:
        mask = _kept(_masks(table, [condition], [source])[0], table, base)
    found = OneForAll(source, one_line(condition), mask, n_queries)
    if not mask.any():
        raise InputError(f"{source} allows no row of {base.source}: correct it")
    return found


def by_conditions(
    conditions: Sequence[str], named: str, base: Vectors, path: str | Path, column: str | None
) -> FixedFilters:
    """Return the filters of queries that have a condition each.

    Args:
        conditions: the condition of each query.
        named: name of the conditions in messages.

    Raises:
        InputError: one is no condition, or allows no row.
        ResourceError: there are too many different ones.
    """
    texts, first, of_query = np.unique(
        np.array(conditions, dtype=np.str_), return_index=True, return_inverse=True
    )
    refuse_many_bits(len(texts), base.n, named)
    sources = [
        f"{named}: query {query}, {one_line(str(text))!r:.80},"
        for query, text in zip(first, texts, strict=True)
    ]
    asked, bits = [str(text) for text in texts], []
    with _opened(path, column) as table:
        for start in range(0, len(asked), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            masks = _masks(table, asked[part], sources[part])
            bits += [np.packbits(_kept(mask, table, base), bitorder="little") for mask in masks]
    names = tuple(map(one_line, asked))
    filters = Filters(np.array(bits), of_query.astype(np.int64), base.n, named, names)
    refuse_empty(filters, base.source)
    return FixedFilters(named, filters)


def _kept(mask: NDArray[np.bool_], table: Table, base: Vectors) -> NDArray[np.bool_]:
    n = n_in_file(base)
    if len(mask) != n:
        raise InputError(
            f"{table.source} has {counted(len(mask), 'row')} for DuckDB and {counted(n, 'row')} of vectors: "
            "write it again as Parquet"
        )
    return mask if base.kept is None else mask[base.kept]


def _masks(table: Table, conditions: list[str], sources: list[str]) -> list[NDArray[np.bool_]]:
    """Return for which rows (n,) each condition is true."""
    for condition, source in zip(conditions, sources, strict=True):
        _check(table, condition, source)
    try:
        return _asked(table, conditions, sources[0])
    except InputError:  # of one of them: it is found alone
        return [_asked(table, [each], source)[0] for each, source in zip(conditions, sources, strict=True)]


def _check(table: Table, condition: str, source: str) -> None:
    """Raise InputError unless DuckDB takes a condition for one value of true or false a row."""
    if not condition.strip():
        raise InputError(f"{source} is empty: write a condition, or TRUE for all rows")
    with _reason_in_words(source):
        statements = table.connection.extract_statements(_statement(table, [condition]))
        if len(statements) != 1:
            raise InputError(f"{source} is several statements: write one condition")
        found = table.connection.execute(f"{statements[0].query} LIMIT 0").description
    kind = str(found[1][1])
    if len(found) != 2 or kind != "BOOLEAN":
        raise InputError(
            f"{source} gives {kind} for a row, and a condition is true or false: compare it with something"
        )


def _statement(table: Table, conditions: list[str]) -> str:
    # a line of its own each, as a condition may end with a comment
    values = ", ".join(f"(\n{each}\n)" for each in conditions)
    return f"SELECT {quoted(ROW)}, {values} FROM {table.place}"  # noqa: S608 - the user's own


def _asked(table: Table, conditions: list[str], source: str) -> list[NDArray[np.bool_]]:
    with _reason_in_words(source):
        names, rows = [f"c{place}" for place in range(len(conditions))], "rows"
        asked = f"SELECT * FROM ({_statement(table, conditions)}) AS asked({', '.join([rows, *names])})"  # noqa: S608 - the user's own
        found = table.connection.execute(asked).fetchnumpy()
    numbers = np.asarray(found[rows]).astype(np.int64)
    masks = []
    for name in names:
        mask = np.zeros(len(numbers), dtype=np.bool_)
        mask[numbers] = np.ma.filled(found[name], False).astype(np.bool_)  # NULL is not allowed
        masks.append(mask)
    return masks


@contextmanager
def _reason_in_words(source: str) -> Iterator[None]:
    """Turn what DuckDB raises over a condition into a sentence."""
    duckdb = package("duckdb", source, "a condition")
    try:
        yield
    except duckdb.Error as error:
        lines = str(error).splitlines()
        raise InputError(f"{source} is no condition for DuckDB ({one_line(lines[0])}): correct it") from None


@contextmanager
def _opened(path: str | Path, column: str | None) -> Iterator[Table]:
    """Give the table of a file, which can reach nothing but itself."""
    shown = str(path)
    if isinstance(path, str) and is_address(path):
        address = Address.of(path)
        if address.scheme in ("postgresql", "postgres", "chroma", "qdrant"):
            raise InputError(f"--where cannot be asked of {address.shown}: {READABLE}")
        shown, path = address.shown, fetched(address).path
    files = files_of(str(path), "base", SUFFIXES) or [Path(path)]
    kinds = {_kind(each) for each in files}
    if len(kinds) != 1 or None in kinds:
        raise InputError(f"--where cannot be asked of {shown}: {READABLE}")
    (kind,) = kinds
    if kind == "duckdb":
        with connected_table(files[0], shown, column) as (connection, place):
            yield Table(connection, shown, _numbered(place, "ORDER BY rowid"))
        return
    duckdb = package("duckdb", "--where", "a condition of SQL")
    with duckdb.connect(":memory:") as connection:
        paths = [str(each.resolve()) for each in files]
        connection.execute("SET allowed_paths = " + _list(paths))
        for setting, value in CLOSED.items():
            connection.execute(f"SET {setting} = {value}")
        yield Table(connection, shown, _numbered(_reader(str(kind), paths)))


def _kind(path: Path) -> str | None:
    """Return how DuckDB reads a file, None where it is not asked to."""
    suffix, found = path.suffix.lower(), format_of(look_at(path, str(path))[1])
    if found is None and suffix in SEPARATORS and csv_names(path):
        return suffix
    return {"a parquet file": "parquet", "a DuckDB file": "duckdb"}.get(found or "")


def _numbered(place: str, order: str = "") -> str:
    """Return all rows of a table with their numbers, which follow the order in the file."""
    return f"(SELECT *, row_number() OVER ({order}) - 1 AS {quoted(ROW)} FROM {place})"  # noqa: S608 - quoted


def _reader(kind: str, paths: list[str]) -> str:
    if kind == "parquet":
        return f"read_parquet({_list(paths)})"
    separator = SEPARATORS[kind].replace("\t", "\\t")
    form = f"header = true, delim = '{separator}', quote = '\"', escape = '\"', sample_size = -1"
    return f"read_csv({_list(paths)}, {form})"


def _list(paths: list[str]) -> str:
    inner = ", ".join("'" + each.replace("'", "''") + "'" for each in paths)
    return f"[{inner}]"
