"""The nouns of the project: what goes in, what is measured, what comes out.

Every other module meets here. Everything is a frozen dataclass; stored quantities are SI and carry
their unit in the name (``_s``, ``_bytes``, ``_per_query``).
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

Metric: TypeAlias = Literal["cosine", "ip", "l2"]
Preference: TypeAlias = Literal["balanced", "fastest", "smallest"]
StoreAt: TypeAlias = Literal["memory", "disk"]
FloatArray: TypeAlias = NDArray[np.float32]
IdArray: TypeAlias = NDArray[np.int64]

T = TypeVar("T")
Steps: TypeAlias = Generator[float, None, T]
"""Long work: yields the share done in [0, 1] and returns its result."""

PREFERENCES: tuple[Preference, ...] = ("balanced", "fastest", "smallest")
SCHEMA_VERSION = 1


# ---------------------------------------------------------------- what goes in


@dataclass(frozen=True, kw_only=True)
class Space:
    """What to sweep. Names are faiss's spelling.

    Attributes:
        M: links a node (level 0 holds 2M), ascending.
        ef_construction: of the one build.
        codecs: quantizers, with ``PQ<d/4>x8`` style widths relative to d.
        cuts: shares of the dimensions to keep, 1.0 for all of them.
        cut_kinds: how dimensions are cut.
        rerank_stores: codecs that the exact (or nearly exact) vectors are kept in for re-ranking.
        rerank_factors: candidates re-ranked, as multiples of k; 1 is no re-ranking.
        ef_search_max: largest ef_search that is tried.
    """

    name: str = "default"
    M: tuple[int, ...] = (6, 8, 12, 16, 24, 32, 48)
    ef_construction: int = 100
    codecs: tuple[str, ...] = ()
    cuts: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    cut_kinds: tuple[Literal["pca", "truncate"], ...] = ("pca", "truncate")
    rerank_stores: tuple[str, ...] = ("fp32", "fp16", "SQ8")
    rerank_factors: tuple[int, ...] = (1, 2, 4, 8, 16)
    ef_search_max: int = 4096


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user asked for, validated.

    Attributes:
        recall: target recall@k in (0, 1].
        max_memory_bytes: limit on the resident index, or None.
        max_memory_per_vector: the same as bytes a vector, or None.
        max_latency_s: limit on the p95 of one query at a time on one thread, or None.
        confidence: of the one-sided lower bound on recall.
        threads: for building and for exact truth; 0 means all cores.
        time_budget_s: wall seconds for the whole run, or None.
        n_queries: held-out queries when no query file is given; None chooses.
        exhaustive: build and measure every configuration natively.
        native: measure these codecs alone, with graphs that faiss builds, as other engines do; empty derives
            graphs and measures whatever could win.
    """

    recall: float
    k: int = 10
    metric: Literal["auto", "cosine", "ip", "l2"] = "auto"
    max_memory_bytes: int | None = None
    max_memory_per_vector: float | None = None
    max_latency_s: float | None = None
    prefer: Preference = "balanced"
    confidence: float = 0.95
    seed: int = 0
    threads: int = 0
    time_budget_s: float | None = None
    n_queries: int | None = None
    rerank_store: StoreAt = "memory"
    baseline: Literal["graph", "hnswlib"] = "graph"
    exhaustive: bool = False
    native: tuple[str, ...] = ()
    space: Space = field(default_factory=Space)


