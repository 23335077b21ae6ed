"""What a sweep found, and what it cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tuner.types.data import Collapsed, OwnIds, Profile, QuerySet
from tuner.types.filters import FilterPolicy
from tuner.types.options import Options, Space
from tuner.types.points import Ceiling, CertifiedEf, CurvePoint, Latency, OperatingPoint, Recall
from tuner.types.sharded import Sharded
from tuner.types.words import StoreAt

SCHEMA_VERSION = 2
"""In 1, recall was told of two halves of the queries."""


@dataclass(frozen=True, kw_only=True)
class Recommendation:
    """The answer, flat, for machines to read.

    Attributes:
        M: links per node (level 0 holds 2M); 0 for exact search, which has no graph.
        ef_construction: candidates kept while building; 0 for exact search.
        ef_search: candidates kept while searching; 0 for exact search.
        codec: quantizer of the graph's storage, in faiss's spelling.
        dims: dimensions that the codec sees before padding.
        cut: way in which those dimensions were chosen: none, pca or truncate.
        rerank: codec of the re-ranking store, or None.
        rerank_factor: candidates re-ranked, as a multiple of k; 1 without re-ranking.
        rerank_at: place of the re-ranking store.
        recall: mean recall@k that new queries can expect: cross-fitted, so that choosing does not flatter it.
        recall_lower: one-sided lower confidence bound, which holds for all finalists together.
        memory_bytes: bytes that must stay in memory.
        disk_bytes: bytes of a re-ranking store on disk.
        memory_per_vector_bytes: ``memory_bytes`` over the number of indexed vectors.
        latency_mean_s: mean seconds of one query at a time on one thread.
        latency_p50_s: median seconds per query.
        latency_p95_s: 95th percentile of seconds per query.
        latency_p99_s: 99th percentile of seconds per query.
        ndis_per_query: distance computations per query.
        label: short name in the style of a faiss factory string.
        sentence: the answer in one sentence.
    """

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
class ReferenceComparison:
    """The index that most people have today, at the same recall.

    Attributes:
        name: description of the reference index.
        ef_search: candidates kept while searching it.
        recall: recall of the reference, certified as the recommendation is.
        memory_bytes: bytes of the reference in memory.
        latency: latency of the reference.
        memory_ratio: bytes of the reference over those of the recommendation.
        latency_ratio: mean latency of the reference over the recommendation's, on one clock.
        build_cpu_s: CPU seconds of the reference's build, when it was really built (hnswlib).
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
class WholeIndex:
    """The index handed over after the rows that had been held out as queries were added to it.

    The recommendation's recall is that of each half of the queries before its own rows were added, when those
    of the other half already were. Here the same queries are asked once more of the index with all rows, each
    without itself among its answers: what ``tune check`` compares with. It is a little higher, because a
    search that comes upon the row of the query itself finds its neighbours there.

    Attributes:
        n_added: number of rows that were added.
        fell: mean recall that half of them cost, at the ef_search that was chosen before.
        latency_ratio: time of a query over that before the rows were added, in interleaved rounds.
        recall: recall of the queries, each without its own row.
        ndis_per_query: distance computations per query, for k + 1 answers.
        hits: right answers of each of these queries.
    """

    n_added: int
    fell: float
    latency_ratio: float
    recall: Recall
    ndis_per_query: float
    hits: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class EarlierAnswer:
    """The answer of an earlier report, which this run began from.

    Attributes:
        source: report as named by the user.
        n: number of vectors that were indexed then.
        label: configuration that was recommended.
        ef_search: its ef_search then.
        recall: its mean recall then.
        memory_per_vector_bytes: its bytes per vector then.
        ndis_per_query: its distance computations per query then.
        space: space that was swept then.
        broken: reason why it no longer holds and everything was swept again; empty where it holds.
    """

    source: str
    n: int
    label: str
    ef_search: int
    recall: float
    memory_per_vector_bytes: float
    ndis_per_query: float
    space: Space
    broken: str = ""


