"""hnswlib: the library itself."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from tuner.engines.common import metric_named
from tuner.engines.filtered import describe_steps, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

CAPABILITIES = Capabilities(
    name="hnswlib",
    title="hnswlib",
    language="python",
    codecs=(EngineCodec(name="float32", nearest="fp32", bits=32),),
    defaults=Defaults(codec="float32", M=16, ef_construction=200, ef_search=10),
    tested="hnswlib 0.8.0",
    runs="library",
    packages=("hnswlib>=0.8.0",),
    modules=("hnswlib",),
    fallbacks=("load_index forgets ef: set_ef must be called again after loading",),
    reports=(*OF_GRAPH, "ef_search"),
    bytes_are="index_file_size()",
    filters=FilterMeans(
        how="knn_query(filter=...) calls a function for each row that the search comes upon; one of "
        "Python is slow, and takes num_threads=1",
        ef_counts="allowed rows",
        scans="it has none: the application compares the query with the rows that are allowed",
        source="run: hnswlib 0.8.0; read: hnswalg.h",
        cannot="return fewer than k: where a search finds fewer that are allowed, knn_query raises",
    ),
)
SPACES: dict[Metric, str] = {"cosine": "cosine", "ip": "ip", "l2": "l2"}


def body(config: EngineConfig) -> str:
    """Return the Python that builds and searches the index."""
    space = SPACES[config.metric]
    return f"""\
import hnswlib
import numpy as np

x = np.load("embeddings.npy").astype("float32")
index = hnswlib.Index(space="{space}", dim={config.d})
index.init_index(max_elements=len(x), M={config.M}, ef_construction={config.ef_construction})
index.add_items(x)
index.set_ef({config.ef_search})  # again after every load_index

queries = np.load("queries.npy").astype("float32")
ids, distances = index.knn_query(queries, k={config.k}){_filtered_body(config)}"""


def _filtered_body(config: EngineConfig) -> str:
    """Return the Python of filtered search, none where no filters were measured."""
    if config.filters is None:
        return ""
    steps = "\n".join(f"# {line}" for line in describe_steps(config, "ef"))
    return f"""

# filtered search of one query: allowed are the numbers of the rows that it may be answered with
{steps}
allowed = set(range(0, len(x), 2))
index.set_ef({narrowest_ef(config)})
ids, distances = index.knn_query(queries[:1], k={config.k}, num_threads=1, filter=allowed.__contains__)"""


class RunningHnswlib:
    """An index in this process."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        import hnswlib  # noqa: PLC0415 - as every engine's packages

        self.index = hnswlib.Index(space=SPACES[config.metric], dim=config.d)
        self.index.init_index(
            max_elements=max(1, deployment.n), M=config.M, ef_construction=config.ef_construction
        )
        self.index.set_num_threads(deployment.threads)
        self.config = config

    def add(self, first: int, x: FloatArray) -> None:
        """Insert the rows."""
        self.index.add_items(x, range(first, first + len(x)))

    def build(self) -> None:
        """The graph grew with the rows: only ef is left."""
        self.index.set_num_threads(1)
        self.index.set_ef(self.config.ef_search)

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set ef."""
        self.index.set_ef(ef_search)

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        ids: list[int] = self.index.knn_query(query, k=k)[0][0].tolist()
        return ids

    def applied(self) -> ReportedConfig:
        """Return what the index object says."""
        return ReportedConfig(
            version=f"hnswlib {version('hnswlib')}",
            n_indexed=self.index.get_current_count(),
            codec="float32",
            metric=metric_named(self.index.space, SPACES),
            M=self.index.M,
            ef_construction=self.index.ef_construction,
            ef_search=self.index.ef,
        )

    def index_bytes(self) -> int:
        """Return the bytes that save_index would write."""
        return int(self.index.index_file_size())

    def close(self) -> None:
        """Nothing lies outside this process."""


ENGINE = Engine(capabilities=CAPABILITIES, body=body, open=RunningHnswlib)
