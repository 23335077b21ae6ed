"""Qdrant: its own segments in this process, by qdrant-edge; the client's local mode only searches exactly."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from math import ceil
from pathlib import Path
from typing import Any

from tuner.engines.common import metric_named, refuse_to_drop
from tuner.engines.filtered import TAGS, filtered_search, narrowest_ef
from tuner.engines.filtering import FilterMeans, Tags
from tuner.engines.protocol import NO_LIMIT, OF_GRAPH, Capabilities, Defaults, Deployment, Engine, EngineCodec
from tuner.errors import InputError
from tuner.types import EngineConfig, FloatArray, Metric, ReportedConfig

FEWER_FROM = 128
"""Limit from which on Qdrant asks each of several shards for less (SHARD_QUERY_SUBSAMPLING_LIMIT)."""
CAPABILITIES = Capabilities(
    name="qdrant",
    title="Qdrant",
    language="json",
    codecs=(
        EngineCodec(name="float32", nearest="fp32", bits=32),
        EngineCodec(name="float16", nearest="fp16", bits=16),
        EngineCodec(
            name="scalar_int8",
            nearest="SQ8",
            bits=8,
            oversampling=True,
            note="one range for all dimensions, in 7 bits: between SQ6 and SQ8",
        ),
        *(
            EngineCodec(
                name=f"turbo_bits{bits}",
                nearest=f"RaBitQ{bits}",
                bits=bits,
                oversampling=True,
                since=since,
                note=f"since {since}",
            )
            for bits, since in ((8, "1.20"), (4, "1.18"), (2, "1.18"), (1, "1.18"))
        ),
        EngineCodec(
            name="binary_one_bit",
            nearest="tqmse1",
            bits=1,
            oversampling=True,
            metrics=("cosine", "ip"),
            since="1.15",
            note="it keeps only the query's signs too and no lengths, so it is far coarser than tqmse1",
        ),
        *(
            EngineCodec(
                name=f"product_x{4 * dims}", nearest=f"PQd/{dims}x8", bits=8 / dims, oversampling=True
            )
            for dims in (2, 4, 8)
        ),
    ),
    defaults=Defaults(codec="float32", M=16, ef_construction=100, ef_search=100),
    tested="qdrant-edge-py 0.9.0, which is the server's segments without the server; qdrant-client 1.20.0",
    runs="embedded",
    packages=("qdrant-edge-py>=0.9.0", "qdrant-client>=1.20"),
    modules=("qdrant_edge", "qdrant_client"),
    M=(2, 512),
    counts_oversampling="limit x oversampling candidates are compared on the original vectors; rescore "
    "without it re-orders the k it returns and finds nothing more",
    most_shards=NO_LIMIT,
    counts_shards="shard_number of the collection; hnsw_ef, limit, oversampling and default_segment_number "
    "count a shard",
    fallbacks=(
        "a search follows max(hnsw_ef, k x oversampling), so oversampling raises ef too",
        "segments below indexing_threshold kB have no graph and are scanned exactly",
        "searches over fewer than full_scan_threshold kB of vectors are exact though there is a graph",
        "each segment has a graph of its own and is searched with the full hnsw_ef: more segments find and "
        "cost more, and default_segment_number 0 makes as many as there are CPUs",
        "without shard_number a cluster chooses it, and more shards find more, as hnsw_ef counts each",
        f"from a limit of {FEWER_FROM} on, each of several shards is asked for fewer: for as many as nearly "
        "surely lie in it",
        "without hnsw_ef a search takes ef_construct",
        "qdrant-client's local mode (:memory:) ignores graph and quantizer and searches exactly",
        "datatype uint8 cuts the components of unit vectors off to zero, so it is left out",
    ),
    versions=(("1.10", "1.20"),),
    filters=FilterMeans(
        how="the graph is searched among the points that the filter allows, by links of their own "
        "that it gets for each value of an indexed field: the index of the payload must be there "
        "before the graph; without it a narrow filter finds hardly anything",
        ef_counts="allowed rows",
        scans="full_scan_threshold, in kB of vectors: where Qdrant expects fewer to be allowed, they "
        "are scanned",
        source="run: qdrant-edge-py 0.9.0; read: Filtering in Vector Search, and Filtered vector "
        "search with ACORN (acorn came with 1.16)",
    ),
    reports=OF_GRAPH,
    bytes_are="files of the graph and of the codes, or of the vectors where there is no quantizer; without "
    "the quantizer's parameters and the originals for re-scoring, which lie on disk",
)
DISTANCES: dict[Metric, str] = {"cosine": "Cosine", "ip": "Dot", "l2": "Euclid"}
THRESHOLD_KB = 10_000
"""Qdrant's own default of both thresholds, which exported bodies state."""
FEWEST_KB = 10
"""Smallest full_scan_threshold that a request may have."""
LEAST_KB = 1
"""Both thresholds when verifying, so that the graph of a small collection is built and searched too."""
MOST_KB = 1 << 32
"""Size of a segment when verifying: all vectors are in one graph."""
GRAPH = "vector_index/hnsw_config.json"


