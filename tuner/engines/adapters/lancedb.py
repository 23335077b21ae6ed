"""LanceDB: embedded, in this process; every HNSW of it lies in an IVF, here of one partition."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.engines.common import metric_named
from tuner.engines.filtered import TAGS, describe_steps, narrowest_ef
from tuner.engines.filtering import FilterMeans, Tags
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.errors import InputError
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

PQ_NOTE = "it trains on 256 rows or more, for longer than the graph takes, the more parts the longer"
CAPABILITIES = Capabilities(
    name="lancedb",
    title="LanceDB",
    language="python",
    codecs=(
        EngineCodec(name="HnswFlat", nearest="fp32", bits=32),
        EngineCodec(
            name="HnswFlat float16",
            nearest="fp16",
            bits=16,
            note="the table's own column is float16, so nothing of float32 is left",
        ),
        EngineCodec(
            name="HnswSq",
            nearest="SQ8",
            bits=8,
            oversampling=True,
            note="one range for all dimensions, where SQ8 has one for each",
        ),
        EngineCodec(
            name="HnswPq d/4", nearest="PQd/4x8", bits=2, oversampling=True, multiple_of=4, note=PQ_NOTE
        ),
        EngineCodec(
            name="HnswPq d/8", nearest="PQd/8x8", bits=1, oversampling=True, multiple_of=8, note=PQ_NOTE
        ),
        EngineCodec(
            name="HnswPq d/16",
            nearest="PQd/16x8",
            bits=0.5,
            oversampling=True,
            multiple_of=16,
            note=PQ_NOTE,
        ),
    ),
    defaults=Defaults(codec="HnswSq", M=20, ef_construction=300, ef_search=15),
    tested="lancedb 0.40.0",
    runs="embedded",
    packages=("lancedb>=0.40.0", "pyarrow>=16"),
    modules=("lancedb", "pyarrow"),
    M=(4, 1_000),
    ef_construction_per_M=1.0,
    ef_covers_candidates=True,
    counts_oversampling="refine_factor: k x refine_factor candidates are compared on the table's own "
    "vectors; 1 changes no result, so nothing is asked for then",
    fallbacks=(
        "create_index without a config makes IVF_PQ, which is no graph",
        "without num_partitions the graph becomes several when there are many rows, and nprobes (20) says "
        "how many of them are searched",
        "without ef a search takes 1.5 x k x refine_factor",
        "rows added after create_index are scanned exactly until optimize()",
        "a table without an index, or a search by another metric than the index's, is scanned exactly",
        "IVF_RQ (RaBitQ) is no graph, so it is left out",
    ),
    filters=FilterMeans(
        how="where with prefilter: the filter's rows are looked up, by an index on what you filter by "
        "where there is one, and the graph is searched among them",
        ef_counts="allowed rows",
        scans="below 10% of the rows Lance compares the codes of all that are allowed, whatever is "
        "asked for; bypass_vector_index() scans their vectors, and is the application's to choose",
        source="run: lancedb 0.40.0; read: its page on filtering, and hnsw/builder.rs of lance-index",
    ),
    reports=(*OF_GRAPH, "index_used"),
    bytes_are="size_bytes of list_indices(): the graph and the codes; the table's vectors, which re-scoring "
    "reads, are not in it",
)
METRICS: dict[Metric, str] = {"cosine": "cosine", "ip": "dot", "l2": "l2"}
PARTITIONS = 1
"""Graphs, and how many of them a search visits: what was tuned is one graph."""
INDEX = "embedding_idx"


def config_class(config: EngineConfig) -> str:
    """Return the name of the class of ``lancedb.index`` that configures the index."""
    return config.codec.split()[0]


def config_keywords(config: EngineConfig) -> dict[str, Any]:
    """Return that class's keyword arguments."""
    keywords: dict[str, Any] = {
        "distance_type": METRICS[config.metric],
        "num_partitions": PARTITIONS,
        "m": config.M,
        "ef_construction": config.ef_construction,
    }
    parts = re.search(r"d/(\d+)", config.codec)
    if parts:
        keywords |= {"num_sub_vectors": config.d // int(parts[1]), "num_bits": 8}
    return keywords


def search_calls(config: EngineConfig) -> list[tuple[str, Any]]:
    """Return what is called on a search, in order, with each call's argument."""
    refine = [("refine_factor", config.oversampling)] if config.oversampling > 1 else []
    return [
        ("distance_type", METRICS[config.metric]),
        ("nprobes", PARTITIONS),
        ("ef", config.ef_search),
        *refine,
        ("limit", config.k),
        ("select", ["id", "_distance"]),
    ]


def condition(tag: int | str) -> str:
    """Return the filter that a tag is."""
    return f"array_has_any({TAGS}, [{tag}])"


def number_type(config: EngineConfig) -> str:
    """Return the type of the column's numbers."""
    return "float16" if config.codec.endswith("float16") else "float32"


def body(config: EngineConfig) -> str:
    """Return the Python that makes the table and searches it."""
    name, numbers = config_class(config), number_type(config)
    arguments = ", ".join(f"{key}={json.dumps(value)}" for key, value in config_keywords(config).items())
    calls = "\n".join(f"    .{call}({json.dumps(value)})" for call, value in search_calls(config))
    exact = "" if config.oversampling > 1 else "  # no refine_factor: nothing is re-scored"
    tagged = config.filters is not None
    tags = f'("{TAGS}", pa.list_(pa.int64())), ' if tagged else ""
    of_rows = f'pa.array({TAGS}, type=schema.field("{TAGS}").type), ' if tagged else ""
    read = f"{TAGS} = [[7] for _ in x]  # what you filter by, a list of numbers a row\n" if tagged else ""
    return f"""\
import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import {name}

x = np.load("embeddings.npy").astype("{numbers}")
{read}schema = pa.schema([("id", pa.int64()), {tags}("embedding", pa.list_(pa.{numbers}(), {config.d}))])
table = lancedb.connect("lancedb").create_table("items", schema=schema)
vectors = pa.FixedSizeListArray.from_arrays(x.ravel(), {config.d})
table.add(pa.table([pa.array(np.arange(len(x))), {of_rows}vectors], schema=schema))

table.create_index(
    "embedding",
    config={name}({arguments}),
)

queries = np.load("queries.npy").astype("float32")
found = (
    table.search(queries[0], vector_column_name="embedding"){exact}
{calls}
    .to_list()
){_filtered_body(config)}"""


def _filtered_body(config: EngineConfig) -> str:
    """Return the Python of filtered search, none where no filters were measured."""
    if config.filters is None:
        return ""
    narrow = replace(config, ef_search=narrowest_ef(config))
    calls = "\n".join(f"    .{call}({json.dumps(value)})" for call, value in search_calls(narrow))
    steps = "\n".join(f"# {line}" for line in describe_steps(config, "ef"))
    return f"""

# filtered search: an index on what you filter by, and the filter before the search
from lancedb.index import LabelList

table.create_index("{TAGS}", config=LabelList())
{steps}
found = (
    table.search(queries[0], vector_column_name="embedding")
    .where("{condition(7)}", prefilter=True)
{calls}
    .to_list()
)
# the scan: the same with .bypass_vector_index()"""


class RunningLanceDB:
    """One table in a folder of our own."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        # both are read once, when the library starts its threads
        os.environ["LANCE_CPU_THREADS"] = os.environ["RAYON_NUM_THREADS"] = str(deployment.threads)
        import lancedb  # noqa: PLC0415 - as every engine's packages

        self.config, self.name = config, deployment.name
        self.tagged, self.tags = deployment.tagged, Tags(np.zeros(1, np.int64), np.zeros(0, np.int64))
        self.database: Any = lancedb.connect(str(deployment.folder / "lancedb"))
        self.table: Any = self._make_table(deployment)

    def _make_table(self, deployment: Deployment) -> Any:
        import pyarrow as pa  # noqa: PLC0415

        number = getattr(pa, number_type(self.config))()
        tags = [(TAGS, pa.list_(pa.int64()))] if self.tagged else []
        schema = pa.schema([("id", pa.int64()), *tags, ("embedding", pa.list_(number, self.config.d))])
        try:
            return self.database.create_table(
                self.name, schema=schema, mode="overwrite" if deployment.replace else "create"
            )
        except ValueError as error:
            if "already exists" not in str(error):
                raise
            raise InputError(f"a table {self.name} is there already: give --replace to drop it") from None

    def add(self, first: int, x: FloatArray) -> None:
        """Append the rows to the table."""
        import pyarrow as pa  # noqa: PLC0415

        numbers = pa.array(x.astype(number_type(self.config), copy=False).ravel())
        columns = [pa.array(np.arange(first, first + len(x)))]
        if self.tagged:
            columns.append(pa.array(self.tags.of_rows(first, len(x)), type=pa.list_(pa.int64())))
        columns.append(pa.FixedSizeListArray.from_arrays(numbers, self.config.d))
        self.table.add(pa.Table.from_arrays(columns, schema=self.table.schema))

    def build(self) -> None:
        """Make the index, and read it into memory."""
        from lancedb import index  # noqa: PLC0415

        config = getattr(index, config_class(self.config))(**config_keywords(self.config))
        self.table.create_index("embedding", config=config, name=INDEX)
        self.table.prewarm_index(INDEX)
        if self.tagged:
            self.table.create_index(TAGS, config=index.LabelList())

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search among the rows with a tag."""
        ids: list[int] = self._tagged(query, k, tag, scan=scan).to_arrow().column("id").to_pylist()
        return ids

    def _tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Any:
        search = self._search(query, k).where(condition(tag), prefilter=True)
        return search.bypass_vector_index() if scan else search

    def answers_from_index(self, tag: int, *, scan: bool) -> bool:
        """Return whether the plan names the graph's index."""
        query = np.ones(self.config.d, dtype=np.float32)
        plan = self._tagged(query, self.config.k, tag, scan=scan).explain_plan()
        return f"ANNSubIndex: name={INDEX}," in plan

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Ask for these with every search."""
        self.config = replace(self.config, ef_search=ef_search, oversampling=oversampling)

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        ids: list[int] = self._search(query, k).to_arrow().column("id").to_pylist()
        return ids

    def _search(self, query: FloatArray, k: int) -> Any:
        """Return the search that the exported text builds."""
        search = self.table.search(query, vector_column_name="embedding")
        for call, value in search_calls(replace(self.config, k=k)):
            search = getattr(search, call)(value)
        return search

    def applied(self) -> ReportedConfig:
        """Return what the table's list of indexes, their statistics and the plan of a search say."""
        from lancedb import __version__  # noqa: PLC0415

        version = f"lancedb {__version__}"
        found = next((index for index in self.table.list_indices() if index.name == INDEX), None)
        if found is None:
            return ReportedConfig(version=version, n_indexed=0, index_used=False)
        details, stats = found.index_details, self.table.index_stats(INDEX)
        plan = self._search(np.ones(self.config.d, dtype=np.float32), self.config.k).explain_plan()
        return ReportedConfig(
            version=version,
            n_indexed=stats.num_indexed_rows,
            codec=self._codec(found.index_type, details.get("compression", {})),
            metric=metric_named(stats.distance_type, METRICS),
            M=details["hnsw"]["max_connections"],
            ef_construction=details["hnsw"]["construction_ef"],
            index_used=f"ANNSubIndex: name={INDEX}," in plan,
        )

    def _codec(self, index_type: str, compression: dict[str, Any]) -> str:
        """Return our name of the index's type and of what its details say of compression."""
        name = index_type.removeprefix("Ivf")
        if "num_sub_vectors" in compression:
            name += f" d/{self.config.d / compression['num_sub_vectors']:g}"
            return name if compression["num_bits"] == 8 else f"{name}, {compression['num_bits']} bits"
        number = str(self.table.schema.field("embedding").type.value_type)
        return f"{name} float16" if number == "halffloat" else name

    def index_bytes(self) -> int:
        """Return the bytes of the index's files."""
        return sum(index.size_bytes or 0 for index in self.table.list_indices() if index.name == INDEX)

    def table_bytes(self) -> int:
        """Return the size of the files of the table's rows."""
        rows = Path(self.database.uri, f"{self.name}.lance", "data")
        return sum(file.stat().st_size for file in rows.iterdir())

    def close(self) -> None:
        """Drop the table."""
        if self.table is not None:
            self.database.drop_table(self.name, ignore_missing=True)
            self.table = None


ENGINE = Engine(capabilities=CAPABILITIES, body=body, open=RunningLanceDB)
