"""Elasticsearch: exported, and held against its client's own types; no server runs from PyPI."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_args

from tuner.engines.filtered import TAGS, filtered_search, narrowest_ef
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import Capabilities, Defaults, Engine, EngineCodec
from tuner.errors import InputError
from tuner.types import EngineConfig, Metric

BFLOAT16 = "hnsw_bfloat16"
"""``hnsw`` over a field of that element type."""
CAPABILITIES = Capabilities(
    name="elasticsearch",
    title="Elasticsearch",
    language="json",
    codecs=(
        EngineCodec(name="hnsw", nearest="fp32", bits=32),
        EngineCodec(
            name=BFLOAT16,
            nearest="bf16",
            bits=16,
            since="9.3",
            note="since 9.3; the stored vectors are rounded too",
        ),
        EngineCodec(
            name="int8_hnsw",
            nearest="SQ8",
            bits=8,
            oversampling=True,
            since="9.1",
            note="7 bits in a byte each (Lucene's), so below SQ8; the default below 384 dims, and everywhere "
            "in 9.0; from 9.4 on some deployments choose bbq_disk, which is no graph",
        ),
        EngineCodec(name="int4_hnsw", nearest="SQ4", bits=4, oversampling=True, multiple_of=2, since="9.1"),
        EngineCodec(
            name="bbq_hnsw",
            nearest="RaBitQ1",
            bits=1,
            oversampling=True,
            least_d=64,
            since="9.1",
            note="the default from 384 dims on (9.1), with an oversampling of 3; from 9.4 on some "
            "deployments choose bbq_disk, which is no graph",
        ),
    ),
    defaults=Defaults(codec="int8_hnsw", M=16, ef_construction=100, ef_search=15),
    tested="validated with elasticsearch-py 9.5.1; read: documentation of 9.1 to 9.3 and the sources "
    "of DenseVectorFieldMapper; no server was run, and Lucene's codecs under it are the engine lucene",
    runs="no",
    packages=("elasticsearch>=9.5",),
    modules=("elasticsearch",),
    M=(2, 512),
    ef_construction=(1, 3_200),
    ef_search=(1, 10_000),
    oversampling=(1, 10),
    most_candidates=10_000,
    ef_covers_candidates=True,
    most_dims=4_096,
    counts_oversampling="rescore_vector.oversample: oversample x k of the num_candidates are compared on "
    "float vectors; 0 turns it off",
    most_shards=1_024,
    counts_shards="number_of_shards of the index, set when it is made; num_candidates, k and the "
    "candidates that are re-scored count a shard",
    fallbacks=(
        "without rescore_vector in the query, the mapping's own (3 for bbq) applies",
        "num_candidates left out is 1.5 x k",
        "segments below flat_index_threshold vectors (150, bbq 300) are scanned exactly",
        "num_candidates counts a shard, so more shards find more",
    ),
    versions=(("9.0", "9.5"),),
    bytes_are="not read: it was not run",
    filters=FilterMeans(
        how="the filter stands inside knn, and the graph is searched among its documents; beside knn, "
        "in bool or post_filter, it would only drop some of the k",
        ef_counts="allowed rows",
        scans="Elasticsearch scans them by itself, where fewer are allowed than a search would come "
        "upon: nothing is to be set",
        source="read: Filter approximate kNN results (9.1), DenseVectorFieldMapper's HNSW_FILTER_HEURISTIC",
        cannot="set from how many documents on they are scanned",
    ),
)
SIMILARITY: dict[Metric, str] = {"cosine": "cosine", "ip": "max_inner_product", "l2": "l2_norm"}


def rescore(config: EngineConfig) -> dict[str, float]:
    """Return ``rescore_vector``, as a number also where it is off."""
    return {"oversample": float(config.oversampling) if config.oversampling > 1 else 0.0}


def field(config: EngineConfig) -> dict[str, Any]:
    """Return the field's mapping."""
    plain = config.codec in ("hnsw", BFLOAT16)
    options: dict[str, Any] = {
        "type": "hnsw" if plain else config.codec,
        "m": config.M,
        "ef_construction": config.ef_construction,
    }
    if not plain:
        options["rescore_vector"] = rescore(config)
    return {
        "type": "dense_vector",
        "element_type": "bfloat16" if config.codec == BFLOAT16 else "float",
        "dims": config.d,
        "index": True,
        "similarity": SIMILARITY[config.metric],
        "index_options": options,
    }