def quantization(config: EngineConfig) -> dict[str, Any] | None:
    """Return the quantizer's part of the collection, or None where there is none."""
    kind, _, option = config.codec.partition("_")
    options: dict[str, dict[str, Any]] = {
        "scalar": {"type": option, "quantile": 0.99},
        "turbo": {"bits": option},
        "binary": {"encoding": option, "query_encoding": "binary"},
        "product": {"compression": option},
    }
    return {kind: {**options[kind], "always_ram": True}} if kind in options else None


def scan_threshold_kb(config: EngineConfig) -> int:
    """Return below how many kB of vectors Qdrant scans them, a kB being 1,024 bytes."""
    if config.filters is None:
        return THRESHOLD_KB
    width = 2 if config.codec == "float16" else 4
    return max(FEWEST_KB, ceil(config.filters.scan_below_rows * config.d * width / 1_024))


def shards(config: EngineConfig) -> dict[str, int]:
    """Return the number of shards, where there are several."""
    return {"shard_number": config.n_shards} if config.n_shards > 1 else {}


def collection(config: EngineConfig) -> dict[str, Any]:
    """Return the body that creates the collection."""
    quantizer = quantization(config)
    vectors: dict[str, Any] = {
        "size": config.d,
        "distance": DISTANCES[config.metric],
        "datatype": config.codec if quantizer is None else "float32",
        "on_disk": quantizer is not None,
    }
    whole: dict[str, Any] = {
        "vectors": vectors,
        "hnsw_config": {
            "m": config.M,
            "ef_construct": config.ef_construction,
            "full_scan_threshold": scan_threshold_kb(config),
        },
        "optimizers_config": {"default_segment_number": 1, "indexing_threshold": THRESHOLD_KB},
        **shards(config),
    }
    return whole if quantizer is None else {**whole, "quantization_config": quantizer}


def search_params(config: EngineConfig) -> dict[str, Any]:
    """Return the params of a search."""
    params: dict[str, Any] = {"hnsw_ef": config.ef_search, "exact": False}
    if quantization(config) is None:
        return params
    rescore = {"rescore": config.oversampling > 1, "oversampling": float(config.oversampling)}
    return {**params, "quantization": {"ignore": False, **rescore}}


def body(config: EngineConfig) -> dict[str, Any]:
    """Return the bodies of the requests that create the collection and that search it."""
    search = {"query": "$query", "limit": config.k, "params": search_params(config), "with_payload": False}
    narrow = search_params(replace(config, ef_search=narrowest_ef(config)))
    searched = {**search, "params": narrow, "filter": condition("$tag")}
    return {
        "verification": _verification(config),
        "PUT /collections/items": collection(config),
        "POST /collections/items/points/query": search,
        **filtered_search(
            config,
            "hnsw_ef",
            searched,
            payload_index={"PUT /collections/items/index, before any point": PAYLOAD_INDEX},
            search_under_several_conditions_at_once=searched
            | {"params": {**narrow, "acorn": {"enable": True, "max_selectivity": MOST_SELECTIVITY}}},
        ),
    }


PAYLOAD_INDEX = {"field_name": TAGS, "field_schema": "integer"}
MOST_SELECTIVITY = 0.4
"""Qdrant's default: where more points are allowed, ACORN is not used."""


def condition(tag: int | str) -> dict[str, Any]:
    """Return the filter that a tag is."""
    return {"must": [{"key": TAGS, "match": {"value": tag}}]}


def _verification(config: EngineConfig) -> str:
    own = f"the thresholds are Qdrant's own ({THRESHOLD_KB:,} kB)"
    if config.filters is not None:
        return (
            f"indexing_threshold is Qdrant's own ({THRESHOLD_KB:,} kB), full_scan_threshold that of the "
            f"policy for filters; tune verify sets the former to {LEAST_KB} kB, and the latter too where it "
            "tries no filters"
        )
    if config.n_shards == 1:
        return (
            f"{own}; tune verify sets both to {LEAST_KB} kB, because smaller collections are searched "
            "exactly, and keeps one segment"
        )
    fewer = (
        f"; from a limit of {FEWER_FROM} on Qdrant asks each shard for fewer, and all of them were measured"
        if config.k >= FEWER_FROM
        else ""
    )
    return f"{own}: smaller shards are searched exactly{fewer}"


