"""A configuration, and what it does."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from tuner.types.words import StoreAt


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One index, all but its ef_search.

    Attributes:
        codec: quantizer of the graph's storage, in faiss's spelling.
        dims: dimensions that the codec sees before padding; d when nothing is cut.
        cut: how they were chosen.
        rerank: codec of the re-ranking store, or None.
        rerank_factor: candidates re-ranked, as a multiple of k; 1 without re-ranking.
        rerank_at: where the re-ranking store lives.
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
        overhead_bytes: headers, codebooks and transforms.
        disk_bytes: a memory-mapped re-ranking store beside the index, not in ``resident_bytes``.
    """

    codes_bytes: int
    links_bytes: int
    levels_bytes: int
    ids_bytes: int
    rerank_bytes: int
    overhead_bytes: int
    disk_bytes: int = 0

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
        )


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Recall@k over a query set; the unit of the uncertainty is the query.

    Attributes:
        lower: one-sided lower confidence bound on the mean.
        p5: 5th percentile over queries.
        share_below_half: queries with recall under .5.
    """

    mean: float
    lower: float
    p5: float
    share_below_half: float
    n_queries: int


@dataclass(frozen=True, kw_only=True)
class Latency:
    """One query at a time, one thread, Python's call overhead included.

    Attributes:
        n_rounds: interleaved rounds that the figures come from.
        queries_per_second: one batch on all threads, or None.
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
        recall_at: recall by candidates kept and re-ranked exactly, as multiples of k.
        recall_with: the same by re-ranking store, where the store is itself a codec.
        train_s: CPU seconds to train the codec.
        excluded: why no index of this codec was built, empty if one was a candidate.
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
    """What a derived graph does on exact distances."""

    M: int
    ef_search: int
    recall: float
    ndis_per_query: float


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """A configuration with its ef_search, really built and measured at full size.

    Attributes:
        recall: on the tune half, which chose ``ef_search``.
        validated: on the held-out half, which chose nothing.
        predicted_recall: by the model, at the ``ef_search`` that was found.
        modelled_latency_s: by its ndis and ef_search, at prices that are the same for all points of a codec;
            for finalists the price is what the clock showed in the last rounds.
        reads_per_query: random reads of the re-ranking store on disk.
        validated_hits: right answers of each query of the held-out half.
        validated_ndis: distance computations a query of that half.
        reaches_target: both halves support the target, and for finalists p95 is within the limit.
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
    validated: Recall | None = None
    validated_hits: tuple[int, ...] = ()
    validated_ndis: float | None = None
    reaches_target: bool = True

    @property
    def seconds(self) -> float:
        """Mean seconds a query: measured where it was timed, else modelled."""
        return self.modelled_latency_s if self.latency is None else self.latency.mean_s
