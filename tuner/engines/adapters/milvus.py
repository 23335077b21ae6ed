"""Milvus: exported for a version; its client validates no parameters, so the server's ranges stand here."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tuner.engines.filtered import TAGS, filtered_search, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import Capabilities, Defaults, Engine, EngineCodec
from tuner.types import EngineConfig, Metric

MOST_INT = 2**31 - 1
CAPABILITIES = Capabilities(
    name="milvus",
    title="Milvus",
    language="json",
    codecs=(
        EngineCodec(name="HNSW", nearest="fp32", bits=32),
        EngineCodec(name="HNSW_SQ FP16", nearest="fp16", bits=16, oversampling=True),
        EngineCodec(name="HNSW_SQ BF16", nearest="bf16", bits=16, oversampling=True),
        EngineCodec(name="HNSW_SQ SQ8", nearest="SQ8", bits=8, oversampling=True),
        EngineCodec(name="HNSW_SQ SQ6", nearest="SQ6", bits=6, oversampling=True),
        EngineCodec(
            name="HNSW_SQ SQ4U",
            nearest="SQ4",
            bits=4,
            oversampling=True,
            since="2.6.8",
            note="one range for all dimensions, so below SQ4 where their scales differ; since 2.6.8",
        ),
        EngineCodec(name="HNSW_PQ d/2", nearest="PQd/2x4", bits=2, oversampling=True, multiple_of=2),
        EngineCodec(name="HNSW_PQ d/4", nearest="PQd/4x8", bits=2, oversampling=True, multiple_of=4),
        EngineCodec(name="HNSW_PQ d/8", nearest="PQd/8x8", bits=1, oversampling=True, multiple_of=8),
    ),
    defaults=Defaults(codec="HNSW", M=18, ef_construction=240, ef_search=16),
    tested="read: Milvus's documentation of 2.5 and 2.6, the ranges in Knowhere's faiss_hnsw_config.h and "
    "AUTOINDEX's defaults; pymilvus validates no parameters, and no server of these versions was run",
    runs="no",
    versions=(("2.5", "2.6"),),
    M=(2, 2_048),
    ef_construction=(1, MOST_INT),
    ef_search=(1, MOST_INT),
    oversampling=(1, 1_000),
    ef_covers_candidates=True,
    most_dims=32_768,
    counts_oversampling="refine_k: refine_k x k neighbours by their codes are compared on the vectors of "
    "refine_type, which the index then holds beside its codes",
    most_shards=16,
    counts_shards="num_shards of create_collection (params.shardsNum of the REST API), at most "
    "proxy.maxShardNum; ef and refine_k count a segment, of which a shard has several from "
    "dataCoord.segment.maxSize on (1,024 MB)",
    fallbacks=(
        "refine_k without refine in the index changes nothing",
        "growing segments, and sealed ones too small to be indexed, are scanned exactly",
        "ef counts a segment, so more segments find more",
        "milvus-lite ignores sq_type and refine, and scans exactly for HNSW_PQ: it proves nothing",
    ),
    bytes_are="not read: it was not run",
    filters=FilterMeans(
        how="the filter is evaluated first, and the graph is searched among the entities that it "
        "allows; with hints=iterative_filter, meant for filters that are dear to evaluate, only what "
        "the search comes upon is held against it",
        ef_counts="every row",
        scans="Milvus scans them by itself where the filter leaves few: nothing is to be set",
        source="read: Milvus's page on filtered search (2.5, 2.6); that ef counts every row is the "
        "safe side, not confirmed",
        cannot="set from how many entities on they are scanned",
    ),
)
METRICS: dict[Metric, str] = {"cosine": "COSINE", "ip": "IP", "l2": "L2"}
PQ_PARTS = {"d/2": (2, 4), "d/4": (4, 8), "d/8": (8, 8)}
"""Dimensions a part, and bits of its code."""
NEWEST = "2.6.8"
"""Version that is written in exported files if none was asked for."""


def index_params(config: EngineConfig) -> dict[str, Any]:
    """Return the parameters of ``create_index``."""
    kind, _, variety = config.codec.partition(" ")
    params: dict[str, Any] = {"M": config.M, "efConstruction": config.ef_construction}
    if kind == "HNSW_SQ":
        params["sq_type"] = variety
    if kind == "HNSW_PQ":
        dimensions, bits = PQ_PARTS[variety]
        params |= {"m": config.d // dimensions, "nbits": bits}
    if kind != "HNSW":
        params["refine"] = config.oversampling > 1
    if config.oversampling > 1:
        params["refine_type"] = "FP32"
    return {"index_type": kind, "metric_type": METRICS[config.metric], "params": params}


def search_params(config: EngineConfig) -> dict[str, Any]:
    """Return the parameters of ``search``."""
    params: dict[str, Any] = {"ef": config.ef_search}
    if config.oversampling > 1:
        params["refine_k"] = float(config.oversampling)
    return {"metric_type": METRICS[config.metric], "params": params}


def shards(config: EngineConfig) -> dict[str, Any]:
    """Return what ``create_collection`` takes beside the schema, where there are several shards."""
    return {"collection": {"num_shards": config.n_shards}} if config.n_shards > 1 else {}


def body(config: EngineConfig) -> dict[str, Any]:
    """Return the collection where it is divided, the field, the index and the search."""
    search = {
        "anns_field": "embedding",
        "data": ["$query"],
        "limit": config.k,
        "search_params": search_params(config),
    }
    narrow = search_params(replace(config, ef_search=narrowest_ef(config)))
    condition = f"array_contains({TAGS}, $tag)"
    return {
        "version": config.variant or NEWEST,
        **shards(config),
        "field": {"field_name": "embedding", "datatype": "FLOAT_VECTOR", "dim": config.d},
        "index": {"field_name": "embedding", **index_params(config)},
        "search": search,
        **filtered_search(
            config,
            "ef",
            {**search, "search_params": narrow, "filter": condition},
            field={
                "field_name": TAGS,
                "datatype": "ARRAY",
                "element_type": "INT64",
                "max_capacity": "$most_tags_of_a_row",
            },
            index={"field_name": TAGS, "index_type": "INVERTED"},
            search_where_filters_are_dear={
                **search,
                "search_params": {**narrow, "hints": "iterative_filter"},
                "filter": condition,
            },
        ),
    }


ENGINE = Engine(capabilities=CAPABILITIES, body=body)
