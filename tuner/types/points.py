"""A configuration, and what it does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from tuner.types.words import StoreAt


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One index, all but its ef_search.

    Attributes:
        M: links per node (level 0 holds 2M).
        ef_construction: candidates kept while building.
        codec: quantizer of the graph's storage, in faiss's spelling.
        dims: dimensions that the codec sees before padding; d when nothing is cut.
        cut: way in which those dimensions were chosen.
        rerank: codec of the re-ranking store, or None.
        rerank_factor: candidates re-ranked, as a multiple of k; 1 without re-ranking.
        rerank_at: place of the re-ranking store.
    """

    M: int
    ef_construction: int
    codec: str
    dims: int
    cut: Literal["none", "pca", "truncate"] = "none"
    rerank: str | None = None
    rerank_factor: int = 1
    rerank_at: StoreAt = "memory"

    @property
    def label(self) -> str:
        """Short name in the style of a faiss factory string: ``PCA128,HNSW16,SQ8,Refine(fp16)x4``."""
        head = {"none": "", "pca": f"PCA{self.dims},", "truncate": f"Trunc{self.dims},"}[self.cut]
        where = "" if self.rerank_at == "memory" else "@disk"
        tail = f",Refine({self.rerank}){where}x{self.rerank_factor}" if self.rerank else ""
        return f"{head}HNSW{self.M},{self.codec}{tail}"


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of a serialized index by part; ``resident_bytes`` is what must stay in memory.

    Attributes:
        codes_bytes: encoded vectors.
        links_bytes: lists of neighbours on all levels.
        levels_bytes: level of each node, and offsets into the lists.
        ids_bytes: row numbers or own ids, where they are stored.
        rerank_bytes: re-ranking store in memory.
        overhead_bytes: headers, codebooks and transforms.
        disk_bytes: a memory-mapped re-ranking store beside the index, not in ``resident_bytes``.
        copies_bytes: list beside the index of rows that repeat one of its rows.
    """

    codes_bytes: int
    links_bytes: int
    levels_bytes: int
    ids_bytes: int
    rerank_bytes: int
    overhead_bytes: int
    disk_bytes: int = 0
    copies_bytes: int = 0

    @property
    def resident_bytes(self) -> int:
        """Bytes that must stay in memory: all parts but those on disk."""
        return (
            self.codes_bytes
            + self.links_bytes
            + self.levels_bytes
            + self.ids_bytes
            + self.rerank_bytes
            + self.overhead_bytes
            + self.copies_bytes
        )


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Recall@k over a query set; the unit of the uncertainty is the query.

    Attributes:
        mean: mean over queries.
        lower: one-sided lower confidence bound on the mean.
        p5: 5th percentile over queries.
        share_below_half: share of queries with recall under .5.
        n_queries: number of queries.
    """

    mean: float
    lower: float
    p5: float
    share_below_half: float
    n_queries: int


@dataclass(frozen=True, kw_only=True)
class CertifiedEf:
    """What an index needs for another k or target.

    Attributes:
        k: neighbours asked for.
        target: target recall@k.
        ef_search: least ef_search at which the lower bound of recall meets the target.
        recall: recall@k there.
        ndis_per_query: distance computations per query.
    """

    k: int
    target: float
    ef_search: int
    recall: Recall
    ndis_per_query: float


