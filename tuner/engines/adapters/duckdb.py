"""DuckDB with its vss extension: in this process, in a database file of its own."""

from __future__ import annotations

import mmap
import re
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from tuner.engines.common import refuse_to_drop
from tuner.engines.filtered import TAGS, describe_steps, narrowed
from tuner.engines.filtering import FilterMeans, Tags
from tuner.engines.protocol import (
    NO_LIMIT,
    OF_GRAPH,
    Capabilities,
    Defaults,
    Deployment,
    Engine,
    EngineCodec,
)
from tuner.errors import InputError
from tuner.text import one_line
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

CAPABILITIES = Capabilities(
    name="duckdb",
    title="DuckDB + vss",
    language="sql",
    codecs=(EngineCodec(name="FLOAT", nearest="fp32", bits=32),),
    defaults=Defaults(codec="FLOAT", M=16, ef_construction=128, ef_search=64),
    tested="vss 1.5.5 on DuckDB 1.5.5",
    runs="embedded",
    packages=("duckdb==1.5.5", "duckdb-extension-vss==1.5.5", "pyarrow>=15"),
    modules=("duckdb", "duckdb_extension_vss", "pyarrow"),
    M=(2, 512),
    ef_construction=(1, NO_LIMIT),
    fallbacks=(
        "a search by another distance function than the index's metric scans the table exactly",
        "WHERE is applied to the k rows that the index found, so that fewer come back",
        "hnsw_ef_search of 0 or less is the index's own ef_search",
        "an index in a database file needs a setting that its makers call experimental",
    ),
    reports=(*OF_GRAPH, "ef_search", "index_used"),
    filters=FilterMeans(
        how="WHERE is applied to the rows that the index found, so ef_search of them are fetched by "
        "an inner LIMIT, and those that are allowed are kept",
        ef_counts="every row",
        scans="a statement of its own over the rows that are allowed, that the application chooses",
        source="run: vss 1.5.5 on DuckDB 1.5.5; read: issue 82 of duckdb-vss",
        cannot="search its graph with a filter: where fewer than k of those rows are allowed, fewer "
        "than k come back, and nothing says so",
    ),
    bytes_are="blocks of 256 KiB that the serialized index, vectors included, takes in the database file",
)
METRICS: dict[Metric, tuple[str, str]] = {
    "cosine": ("cosine", "array_cosine_distance"),
    "ip": ("ip", "array_negative_inner_product"),
    "l2": ("l2sq", "array_distance"),
}
PERSIST = "SET hnsw_enable_experimental_persistence = true;"


def create_table(config: EngineConfig, table: str, *, tagged: bool = False) -> str:
    """Return the statement that makes the table."""
    tags = f"{TAGS} INTEGER[], " if tagged else ""
    return f"CREATE TABLE {table} (id BIGINT, {tags}embedding FLOAT[{config.d}]);"


def create_index(config: EngineConfig, table: str) -> str:
    """Return the statement that makes the index."""
    return (
        f"CREATE INDEX {table}_hnsw ON {table} USING HNSW (embedding)\n"
        f"  WITH (metric = '{METRICS[config.metric][0]}', M = {config.M}, M0 = {2 * config.M}, "
        f"ef_construction = {config.ef_construction}, ef_search = {config.ef_search});"
    )


def set_session(config: EngineConfig) -> str:
    """Return what every session that searches must set."""
    return f"SET hnsw_ef_search = {config.ef_search};"


def select(config: EngineConfig, table: str) -> str:
    """Return the search for one query."""
    distance = METRICS[config.metric][1]
    return (
        f"SELECT id FROM {table}\n"
        f"  ORDER BY {distance}(embedding, $query::FLOAT[{config.d}]) LIMIT {config.k};"
    )


def select_tagged(config: EngineConfig, table: str, tag: str = "$tag") -> str:
    """Return the search that fetches ef_search rows and keeps those with a tag."""
    distance, most = METRICS[config.metric][1], max(config.ef_search, config.k)
    return (
        f"SELECT id FROM (SELECT id, {TAGS}, {distance}(embedding, $query::FLOAT[{config.d}]) AS distance\n"
        f"  FROM {table} ORDER BY distance LIMIT {most}) AS found\n"
        f"  WHERE list_contains({TAGS}, {tag}) ORDER BY distance LIMIT {config.k};"
    )


