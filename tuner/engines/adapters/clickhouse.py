"""ClickHouse: the engine itself in this process, through chdb."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from os import SEEK_CUR
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
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

CAPABILITIES = Capabilities(
    name="clickhouse",
    title="ClickHouse",
    language="sql",
    codecs=(
        EngineCodec(name="f32", nearest="fp32", bits=32),
        EngineCodec(name="f16", nearest="fp16", bits=16, oversampling=True),
        EngineCodec(name="bf16", nearest="bf16", bits=16, oversampling=True, note="the default"),
        EngineCodec(
            name="i8",
            nearest="SQ6",
            bits=8,
            oversampling=True,
            metrics=("cosine",),
            note="one step for all dimensions, a 127th of the vector's length: coarser than faiss's SQ8, and "
            "the more so the more dimensions; it forgets lengths; a zero vector stops the build",
        ),
        EngineCodec(
            name="b1",
            nearest="tqmse1",
            bits=1,
            oversampling=True,
            metrics=("cosine",),
            multiple_of=8,
            note="one sign a dimension, compared by Hamming distance; useless without re-scoring",
        ),
    ),
    defaults=Defaults(codec="bf16", M=32, ef_construction=128, ef_search=256),
    tested="chdb 4.4.0 with ClickHouse 26.9.2",
    runs="embedded",
    packages=("chdb>=4.4.0",),
    modules=("chdb",),
    M=(2, 512),
    ef_construction=(1, NO_LIMIT),
    oversampling=(1, 1_000),
    counts_oversampling="vector_search_index_fetch_multiplier, with vector_search_with_rescoring on: k x so "
    "many are fetched, by an ef_search of no less, and compared on the table's own vectors",
    fallbacks=(
        "a LIMIT above max_limit_for_vector_search_queries scans the table exactly",
        "k x multiplier is cut to that limit",
        "an index that was added and not materialized stands in plans, and the table is scanned exactly",
        "the multiplier without vector_search_with_rescoring does nothing",
        "dotProduct without re-scoring returns the right rows, farthest first",
        "M or ef_construction of 0 is its default; each part of a table has a graph of its own",
        "a search by another distance function, or in the other direction, scans the table exactly",
    ),
    reports=(*OF_GRAPH, "ef_search", "index_used"),
    filters=FilterMeans(
        how="vector_search_filter_strategy postfilter: the index fetches k x "
        "vector_search_index_fetch_multiplier rows, and WHERE keeps those that are allowed",
        ef_counts="every row",
        scans="vector_search_filter_strategy prefilter: WHERE first, and what is left is scanned; "
        "that is the application's to choose, by the number of rows",
        source="run: ClickHouse 26.9 in chdb; read: its vector_search_* settings",
        cannot="search its graph among the rows that are allowed: where fewer than k of those fetched "
        "are, fewer come back",
    ),
    bytes_are="data_uncompressed_bytes of system.data_skipping_indices, about what it takes in memory; "
    "the table's vectors, which re-scoring reads, are not in it",
)
DISTANCES: dict[Metric, tuple[str, str]] = {
    "cosine": ("cosineDistance", "ASC"),
    "ip": ("dotProduct", "DESC"),
    "l2": ("L2Distance", "ASC"),
}
DEFAULT_MOST = 1_000
"""max_limit_for_vector_search_queries unless it is set."""


def create_table(table: str, *, tagged: bool = False) -> str:
    """Return the statement that makes the table."""
    tags = f"{TAGS} Array(UInt32), " if tagged else ""
    return (
        f"CREATE TABLE {table} (id UInt64, {tags}embedding Array(Float32) CODEC(NONE))\n"
        "  ENGINE = MergeTree ORDER BY id;"
    )


def make_index(config: EngineConfig, table: str) -> tuple[str, ...]:
    """Return the statements that make one part of the table and one graph over it."""
    distance = DISTANCES[config.metric][0]
    return (
        f"OPTIMIZE TABLE {table} FINAL SETTINGS optimize_throw_if_noop = 1;",
        f"ALTER TABLE {table} ADD INDEX {table}_hnsw embedding\n"
        f"  TYPE vector_similarity('hnsw', '{distance}', {config.d}, '{config.codec}', "
        f"{config.M}, {config.ef_construction}) GRANULARITY 100000000;",
        f"ALTER TABLE {table} MATERIALIZE INDEX {table}_hnsw SETTINGS mutations_sync = 2;",
    )


def set_session(config: EngineConfig) -> str:
    """Return what every session that searches must set."""
    rescores = config.oversampling > 1 or config.metric == "ip"
    return (
        f"SET hnsw_candidate_list_size_for_search = {config.ef_search},\n"
        f"  vector_search_with_rescoring = {int(rescores)},\n"
        f"  vector_search_index_fetch_multiplier = {config.oversampling},\n"
        f"  max_limit_for_vector_search_queries = {max(DEFAULT_MOST, config.candidates)};"
    )


def select(config: EngineConfig, table: str, query: str = "{query:Array(Float32)}") -> str:
    """Return the search for one query."""
    distance, direction = DISTANCES[config.metric]
    return f"SELECT id FROM {table} ORDER BY {distance}(embedding, {query}) {direction} LIMIT {config.k};"


def select_tagged(
    config: EngineConfig,
    table: str,
    *,
    scan: bool,
    tag: str = "{tag:UInt32}",
    query: str = "{query:Array(Float32)}",
) -> str:
    """Return the search for one query among the rows with a tag, with the settings that it takes."""
    plain = select(config, table, query).replace(" ORDER BY", f" WHERE has({TAGS}, {tag}) ORDER BY")
    settings = "vector_search_filter_strategy = 'prefilter'"
    if not scan:
        multiplier = max(config.oversampling, ceil(config.ef_search / config.k))
        settings = (
            f"vector_search_filter_strategy = 'postfilter',\n"
            f"  vector_search_index_fetch_multiplier = {multiplier},\n"
            f"  max_limit_for_vector_search_queries = {max(DEFAULT_MOST, config.k * multiplier)}"
        )
    return f"{plain.removesuffix(';')}\n  SETTINGS {settings};"


def _filtered_body(config: EngineConfig, table: str) -> list[str]:
    """Return the statements of filtered search, none where no filters were measured."""
    narrow = narrowed(config)
    if narrow is None:
        return []
    return [
        "",
        f"-- filtered search: {TAGS} stands for the columns that you filter by; the multiplier is",
        "-- ef_search / k",
        *(f"-- {line}" for line in describe_steps(config, "hnsw_candidate_list_size_for_search")),
        f"SET hnsw_candidate_list_size_for_search = {narrow.ef_search};",
        select_tagged(narrow, table, scan=False),
        "-- the scan:",
        select_tagged(config, table, scan=True),
    ]


def body(config: EngineConfig) -> str:
    """Return the whole configuration as SQL."""
    table = "items"
    ordered = (
        "-- 25.8 has no index for dotProduct, 26.9 has; vector_search_with_rescoring is on even without\n"
        "-- oversampling, because the order would be reversed otherwise"
    )
    return "\n".join(
        [
            create_table(table, tagged=config.filters is not None),
            "-- load the vectors, then make one part of them: each part has a graph of its own",
            *make_index(config, table),
            "",
            "-- in every session that searches, or as SETTINGS of the query",
            *([ordered] if config.metric == "ip" else []),
            set_session(config),
            "-- query is a parameter of the client, a list of numbers",
            select(config, table),
            *_filtered_body(config, table),
        ]
    )


@dataclass(frozen=True)
class Graph:
    """What the head of a graph's file says."""

    n: int
    codec: str
    metric: Metric | None
    M: int


