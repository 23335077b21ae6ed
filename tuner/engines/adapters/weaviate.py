"""Weaviate: exported, and held against what its own client makes of it; no server runs from a registry."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tuner.engines.common import check_written
from tuner.engines.filtered import TAGS, filtered_search, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import NO_LIMIT, Capabilities, Defaults, Engine, EngineCodec
from tuner.engines.versions import first_patch, named_version
from tuner.errors import InputError
from tuner.text import one_line
from tuner.types import EngineConfig, Metric

CAPABILITIES = Capabilities(
    name="weaviate",
    title="Weaviate",
    language="json",
    codecs=(
        EngineCodec(name="none", nearest="fp32", bits=32),
        EngineCodec(name="rq8", nearest="RaBitQ8", bits=8, oversampling=True, since="1.32"),
        EngineCodec(
            name="rq4",
            nearest="RaBitQ4",
            bits=4,
            oversampling=True,
            since="1.39",
            note="since 1.39, as a preview",
        ),
        EngineCodec(
            name="rq1", nearest="RaBitQ1", bits=1, oversampling=True, since="1.33", note="since 1.33"
        ),
        EngineCodec(
            name="sq",
            nearest="SQ8",
            bits=8,
            oversampling=True,
            note="one range for all dimensions, learnt once trainingLimit vectors are there; float32 before",
        ),
        EngineCodec(
            name="bq",
            nearest="tqmse1",
            bits=1,
            note="one sign a dimension; it re-scores all ef candidates by itself, and rescoreLimit is "
            "discarded, so it finds more than a prediction without re-scoring says",
        ),
    ),
    defaults=Defaults(codec="none", M=32, ef_construction=128, ef_search=100),
    tested="validated with weaviate-client 4.23.1; read: Weaviate's documentation and its server's sources "
    "(hnsw: config.go, rq_config.go, search.go); no server was run",
    runs="no",
    packages=("weaviate-client>=4.23",),
    modules=("weaviate",),
    M=(4, 2_047),
    ef_construction=(4, NO_LIMIT),
    ef_search=(1, NO_LIMIT),
    oversampling=(1, 1_000),
    ef_covers_candidates=True,
    counts_oversampling="rescoreLimit, a number of candidates and no multiple: it is written as k x "
    "oversampling; of the ef that were found so many are compared on float vectors, and 0 turns it off",
    most_shards=NO_LIMIT,
    counts_shards="shardingConfig.desiredCount of the collection, set when it is made; ef, limit and "
    "rescoreLimit count a shard",
    fallbacks=(
        "a query for more than rescoreLimit neighbours re-scores all ef: another k needs another limit",
        "ef of -1 is k x 8, at least 100 and at most 500: the default",
        "DEFAULT_QUANTIZATION of the server applies unless skipDefaultQuantization stands in the collection",
        "without desiredCount a collection has as many shards as the cluster has nodes, and more find more",
        "under a filter, collections below flatSearchCutoff matches are scanned exactly",
    ),
    versions=(("1.27", "1.40"),),
    bytes_are="not read: it was not run",
    filters=FilterMeans(
        how="the objects that match are looked up first, and the graph is searched among them; "
        "filterStrategy acorn leaves the others out, sweeping goes through them",
        ef_counts="allowed rows",
        scans="flatSearchCutoff: where fewer objects match, they are scanned",
        source="read: Weaviate's pages on filtering and on the vector index; filterStrategy came with "
        "1.27 and is acorn by default since 1.34",
        cannot="take another ef with a query: it stands in the collection and is the same for all "
        "filters, so filtered_search says what queries with filters need",
    ),
)
DISTANCES: dict[Metric, str] = {"cosine": "cosine", "ip": "dot", "l2": "l2-squared"}
DEFAULT_SINCE = "1.33"
"""Servers quantize by default, where they are told to, since then."""
STRATEGY = "acorn"
SQ_TRAINING = 100_000
"""Weaviate's default."""