@dataclass(frozen=True, kw_only=True)
class TriedEf:
    """Another ef_search that an index was searched with on all queries, on the way to its own.

    Attributes:
        ef_search: candidates kept while searching.
        recall: mean recall@k over the queries.
        lower: one-sided lower confidence bound on it, as wide as that of the point.
        ndis_per_query: distance computations per query.
        time_ratio: modelled seconds per query over those at the point's own ef_search.
    """

    ef_search: int
    recall: float
    lower: float
    ndis_per_query: float
    time_ratio: float


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One query at a time, one thread, Python's call overhead included.

    Attributes:
        mean_s: mean seconds per query.
        p50_s: median seconds per query.
        p95_s: 95th percentile of seconds per query.
        p99_s: 99th percentile of seconds per query.
        n_rounds: interleaved rounds that the figures come from.
        queries_per_second: throughput of one batch on all threads, or None.
    """

    mean_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    n_rounds: int
    queries_per_second: float | None = None

    def scaled(self, factor: float) -> Latency:
        """Return the same with every second times ``factor``: to compare figures of different rounds."""
        return replace(
            self,
            mean_s=self.mean_s * factor,
            p50_s=self.p50_s * factor,
            p95_s=self.p95_s * factor,
            p99_s=self.p99_s * factor,
        )


@dataclass(frozen=True, kw_only=True)
class Ceiling:
    """What a codec can reach at best: recall of an exhaustive scan of its codes.

    Attributes:
        codec: quantizer, in faiss's spelling.
        dims: dimensions that the codec sees before padding.
        cut: way in which those dimensions were chosen.
        code_bytes: bytes per encoded vector.
        recall_at: recall for each number of candidates kept and re-ranked exactly, in multiples of k.
        recall_with: recall for each re-ranking store that is itself a codec, as in ``recall_at``.
        train_s: CPU seconds to train the codec.
        distance_s: seconds per distance computation, or None if not measured.
        excluded: reason why no index of this codec was built, empty if one was a candidate.
    """

    codec: str
    dims: int
    cut: Literal["none", "pca", "truncate"]
    code_bytes: int
    recall_at: dict[int, float]
    train_s: float
    recall_with: dict[str, dict[int, float]] = field(default_factory=dict)
    distance_s: float | None = None
    excluded: str = ""


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """What a derived graph does on exact distances.

    Attributes:
        M: links per node.
        ef_search: candidates kept while searching.
        recall: mean recall@k.
        ndis_per_query: distance computations per query.
    """

    M: int
    ef_search: int
    recall: float
    ndis_per_query: float


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A configuration with its ef_search, really built and measured at full size.

    Attributes:
        configuration: index, all but its ``ef_search``.
        ef_search: candidates kept while searching.
        recall: recall on all queries, with the lower bound that certifies it.
        hits: right answers of each query.
        ndis_per_query: distance computations per query.
        bytes_read_per_query: bytes of codes, links and re-ranked vectors touched per query.
        memory: bytes of the serialized index by part.
        predicted_recall: recall that the model predicted at the ``ef_search`` that was found, or None.
        modelled_latency_s: seconds per query that ndis and ef_search stand for, at costs that all points of a
            codec share; for finalists the cost is what the clock showed in the last rounds.
        reads_per_query: random reads of the re-ranking store on disk per query.
        latency: measured latency of a finalist, else None.
        reaches_target: whether the lower bound of recall meets the target, for finalists that of all of them
            together, and p95 is within the limit.
        tried: every other ef_search that was measured on the way, ascending.
    """

    configuration: Configuration
    ef_search: int
    recall: Recall
    ndis_per_query: float
    bytes_read_per_query: float
    memory: Memory
    predicted_recall: float | None
    modelled_latency_s: float
    reads_per_query: float = 0.0
    latency: Latency | None = None
    hits: tuple[int, ...] = ()
    reaches_target: bool = True
    tried: tuple[TriedEf, ...] = ()

    @property
    def seconds(self) -> float:
        """Mean seconds a query: measured where it was timed, else modelled."""
        return self.modelled_latency_s if self.latency is None else self.latency.mean_s


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A measured index at one of the ef_search that it was measured with.

    Attributes:
        position: position of the index among the points of the report.
        label: short name in the style of a faiss factory string.
        ef_search: candidates kept while searching.
        recall: mean recall@k over the queries.
        lower: one-sided lower confidence bound on it.
        ndis_per_query: distance computations per query.
        memory_bytes: bytes that must stay in memory.
        seconds: mean seconds per query; modelled where ``timed`` is false.
        modelled_s: the same at the cost that all points of a codec share.
        timed: whether the clock was at this ef_search.
    """

    position: int
    label: str
    ef_search: int
    recall: float
    lower: float
    ndis_per_query: float
    memory_bytes: int
    seconds: float
    modelled_s: float
    timed: bool
