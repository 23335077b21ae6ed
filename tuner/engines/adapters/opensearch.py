"""OpenSearch, its faiss engine: exported for a version line; no server or schema comes from a registry."""

from __future__ import annotations

from typing import Any

from tuner.engines.filtered import TAGS, filtered_search, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import NO_LIMIT, Capabilities, Defaults, Engine, EngineCodec
from tuner.engines.versions import first_patch, named_version
from tuner.errors import InputError
from tuner.types import EngineConfig, Metric

CAPABILITIES = Capabilities(
    name="opensearch",
    title="OpenSearch",
    language="json",
    codecs=(
        EngineCodec(name="flat", nearest="fp32", bits=32),
        EngineCodec(name="sq_fp16", nearest="fp16", bits=16, note="values beyond 65504 are refused"),
        EngineCodec(name="sq_bf16", nearest="bf16", bits=16, since="3.9", note="since 3.9"),
        EngineCodec(
            name="sq4",
            nearest="SQ4",
            bits=4,
            oversampling=True,
            since="3.9",
            note="since 3.9; Lucene's quantizer, not faiss's",
        ),
        EngineCodec(
            name="sq2",
            nearest="RaBitQ2",
            bits=2,
            oversampling=True,
            since="3.9",
            note="since 3.9; Lucene's quantizer, not faiss's",
        ),
        EngineCodec(
            name="sq1",
            nearest="RaBitQ1",
            bits=1,
            oversampling=True,
            since="3.6",
            note="since 3.6; Lucene's quantizer, not faiss's",
        ),
        EngineCodec(
            name="binary4",
            nearest="tqmse4",
            bits=4,
            oversampling=True,
            note="4 thresholds a dimension, compared by Hamming distance: below tqmse4 without re-scoring",
        ),
        EngineCodec(
            name="binary2",
            nearest="tqmse2",
            bits=2,
            oversampling=True,
            note="2 thresholds a dimension, compared by Hamming distance: below tqmse2 without re-scoring",
        ),
        EngineCodec(
            name="binary1",
            nearest="tqmse1",
            bits=1,
            oversampling=True,
            note="above or below the segment's mean, compared by Hamming distance",
        ),
    ),
    defaults=Defaults(codec="flat", M=16, ef_construction=100, ef_search=100),
    tested="read: OpenSearch's documentation of 2.17 to 3.9 and the k-NN plugin's sources (FaissHNSWMethod, "
    "RescoreContext); the client validates nothing, and no server was run",
    runs="no",
    versions=(("2.17", "2.19"), ("3.0", "3.9")),
    version_names=(("2.x", "2.19"),),
    M=(2, 100),
    ef_construction=(1, NO_LIMIT),
    ef_search=(1, NO_LIMIT),
    oversampling=(1, 100),
    most_candidates=10_000,
    ef_covers_candidates=True,
    most_dims=16_000,
    counts_oversampling="rescore.oversample_factor: oversample_factor x k neighbours by their codes, never "
    "fewer than 100, are compared on float vectors; false turns it off",
    most_shards=1_024,
    counts_shards="number_of_shards of the index, set when it is made; ef_search and k count a segment "
    "of a shard, the candidates that are re-scored a shard",
    fallbacks=(
        "segments below approximate_threshold (15,000 vectors from 3.0 on) are scanned exactly",
        "re-scoring fetches 100 candidates at least, so a small oversampling finds more than was predicted",
        "without rescore in the query, codecs of 1, 2 and 4 bits can re-score 3 x k, 2 x k and 2 x k",
        "ef_search counts a segment, so more segments find more",
    ),
    bytes_are="not read: it was not run",
    filters=FilterMeans(
        how="efficient filtering: the filter stands inside knn, and faiss's graph is searched with "
        "its documents selected; in bool or post_filter it would only drop some of the k",
        ef_counts="every row",
        scans="index.knn.advanced.filtered_exact_search_threshold: segments in which the filter "
        "allows no more documents are scanned; fewer than k answers are scanned for again",
        source="read: Efficient k-NN filtering (3.9), KNNWeight and KNNSettings of the k-NN plugin",
    ),
)
SPACES: dict[Metric, str] = {"cosine": "cosinesimil", "ip": "innerproduct", "l2": "l2"}
BITS_NAMED = "3.6"
"""The sq encoder requires ``bits`` since then, and knew only ``type`` before."""
COSINE_SINCE = "2.19"


