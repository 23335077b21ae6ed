"""Vespa: exported as a schema file with the query below it, and held against what pyvespa renders."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import zip_longest
from typing import Any
from xml.etree import ElementTree

from tuner.engines.filtered import TAGS, describe_steps, narrowed
from tuner.engines.filtering import FilterMeans
from tuner.engines.protocol import NO_LIMIT, Capabilities, Defaults, Engine, EngineCodec
from tuner.errors import InputError
from tuner.types import EngineConfig, Metric

CAPABILITIES = Capabilities(
    name="vespa",
    title="Vespa",
    language="vespa",
    codecs=(
        EngineCodec(name="float", nearest="fp32", bits=32),
        EngineCodec(name="bfloat16", nearest="bf16", bits=16),
        EngineCodec(
            name="bits",
            nearest="tqmse1",
            bits=1,
            oversampling=True,
            metrics=("cosine", "ip"),
            multiple_of=8,
            note="one sign a dimension, packed by Vespa itself and compared by Hamming distance; the query "
            "is sent twice, as floats and packed (numpy.packbits(q > 0), as int8)",
        ),
    ),
    defaults=Defaults(codec="float", M=16, ef_construction=200, ef_search=10),
    tested="rendered alike by pyvespa 1.2.9; read: Vespa's documentation (approximate search, binarizing "
    "vectors); only a server validates schemas, and none was run",
    runs="no",
    packages=("pyvespa>=1.2",),
    modules=("vespa",),
    M=(2, NO_LIMIT),
    ef_construction=(1, NO_LIMIT),
    ef_search=(1, NO_LIMIT),
    oversampling=(1, 1_000),
    most_candidates=10_000,
    ef_covers_candidates=True,
    counts_oversampling="written out: targetHits and the second phase's rerank-count are k x oversampling, "
    "compared on the float vectors, which are paged from disk",
    most_shards=NO_LIMIT,
    counts_shards="content nodes of services.xml, those of one group where there are groups; targetHits, "
    "exploreAdditionalHits and rerank-count count a content node",
    fallbacks=(
        "ef_search is targetHits + hnsw.exploreAdditionalHits: without the latter it is k",
        "targetHits and rerank-count count a content node, so more nodes find more",
        "under a filter that leaves few documents the search is exact",
        "inner product is searched in a graph of lengthened vectors, another one than faiss's",
    ),
    bytes_are="not read: it was not run",
    filters=FilterMeans(
        how="the filter is evaluated first, and the graph is searched among its documents "
        "(pre-filtering); filter-first-threshold 0 compares all that it comes upon, which finds most, "
        "and post-filter-threshold 1 never filters afterwards",
        ef_counts="allowed rows",
        scans="approximate-threshold: below that share of the documents they are scanned",
        source="read: Vespa's schema reference (post-filter-threshold, approximate-threshold, "
        "filter-first-threshold) and its page on tuning approximate search",
    ),
)
DISTANCES: dict[Metric, str] = {"cosine": "angular", "ip": "dotproduct", "l2": "euclidean"}
EXACT: dict[Metric, str] = {
    "cosine": "cosine_similarity(query(q), attribute(embedding), x)",
    "ip": "sum(query(q) * attribute(embedding))",
    "l2": "-euclidean_distance(query(q), attribute(embedding), x)",
}
"""What the second phase ranks by."""
INDENT = "    "
DEFAULT_MOST_HITS = 400
"""maxHits unless a query profile says otherwise: a request for more hits is cut to that."""


def _block(head: str, *lines: str) -> list[str]:
    return [f"{head} {{", *(INDENT + line for line in lines), "}"]


def _indexed(config: EngineConfig) -> tuple[str, str, str]:
    """Return name and type of the field that has the graph, and its distance."""
    if config.codec == "bits":
        return "embedding_bits", f"tensor<int8>(x[{config.d // 8}])", "hamming"
    return "embedding", f"tensor<{config.codec}>(x[{config.d}])", DISTANCES[config.metric]


def _field(config: EngineConfig) -> list[str]:
    name, kind, distance = _indexed(config)
    made = "input embedding | binarize | pack_bits | " if config.codec == "bits" else ""
    graph = _block(
        "hnsw",
        f"max-links-per-node: {config.M}",
        f"neighbors-to-explore-at-insert: {config.ef_construction}",
    )
    return _block(
        f"field {name} type {kind}",
        f"indexing: {made}attribute | index",
        *_block("attribute", f"distance-metric: {distance}"),
        *_block("index", *graph),
    )


def _profile(config: EngineConfig) -> list[str]:
    name, kind, _ = _indexed(config)
    inputs = [f"query(q) tensor<float>(x[{config.d}])"]
    if config.codec == "bits":
        inputs.append(f"query(q_bits) {kind}")
    second = []
    if config.oversampling > 1:
        exact = _block("expression", EXACT[config.metric])
        second = _block("second-phase", *exact, f"rerank-count: {config.candidates}")
    return _block(
        "rank-profile nearest",
        *_block("inputs", *inputs),
        *_block("first-phase", *_block("expression", f"closeness(field, {name})")),
        *second,
        *thresholds(config),
    )


def thresholds(config: EngineConfig) -> list[str]:
    """Return which shares of the documents that a filter allows are searched how."""
    if config.filters is None:
        return []
    return [
        f"approximate-threshold: {config.filters.scan_below_share:.4g}",
        "filter-first-threshold: 0.0",
        "post-filter-threshold: 1.0",
    ]


def schema(config: EngineConfig) -> str:
    """Return the schema."""
    fields = _block("field id type long", "indexing: summary | attribute")
    if config.filters is not None:
        fast = _block("attribute", "fast-search")
        fields += _block(f"field {TAGS} type array<int>", "indexing: attribute", *fast)
    outside: list[str] = []
    if config.codec == "bits":
        paged = _block("attribute", "paged")
        fields += _block(f"field embedding type tensor<float>(x[{config.d}])", "indexing: attribute", *paged)
        outside = _field(config)
    else:
        fields += _field(config)
    return "\n".join(_block("schema items", *_block("document items", *fields), *outside, *_profile(config)))


def query(config: EngineConfig, condition: str = "") -> dict[str, Any]:
    """Return the body of a search request.

    Args:
        condition: what stands before the search in where, ``and`` included; empty for nothing.
    """
    name, _, _ = _indexed(config)
    given = "q_bits" if config.codec == "bits" else "q"
    hits = {
        "targetHits": config.candidates,
        "hnsw.exploreAdditionalHits": config.ef_search - config.candidates,
    }
    nearest = f"{json.dumps(hits)}nearestNeighbor({name}, {given})"
    where = f"{condition}({nearest})" if condition else nearest
    request = {
        "yql": f"select id from items where {where}",
        "ranking": "nearest",
        "hits": config.k,
        "input.query(q)": "$query",
    }
    return request if given == "q" else {**request, "input.query(q_bits)": "$packed_query"}


def query_profile(config: EngineConfig) -> list[str]:
    """Return the file that lets a request have k hits, where that is more than Vespa's own limit."""
    if config.k <= DEFAULT_MOST_HITS:
        return []
    return [
        f"search/query-profiles/default.xml of it, without which no more than {DEFAULT_MOST_HITS} hits come:",
        '<query-profile id="default">',
        f'  <field name="maxHits">{config.k}</field>',
        "</query-profile>",
        "",
    ]


