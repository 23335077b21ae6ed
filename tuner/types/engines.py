"""Engines: a config, what the engine reports of it, and what was measured of it."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.types.words import Metric
from tuner.version import __version__


@dataclass(frozen=True, kw_only=True)
class FilterStep:
    """How an engine is searched with filters that allow about as large a share of the rows.

    Attributes:
        least_share: smallest share of the rows; the next step begins below it.
        ef_search: ef_search as the engine counts it.
    """

    least_share: float
    ef_search: int


@dataclass(frozen=True, kw_only=True)
class FilterConfig:
    """How an engine is searched with filters.

    Attributes:
        steps: steps by falling share; a filter that allows less than all of them takes the last.
        scan_below_rows: filters that allow fewer rows than this are to be answered by a scan of these rows.
        n: number of rows that the shares are of.
        label: configuration of the sweep that the policy was measured with.
    """

    steps: tuple[FilterStep, ...]
    scan_below_rows: int
    n: int
    label: str = ""

    @property
    def scan_below_share(self) -> float:
        """Share of the rows below which they are to be scanned, at most 1."""
        return min(1.0, self.scan_below_rows / max(1, self.n))

    @property
    def largest_ef(self) -> int | None:
        """Largest ef_search of all steps, None where everything is scanned."""
        return max((step.ef_search for step in self.steps), default=None)

    def ef_of(self, share: float) -> int | None:
        """Return the ef_search at a share of the rows, None where they are to be scanned.

        Example:
            >>> steps = (FilterStep(least_share=0.5, ef_search=40), FilterStep(least_share=0.1, ef_search=90))
            >>> config = FilterConfig(steps=steps, scan_below_rows=50, n=1_000)
            >>> config.ef_of(0.7), config.ef_of(0.2), config.ef_of(0.06), config.ef_of(0.01)
            (40, 90, 90, None)
        """
        if round(share * self.n) < self.scan_below_rows or not self.steps:
            return None
        return next((s.ef_search for s in self.steps if share >= s.least_share), self.steps[-1].ef_search)


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """One index in one engine, with everything that a search needs.

    Attributes:
        codec: the engine's own name of the codec.
        oversampling: candidates re-scored on exact vectors, as a multiple of k; 1 re-scores nothing.
        variant: the engine's version line where its language differs between them ("2.19", "3.6"), else
            empty.
        n_shards: parts that the rows are divided into, each with an index like this; their answers are
            merged, and ef_search and oversampling are of each.
        filters: how queries with filters are searched; None where none were measured.
    """

    engine: str
    codec: str
    d: int
    metric: Metric
    k: int
    M: int
    ef_construction: int
    ef_search: int
    oversampling: int = 1
    variant: str = ""
    n_shards: int = 1
    filters: FilterConfig | None = None

    @property
    def candidates(self) -> int:
        """Neighbours fetched before re-scoring."""
        return self.k * self.oversampling

    @property
    def label(self) -> str:
        """Short name for people: ``SQ8, M=16, ef_construction=100, ef_search=40, re-scoring x4``."""
        scored = f", re-scoring x{self.oversampling}" if self.oversampling > 1 else ""
        shards = f", {self.n_shards} shards" if self.n_shards > 1 else ""
        return (
            f"{self.codec}, M={self.M}, ef_construction={self.ef_construction}, ef_search={self.ef_search}"
            f"{scored}{shards}"
        )


@dataclass(frozen=True, kw_only=True)
class ReportedConfig:
    """What the engine itself says of an index that was built; None where it does not tell.

    Attributes:
        version: the engine's name and version.
        n_indexed: vectors that the index answers from (the engine's "indexed" reading, not rows in a table).
        index_used: whether the engine's plan of a search names the index.
    """

    version: str
    n_indexed: int | None = None
    codec: str | None = None
    metric: Metric | None = None
    M: int | None = None
    ef_construction: int | None = None
    ef_search: int | None = None
    index_used: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Claims:
    """What was measured of a config, and where.

    Attributes:
        target: recall@k that was asked for.
        recall, recall_lower: recall on ``n_queries`` queries, and its lower bound.
        n: vectors that were indexed.
        index_bytes: bytes of that index.
        data: name of the vectors' file.
        label: configuration of the sweep that this came from, in faiss's spelling.
        measured_in: library or engine with its version.
        in_engine: whether that is the engine which the file is for.
        created: time of the measurement.
        confidence: confidence level of the lower bound.
        seed: seed that drew the queries.
        queries: fingerprint of the queries, or "held out" if they were rows of the base.
        n_held_out: number of those rows.
        n_copies: number of rows that repeat one of the indexed ones and are in no index themselves.
        text_ids: whether the user's own ids are text.
    """

    target: float
    recall: float
    recall_lower: float
    n_queries: int
    n: int
    index_bytes: int
    data: str
    label: str
    measured_in: str
    in_engine: bool
    created: str
    queries: str
    seed: int = 0
    confidence: float = 0.95
    n_held_out: int = 0
    n_copies: int = 0
    text_ids: bool = False
    tuner: str = __version__


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an exported file holds."""

    settings: EngineConfig
    claims: Claims
