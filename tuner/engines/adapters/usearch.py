"""USearch: the library itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tuner.engines.filtered import describe_steps, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.errors import InputError
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

CAPABILITIES = Capabilities(
    name="usearch",
    title="USearch",
    language="python",
    codecs=(
        EngineCodec(name="f32", nearest="fp32", bits=32),
        EngineCodec(name="f16", nearest="fp16", bits=16),
        EngineCodec(name="bf16", nearest="bf16", bits=16),
        EngineCodec(
            name="e4m3",
            nearest="SQ6",
            bits=8,
            note="floats of 8 bits: a component from 0.02 to 448 keeps 4 binary digits, a smaller one fewer",
        ),
        EngineCodec(
            name="i8",
            nearest="SQ6",
            bits=8,
            metrics=("cosine",),
            note="it scales every vector to length 1 and all dimensions alike, so it is coarser than SQ8: "
            "like SQ6 at 128 dimensions, like SQ4 at 1,536; useless for inner product and L2",
        ),
    ),
    defaults=Defaults(codec="bf16", M=16, ef_construction=128, ef_search=64),
    tested="usearch 2.26.6",
    runs="library",
    packages=("usearch>=2.26.6",),
    modules=("usearch",),
    M=(2, 10_000),
    fallbacks=(
        "0 for connectivity or an expansion is the default (16, 128, 64)",
        "a search with expansion_search below k takes k",
        "without dtype the index keeps bf16, not float32",
        "Index.restore forgets expansion_search: it must be set again",
        "b1 holds signs and nothing re-scores them; e5m2, e3m2 and e2m3 take the room of e4m3 and find "
        "less: they are left out",
    ),
    reports=(*OF_GRAPH, "ef_search"),
    bytes_are="serialized_length; memory_usage is an arena in powers of two",
    filters=FilterMeans(
        how="its Python interface has no filter, so expansion_search neighbours are fetched, and "
        "those that are allowed are kept",
        ef_counts="every row",
        scans="usearch.index.search(..., exact=True) over the rows that are allowed",
        source="run: usearch 2.26.6",
        cannot="search its graph with a filter from Python: fewer than k come back where the filter "
        "allows less of what was fetched",
    ),
)
METRICS: dict[Metric, str] = {"cosine": "cos", "ip": "ip", "l2": "l2sq"}


def keywords(config: EngineConfig) -> dict[str, Any]:
    """Return the index's keyword arguments."""
    return {
        "ndim": config.d,
        "metric": METRICS[config.metric],
        "dtype": config.codec,
        "connectivity": config.M,
        "expansion_add": config.ef_construction,
        "expansion_search": config.ef_search,
    }


def body(config: EngineConfig) -> str:
    """Return the Python that builds and searches the index."""
    arguments = "\n".join(
        f'    {name}="{value}",' if isinstance(value, str) else f"    {name}={value},"
        for name, value in keywords(config).items()
    )
    return f"""\
import numpy as np
from usearch.index import Index

x = np.load("embeddings.npy").astype("float32")
index = Index(
{arguments}
)
index.add(np.arange(len(x)), x)
# index.expansion_search = {config.ef_search}  # again after Index.restore

queries = np.load("queries.npy").astype("float32")
found = index.search(queries, {config.k})  # found.keys, found.distances{_filtered_body(config)}"""


def _filtered_body(config: EngineConfig) -> str:
    """Return the Python of filtered search, none where no filters were measured."""
    if config.filters is None:
        return ""
    steps = "\n".join(f"# {line}" for line in describe_steps(config, "expansion_search"))
    fetched = narrowest_ef(config)
    return f"""

# filtered search of one query: allowed are the numbers of the rows that it may be answered with
{steps}
allowed = set(range(0, len(x), 2))
index.expansion_search = {fetched}
fetched = index.search(queries[0], {fetched}).keys.tolist()
kept = [key for key in fetched if key in allowed][:{config.k}]  # may be fewer"""


def check(config: EngineConfig) -> None:
    """Have the library itself make an empty index.

    Raises:
        InputError: it is installed and refuses.
    """
    try:
        from usearch.index import Index  # noqa: PLC0415 - as every engine's packages
    except ImportError:
        return
    try:
        Index(**keywords(config))
    except (KeyError, TypeError, ValueError) as error:
        first = str(error).strip().splitlines()[0]
        raise InputError(f"USearch refuses these settings: {first}") from None


class RunningUSearch:
    """An index in this process."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        from usearch.index import Index  # noqa: PLC0415 - as every engine's packages

        self.index: Any = Index(**keywords(config))
        self.threads = deployment.threads

    def add(self, first: int, x: FloatArray) -> None:
        """Insert the rows."""
        keys = np.arange(first, first + len(x), dtype=np.uint64)
        self.index.add(keys, np.ascontiguousarray(x), threads=self.threads)

    def build(self) -> None:
        """Do nothing: the graph grew with the rows."""

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Set expansion_search."""
        self.index.expansion_search = ef_search

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        ids: list[int] = self.index.search(query, k, threads=1).keys.tolist()
        return ids

    def applied(self) -> ReportedConfig:
        """Return what the index object says."""
        from usearch import __version__  # noqa: PLC0415

        index = self.index
        metrics: dict[str, Metric] = {"Cos": "cosine", "IP": "ip", "L2sq": "l2"}
        return ReportedConfig(
            version=f"usearch {__version__}",
            n_indexed=index.levels_stats[0].nodes if len(index) else 0,
            codec=index.dtype.name.lower(),
            metric=metrics.get(index.metric_kind.name),
            M=index.connectivity,
            ef_construction=index.expansion_add,
            ef_search=index.expansion_search,
        )

    def index_bytes(self) -> int:
        """Return the bytes that save would write."""
        return int(self.index.serialized_length)

    def close(self) -> None:
        """Nothing lies outside this process."""


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check, open=RunningUSearch)