BLOCK_HEAD = 25
"""ClickHouse's blocks: checksum of 16 bytes, method, bytes with these nine, bytes without compression."""
SCALARS = {1: "b1", 4: "bf16", 10: "f64", 11: "f32", 12: "f16", 23: "i8"}
KINDS: dict[bytes, Metric] = {b"c": "cosine", b"i": "ip", b"e": "l2", b"b": "cosine"}
"""usearch's scalar_kind_t and metric_kind_t; b is Hamming, which ClickHouse takes for cosine only."""


def read_graph(path: Path) -> Graph:
    """Return what the head of an uncompressed ``.idx`` file says.

    The layout is ClickHouse's version and dimensions (8 bytes each), then usearch's file: rows and bytes of a
    row (4 each), the rows, 64 bytes of usearch's head, and the graph's own, with M after its size.
    """
    rows, width = np.frombuffer(_content(path, 16, 8), dtype="<u4").tolist()
    head = _content(path, 24 + rows * width, 80)
    if not head.startswith(b"usearch"):
        raise ValueError(f"{path.name} is not laid out as usearch 2.24 does")
    return Graph(
        n=int.from_bytes(head[17:25], "little"),
        codec=SCALARS.get(head[14], f"scalar kind {head[14]}"),
        metric=KINDS.get(head[13:14]),
        M=int.from_bytes(head[72:80], "little"),
    )