# ---------------------------------------------------------------- what was found in the data


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What one pass over the base says.

    Attributes:
        n_duplicate_rows: rows that repeat an earlier row bit for bit.
        dead_dimensions: columns whose spread is below rounding, ascending.
        spectrum_dims: principal components that hold 90, 95 and 99 % of the variance of a sample.
        metric_reason: why the metric was chosen, for the screen.
    """

    source: str
    n: int
    d: int
    dtype: str
    fingerprint: str
    metric: Metric
    metric_reason: str
    norm_min: float
    norm_mean: float
    norm_max: float
    n_zero_rows: int
    n_duplicate_rows: int
    largest_duplicate_group: int
    dead_dimensions: tuple[int, ...]
    spectrum_dims: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class QuerySet:
    """Where the queries came from and how they were split.

    Attributes:
        held_out_rows: rows of the base file that became queries; empty when a query file was given.
        n_in_base: queries that equal a row of the base bit for bit.
        split: digest of the held-out rows and of the positions of the validation half.
    """

    source: str
    fingerprint: str
    n_tune: int
    n_validate: int
    held_out_rows: tuple[int, ...] = ()
    n_in_base: int = 0
    split: str = ""


# ---------------------------------------------------------------- a configuration and what it does


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


# ---------------------------------------------------------------- the answer


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer, flat, for machines to read."""

    M: int
    ef_construction: int
    ef_search: int
    codec: str
    dims: int
    cut: str
    rerank: str | None
    rerank_factor: int
    rerank_at: StoreAt
    recall: float
    recall_lower: float
    memory_bytes: int
    disk_bytes: int
    memory_per_vector_bytes: float
    latency_mean_s: float
    latency_p50_s: float
    latency_p95_s: float
    latency_p99_s: float
    ndis_per_query: float
    label: str
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The index that most people have today, at the same recall.

    Attributes:
        memory_ratio: its bytes over the recommendation's.
        latency_ratio: its mean latency over the recommendation's, on the clock of the same index.
        build_cpu_s: CPU seconds of its build, when it was really built (hnswlib).
    """

    name: str
    ef_search: int
    recall: Recall
    memory_bytes: int
    latency: Latency
    memory_ratio: float
    latency_ratio: float
    build_cpu_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What one stage took; ``cpu_s`` counts all threads."""

    name: str
    wall_s: float
    cpu_s: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the whole run took.

    Attributes:
        ordinary_build_cpu_s: one hnswlib build (M=16, ef_construction=200, float32) with the same
            threads, when it was measured.
        ordinary_builds: ``cpu_s`` over it, the baseline's own seconds not counted.
        n_graph_builds: graphs built from scratch.
    """

    wall_s: float
    cpu_s: float
    peak_rss_bytes: int
    n_graph_builds: int
    n_indexes_measured: int
    stages: tuple[StageCost, ...]
    ordinary_build_cpu_s: float | None = None
    ordinary_builds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Result:
    """Everything that a run found.

    Attributes:
        status: ``reached``; ``not_reached`` (the honest no); ``exact`` (so few vectors that exact
            search is the answer).
        points: all measured points, the Pareto front first.
        front: positions in ``points``, by memory.
        named: position of the smallest, fastest and balanced point.
        prediction_error: mean absolute error of predicted recall over measured points.
        noise_floor: ratio seen between two entries of the same index (A/A), as a share.
        advice: what would help (not reached), or what another option would save.
    """

    status: Literal["reached", "not_reached", "exact"]
    options: Options
    profile: Profile
    queries: QuerySet
    points: tuple[OperatingPoint, ...]
    front: tuple[int, ...]
    named: dict[str, int]
    recommendation: Recommendation | None
    baseline: Baseline | None
    ceilings: tuple[Ceiling, ...]
    curves: tuple[CurvePoint, ...]
    n_configurations: int
    prediction_error: float | None
    noise_floor: float | None
    call_overhead_s: float | None
    cost: Cost
    machine: dict[str, Any]
    versions: dict[str, str]
    warnings: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()
    created: str = ""
    schema_version: int = SCHEMA_VERSION


# ---------------------------------------------------------------- a verdict, line by line


Status: TypeAlias = Literal["pass", "fail", "info", "warn"]


@dataclass(frozen=True)
class Line:
    """One thing that was looked at; only ``fail`` makes the whole fail."""

    name: str
    status: Status
    text: str


# ---------------------------------------------------------------- events of a running sweep


@dataclass(frozen=True)
class StageStarted:
    """``estimate_s`` is a guess of the stage's wall seconds, for the progress line."""

    name: str
    title: str
    estimate_s: float | None = None


@dataclass(frozen=True)
class Progress:
    """``done`` is the share in [0, 1] of the stage ``name``."""

    name: str
    done: float
    detail: str = ""


@dataclass(frozen=True)
class StageFinished:
    """What the stage took; ``resumed`` where its result came from the journal of an earlier run."""

    name: str
    title: str
    wall_s: float
    cpu_s: float
    resumed: bool = False


@dataclass(frozen=True)
class Note:
    """A line for the user that is no result: the metric chosen, duplicates found."""

    text: str


@dataclass(frozen=True)
class Warned:
    """A doubt that the user should act on."""

    text: str


@dataclass(frozen=True)
class Finished:
    """The last event of every sweep."""

    result: Result


Event: TypeAlias = StageStarted | Progress | StageFinished | Note | Warned | Finished