def quantizer(config: EngineConfig) -> dict[str, Any]:
    """Return the quantizer's part of the index's configuration."""
    codec = config.codec
    if codec == "none":
        may_default = named_version(CAPABILITIES, config.variant) >= first_patch(DEFAULT_SINCE)
        return {"skipDefaultQuantization": True} if may_default else {}
    if codec == "bq":
        return {"bq": {"enabled": True}}
    limit = config.candidates if config.oversampling > 1 else 0
    if codec == "sq":
        return {"sq": {"enabled": True, "rescoreLimit": limit, "trainingLimit": SQ_TRAINING}}
    return {"rq": {"enabled": True, "bits": int(codec.removeprefix("rq")), "rescoreLimit": limit}}


def index_config(config: EngineConfig) -> dict[str, Any]:
    """Return ``vectorIndexConfig``."""
    return {
        "distance": DISTANCES[config.metric],
        "maxConnections": config.M,
        "efConstruction": config.ef_construction,
        "ef": config.ef_search,
        **filter_options(config),
        **quantizer(config),
    }


def filter_options(config: EngineConfig) -> dict[str, Any]:
    """Return the index's options for searches with filters, where filters were measured."""
    if config.filters is None:
        return {}
    return {"filterStrategy": STRATEGY, "flatSearchCutoff": config.filters.scan_below_rows}


def shards(config: EngineConfig) -> dict[str, Any]:
    """Return how the collection is divided, where there are several shards."""
    return {"shardingConfig": {"desiredCount": config.n_shards}} if config.n_shards > 1 else {}


def body(config: EngineConfig) -> dict[str, Any]:
    """Return the collection and the search; ef stands in the collection, where it can be changed later."""
    vector = {
        "vectorizer": {"none": {}},
        "vectorIndexType": "hnsw",
        "vectorIndexConfig": index_config(config),
    }
    search = {"near_vector": "$query", "target_vector": "embedding", "limit": config.k}
    tags = {"properties": [{"name": TAGS, "dataType": ["int[]"], "indexFilterable": True}]}
    return {
        "collection": {
            "class": "Items",
            **shards(config),
            **({} if config.filters is None else tags),
            "vectorConfig": {"embedding": vector},
        },
        "search": search,
        **filtered_search(
            config,
            "ef",
            {**search, "filters": f'Filter.by_property("{TAGS}").contains_any([$tag])'},
            ef_of_the_collection=max(config.ef_search, narrowest_ef(config)),
        ),
    }


def check(config: EngineConfig) -> None:
    """Hold the index's configuration against what the vendor's client makes of it.

    Raises:
        InputError: the client is installed, and refuses the configuration or writes another.
    """
    try:
        from pydantic import ValidationError  # noqa: PLC0415 - as every engine's packages
        from weaviate.classes.config import (  # noqa: PLC0415
            Configure,
            VectorDistances,
            VectorFilterStrategy,
        )
    except ImportError:
        return
    # the client writes for the newest server
    wanted, make = index_config(replace(config, variant="")), Configure.VectorIndex
    try:
        made = make.hnsw(
            distance_metric=VectorDistances(wanted["distance"]),
            max_connections=config.M,
            ef_construction=config.ef_construction,
            ef=config.ef_search,
            filter_strategy=None if config.filters is None else VectorFilterStrategy(STRATEGY),
            flat_search_cutoff=wanted.get("flatSearchCutoff"),
            quantizer=_clients_quantizer(make.Quantizer, wanted),
        )
    except (ValidationError, ValueError) as error:
        raise InputError(
            f"Weaviate's client refuses the configuration ({one_line(str(error))}): update it or tune"
        ) from None
    check_written("Weaviate", made._to_dict(), wanted)  # the client's only way to JSON
    divided = shards(config).get("shardingConfig", {})
    if divided:
        # the client writes the server's own defaults too: key, strategy and function
        written = Configure.sharding(desired_count=config.n_shards)._to_dict()
        check_written("Weaviate", {key: written.get(key) for key in divided}, divided)


def _clients_quantizer(make: Any, wanted: dict[str, Any]) -> Any:
    if "bq" in wanted:
        return make.bq()
    if "sq" in wanted:
        return make.sq(rescore_limit=wanted["sq"]["rescoreLimit"], training_limit=SQ_TRAINING)
    if "rq" in wanted:
        return make.rq(bits=wanted["rq"]["bits"], rescore_limit=wanted["rq"]["rescoreLimit"])
    return make.none()


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check)
