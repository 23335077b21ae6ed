"""faiss: the library itself, with its own graphs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tuner.engines.filtered import describe_steps, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.types import EngineConfig, FloatArray, ReportedConfig

FACTORY = {
    "Flat": "Flat",
    "SQfp16": "SQfp16",
    "SQbf16": "SQbf16",
    "SQ8": "SQ8",
    "SQ6": "SQ6",
    "SQ4": "SQ4",
    "PQd/4": "PQ{parts}np",
}
"""faiss's factory strings after ``HNSW{M}_``; np leaves out the polysemous training."""
CAPABILITIES = Capabilities(
    name="faiss",
    title="faiss",
    language="python",
    codecs=(
        EngineCodec(name="Flat", nearest="fp32", bits=32),
        EngineCodec(name="SQfp16", nearest="fp16", bits=16, oversampling=True),
        EngineCodec(name="SQbf16", nearest="bf16", bits=16, oversampling=True),
        EngineCodec(name="SQ8", nearest="SQ8", bits=8, oversampling=True),
        EngineCodec(name="SQ6", nearest="SQ6", bits=6, oversampling=True),
        EngineCodec(name="SQ4", nearest="SQ4", bits=4, oversampling=True),
        EngineCodec(
            name="PQd/4",
            nearest="PQd/4x8",
            bits=2,
            oversampling=True,
            multiple_of=4,
            metrics=("cosine", "l2"),
            note="its graph knows L2 only",
        ),
    ),
    defaults=Defaults(codec="Flat", M=32, ef_construction=40, ef_search=16),
    tested="faiss-cpu 1.15.1",
    runs="library",
    packages=("faiss-cpu>=1.15.1",),
    modules=("faiss",),
    counts_oversampling="k_factor of IndexRefineFlat: k x k_factor candidates are compared on float32, "
    "which the index then holds too",
    fallbacks=(
        "IndexHNSWSQ without train raises; IndexRefine at k_factor 1 re-scores only the k it returns",
    ),
    reports=("n_indexed", "codec", "M", "ef_construction", "ef_search"),
    bytes_are="serialized index, the float32 vectors for re-scoring included",
    filters=FilterMeans(
        how="a selector: the graph is searched as without one, and the rows that it selects are "
        "answered; tuner.search.FilteredIndex applies the whole policy to the index.faiss of a run",
        ef_counts="every row",
        scans="faiss.knn over the rows that are allowed, which the application chooses",
        source="run: faiss-cpu 1.15.1",
    ),
)


def body(config: EngineConfig) -> str:
    """Return the Python that builds and searches the index."""
    prepare = "faiss.normalize_L2(x)\n" if config.metric == "cosine" else ""
    prepare_queries = "faiss.normalize_L2(queries)\n" if config.metric == "cosine" else ""
    lines = [
        "import faiss",
        "import numpy as np",
        "",
        'x = np.load("embeddings.npy").astype("float32")',
        f"{prepare}metric = faiss.{_metric(config)}",
        f'index = faiss.index_factory({config.d}, "{factory(config)}", metric)',
        "graph = faiss.downcast_index(index.base_index)" if config.oversampling > 1 else "graph = index",
        f"graph.hnsw.efConstruction = {config.ef_construction}",
        "index.train(x)",
        "index.add(x)",
        f"graph.hnsw.efSearch = {config.ef_search}",
        *([f"index.k_factor = {config.oversampling}"] if config.oversampling > 1 else []),
        "",
        'queries = np.load("queries.npy").astype("float32")',
        f"{prepare_queries}distances, ids = index.search(queries, {config.k})",
    ]
    return "\n".join([*lines, *_filtered_body(config)])


def _filtered_body(config: EngineConfig) -> list[str]:
    """Return the Python of filtered search, none where no filters were measured."""
    if config.filters is None:
        return []
    parameters = f"faiss.SearchParametersHNSW(efSearch={narrowest_ef(config)}, sel=selector)"
    if config.oversampling > 1:
        parameters = (
            f"faiss.IndexRefineSearchParameters(\n    k_factor={config.oversampling}, "
            f"base_index_params={parameters}\n)"
        )
    return [
        "",
        "# filtered search of one query: allowed are the numbers of the rows that it may be answered with",
        *(f"# {line}" for line in describe_steps(config, "efSearch")),
        "allowed = np.arange(0, index.ntotal, 2)",
        f"if len(allowed) < {config.filters.scan_below_rows}:",
        f"    distances, places = faiss.knn(queries[:1], x[allowed], {config.k}, metric)",
        "    ids = allowed[places]",
        "else:",
        "    mask = np.zeros(index.ntotal, dtype=bool)",
        "    mask[allowed] = True",
        '    selector = faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))',
        *f"    parameters = {parameters}".replace("\n", "\n    ").splitlines(),
        f"    distances, ids = index.search(queries[:1], {config.k}, params=parameters)",
    ]