@dataclass(frozen=True, kw_only=True)
class Extrapolation:
    """What the recommended index is expected to need of a whole file that only a sample was measured of.

    The error bars are those of 95 %, for one more graph of that size.

    Attributes:
        source: the whole file as named by the user.
        n: number of vectors of an index of all its rows.
        n_sample: number of vectors of the sample.
        part_sizes: number of vectors of each graph of a part of the sample.
        ef_search: ef_search that is expected to reach the target.
        ef_search_low: lower end of its error bar.
        ef_search_high: upper end of its error bar.
        ndis_per_query: distance computations per query there.
        ndis_per_query_low: lower end of their error bar.
        ndis_per_query_high: upper end of their error bar.
        memory_bytes: bytes that must stay in memory, by arithmetic.
        disk_bytes: bytes of a re-ranking store on disk.
    """

    source: str
    n: int
    n_sample: int
    part_sizes: tuple[int, ...]
    ef_search: int
    ef_search_low: int
    ef_search_high: int
    ndis_per_query: float
    ndis_per_query_low: float
    ndis_per_query_high: float
    memory_bytes: int
    disk_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class StageCost:
    """What one stage took.

    Attributes:
        name: name of the stage in the journal.
        wall_s: wall seconds.
        cpu_s: CPU seconds of all threads.
        peak_rss_bytes: largest resident memory of the process in this stage; 0 in reports without it.
    """

    name: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What the whole run took.

    Attributes:
        wall_s: wall seconds of the whole run.
        cpu_s: CPU seconds of all threads.
        peak_rss_bytes: largest resident memory of the process.
        n_graph_builds: number of graphs built from scratch.
        n_indexes_measured: number of indexes really searched.
        stages: cost of each stage, in their order.
        ordinary_build_cpu_s: CPU seconds of one hnswlib build (M=16, ef_construction=200, float32) with the
            same threads, when it was measured.
        ordinary_builds: ``cpu_s`` over ``ordinary_build_cpu_s``, the reference's own seconds not counted.
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
            search is the answer); ``extrapolated`` (measured on a sample, see ``extrapolation``);
            ``sharded`` (reached by an index in shards, see ``sharded``).
        options: what the user asked for.
        profile: what one pass over the vectors found.
        queries: origin and number of the queries.
        points: all measured points, the Pareto front first.
        front: positions in ``points`` of the Pareto front, by memory.
        named: positions in ``points`` of the smallest, fastest and balanced point.
        recommendation: answer, flat; None where there is none.
        baseline: reference index at the same recall, or None.
        ceilings: best recall that each codec can reach.
        curves: recall and distances of each derived graph.
        n_configurations: number of configurations considered.
        prediction_error: mean absolute error of predicted recall over measured points.
        noise_floor: difference in time between two entries of the same index (A/A), as a share.
        call_overhead_s: seconds of every latency that are the call from Python.
        cost: what the run took.
        machine: processor, cores, memory and system.
        versions: versions of the packages that the figures depend on.
        warnings: doubts that the user should act on.
        advice: what would help (not reached), or what another option would save.
        created: time of the run, ISO 8601.
        whole: index handed over with the held-out rows in it; None where none were held out or none reached.
        ef_table: ef_search of the recommended index for other k and targets.
        own_ids: the user's own ids of the rows; None where row numbers are ids.
        earlier: answer of the report that this run began from; None where it began from nothing.
        extrapolation: what the recommendation needs of the whole file, where all else is of a sample of it.
        collapsed: rows that repeat another, where one node stands for them; None where each row has its own.
        sharded: index in shards, where it is: recall is that of the merged answer, bytes and distances are
            those of all shards, seconds are modelled from those of each; None where it is one index.
        filters: how queries with filters are answered; None where none were asked for.
        schema_version: version of the report's schema.
    """

    status: Literal["reached", "not_reached", "exact", "extrapolated", "sharded"]
    options: Options
    profile: Profile
    queries: QuerySet
    points: tuple[OperatingPoint, ...]
    front: tuple[int, ...]
    named: dict[str, int]
    recommendation: Recommendation | None
    baseline: ReferenceComparison | None
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
    whole: WholeIndex | None = None
    ef_table: tuple[CertifiedEf, ...] = ()
    own_ids: OwnIds | None = None
    earlier: EarlierAnswer | None = None
    extrapolation: Extrapolation | None = None
    collapsed: Collapsed | None = None
    sharded: Sharded | None = None
    filters: FilterPolicy | None = None
    schema_version: int = SCHEMA_VERSION