def check(config: EngineConfig) -> None:
    """Hold both bodies against the vendor's own models.

    Raises:
        InputError: the client is installed, and its models refuse a body.
    """
    try:
        from pydantic import ValidationError  # noqa: PLC0415 - as every engine's packages
        from qdrant_client import models  # noqa: PLC0415
    except ImportError:
        return
    create, search, *filtered = list(body(config).values())[1:]
    try:
        models.CreateCollection.model_validate(create)
        for each in filtered:
            models.CreateFieldIndex.model_validate(PAYLOAD_INDEX)
            for name in ("search", "search_under_several_conditions_at_once"):
                sought = {**each[name], "query": [0.0] * config.d, "filter": condition(0)}
                models.QueryRequest.model_validate(sought)
        models.QueryRequest.model_validate({**search, "query": [0.0] * config.d})
    except ValidationError as error:
        # of a union's members, those of other kinds complain that fields are missing or too many
        others = ("missing", "extra_forbidden")
        first = next((each for each in error.errors() if each["type"] not in others), error.errors()[0])
        where = ".".join(part for part in first["loc"] if isinstance(part, str) and part[0].islower())
        raise InputError(f"Qdrant's client refuses {where}: {first['msg']}: give another value") from None


class RunningQdrant:
    """One shard with one segment, in a folder."""

    def __init__(self, config: EngineConfig, deployment: Deployment) -> None:
        import qdrant_edge  # noqa: PLC0415 - as every engine's packages

        self.edge, self.config = qdrant_edge, config
        self.tags: Tags | None = None
        self.scans_few = deployment.tagged and _scans_few(config, deployment.n)
        self.folder = deployment.folder / deployment.name
        self.shard: qdrant_edge.EdgeShard | None = None
        if self.folder.exists():
            refuse_to_drop("a collection", deployment)
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        try:
            self.shard = qdrant_edge.EdgeShard.create(str(self.folder), self._config(deployment.threads))
            if deployment.tagged:  # before the graph, which gets links for each value
                indexed = qdrant_edge.PayloadSchemaType.Integer
                self.shard.update(qdrant_edge.UpdateOperation.create_field_index(TAGS, indexed))
        except BaseException:
            self.close()
            raise
        self.set_search(config.ef_search, config.oversampling)

    def _config(self, threads: int) -> Any:
        """Return the body of the collection as the edge's own types, with thresholds for verifying."""
        edge, whole = self.edge, collection(self.config)
        vectors, graph = whole["vectors"], whole["hnsw_config"]
        datatypes = {
            "float32": edge.VectorStorageDatatype.Float32,
            "float16": edge.VectorStorageDatatype.Float16,
        }
        return edge.EdgeConfig(
            vectors=edge.EdgeVectorParams(
                size=vectors["size"],
                distance=getattr(edge.Distance, vectors["distance"]),
                datatype=datatypes[vectors["datatype"]],
                on_disk=vectors["on_disk"],
            ),
            hnsw_config=edge.HnswIndexConfig(
                m=graph["m"],
                ef_construct=graph["ef_construct"],
                full_scan_threshold=scan_threshold_kb(self.config) if self.scans_few else LEAST_KB,
                max_indexing_threads=threads,
            ),
            quantization_config=self._quantizer(whole.get("quantization_config")),
            optimizers=edge.EdgeOptimizersConfig(
                default_segment_number=whole["optimizers_config"]["default_segment_number"],
                indexing_threshold=LEAST_KB,
                max_segment_size=MOST_KB,
            ),
            max_search_threads=1,
            wal_enabled=False,
        )

    def _quantizer(self, wanted: dict[str, Any] | None) -> Any:
        edge = self.edge
        if wanted is None:
            return None
        [(kind, options)] = wanted.items()
        in_memory = options["always_ram"]
        if kind == "scalar":
            return edge.ScalarQuantizationConfig(
                type=edge.ScalarType.Int8, quantile=options["quantile"], always_ram=in_memory
            )
        if kind == "turbo":
            bits = getattr(edge.TurboQuantBitSize, options["bits"].capitalize())
            return edge.TurboQuantQuantizationConfig(bits=bits, always_ram=in_memory)
        if kind == "product":
            ratio = getattr(edge.CompressionRatio, options["compression"].upper())
            return edge.ProductQuantizationConfig(compression=ratio, always_ram=in_memory)
        return edge.BinaryQuantizationConfig(
            encoding=getattr(edge.BinaryQuantizationEncoding, _camel(options["encoding"])),
            query_encoding=getattr(edge.BinaryQuantizationQueryEncoding, _camel(options["query_encoding"])),
            always_ram=in_memory,
        )

    def add(self, first: int, x: FloatArray) -> None:
        """Upsert the rows as points."""
        tags = None if self.tags is None else self.tags.of_rows(first, len(x))
        points = [
            self.edge.Point(first + row, vector, None if tags is None else {TAGS: tags[row]})
            for row, vector in enumerate(x.tolist())
        ]
        self._open().update(self.edge.UpdateOperation.upsert_points(points))

    def build(self) -> None:
        """Run the optimizers until none has anything left to do: they make the graph and the codes."""
        shard = self._open()
        shard.optimize()
        shard.flush()

    def set_search(self, ef_search: int, oversampling: int) -> None:
        """Search with these params from now on."""
        self.config = replace(self.config, ef_search=ef_search, oversampling=oversampling)
        params = search_params(self.config)
        codes = params.pop("quantization", None)
        self.params = self.edge.SearchParams(
            **params, quantization=None if codes is None else self.edge.QuantizationSearchParams(**codes)
        )

    def search(self, query: FloatArray, k: int) -> Sequence[int]:
        """Search for one query."""
        edge = self.edge
        nearest = edge.Query.Nearest(query.tolist())
        found = self._open().search(edge.SearchRequest(query=nearest, limit=k, params=self.params))
        return [point.id for point in found]

    def tag_rows(self, tags: Tags) -> None:
        """Take the tags of all rows."""
        self.tags = tags

    def search_tagged(self, query: FloatArray, k: int, tag: int, *, scan: bool) -> Sequence[int]:
        """Search among the points with a tag; few of them are scanned by full_scan_threshold."""
        edge = self.edge
        allowed = edge.Filter(must=[edge.FieldCondition(TAGS, match=edge.MatchValue(tag))])
        params = edge.SearchParams(exact=True) if scan and not self.scans_few else self.params
        nearest = edge.Query.Nearest(query.tolist())
        found = self._open().search(edge.SearchRequest(query=nearest, limit=k, params=params, filter=allowed))
        return [point.id for point in found]

    def answers_from_index(self, tag: int, *, scan: bool) -> None:
        """Return None: it shows no plan."""

    def _open(self) -> Any:
        if self.shard is None:
            raise InputError("the collection was closed: open another")
        return self.shard

    def applied(self) -> ReportedConfig:
        """Return what the shard and the files of its segments say; ef comes with each search."""
        found = ReportedConfig(
            version=f"qdrant-edge {version('qdrant-edge-py')}",
            n_indexed=self._open().info().indexed_vectors_count,
        )
        segments = self._indexed()
        if len(segments) != 1:
            return found
        [segment] = segments
        graph = _read(segment / GRAPH)
        return replace(
            found,
            n_indexed=min(found.n_indexed or 0, graph["indexed_vector_count"]),
            codec=_codec(segment),
            metric=metric_named(
                _read(segment / "segment.json")["config"]["vector_data"][""]["distance"], DISTANCES
            ),
            M=graph["m"],
            ef_construction=graph["ef_construct"],
        )

    def _indexed(self) -> list[Path]:
        """Return the segments that have a graph."""
        return [segment for segment in self.folder.glob("segments/*") if (segment / GRAPH).exists()]

    def index_bytes(self) -> int:
        """Return the size of the files that a search without re-scoring reads."""
        total = 0
        for segment in self._indexed():
            stored = segment / "vector_storage"
            codes = [*stored.glob("quantized.data")] or [stored / "matrix.dat"]
            total += sum(file.stat().st_size for file in (*(segment / "vector_index").iterdir(), *codes))
        return total

    def table_bytes(self) -> int:
        """Return the size of the files of the original vectors."""
        files = [segment / "vector_storage" / "matrix.dat" for segment in self._indexed()]
        return sum(file.stat().st_size for file in files)

    def close(self) -> None:
        """Close the shard and remove its folder."""
        if self.shard is not None:
            self.shard.close()
            self.shard = None
        shutil.rmtree(self.folder, ignore_errors=True)