def content_nodes(config: EngineConfig) -> str:
    """Return the element of ``services.xml`` that divides the documents."""
    return f'<nodes count="{config.n_shards}" />'


def services(config: EngineConfig) -> list[str]:
    """Return what has to stand in another file, where there are several shards."""
    if config.n_shards == 1:
        return []
    return [
        f"services.xml of it: ef_search was measured for {config.n_shards} content nodes (of each group,",
        "where there are groups), and targetHits counts each of them; where hosts are named, the content",
        f"cluster has {config.n_shards} elements <node> instead of a count:",
        content_nodes(config),
        "",
    ]


def body(config: EngineConfig) -> str:
    """Return the schema file, with the search in comments."""
    searched = json.dumps(query(config), indent=2).splitlines()
    return "\n".join(
        [
            "# schemas/items.sd of an application package",
            schema(config),
            "",
            *(f"# {line}" for line in (*services(config), *query_profile(config))),
            "# POST /search/",
            *(f"# {line}" for line in searched),
            *(f"# {line}" if line else "" for line in _filtered_body(config)),
        ]
    )


def _filtered_body(config: EngineConfig) -> list[str]:
    """Return the request with a filter, none where no filters were measured."""
    narrow = narrowed(config)
    if narrow is None:
        return []
    return [
        "",
        f"filtered search: {TAGS} stands for what you filter by",
        *describe_steps(config, "targetHits + exploreAdditionalHits"),
        "POST /search/",
        *json.dumps(query(narrow, f"{TAGS} = 7 and "), indent=2).splitlines(),
    ]


def check(config: EngineConfig) -> None:
    """Hold the schema against what pyvespa renders of the same fields and ranking.

    Raises:
        InputError: pyvespa is installed and renders another, or does not know the distance.
    """
    try:
        from vespa import package  # noqa: PLC0415 - as every engine's packages
    except ImportError:
        return
    rendered = _clients_schema(package, config).schema_to_text
    plain = replace(config, filters=None)  # pyvespa renders no thresholds
    pairs = zip_longest(_words(rendered), _words(schema(plain)), fillvalue="(nothing)")
    for theirs, ours in pairs:
        if theirs != ours:
            raise InputError(f"pyvespa writes {theirs!r} where the schema has {ours!r}: update it or tune")
    if config.n_shards > 1:
        _check_nodes(package, config)


def _check_nodes(package: Any, config: EngineConfig) -> None:
    cluster = ElementTree.Element("content")
    package.Nodes(count=str(config.n_shards)).to_xml(cluster)
    theirs = ElementTree.tostring(cluster[0], encoding="unicode")
    if theirs != content_nodes(config):
        raise InputError(f"pyvespa writes {theirs} for {content_nodes(config)}: update it or tune")


def _words(text: str) -> list[str]:
    return text.split()


def _clients_schema(package: Any, config: EngineConfig) -> Any:
    name, kind, distance = _indexed(config)
    packed, floats = config.codec == "bits", f"tensor<float>(x[{config.d}])"
    graph = package.HNSW(
        distance_metric=distance,
        max_links_per_node=config.M,
        neighbors_to_explore_at_insert=config.ef_construction,
    )
    made = ["input embedding", "binarize", "pack_bits"] if packed else []
    fields = [package.Field(name="id", type="long", indexing=["summary", "attribute"])]
    if packed:
        fields.append(
            package.Field(name="embedding", type=floats, indexing=["attribute"], attribute=["paged"])
        )
    fields.append(
        package.Field(
            name=name,
            type=kind,
            indexing=[*made, "attribute", "index"],
            ann=graph,
            is_document_field=not packed,
        )
    )
    second = None
    if config.oversampling > 1:
        second = package.SecondPhaseRanking(EXACT[config.metric], rerank_count=config.candidates)
    profile = package.RankProfile(
        name="nearest",
        first_phase=f"closeness(field, {name})",
        second_phase=second,
        inputs=[("query(q)", floats), *([("query(q_bits)", kind)] if packed else [])],
    )
    return package.Schema(name="items", document=package.Document(fields=fields), rank_profiles=[profile])


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check)
