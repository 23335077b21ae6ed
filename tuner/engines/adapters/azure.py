"""Azure AI Search: exported as REST bodies, and held against its client's typed models."""

from __future__ import annotations

from typing import Any

from tuner.engines.common import check_written
from tuner.engines.filtered import TAGS, filtered_search, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import Capabilities, Defaults, Engine, EngineCodec
from tuner.errors import InputError
from tuner.types import EngineConfig, Metric

CAPABILITIES = Capabilities(
    name="azure",
    title="Azure AI Search",
    language="json",
    codecs=(
        EngineCodec(name="single", nearest="fp32", bits=32),
        EngineCodec(name="half", nearest="fp16", bits=16, note="the field itself is Collection(Edm.Half)"),
        EngineCodec(name="scalar", nearest="SQ8", bits=8, oversampling=True),
        EngineCodec(
            name="binary",
            nearest="tqmse1",
            bits=1,
            oversampling=True,
            note="one sign a dimension, compared by Hamming distance; meant for 1,024 dimensions and more",
        ),
    ),
    defaults=Defaults(codec="single", M=4, ef_construction=400, ef_search=500),
    tested="validated with azure-search-documents 12.0.0 (REST API 2026-04-01); ranges read in articles and "
    "examples, for the client has none; no service was called",
    runs="no",
    packages=("azure-search-documents>=12.0",),
    modules=("azure.search.documents",),
    M=(4, 10),
    ef_construction=(100, 1_000),
    ef_search=(100, 1_000),
    oversampling=(1, 100),
    ef_covers_candidates=True,
    most_dims=4_096,
    counts_oversampling="oversampling x k neighbours by their codes are compared on the preserved originals; "
    "without re-scoring enableRescoring is false",
    fallbacks=(
        "efSearch stands in the index, not in the query",
        "an index's partitions and replicas each hold graphs of their own, which answer apart",
        "a query with exhaustive: true scans exactly",
    ),
    bytes_are="not read: it was not run",
    filters=FilterMeans(
        how="vectorFilterMode preFilter: the filter is applied while the graph is searched; "
        "postFilter only drops some of the k",
        ef_counts="allowed rows",
        scans="exhaustive: true scans; that is the application's to choose, by the number of "
        "documents that are allowed",
        source="read: Add a filter to a vector query in Azure AI Search; that efSearch counts the "
        "allowed rows was not confirmed",
        cannot="take another efSearch with a query: it stands in the index and is the same for all "
        "filters, so filtered_search says what queries with filters need",
    ),
)
METRICS: dict[Metric, str] = {"cosine": "cosine", "ip": "dotProduct", "l2": "euclidean"}
KINDS = {"scalar": "scalarQuantization", "binary": "binaryQuantization"}
DEFAULT_TOP = 50
"""Results that a search returns without ``top``, whatever k is."""
ALGORITHM, PROFILE, COMPRESSION = "hnsw", "embedding", "compressed"


def compression(config: EngineConfig) -> dict[str, Any] | None:
    """Return how vectors are compressed; None keeps them as the field has them."""
    if config.codec not in KINDS:
        return None
    rescoring: dict[str, Any] = {
        "enableRescoring": config.oversampling > 1,
        "rescoreStorageMethod": "preserveOriginals",
    }
    if config.oversampling > 1:
        rescoring["defaultOversampling"] = float(config.oversampling)
    whole = {"name": COMPRESSION, "kind": KINDS[config.codec], "rescoringOptions": rescoring}
    if config.codec == "scalar":
        whole["scalarQuantizationParameters"] = {"quantizedDataType": "int8"}
    return whole


def vector_search(config: EngineConfig) -> dict[str, Any]:
    """Return ``vectorSearch`` of the index."""
    parameters = {
        "m": config.M,
        "efConstruction": config.ef_construction,
        "efSearch": config.ef_search,
        "metric": METRICS[config.metric],
    }
    profile = {"name": PROFILE, "algorithm": ALGORITHM}
    whole: dict[str, Any] = {
        "algorithms": [{"name": ALGORITHM, "kind": "hnsw", "hnswParameters": parameters}],
        "profiles": [profile],
    }
    chosen = compression(config)
    if chosen is not None:
        profile["compression"] = COMPRESSION
        whole["compressions"] = [chosen]
    return whole