def scan(config: EngineConfig, table: str, tag: str = "$tag") -> str:
    """Return the search that scans the rows with a tag."""
    distance = METRICS[config.metric][1]
    return (
        f"WITH allowed AS MATERIALIZED (\n"
        f"  SELECT id, embedding FROM {table} WHERE list_contains({TAGS}, {tag}))\n"
        f"  SELECT id FROM allowed ORDER BY {distance}(embedding, $query::FLOAT[{config.d}]) "
        f"LIMIT {config.k};"
    )


def _filtered_body(config: EngineConfig, table: str) -> list[str]:
    """Return the statements of filtered search, none where no filters were measured."""
    narrow = narrowed(config)
    if narrow is None:
        return []
    return [
        "",
        f"-- filtered search: {TAGS} stands for the columns that you filter by, $tag for what is asked for;",
        "-- the inner LIMIT is hnsw_ef_search",
        *(f"-- {line}" for line in describe_steps(config, "hnsw_ef_search")),
        set_session(narrow),
        select_tagged(narrow, table),
        "-- the scan:",
        scan(config, table),
    ]


def body(config: EngineConfig) -> str:
    """Return the whole configuration as SQL."""
    table = "items"
    return "\n".join(
        [
            "INSTALL vss;",
            "LOAD vss;",
            create_table(config, table, tagged=config.filters is not None),
            "-- load the vectors before the index is made",
            "-- only for a database in a file: EXPERIMENTAL say its makers, a crash may spoil the index,",
            "-- so be ready to make it again; a database in memory does not need this",
            PERSIST,
            create_index(config, table),
            "",
            "-- in every session that searches",
            set_session(config),
            "-- $query is a parameter, a list of numbers",
            select(config, table),
            *_filtered_body(config, table),
        ]
    )


def check(config: EngineConfig) -> None:
    """Make the index on an empty table in memory.

    Raises:
        InputError: DuckDB is installed and refuses it.
    """
    if find_spec("duckdb") is None or find_spec("duckdb_extension_vss") is None:
        return
    import duckdb  # noqa: PLC0415 - as every engine's packages

    with duckdb.connect() as connection:
        try:
            connection.execute(load())
            connection.execute(create_table(config, "items"))
            connection.execute(create_index(config, "items"))
        except duckdb.Error as error:
            raise InputError(f"DuckDB refuses it: {one_line(str(error))}") from None


def load() -> str:
    """Return the statement that loads the extension from its package."""
    import duckdb_extension_vss  # noqa: PLC0415

    folder = Path(duckdb_extension_vss.__file__).parent / "extensions"
    found = sorted(folder.glob("*/vss.duckdb_extension"))
    if not found:
        raise InputError(f"duckdb-extension-vss holds no extension: pip install {CAPABILITIES.packages[1]!r}")
    return "LOAD '{}'".format(str(found[-1]).replace("'", "''"))