def _content(path: Path, first: int, size: int) -> bytes:
    """Return bytes of the file's content, which the heads of its blocks are no part of."""
    found, before = b"", 0
    with path.open("rb") as file:
        while len(found) < size and (head := file.read(BLOCK_HEAD)):
            length, start = int.from_bytes(head[21:], "little"), file.tell()
            skipped = first + len(found) - before
            if skipped < length:
                file.seek(skipped, SEEK_CUR)
                found += file.read(min(size - len(found), length - skipped))
            file.seek(start + length)
            before += length
    return found


class RunningClickhouse:
    """One table with one index, in this process."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        from chdb import session  # noqa: PLC0415 - as every engine's packages

        opened: Any = session.Session  # it declares no types
        self.config, self.table = config, deployment.name
        self.loading: Any = None
        self.tagged, self.tags = deployment.tagged, Tags(np.zeros(1, np.int64), np.zeros(0, np.int64))
        self.made = False
        threads = f"max_build_vector_similarity_index_thread_pool_size={deployment.threads}"
        self.session: Any = opened(f"{deployment.folder / 'clickhouse'}?{threads}")
        try:
            if self._one(f"EXISTS TABLE {self.table}") == "1":
                refuse_to_drop("a table", deployment)
                self._run(f"DROP TABLE {self.table} SYNC")
            self._run(create_table(self.table, tagged=self.tagged))
            self.made = True
            # so that the head of the index's file can be read; neither changes what is searched
            self._run(
                f"ALTER TABLE {self.table} MODIFY SETTING packed_skip_index_max_bytes = 0, "
                "default_compression_codec = 'NONE'"
            )
        except BaseException:
            self.close()
            raise

    def add(self, first: int, x: FloatArray) -> None:
        """Append rows to one INSERT in RowBinary."""
        if self.loading is None:
            columns = f"id, {TAGS}, embedding" if self.tagged else "id, embedding"
            self.loading = self.session.send_insert(f"INSERT INTO {self.table} ({columns})", "RowBinary")
        d = self.config.d
        if self.tagged:
            before, vectors = bytes(varint(d)), x.astype("<f4")
            rows_with_tags = (
                np.uint64(first + row).tobytes()
                + bytes(varint(len(tags)))
                + np.array(tags, dtype="<u4").tobytes()
                + before
                + vectors[row].tobytes()
                for row, tags in enumerate(self.tags.of_rows(first, len(x)))
            )
            self.loading.append(b"".join(rows_with_tags))
            return
        length = varint(d)
        row = np.dtype([("id", "<u8"), ("length", "u1", (len(length),)), ("x", "<f4", (d,))])
        rows = np.zeros(len(x), dtype=row)
        rows["id"], rows["length"], rows["x"] = np.arange(first, first + len(x)), length, x
        self.loading.append(rows.tobytes())

    def build(self) -> None:
        """Merge the parts and make the index."""
        for statement in make_index(self.config, self.table):
            self._run(statement)
        self._run("SET max_threads = 1")
        self.set_search(self.config.ef_search, self.config.oversampling)

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set the session's settings."""
        self.config = replace(self.config, ef_search=ef_search, oversampling=oversampling)
        self._run(set_session(self.config))

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query, in binary as ClickHouse's documentation advises."""
        statement = select(replace(self.config, k=k), self.table, _binary(query))
        ids: list[int] = np.frombuffer(self._query(statement, "RowBinary"), dtype="<u8").tolist()
        return ids

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search among the rows with a tag."""
        statement = self._tagged(k, tag, _binary(query), scan=scan)
        ids: list[int] = np.frombuffer(self._query(statement, "RowBinary"), dtype="<u8").tolist()
        return ids

    def _tagged(self, k: int, tag: int, query: str, *, scan: bool) -> str:
        return select_tagged(replace(self.config, k=k), self.table, scan=scan, tag=str(tag), query=query)

    def answers_from_index(self, tag: int, *, scan: bool) -> bool:
        """Return whether the plan names the graph."""
        zero = _binary(np.full(self.config.d, 0.5, dtype=np.float32))
        plan = self._text("EXPLAIN indexes = 1 " + self._tagged(self.config.k, tag, zero, scan=scan))
        return f"Name: {self.table}_hnsw" in plan

    def applied(self) -> ReportedConfig:
        """Return what the index's file, the catalogue, the session and the planner say."""
        graphs = [read_graph(file) for file in self._index_files()]
        graph = graphs[0] if graphs else None
        declared = re.search(r", (\d+)\)$", self._index("type_full"))
        zero = _binary(np.full(self.config.d, 0.5, dtype=np.float32))
        plan = self._text("EXPLAIN indexes = 1 " + select(self.config, self.table, zero))
        ef = self._one("SELECT value FROM system.settings WHERE name = 'hnsw_candidate_list_size_for_search'")
        return ReportedConfig(
            version=f"ClickHouse {self._one('SELECT version()')}",
            n_indexed=sum(each.n for each in graphs),
            codec=graph.codec if graph else None,
            metric=graph.metric if graph else None,
            M=graph.M if graph else None,
            ef_construction=int(declared[1]) if declared else None,
            ef_search=int(ef),
            index_used=f"Name: {self.table}_hnsw" in plan,
        )

    def _index_files(self) -> list[Path]:
        parts = self._text(f"SELECT path FROM system.parts WHERE active AND table = '{self.table}'")
        files = [Path(part) / f"skp_idx_{self.table}_hnsw.idx" for part in parts.split()]
        return [file for file in files if file.exists()]

    def _index(self, column: str) -> str:
        return self._one(
            f"SELECT {column} FROM system.data_skipping_indices "
            f"WHERE table = '{self.table}' AND name = '{self.table}_hnsw'"
        )

    def index_bytes(self) -> int:
        """Return the index's bytes by the catalogue."""
        return int(self._index("data_uncompressed_bytes") or 0)

    def table_bytes(self) -> int:
        """Return the table's bytes by the catalogue, which tells no column of a small part apart."""
        parts = f"FROM system.parts WHERE active AND table = '{self.table}'"
        return int(self._one(f"SELECT sum(data_uncompressed_bytes) {parts}"))

    def close(self) -> None:
        """Drop the table and end the session."""
        if self.session is None:
            return
        session, self.session = self.session, None
        if self.loading is not None:
            self.loading.cancel()
        if self.made:
            with suppress(RuntimeError):
                session.query(f"DROP TABLE IF EXISTS {self.table} SYNC")
        session.close()

    def _run(self, statement: str) -> None:
        self._query(statement, "TSVRaw")

    def _text(self, statement: str) -> str:
        return self._query(statement, "TSVRaw").decode()

    def _query(self, statement: str, form: str) -> bytes:
        if self.loading is not None:  # nothing else can be asked during an INSERT
            loading, self.loading = self.loading, None
            loading.finish()
        found: bytes = self.session.query(statement, form).bytes()
        return found

    def _one(self, statement: str) -> str:
        return self._text(statement).strip()


def varint(number: int) -> list[int]:
    """Return a length as RowBinary has it: seven bits a byte, the low ones first."""
    found = []
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return [*found, number]


def _binary(query: FloatArray) -> str:
    return f"reinterpret(unhex('{query.astype('<f4').tobytes().hex()}'), 'Array(Float32)')"


ENGINE = Engine(capabilities=CAPABILITIES, body=body, open=RunningClickhouse)
