"""Engines: a config, what the engine reports of it, and the results of the jobs that run in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tuner.types.points import Latency, Recall
from tuner.types.results import Result
from tuner.types.verdict import Cause, Line
from tuner.types.words import Metric
from tuner.version import __version__


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """One index in one engine, with everything that a search needs.

    Attributes:
        codec: the engine's own name of the codec.
        oversampling: candidates re-scored on exact vectors, as a multiple of k; 1 re-scores nothing.
        variant: the engine's version line where its language differs between them ("2.19", "3.6"), else
            empty.
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

    @property
    def candidates(self) -> int:
        """Neighbours fetched before re-scoring."""
        return self.k * self.oversampling

    @property
    def label(self) -> str:
        """Short name for people: ``SQ8, M=16, ef_construction=100, ef_search=40, re-scoring x4``."""
        scored = f", re-scoring x{self.oversampling}" if self.oversampling > 1 else ""
        return (
            f"{self.codec}, M={self.M}, ef_construction={self.ef_construction}, ef_search={self.ef_search}"
            f"{scored}"
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
        recall, recall_lower: recall on ``n_queries`` queries that chose nothing, and its lower bound.
        n: vectors that were indexed.
        index_bytes: bytes of that index.
        data: name of the vectors' file.
        label: configuration of the sweep that this came from, in faiss's spelling.
        measured_in: library or engine with its version.
        in_engine: whether that is the engine which the file is for.
        created: time of the measurement.
        confidence: confidence level of the lower bound.
        seed: seed that split the queries.
        queries: fingerprint of the queries, or "held out" if they were rows of the base.
        n_held_out: number of those rows.
        raised: whether those queries took part in choosing ef_search after all.
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
    raised: bool = False
    tuner: str = __version__


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What an exported file holds."""

    settings: EngineConfig
    claims: Claims


@dataclass(frozen=True, kw_only=True)
class EnginePoint:
    """A config, built and searched in the engine at full size.

    Attributes:
        recall: recall on the half of the queries that chose ef_search and the oversampling.
        validated: recall on the other half.
        predicted_recall, predicted_bytes: the sweep's prediction from faiss's nearest codec; None where it
            has none.
        load_s: wall seconds of loading and building.
        reaches_target: both halves support the target, and the engine says that its index was used as asked.
        raised: whether the held-out half took part in choosing ef_search.
    """

    settings: EngineConfig
    recall: Recall
    validated: Recall
    index_bytes: int
    latency: Latency
    applied: ReportedConfig
    load_s: float
    predicted_recall: float | None
    predicted_bytes: int | None
    reaches_target: bool
    raised: bool = False


@dataclass(frozen=True, kw_only=True)
class DefaultComparison:
    """The engine's own default configuration at the same target, timed in turns with the chosen one.

    Attributes:
        memory_ratio: the default's bytes over those of the chosen one.
        latency_ratio: the default's mean latency over that of the chosen one.
    """

    point: EnginePoint
    memory_ratio: float
    latency_ratio: float


@dataclass(frozen=True, kw_only=True)
class TargetResult:
    """The answer for one engine.

    Attributes:
        status: ``reached`` in the engine; ``exported`` from faiss's measurements, the engine does not run
            here; ``not_reached``; ``exact``: so few vectors that exact search is the answer.
        sweep: the sweep that chose M and ef_construction.
        excluded: the engine's codecs that were not built at full size, and why.
        beside: the engine's own default, None if nothing was chosen or it does not fit the data.
        warnings: doubts that the user should act on.
    """

    status: Literal["reached", "exported", "not_reached", "exact"]
    engine: str
    sweep: Result
    points: tuple[EnginePoint, ...] = ()
    excluded: dict[str, str]
    chosen: EnginePoint | None = None
    beside: DefaultComparison | None = None
    exported: Exported | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """What was found of an exported config; figures are None where the engine died before they were known.

    Attributes:
        verdict: ``verified``; ``not_verified``; ``died`` half-way.
        load_s: wall seconds of loading and building.
    """

    engine: str
    settings: EngineConfig
    claims: Claims
    verdict: Literal["verified", "not_verified", "died"]
    lines: tuple[Line, ...]
    recall: Recall | None = None
    latency: Latency | None = None
    index_bytes: int | None = None
    applied: ReportedConfig | None = None
    load_s: float | None = None


@dataclass(frozen=True, kw_only=True)
class EnginePrescription:
    """A config that reaches the target in the engine, or comes nearest to it.

    Attributes:
        kind: what it costs the user: ``search`` (a parameter), or ``rebuild``.
        recall: recall on the half of the queries that chose nothing.
        latency_ratio: median time over that of the config as it is, on the same queries.
    """

    kind: str
    settings: EngineConfig
    recall: Recall
    index_bytes: int
    latency_ratio: float
    works: bool


@dataclass(frozen=True, kw_only=True)
class EngineDiagnosis:
    """What was found in an engine.

    Attributes:
        healthy: recall on all queries supports the target.
        first: the largest cause, None if the index is healthy.
        causes: losses that add up to 1 - recall; the largest first.
    """

    engine: str
    settings: EngineConfig
    version: str
    target: float
    n_queries: int
    recall: Recall
    healthy: bool
    first: Cause | None
    causes: tuple[Cause, ...]
    index_bytes: int
    prescriptions: tuple[EnginePrescription, ...]
    notes: tuple[str, ...]
    machine: dict[str, Any]
    created: str