class RunningDuckdb:
    """One table with one index, in a database file."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        import duckdb  # noqa: PLC0415

        self.config, self.table = config, deployment.name
        self.file = deployment.folder / "tune.duckdb"
        self.bytes_before = 0
        self.made = not self.file.exists()
        self.tagged, self.tags = deployment.tagged, Tags(np.zeros(1, np.int64), np.zeros(0, np.int64))
        self.connection: Any = duckdb.connect(str(self.file), config={"threads": deployment.threads})
        try:
            self._run(load())
            if self._one("SELECT count(*) FROM duckdb_tables() WHERE table_name = ?", [self.table]):
                refuse_to_drop("a table", deployment)
                self._run(f"DROP TABLE {self.table}")
                self.made = True
            self._run(create_table(config, self.table, tagged=self.tagged))
        except BaseException:
            self.close()
            raise

    def add(self, first: int, x: FloatArray) -> None:
        """Load rows by Arrow."""
        import pyarrow as pa  # noqa: PLC0415

        columns = {"id": pa.array(np.arange(first, first + len(x)))}
        if self.tagged:
            columns[TAGS] = pa.array(self.tags.of_rows(first, len(x)), type=pa.list_(pa.int32()))
        columns["embedding"] = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), self.config.d)
        self.connection.register("rows_to_add", pa.table(columns))
        self._run(f"INSERT INTO {self.table} SELECT {', '.join(columns)} FROM rows_to_add")
        self.connection.unregister("rows_to_add")

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search for rows with a tag."""
        found = self.connection.execute(self._tagged(k, tag, scanned=scan), {"query": query.tolist()})
        return [row[0] for row in found.fetchall()]

    def _tagged(self, k: int, tag: int, *, scanned: bool) -> str:
        return (scan if scanned else select_tagged)(replace(self.config, k=k), self.table, str(tag))

    def answers_from_index(self, tag: int, *, scan: bool) -> bool:
        """Return whether the planner takes the graph."""
        statement = "EXPLAIN " + self._tagged(self.config.k, tag, scanned=scan)
        plan = self.connection.execute(statement, {"query": [0.5] * self.config.d}).fetchall()
        return "HNSW_INDEX_SCAN" in plan[0][1]

    def build(self) -> None:
        """Make the index and write it to the file."""
        self._run("CHECKPOINT")
        self.bytes_before = self._used_bytes()
        self._run(PERSIST)
        self._run(create_index(self.config, self.table))
        self._run("CHECKPOINT")
        self._run("SET threads = 1")
        self.set_search(self.config.ef_search, self.config.oversampling)

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set hnsw_ef_search for the session."""
        self.config = replace(self.config, ef_search=ef_search)
        self._run(set_session(self.config))

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        statement = select(replace(self.config, k=k), self.table)
        found = self.connection.execute(statement, {"query": query.tolist()})
        return [row[0] for row in found.fetchall()]

    def applied(self) -> ReportedConfig:
        """Return what the index, the catalogue and the planner say."""
        info = self.connection.execute(
            "SELECT metric, count, levels_stats FROM pragma_hnsw_index_info() WHERE index_name = ?",
            [f"{self.table}_hnsw"],
        ).fetchone()
        metric, count, levels = info or (None, 0, [])
        kind = self._one(
            "SELECT data_type FROM duckdb_columns() WHERE table_name = ? AND column_name = 'embedding'",
            [self.table],
        )
        ef = self._one("SELECT value FROM duckdb_settings() WHERE name = 'hnsw_ef_search'")
        zero = [0.5] * self.config.d
        plan = self.connection.execute(
            "EXPLAIN " + select(self.config, self.table), {"query": zero}
        ).fetchall()
        metrics: dict[str, Metric] = {name: metric for metric, (name, _) in METRICS.items()}
        return ReportedConfig(
            version=f"vss on DuckDB {str(self._one('SELECT version()')).removeprefix('v')}",
            n_indexed=count,
            codec=str(kind).split("[")[0] if info else None,
            metric=metrics.get(str(metric)),
            M=links_of(levels[0]) // 2 if levels else None,
            ef_construction=self._stored_ef_construction(),
            ef_search=int(ef) if ef is not None else None,
            index_used="HNSW_INDEX_SCAN" in plan[0][1],
        )

    def _stored_ef_construction(self) -> int | None:
        """Return it from the catalogue in the file: duckdb_indexes() leaves the index's options out."""
        with self.file.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = re.search(
                rf"CREATE INDEX {self.table}_hnsw [^;]*ef_construction = (\d+)".encode(), content
            )
            return int(found[1]) if found else None

    def index_bytes(self) -> int:
        """Return by how much the index made the database larger."""
        return self._used_bytes() - self.bytes_before

    def _used_bytes(self) -> int:
        return int(self._one("SELECT used_blocks * block_size FROM pragma_database_size()"))

    def close(self) -> None:
        """Close the database and remove its files."""
        if self.connection is None:
            return
        self.connection.close()
        self.connection = None
        if self.made:
            for file in (self.file, self.file.with_name(self.file.name + ".wal")):
                file.unlink(missing_ok=True)

    def _run(self, statement: str) -> None:
        self.connection.execute(statement)

    def _one(self, statement: str, values: Sequence[object] = ()) -> Any:
        row = self.connection.execute(statement, list(values)).fetchone()
        return None if row is None else row[0]


def links_of(level: dict[str, int]) -> int:
    """Return how many links a node of a level has room for.

    A node is a key of 8 bytes, a level of 2, a count of 4, and 4 for each link. ``max_edges`` is not asked:
    vss 1.5.5 gives the upper levels' under the lowest and the other way round.
    """
    return (level["allocated_bytes"] // level["nodes"] - 14) // 4


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check, open=RunningDuckdb)