def knn(config: EngineConfig) -> dict[str, Any]:
    """Return the search."""
    whole: dict[str, Any] = {
        "field": "embedding",
        "query_vector": "$query",
        "k": config.k,
        "num_candidates": config.ef_search,
    }
    if config.codec not in ("hnsw", BFLOAT16):
        whole["rescore_vector"] = rescore(config)
    return whole


def shards(config: EngineConfig) -> dict[str, Any]:
    """Return the index's settings, where there are several shards."""
    if config.n_shards == 1:
        return {}
    return {"settings": {"index": {"number_of_shards": config.n_shards}}}


def body(config: EngineConfig) -> dict[str, Any]:
    """Return the index's settings, its mapping and the search's body."""
    fields = {"embedding": field(config), **({} if config.filters is None else {TAGS: {"type": "integer"}})}
    return {
        "index": {**shards(config), "mappings": {"properties": fields}},
        "search": {"size": config.k, "knn": knn(config)},
        **filtered_search(config, "num_candidates", {"size": config.k, "knn": filtered_knn(config)}),
    }


def filtered_knn(config: EngineConfig) -> dict[str, Any]:
    """Return the search among the documents that a filter allows."""
    narrow = {**knn(config), "num_candidates": narrowest_ef(config)}
    return {**narrow, "filter": {"term": {TAGS: "$tag"}}}


def check(config: EngineConfig) -> None:
    """Hold the mapping and the search against the types that the vendor's client declares.

    Raises:
        InputError: the client is installed and does not know an option or its value.
    """
    try:
        from elasticsearch import Elasticsearch  # noqa: PLC0415 - as every engine's packages
        from elasticsearch.dsl import types  # noqa: PLC0415
        from elasticsearch.dsl.field import DenseVector  # noqa: PLC0415
        from elasticsearch.dsl.query import Knn  # noqa: PLC0415
    except ImportError:
        return
    mapping, searched = field(config), knn(config)
    if mapping.pop("type") != DenseVector.name:
        raise InputError("Elasticsearch's client knows no dense_vector: update tune or the client")
    _hold(DenseVector.__init__, mapping)
    _hold(types.DenseVectorIndexOptions.__init__, mapping["index_options"])
    _hold(Knn.__init__, filtered_knn(config))
    if "rescore_vector" in searched:
        _hold(types.DenseVectorIndexOptionsRescoreVector.__init__, mapping["index_options"]["rescore_vector"])
        _hold(types.RescoreVector.__init__, searched["rescore_vector"])
    if config.n_shards > 1:
        with Elasticsearch("http://localhost:9200") as client:  # which connects to nothing until it is asked
            _hold(client.indices.create, body(config)["index"])


def _hold(declares: Callable[..., Any], values: dict[str, Any]) -> None:
    """Raise InputError unless every name and every choice among words is one that ``declares`` has."""
    declared = inspect.signature(declares).parameters
    for name, value in values.items():
        if name not in declared:
            raise InputError(f"Elasticsearch's client knows no option {name!r}: update tune or the client")
        choices = [each for part in get_args(declared[name].annotation) for each in get_args(part)]
        words = [each for each in choices if isinstance(each, str)]
        if isinstance(value, str) and words and value not in words:
            raise InputError(f"Elasticsearch's client knows no {name} {value!r}: it knows {', '.join(words)}")


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check)
