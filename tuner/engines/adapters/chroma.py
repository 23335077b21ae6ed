"""Chroma: embedded, in this process; it keeps float32 only."""

from __future__ import annotations

import json
import sqlite3
import struct
import warnings
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tuner.engines.common import metric_named, refuse_to_drop
from tuner.engines.filtered import TAGS, describe_steps, narrowest_ef
from tuner.engines.filtering import FilterMeans, Tags
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

CAPABILITIES = Capabilities(
    name="chroma",
    title="Chroma",
    language="python",
    codecs=(EngineCodec(name="float32", nearest="fp32", bits=32),),
    defaults=Defaults(codec="float32", M=16, ef_construction=100, ef_search=100),
    tested="chromadb 1.5.9, PersistentClient",
    runs="embedded",
    packages=("chromadb>=1.5.9",),
    modules=("chromadb",),
    M=(2, 1_000),
    ef_construction_per_M=1.0,
    fallbacks=(
        "modify(ef_search) changes the stored configuration at once, and searches only after the process is "
        "started again",
        "an ef_search below n_results returns n_results all the same",
        "an ef_construction below max_neighbors is raised to it",
        "the space is l2 when it is not named",
        "the graph on disk lags behind the one in memory by up to sync_threshold (1,000) rows",
    ),
    filters=FilterMeans(
        how="where over the metadata is looked up first, and the graph is searched among the ids that "
        "it allows",
        ef_counts="allowed rows",
        scans="it has no scan: collection.get(where=..., include=['embeddings']) fetches the rows "
        "that are allowed, for the application to compare",
        source="run: chromadb 1.5.9",
        cannot="take another ef_search with a query: it stands in the collection, takes a new start, "
        "and is the same for all filters",
    ),
    reports=(*OF_GRAPH, "ef_search"),
    bytes_are="data_level0.bin and link_lists.bin of the collection's segment; SQLite, which holds the ids "
    "and the write-ahead log, is not in it",
)
METRICS: dict[Metric, str] = {"cosine": "cosine", "ip": "ip", "l2": "l2"}
HEADER = struct.Struct("<i6QiI3QdQ")
"""header.bin of Chroma's fork of hnswlib: its version, then what hnswlib's saveIndex writes, unpadded."""
BATCH = 5_000
"""Rows that are added at once: Chroma takes no more than get_max_batch_size(), 5,461."""
GRAPH_FILES = ("data_level0.bin", "link_lists.bin")


def configuration(config: EngineConfig) -> dict[str, Any]:
    """Return the collection's configuration."""
    return {
        "hnsw": {
            "space": METRICS[config.metric],
            "max_neighbors": config.M,
            "ef_construction": config.ef_construction,
            "ef_search": config.ef_search,
        }
    }


def changed_search(ef_search: int) -> dict[str, Any]:
    """Return the change of configuration that a new ef_search takes."""
    return {"hnsw": {"ef_search": ef_search}}


def condition(tag: int) -> dict[str, Any]:
    """Return the filter that a tag is."""
    return {TAGS: {"$contains": tag}}


def _filtered_body(config: EngineConfig) -> str:
    """Return the Python of filtered search, none where no filters were measured."""
    if config.filters is None:
        return ""
    steps = "\n".join(f"# {line}" for line in describe_steps(config, "ef_search"))
    widest = max(config.ef_search, narrowest_ef(config))
    return f"""

# filtered search: {TAGS} in the metadata stands for what you filter by, a list of numbers a row
{steps}
# the collection has one ef_search for all filters; start the process again afterwards:
# collection.modify(configuration={json.dumps(changed_search(widest))})
found = collection.query(
    query_embeddings=queries[:1],
    n_results={config.k},
    where={json.dumps(condition(7))},
    include=["distances"],
)"""


def body(config: EngineConfig) -> str:
    """Return the Python that makes the collection and searches it."""
    filtered = _filtered_body(config)
    tags = "" if config.filters is None else f', metadatas=[{{"{TAGS}": [7]}} for _ in rows]'
    return f"""\
import chromadb
import numpy as np

x = np.load("embeddings.npy").astype("float32")
client = chromadb.PersistentClient(path="chroma")
collection = client.create_collection(
    "items",
    embedding_function=None,
    configuration={json.dumps(configuration(config))},
)
for first in range(0, len(x), {BATCH}):
    rows = x[first : first + {BATCH}]
    collection.add(ids=[str(first + row) for row in range(len(rows))], embeddings=rows{tags})

# a collection that is there already can be given another ef_search; start the process again afterwards:
# collection.modify(configuration={json.dumps(changed_search(config.ef_search))})

queries = np.load("queries.npy").astype("float32")
found = collection.query(query_embeddings=queries, n_results={config.k}, include=["distances"]){filtered}"""