def encoder(config: EngineConfig) -> dict[str, Any] | None:
    """Return the faiss encoder as the version spells it; None keeps float32."""
    codec, version = config.codec, named_version(CAPABILITIES, config.variant)
    if codec == "flat":
        return None
    if codec.startswith("binary"):
        return {"name": "binary", "parameters": {"bits": int(codec.removeprefix("binary"))}}
    kind = codec.removeprefix("sq").removeprefix("_")
    if kind.isdigit():
        return {"name": "sq", "parameters": {"bits": int(kind)}}
    bits = {"bits": 16} if version >= first_patch(BITS_NAMED) else {}
    return {"name": "sq", "parameters": {**bits, "type": kind}}


def shards(config: EngineConfig) -> dict[str, int]:
    """Return the number of shards, where there are several."""
    return {"number_of_shards": config.n_shards} if config.n_shards > 1 else {}


def body(config: EngineConfig) -> dict[str, Any]:
    """Return the index's settings and mapping, and the search's body."""
    parameters: dict[str, Any] = {
        "m": config.M,
        "ef_construction": config.ef_construction,
        "ef_search": config.ef_search,
    }
    chosen = encoder(config)
    if chosen is not None:
        parameters["encoder"] = chosen
    field = {
        "type": "knn_vector",
        "dimension": config.d,
        "data_type": "float",
        "space_type": SPACES[config.metric],
        "method": {"name": "hnsw", "engine": "faiss", "parameters": parameters},
    }
    fields = {"embedding": field, **({} if config.filters is None else {TAGS: {"type": "integer"}})}
    narrow = {**_query(config, narrowest_ef(config)), "filter": {"term": {TAGS: "$tag"}}}
    return {
        "version": config.variant or CAPABILITIES.versions[-1][1],
        "index": {
            "settings": {"index": {"knn": True, **shards(config), **scan_threshold(config)}},
            "mappings": {"properties": fields},
        },
        "search": {"size": config.k, "query": {"knn": {"embedding": _query(config, config.ef_search)}}},
        **filtered_search(config, "ef_search", {"size": config.k, "query": {"knn": {"embedding": narrow}}}),
    }


def scan_threshold(config: EngineConfig) -> dict[str, int]:
    """Return up to how many documents that a filter allows are scanned, where filters were measured."""
    if config.filters is None:
        return {}
    return {"knn.advanced.filtered_exact_search_threshold": max(0, config.filters.scan_below_rows - 1)}


def _query(config: EngineConfig, ef_search: int) -> dict[str, Any]:
    query: dict[str, Any] = {
        "vector": "$query",
        "k": config.k,
        "method_parameters": {"ef_search": ef_search},
    }
    codec = CAPABILITIES.codec(config.codec)
    if codec is not None and codec.oversampling:
        factor = float(config.oversampling)
        query["rescore"] = {"oversample_factor": factor} if config.oversampling > 1 else False
    return query


def check(config: EngineConfig) -> None:
    """Hold the metric against what the version has.

    Raises:
        InputError: it lacks it.
    """
    if config.metric == "cosine" and named_version(CAPABILITIES, config.variant) < first_patch(COSINE_SINCE):
        raise InputError(
            f"OpenSearch {config.variant} has no cosine in its faiss engine, which came with {COSINE_SINCE}: "
            "normalise the vectors and use ip"
        )


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check)