def _scans_few(config: EngineConfig, n: int) -> bool:
    """Return whether full_scan_threshold is the policy's, which leaves unfiltered searches alone."""
    return config.filters is not None and config.filters.scan_below_rows < n


def _codec(segment: Path) -> str | None:
    """Return the codec of a segment, by the quantizer that it stores or the size of its vectors."""
    stored = segment / "vector_storage"
    if (stored / "quantized.data").exists():
        [(kind, options)] = _read(stored / "quantized.config.json")["quantization_config"].items()
        option = next(
            options[name] for name in ("type", "bits", "encoding", "compression") if name in options
        )
        return f"{kind}_{option}"
    config = _read(segment / "segment.json")["config"]["vector_data"][""]
    cells = _read(segment / GRAPH)["indexed_vector_count"] * config["size"]
    width = (stored / "matrix.dat").stat().st_size // max(1, cells)
    return {4: "float32", 2: "float16"}.get(width)


def _read(file: Path) -> Any:
    return json.loads(file.read_text())


def _camel(name: str) -> str:
    """Return ``one_bit`` as ``OneBit``, the edge's spelling of the REST API's words."""
    return "".join(part.capitalize() for part in name.split("_"))


ENGINE = Engine(capabilities=CAPABILITIES, body=body, check=check, open=RunningQdrant)
