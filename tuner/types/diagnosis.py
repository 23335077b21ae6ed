"""What a diagnosis found: causes of lost recall, costs, fixes, and how close the call is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tuner.types.points import Recall
from tuner.types.verdict import Cause, CauseName

DIAGNOSIS_SCHEMA_VERSION = 2
"""Version of the schema; in 1, ``search_param`` and ``value`` had other names."""
MOST_TIMES = 100
"""Multiple of the vectors beyond which growth is not spoken of."""

WEIGHTY, NEGLIGIBLE = 0.1, 0.005
"""Share of the whole loss from which on a cause weighs, and recall that never does."""

FixKind: TypeAlias = Literal["search", "labels", "add", "store", "encode", "prune", "rebuild", "collapse"]
"""Kinds of fixes by what they cost the user, the cheapest first: a search parameter; other ids; missing rows;
a store beside the codes; other codes over the same links; fewer links; a new graph; one of each distinct row,
whose copies the application looks up in a list."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The whole loss and its parts.

    Attributes:
        hits: right answers (nq,) of the index as it is.
        recall: recall of the index as it is.
        causes: causes that add up, by share, the largest first; overlapping ones are not among them.
        residual: what the causes leave over of 1 - recall.
        drift: part of the loss that queries unlike the file add, whatever the cause.
        by_id: recall that counts ids instead of distances.
        scan: recall of an exhaustive scan of the codes, by candidates re-ranked exactly as multiples of k.
        ndis_per_query: distances per query of the index as it is.
        hops_per_query: nodes expanded per query.
    """

    hits: NDArray[np.int64]
    recall: float
    causes: tuple[Cause, ...]
    residual: float
    drift: Cause | None
    by_id: float
    scan: dict[int, float]
    ndis_per_query: float
    hops_per_query: float

    def share_of(self, name: CauseName) -> float:
        """Return the recall that a cause takes away."""
        return sum(cause.share for cause in self.causes if cause.name == name)

    @property
    def adds_up(self) -> bool:
        """Whether the causes explain the loss: what they leave over is less than each of those that weigh."""
        least = max(WEIGHTY * (1 - self.recall), NEGLIGIBLE)
        weighty = [cause.share for cause in self.causes if cause.share >= least]
        return abs(self.residual) < min(weighty, default=least)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """Mean seconds of one query on one thread.

    Attributes:
        total_s: seconds of the whole query.
        parts: seconds by what they go to; they add up to ``total_s``.
        ndis_per_query: distances of the graph, or of the lists.
        hops_per_query: nodes expanded.
    """

    total_s: float
    parts: dict[str, float]
    ndis_per_query: float
    hops_per_query: float


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What an index costs.

    Attributes:
        bytes: bytes of the index file by part, and what the allocator adds where that was measured.
        time: seconds of one query by part.
    """

    bytes: dict[str, int]
    time: Spent


@dataclass(frozen=True, kw_only=True)
class Prescription:
    """A fix that was made and measured.

    Attributes:
        kind: one of ``FixKind``.
        title: what is done, in words.
        label: short name of the index that it makes, in the style of a faiss factory string.
        search_param: name of the search parameter, empty without one.
        value: value of the search parameter that it needs.
        factor: candidates re-ranked, as a multiple of k.
        recall: recall at this value.
        ndis_per_query: distance computations per query.
        index_bytes: bytes of the file of the index that it makes.
        latency_ratio: mean time over that of the index as it is, in turns; None until timed.
        latency_error: relative standard error of that ratio.
        works: whether its lower bound meets the target.
    """

    kind: FixKind
    title: str
    label: str
    search_param: str
    value: int
    factor: float
    recall: Recall
    ndis_per_query: float
    index_bytes: int
    works: bool
    latency_ratio: float | None = None
    latency_error: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Extrapolated:
    """Recall at a number of vectors that nobody has seen.

    Attributes:
        n: number of vectors.
        low: lower end of the error bar, at 95 %.
        high: upper end of it.
    """

    n: int
    recall: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class AtK:
    """Recall where k neighbours are wanted and all else is the same."""

    k: int
    recall: Recall


@dataclass(frozen=True, kw_only=True)
class Lasts:
    """Vectors from which on the index as it is would miss the target, extrapolated.

    Attributes:
        n: number of vectors; None: not within a hundred times as many.
        low: the same at the lower end of the error bar.
        high: the same at the upper end.
    """

    n: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What else would change the advice.

    Attributes:
        subject: what target and k are about: the index as it is, or the first prescription.
        target: highest target that it supports.
        by_k: recall at other k.
        n: vectors in the index.
        grown: recall of the index as it is with more vectors at the same parameters, extrapolated; empty
            where there was nothing to extrapolate from.
        lasts: None where it misses the target now, or nothing could be extrapolated.
    """

    subject: str
    target: float
    by_k: tuple[AtK, ...]
    n: int
    grown: tuple[Extrapolated, ...]
    lasts: Lasts | None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found.

    Attributes:
        source: name of the index.
        label: short name of its shape, in the style of a faiss factory string.
        queries: where the queries came from.
        n_queries: number of queries.
        target: target recall@k.
        search_param: name of the search parameter, empty without one.
        value: value of the search parameter.
        recall: recall of the index as it is, on all queries.
        healthy: whether recall on all queries supports the target.
        first: the cause that takes most away, None where the index is healthy.
        causes: causes that add up, with ``residual``, to 1 - recall; the largest first.
        drift: what queries unlike the file add, whatever it acts through.
        filter: what filters take away, beside all of this: of recall among the rows that they allow.
        residual: what the causes leave over of 1 - recall.
        adds_up: whether the residual is smaller than each cause that weighs; if not, the causes are in doubt.
        by_id: recall that counts ids instead of distances.
        index_bytes: bytes of its file.
        resident_bytes: bytes in the memory of a fresh process, None where that was not measured.
        costs: where its bytes and the time of its searches go.
        needed: costs of the first prescription, None where there is none.
        prescriptions: what mends it, or makes it smaller or faster, in the order to try.
        sensitivity: how close the call is.
        applied: recall of the mended index, read again from its file; None where none was written.
        notes: remarks about how it was read and asked.
        machine: processor, cores, memory and system.
        versions: versions of the packages that the figures depend on.
        created: time of the diagnosis, ISO 8601.
    """

    source: str
    label: str
    queries: str
    n_queries: int
    target: float
    search_param: str
    value: int
    recall: Recall
    healthy: bool
    first: Cause | None
    causes: tuple[Cause, ...]
    residual: float
    adds_up: bool
    drift: Cause | None
    by_id: float
    index_bytes: int
    resident_bytes: int | None
    costs: Costs
    needed: Costs | None
    prescriptions: tuple[Prescription, ...]
    sensitivity: Sensitivity
    applied: Recall | None
    notes: tuple[str, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    created: str
    filter: Cause | None = None
