"""MongoDB's vector search: exported; its driver validates nothing, so the server's ranges stand here."""

from __future__ import annotations

from typing import Any

from tuner.engines.filtered import TAGS, filtered_search, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import Capabilities, Defaults, Engine, EngineCodec
from tuner.types import EngineConfig, Metric

CAPABILITIES = Capabilities(
    name="mongodb",
    title="MongoDB",
    language="json",
    codecs=(
        EngineCodec(name="none", nearest="fp32", bits=32),
        EngineCodec(
            name="scalar",
            nearest="SQ8",
            bits=8,
            note="7 bits in a byte each (Lucene's), so below SQ8; never re-scored",
        ),
        EngineCodec(
            name="binary",
            nearest="tqmse1",
            bits=1,
            multiple_of=8,
            note="it re-scores by itself: the best sqrt(limit x numCandidates) on float vectors, with "
            "nothing to set, so it finds more than a prediction without re-scoring says",
        ),
    ),
    defaults=Defaults(codec="none", M=16, ef_construction=100, ef_search=200),
    tested="read: MongoDB's documentation and the public sources of its search server, mongot (HnswOptions, "
    "BinaryQuantizedVectorRescorer); pymongo validates nothing, and no server was run",
    runs="no",
    unit_length=("ip",),
    M=(16, 64),
    ef_construction=(100, 3_200),
    ef_search=(1, 10_000),
    oversampling=(1, 1),
    ef_covers_candidates=True,
    most_dims=8_192,
    fallbacks=(
        "numCandidates has no default; 20 x limit is what the documentation advises",
        "dotProduct takes vectors of length 1, queries too, and ranks others wrongly",
        "numCandidates counts a Lucene segment, so more segments find more",
    ),
    bytes_are="not read: it was not run",
    filters=FilterMeans(
        how="a pre-filter on fields that the index names: the graph is searched among the documents "
        "that it allows",
        ef_counts="allowed rows",
        scans="exact: true without numCandidates scans what the filter allows; that is the "
        "application's to choose, by the number of documents that are allowed",
        source="read: MongoDB's page on the $vectorSearch stage and the index's fields of type filter",
    ),
)
SIMILARITY: dict[Metric, str] = {"cosine": "cosine", "ip": "dotProduct", "l2": "euclidean"}


def body(config: EngineConfig) -> dict[str, Any]:
    """Return the index's definition and the stage of the search."""
    field = {
        "type": "vector",
        "path": "embedding",
        "numDimensions": config.d,
        "similarity": SIMILARITY[config.metric],
        "quantization": config.codec,
        "indexingMethod": "hnsw",
        "hnswOptions": {"maxEdges": config.M, "numEdgeCandidates": config.ef_construction},
    }
    stage = {
        "index": "embedding_hnsw",
        "path": "embedding",
        "queryVector": "$query",
        "numCandidates": config.ef_search,
        "limit": config.k,
    }
    fields = [field, *([] if config.filters is None else [{"type": "filter", "path": TAGS}])]
    narrow = {**stage, "numCandidates": narrowest_ef(config), "filter": {TAGS: "$tag"}}
    exact = {key: value for key, value in narrow.items() if key != "numCandidates"} | {"exact": True}
    return {
        "index": {"name": "embedding_hnsw", "type": "vectorSearch", "definition": {"fields": fields}},
        "search": {"$vectorSearch": stage},
        **filtered_search(config, "numCandidates", {"$vectorSearch": narrow}, scan={"$vectorSearch": exact}),
    }


ENGINE = Engine(capabilities=CAPABILITIES, body=body)