def vector_query(config: EngineConfig) -> dict[str, Any]:
    """Return one of ``vectorQueries`` of a search, less its vector."""
    whole = {"kind": "vector", "fields": "embedding", "k": config.k, "exhaustive": False}
    return {**whole, "oversampling": float(config.oversampling)} if config.oversampling > 1 else whole


def page(config: EngineConfig) -> dict[str, int]:
    """Return how many results a search returns, where its default is fewer than k."""
    return {"top": config.k} if config.k > DEFAULT_TOP else {}


def body(config: EngineConfig) -> dict[str, Any]:
    """Return the index and the search."""
    field = {
        "name": "embedding",
        "type": "Collection(Edm.Half)" if config.codec == "half" else "Collection(Edm.Single)",
        "searchable": True,
        "dimensions": config.d,
        "vectorSearchProfile": PROFILE,
    }
    fields = [{"name": "id", "type": "Edm.String", "key": True}, field]
    if config.filters is not None:
        fields.append({"name": TAGS, "type": "Collection(Edm.Int32)", "filterable": True})
    query = {**vector_query(config), "vector": "$query"}
    filtered = {"filter": f"{TAGS}/any(t: t eq $tag)", "vectorFilterMode": "preFilter"}
    return {
        "index": {"name": "items", "fields": fields, "vectorSearch": vector_search(config)},
        "search": {"vectorQueries": [query], **page(config)},
        **filtered_search(
            config,
            "efSearch",
            {"vectorQueries": [query], **filtered, **page(config)},
            scan={"vectorQueries": [{**query, "exhaustive": True}], **filtered, **page(config)},
            efSearch_of_the_index=max(config.ef_search, narrowest_ef(config)),
        ),
    }


def check(config: EngineConfig) -> None:
    """Hold both parts against what the vendor's typed models write.

    Raises:
        InputError: the client is installed and writes another, or does not know a value.
    """
    try:
        from azure.search.documents import models as of_search  # noqa: PLC0415 - as every engine's packages
        from azure.search.documents.indexes import models as of_index  # noqa: PLC0415
    except ImportError:
        return
    for known, value in (
        (of_index.VectorSearchAlgorithmMetric, METRICS[config.metric]),
        (of_index.VectorSearchCompressionKind, KINDS.get(config.codec)),
    ):
        if value is not None and value not in {each.value for each in known}:
            raise InputError(f"Azure's client does not know {value!r}: update it or tune")
    _compare(_clients_search(of_index, config), vector_search(config))
    _compare(
        of_search.VectorizedQuery(
            vector=[],
            k_nearest_neighbors=config.k,
            fields="embedding",
            exhaustive=False,
            oversampling=float(config.oversampling) if config.oversampling > 1 else None,
        ),
        {**vector_query(config), "vector": []},
    )


def _compare(made: Any, wanted: dict[str, Any]) -> None:
    written = {key: value for key, value in made.as_dict().items() if value is not None}
    check_written("Azure", written, wanted)


def _clients_search(of_index: Any, config: EngineConfig) -> Any:
    graph = of_index.HnswAlgorithmConfiguration(
        name=ALGORITHM,
        parameters=of_index.HnswParameters(
            m=config.M,
            ef_construction=config.ef_construction,
            ef_search=config.ef_search,
            metric=METRICS[config.metric],
        ),
    )
    if config.codec not in KINDS:
        profile = of_index.VectorSearchProfile(name=PROFILE, algorithm_configuration_name=ALGORITHM)
        return of_index.VectorSearch(algorithms=[graph], profiles=[profile])
    rescoring: dict[str, Any] = {"enable_rescoring": config.oversampling > 1}
    if config.oversampling > 1:
        rescoring["default_oversampling"] = float(config.oversampling)
    named: dict[str, Any] = {
        "compression_name": COMPRESSION,
        "rescoring_options": of_index.RescoringOptions(
            **rescoring, rescore_storage_method="preserveOriginals"
        ),
    }
    if config.codec == "scalar":
        parameters = of_index.ScalarQuantizationParameters(quantized_data_type="int8")
        compressed = of_index.ScalarQuantizationCompression(**named, parameters=parameters)
    else:
        compressed = of_index.BinaryQuantizationCompression(**named)
    profile = of_index.VectorSearchProfile(
        name=PROFILE, algorithm_configuration_name=ALGORITHM, compression_name=COMPRESSION
    )
    return of_index.VectorSearch(algorithms=[graph], profiles=[profile], compressions=[compressed])


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check)
