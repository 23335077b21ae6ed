"""What goes in: the space that is swept and what the user asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from tuner.types.words import Duplicates, Preference, StoreAt

DEFAULT_CODECS = (
    *("fp32", "fp16", "bf16", "SQ8", "SQ6", "SQ4", "tqmse4", "tqmse2", "tqmse1"),
    *("RaBitQ1", "RaBitQ2", "RaBitQ4", "RaBitQ8", "PQd/4x8", "PQd/8x8", "PQd/2x4", "OPQd/4x8"),
)
"""Codecs that have been worth measuring."""


@dataclass(frozen=True, kw_only=True)
class Space:
    """What to sweep. Names are faiss's spelling.

    Attributes:
        name: name of the space in reports.
        M: links per node (level 0 holds 2M), ascending.
        ef_construction: candidates kept while building the one graph.
        codecs: quantizers, with ``PQ<d/4>x8`` style widths relative to d.
        cuts: shares of the dimensions to keep, 1.0 for all of them.
        cut_kinds: ways to cut dimensions.
        rerank_stores: codecs that the exact (or nearly exact) vectors are kept in for re-ranking.
        rerank_factors: candidates re-ranked, as multiples of k; 1 is no re-ranking.
        ef_search_max: largest ef_search that is tried.
        graph_M: links per node of the one graph that all are derived from; None for the largest M.
    """

    name: str = "default"
    M: tuple[int, ...] = (6, 8, 12, 16, 24, 32, 48)
    ef_construction: int = 100
    codecs: tuple[str, ...] = DEFAULT_CODECS
    cuts: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    cut_kinds: tuple[Literal["pca", "truncate"], ...] = ("pca", "truncate")
    rerank_stores: tuple[str, ...] = ("fp32", "fp16", "SQ8")
    rerank_factors: tuple[int, ...] = (1, 2, 4, 8, 16)
    ef_search_max: int = 4096
    graph_M: int | None = None

    @property
    def most_links(self) -> int:
        """Links per node of the one graph."""
        return max(*self.M, self.graph_M or 0)


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A file as it was when it was tuned; rows were added at its end since.

    Attributes:
        n: number of rows.
        n_queries: number of them that are held out as queries; 0 where queries came from elsewhere.
        fingerprint: digest of shape, type and values.
    """

    n: int
    n_queries: int
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the user asked for; jobs check it against the data.

    Attributes:
        recall: target recall@k in (0, 1].
        k: neighbours that a search returns.
        other_ks: k for which the ef_search of the recommended index is found besides; empty for usual ones.
        other_recalls: targets for which it is found besides; empty for usual ones.
        metric: metric to search by; ``auto`` decides from the data and says why.
        max_memory_bytes: limit on the resident index, or None.
        max_memory_per_vector: limit on the resident index in bytes per vector, or None.
        max_latency_s: limit on the p95 of one query at a time on one thread, or None.
        prefer: point of the Pareto front to recommend.
        confidence: confidence level of the one-sided lower bound on recall, in (0.5, 1).
        seed: random seed.
        threads: number of threads for building and for exact truth; 0 means all cores.
        time_budget_s: wall seconds for the whole run, or None.
        run_memory_bytes: limit on the resident memory of the run itself, or None for what is free.
        n_queries: number of rows held out as queries when no query file is given; None chooses by size.
        rerank_store: place of the re-ranking vectors.
        duplicates: whether rows that repeat another bit for bit are nodes of their own (keep), or one node
            stands for all of them and a list beside the index has its copies (collapse).
        baseline: reference that the gain is measured against: a float32 index derived from the same graph,
            or one that hnswlib builds.
        exhaustive: whether every configuration is built and measured natively.
        native: codecs to measure alone, with graphs that faiss builds, as other engines do; empty derives
            graphs and measures whatever could win.
        space: space to sweep.
        earlier: the file each time that it was tuned before, whose queries stay what they are.
        selectivity: shares of the rows that made-up filters allow, in (0, 1), where the user has none at
            hand; empty for a search without filters.
    """

    recall: float
    k: int = 10
    other_ks: tuple[int, ...] = ()
    other_recalls: tuple[float, ...] = ()
    metric: Literal["auto", "cosine", "ip", "l2"] = "auto"
    max_memory_bytes: int | None = None
    max_memory_per_vector: float | None = None
    max_latency_s: float | None = None
    prefer: Preference = "balanced"
    confidence: float = 0.95
    seed: int = 0
    threads: int = 0
    time_budget_s: float | None = None
    run_memory_bytes: int | None = None
    n_queries: int | None = None
    rerank_store: StoreAt = "memory"
    duplicates: Duplicates = "keep"
    baseline: Literal["graph", "hnswlib"] = "graph"
    exhaustive: bool = False
    native: tuple[str, ...] = ()
    space: Space = field(default_factory=Space)
    earlier: tuple[Generation, ...] = ()
    selectivity: tuple[float, ...] = ()

    def memory_limit(self, n: int) -> float:
        """Return the limit on resident bytes of an index of ``n`` vectors, infinite without one."""
        limits = [float("inf")]
        if self.max_memory_bytes is not None:
            limits.append(float(self.max_memory_bytes))
        if self.max_memory_per_vector is not None:
            limits.append(self.max_memory_per_vector * n)
        return min(limits)
