"""An index tuned for an engine: what was built and searched there, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tuner.types.engines import EngineConfig, Exported, ReportedConfig
from tuner.types.points import Latency, Recall
from tuner.types.results import Result

TARGET_SCHEMA_VERSION = 3
"""Version of the schema of engine.json; in 2, recall was told of two halves of the queries."""


@dataclass(frozen=True, kw_only=True)
class FirstBuild:
    """What the first build of a config was, where a second one confirmed it.

    Attributes:
        ef_search: ef_search that the first build needed.
        recall: recall with that.
    """

    ef_search: int
    recall: Recall


@dataclass(frozen=True, kw_only=True)
class EnginePoint:
    """A config, built and searched in the engine at full size.

    Attributes:
        recall: recall on all queries, with the lower bound that certifies it.
        hits: right answers of each query.
        predicted_recall, predicted_bytes: the sweep's prediction from faiss's nearest codec; None where it
            has none.
        table_bytes: bytes of the vectors that it re-scores from, beside ``index_bytes``; None where it does
            not re-score, or its index holds them.
        load_s: wall seconds of loading and building.
        reaches_target: the lower bound meets the target, and the engine says that it used its index as asked.
        first_build: what an earlier build of the same config was; all other figures are then those of a
            second build, with the rows loaded in another order. None where it was built once.
    """

    settings: EngineConfig
    recall: Recall
    hits: tuple[int, ...]
    index_bytes: int
    latency: Latency
    applied: ReportedConfig
    load_s: float
    predicted_recall: float | None
    predicted_bytes: int | None
    reaches_target: bool
    table_bytes: int | None = None
    first_build: FirstBuild | None = None


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
        sweep: the sweep whose native graphs say where the engine's builds begin.
        points: the first build of each config that was tried.
        excluded: the engine's codecs that were not built at full size, and why.
        chosen: the config of the answer, as its second build measured it.
        default_comparison: the engine's own default, None if nothing was chosen or it does not fit the data.
        warnings: doubts that the user should act on.
        n_queries_needed: queries that would most likely show the best point's recall to meet the target, None
            if it was reached or no queries would.
    """

    status: Literal["reached", "exported", "not_reached", "exact"]
    engine: str
    sweep: Result
    points: tuple[EnginePoint, ...] = ()
    excluded: dict[str, str]
    chosen: EnginePoint | None = None
    default_comparison: DefaultComparison | None = None
    exported: Exported | None = None
    warnings: tuple[str, ...] = ()
    n_queries_needed: int | None = None
