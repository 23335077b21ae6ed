"""How close the call is: which target, k or number of vectors would change the advice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tuner.diagnosis.answers import rows_answered
from tuner.diagnosis.growth import TIMES
from tuner.diagnosis.questions import Questions
from tuner.index.opened import IndexUnderTest
from tuner.prediction.recall_trend import RecallTrend
from tuner.recall.metric import exact_distances, first_occurrences, is_right
from tuner.recall.target import summarize
from tuner.recall.truth import search_exactly
from tuner.types import AtK, Extrapolated, Lasts, Recall, Steps
from tuner.types.diagnosis import MOST_TIMES

FACTORS = (0.1, 0.5, 1, 2, 5)
"""Neighbours asked for, as multiples of k."""


def by_k(questions: Questions, opened: IndexUnderTest) -> Steps[tuple[AtK, ...]]:
    """Yield the share done; return recall at several k."""
    problem, k = questions.problem, questions.k
    base, queries = problem.base, problem.queries
    most = max(1, (min(base.n, opened.n) - questions.extra) // 2)
    ks = sorted({min(most, max(1, round(factor * k))) for factor in FACTORS})
    depth = max(ks) + questions.extra
    truth = yield from search_exactly(base.x, queries, depth, depth)
    exact = exact_distances(base.x, queries, truth.ids)
    if questions.own is not None:
        exact[truth.ids == questions.own[:, None]] = np.inf
    exact.sort(axis=1)
    found = []
    for each in ks:
        width = each + questions.extra
        labels = opened.index.search(problem.raw, width)[1]
        rows = rows_answered(questions, opened, labels, width)
        rows = questions.without_themselves(rows)[:, :each]
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