def factory(config: EngineConfig) -> str:
    """Return faiss's factory string."""
    storage = FACTORY[config.codec].format(parts=config.d // 4)
    refine = ",RFlat" if config.oversampling > 1 else ""
    return f"HNSW{config.M}_{storage}{refine}"


def _metric(config: EngineConfig) -> str:
    """Return faiss's metric; product codes get L2, which ranks normalised rows as cosine does."""
    return "METRIC_L2" if config.metric == "l2" or config.codec == "PQd/4" else "METRIC_INNER_PRODUCT"


class RunningFaiss:
    """A native index; rows are collected until it can be trained."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        import faiss  # noqa: PLC0415 - as every engine's packages

        self.faiss: Any = faiss
        faiss.omp_set_num_threads(deployment.threads)
        self.config = config
        plain = factory(replace(config, oversampling=1))
        self.graph = faiss.index_factory(config.d, plain, getattr(faiss, _metric(config)))
        self.index: Any = self.graph
        self.graph.hnsw.efConstruction = config.ef_construction
        self.blocks: list[FloatArray] = []

    def add(self, first: int, x: FloatArray) -> None:
        """Keep the rows: training comes first."""
        if self.config.metric == "cosine":
            self.faiss.normalize_L2(x)
        self.blocks.append(x)

    def build(self) -> None:
        """Train on the rows, and add them block by block."""
        import numpy as np  # noqa: PLC0415

        self.rows = np.concatenate(self.blocks) if self.blocks else np.empty((0, self.config.d), np.float32)
        self.blocks.clear()
        if not self.graph.is_trained:
            self.graph.train(self.rows)
        self.graph.add(self.rows)
        self.faiss.omp_set_num_threads(1)
        self.set_search(self.config.ef_search, self.config.oversampling)

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set efSearch, and put IndexRefineFlat over the graph if candidates are to be re-scored."""
        self.graph.hnsw.efSearch = ef_search
        if oversampling == 1:
            self.index = self.graph
            return
        if self.index is self.graph:
            self.index = self.faiss.IndexRefineFlat(self.graph, self.faiss.swig_ptr(self.rows))
        self.index.k_factor = oversampling

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        row = query[None].copy()
        if self.config.metric == "cosine":
            self.faiss.normalize_L2(row)
        ids: list[int] = self.index.search(row, k)[1][0].tolist()
        return ids

    def applied(self) -> ReportedConfig:
        """Return what the index object says."""
        faiss, graph = self.faiss, self.graph
        return ReportedConfig(
            version=f"faiss {faiss.__version__}",
            n_indexed=graph.ntotal if graph.hnsw.entry_point >= 0 else 0,
            codec=self._codec(),
            metric=None,  # normalised rows are ranked alike by both of faiss's metrics
            M=graph.hnsw.nb_neighbors(1),
            ef_construction=graph.hnsw.efConstruction,
            ef_search=graph.hnsw.efSearch,
        )

    def _codec(self) -> str:
        faiss, storage = self.faiss, self.faiss.downcast_index(self.graph.storage)
        if isinstance(storage, faiss.IndexFlat):
            return "Flat"
        if isinstance(storage, faiss.IndexPQ):
            return "PQd/4" if storage.d == storage.pq.M * 4 else f"PQ{storage.pq.M}"
        types = {
            faiss.ScalarQuantizer.QT_fp16: "SQfp16",
            faiss.ScalarQuantizer.QT_bf16: "SQbf16",
            faiss.ScalarQuantizer.QT_8bit: "SQ8",
            faiss.ScalarQuantizer.QT_6bit: "SQ6",
            faiss.ScalarQuantizer.QT_4bit: "SQ4",
        }
        return types.get(storage.sq.qtype, f"SQ type {storage.sq.qtype}")

    def index_bytes(self) -> int:
        """Return the length of the serialized index."""
        return len(self.faiss.serialize_index(self.index))

    def close(self) -> None:
        """Nothing lies outside this process."""


ENGINE = Engine(capabilities=CAPABILITIES, body=body, open=RunningFaiss)