class RunningChroma:
    """One collection in a folder of our own."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        self.config, self.name = config, deployment.name
        self.folder = (deployment.folder / "chroma").resolve()
        self.client: Any = None
        self.collection: Any = None
        self.opened: dict[str, Any] = {}
        self.tags: Tags | None = None
        self._connect()
        try:
            self._make_collection(deployment)
        except BaseException:
            self._disconnect()
            raise

    def _connect(self) -> None:
        import chromadb  # noqa: PLC0415 - as every engine's packages
        from chromadb.config import Settings as ChromaSettings  # noqa: PLC0415

        self.client = chromadb.PersistentClient(
            path=str(self.folder), settings=ChromaSettings(anonymized_telemetry=False)
        )

    def _disconnect(self) -> None:
        """Stop Chroma: a client of the same folder that is made without this shares the old one's state."""
        if self.client is not None:
            self.client.close()
        self.client = self.collection = None

    def _make_collection(self, deployment: Deployment) -> None:
        if any(found.name == self.name for found in self.client.list_collections()):
            refuse_to_drop("a collection", deployment)
            self.client.delete_collection(self.name)
        asked = configuration(self.config)
        # by default the graph on disk lags behind the one in memory by up to 1,000 rows
        asked["hnsw"]["sync_threshold"] = max(2, deployment.n)
        self.collection = self.client.create_collection(
            self.name, embedding_function=None, configuration=asked
        )
        self._keep_configuration()

    def add(self, first: int, x: FloatArray) -> None:
        """Insert the rows."""
        for start in range(0, len(x), BATCH):
            rows = np.ascontiguousarray(x[start : start + BATCH], dtype=np.float32)
            ids = [str(first + start + row) for row in range(len(rows))]
            self.collection.add(ids=ids, embeddings=rows, metadatas=self._metadata(first + start, len(rows)))

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def _metadata(self, first: int, m: int) -> list[dict[str, list[int]] | None] | None:
        """Return the metadata of rows; Chroma takes no empty lists."""
        if self.tags is None:
            return None
        return [{TAGS: tags} if tags else None for tags in self.tags.of_rows(first, m)]

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search among the rows with a tag; Chroma has no scan."""
        found = self.collection.query(
            query_embeddings=[query], n_results=k, where=condition(tag), include=["distances"]
        )
        return [int(name) for name in found["ids"][0]]

    def answers_from_index(self, tag: int, *, scan: bool) -> None:
        """Return None: it shows no plan."""

    def build(self) -> None:
        """Open the graph that grew with the rows from its files."""
        self._reopen()

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set ef_search, and open the collection again: what is open keeps the old one."""
        if self.opened.get("ef_search") != ef_search:
            with warnings.catch_warnings():  # for every collection without an embedding function
                warnings.simplefilter("ignore", DeprecationWarning)
                self.collection.modify(configuration=changed_search(ef_search))
            self._reopen()

    def _reopen(self) -> None:
        self._disconnect()
        self._connect()
        self.collection = self.client.get_collection(self.name, embedding_function=None)
        self._keep_configuration()
        self.search(np.ones(self.config.d, dtype=np.float32), 1)  # reads the graph from its files

    def _keep_configuration(self) -> None:
        """Keep the configuration as it is at opening: modify changes it later, without effect."""
        self.opened = dict(self.collection.configuration_json.get("hnsw") or {})

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        found = self.collection.query(query_embeddings=[query], n_results=k, include=["distances"])
        return [int(name) for name in found["ids"][0]]

    def applied(self) -> ReportedConfig:
        """Return what the collection's configuration and the header of its graph say."""
        import chromadb  # noqa: PLC0415

        found = ReportedConfig(
            version=f"chromadb {chromadb.__version__}",
            n_indexed=0,
            metric=metric_named(self.opened.get("space"), METRICS),
            ef_search=self.opened.get("ef_search"),
        )
        header = self._segment() / "header.bin"
        if not header.exists():
            return found
        fields = HEADER.unpack(header.read_bytes()[: HEADER.size])
        vector_bytes = fields[5] - fields[6]  # a row holds its links, its vector, its label
        return replace(
            found,
            n_indexed=fields[3],
            codec="float32" if vector_bytes == 4 * self.config.d else f"{vector_bytes} bytes per vector",
            M=fields[11],
            ef_construction=fields[13],
        )

    def index_bytes(self) -> int:
        """Return the size of the graph's files."""
        files = (self._segment() / name for name in GRAPH_FILES)
        return sum(file.stat().st_size for file in files if file.exists())

    def _segment(self) -> Path:
        """Return the folder of the collection's graph; those of dropped collections stay beside it."""
        catalogue = f"{(self.folder / 'chroma.sqlite3').as_uri()}?mode=ro"
        with closing(sqlite3.connect(catalogue, uri=True)) as connection:
            query = "SELECT id FROM segments WHERE scope = 'VECTOR' AND collection = ?"
            [name] = connection.execute(query, (str(self.collection.id),)).fetchone()
        return self.folder / str(name)

    def close(self) -> None:
        """Drop the collection and stop Chroma."""
        if self.client is None:
            return
        from chromadb.errors import ChromaError  # noqa: PLC0415

        with suppress(ChromaError):
            self.client.delete_collection(self.name)
        self._disconnect()


ENGINE = Engine(capabilities=CAPABILITIES, body=body, open=RunningChroma)
