"""An index in an engine: whether it is what its file claims, and what its recall is lost to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from tuner.types.engines import Claims, EngineConfig, ReportedConfig
from tuner.types.points import Latency, Recall
from tuner.types.verdict import Cause, Line


@dataclass(frozen=True, kw_only=True)
class FilteredBand:
    """What queries found in an engine whose filters allow about as large a share of the rows.

    Attributes:
        least_share: smallest share of the rows in the band; the next band begins below it.
        ef_search: ef_search of the search; None where the engine was to scan the rows that are allowed.
        n_queries: number of queries.
        recall: recall@k among the allowed rows; its bound holds for all bands together.
        latency_s: mean seconds of a query, the client's call included.
        n_forbidden: number of answers that their filter forbids.
        n_short: number of queries that got fewer than k answers, though k rows and more are allowed.
        from_index: share of the filters looked at that are answered from the index, by the engine's plan;
            None where it shows none.
    """

    least_share: float
    ef_search: int | None
    n_queries: int
    recall: Recall
    latency_s: float
    n_forbidden: int
    n_short: int
    from_index: float | None


@dataclass(frozen=True, kw_only=True)
class VerifyResult:
    """What was found of an exported config; figures are None where the engine died before they were known.

    Attributes:
        engine: name of the engine.
        settings: what the file says.
        claims: what it says was measured.
        verdict: ``verified``; ``not_verified``; ``died`` half-way.
        lines: everything that was looked at, each with its decision.
        recall: recall that was found.
        latency: latency that was found.
        index_bytes: bytes of the index in the engine.
        applied: what the engine says of the index.
        load_s: wall seconds of loading and building.
        filtered: what queries with filters found, by falling share; empty without filters.
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
    filtered: tuple[FilteredBand, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EnginePrescription:
    """A config that reaches the target in the engine, or comes nearest to it.

    Attributes:
        kind: what it costs the user: ``search`` (a parameter), ``rebuild``, or ``distinct`` (rebuild over the
            distinct rows, and answer with their copies too).
        recall: recall at these settings.
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
