"""How close the call is: which target, k or number of vectors would change the advice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tuner.diagnosis.growth import TIMES, Extrapolated, RecallTrend
from tuner.diagnosis.opened import IndexUnderTest
from tuner.diagnosis.questions import Questions
from tuner.recall.metric import exact_distances, first_occurrences, is_right
from tuner.recall.target import summarize
from tuner.recall.truth import search_exactly
from tuner.types import Recall, Steps

FACTORS = (0.1, 0.5, 1, 2, 5)
"""Neighbours asked for, as multiples of k."""
MOST_TIMES = 100
"""Growth beyond it is not spoken of."""


@dataclass(frozen=True, kw_only=True)
class AtK:
    """Recall where k neighbours are asked for and all else is the same."""

    k: int
    recall: Recall


@dataclass(frozen=True, kw_only=True)
class Lasts:
    """Vectors from which on the index as it is would miss the target, extrapolated.

    Attributes:
        n: None: not within a hundred times as many.
        low: by the lower end of the error bar.
        high: by the upper end; None likewise.
    """

    n: int | None
    low: int | None
    high: int | None


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """What else would change the advice.

    Attributes:
        subject: what target and k are about: the index as it is, or the first prescription.
        target: the highest that it supports.
        by_k: what it does at other k.
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


def by_k(questions: Questions, opened: IndexUnderTest) -> Steps[tuple[AtK, ...]]:
    """Yield the share done; return recall at several k, on the half of the queries that chose nothing."""
    problem, k = questions.problem, questions.k
    half, base = problem.validate, problem.base
    most = max(1, (min(base.n, opened.n) - questions.extra) // 2)
    ks = sorted({min(most, max(1, round(factor * k))) for factor in FACTORS})
    queries = problem.queries[half]
    depth = max(ks) + questions.extra
    truth = yield from search_exactly(base.x, queries, depth, depth)
    exact = exact_distances(base.x, queries, truth.ids)
    if questions.own is not None:
        exact[truth.ids == questions.own[half][:, None]] = np.inf
    exact.sort(axis=1)
    found = []
    for each in ks:
        labels = opened.index.search(problem.raw[half], each + questions.extra)[1]
        rows = questions.without_themselves(questions.rows_of(labels), half)[:, :each]
        near = is_right(exact_distances(base.x, queries, rows), exact[:, each - 1])
        hits = (near & first_occurrences(rows)).sum(axis=1)
        found.append(AtK(k=each, recall=summarize(hits, each, problem.options.confidence)))
    return tuple(found)


def grown_from(
    trend: RecallTrend, recall: Recall, n: int, target: float
) -> tuple[tuple[Extrapolated, ...], Lasts | None]:
    """Return recall at several times as many vectors, and how many the target survives."""
    grown = tuple(trend.beyond(n, recall.mean, times * n) for times in TIMES)
    if recall.lower < target:
        return grown, None
    needed = target + recall.mean - recall.lower

    def until(end: Callable[[Extrapolated], float]) -> int | None:
        steps = np.unique(np.geomspace(n, MOST_TIMES * n, 200).astype(np.int64))
        missed = [int(more) for more in steps if end(trend.beyond(n, recall.mean, int(more))) < needed]
        return missed[0] if missed else None

    return grown, Lasts(
        n=until(lambda at: at.recall), low=until(lambda at: at.low), high=until(lambda at: at.high)
    )


def describe_sensitivity(found: Sensitivity, target: float) -> str:
    """Return the line."""
    holds = [each.k for each in found.by_k if each.recall.lower >= target]
    fails = [each for each in found.by_k if each.recall.lower < target]
    said = f"{found.subject} holds up to a target of {found.target:.4f}"
    said += f" and for k of {', '.join(map(str, holds))}" if holds else ""
    if fails:
        said += f", not for {', '.join(f'{each.k} (at least {each.recall.lower:.4f})' for each in fails)}"
    if not found.grown:
        return said
    more = [
        f"{each.recall:.3f} ({each.low:.3f} to {each.high:.3f}) at {each.n / found.n:g} x the vectors"
        for each in found.grown
    ]
    said += f"; extrapolated from parts of the file, recall as it is would be {' and '.join(more)}"
    if found.lasts is not None:
        said += f", and miss the target from {_vectors(found.lasts, found.n)} on"
    return said


def _vectors(lasts: Lasts, n: int) -> str:
    most = f"more than {MOST_TIMES * n:,}"
    middle, low, high = (most if end is None else f"{end:,}" for end in (lasts.n, lasts.low, lasts.high))
    return f"{middle} vectors ({low} to {high})"
