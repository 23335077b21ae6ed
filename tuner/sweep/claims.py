"""What a file of ann-benchmarks says of itself, distance and neighbours, held against what is found."""

from __future__ import annotations

import numpy as np

from tuner.data.kind import metric_of
from tuner.data.vectors import Vectors
from tuner.sweep.doubts import Doubt
from tuner.sweep.pose import PosedProblem
from tuner.types import IdArray, Metric, Warned

MOST_WRONG = 0.001
"""Share of listed neighbours that rounding in another program may take for nearer than they are."""


def distance_doubts(base: Vectors, metric: Metric) -> tuple[Warned, ...]:
    """Return a doubt where the base's file says that it is compared by something else than the metric."""
    named = metric_of(base.distance)
    if not base.distance or named == metric:
        return ()
    doubt = Doubt.UNKNOWN_DISTANCE if named is None else Doubt.OTHER_METRIC
    return (doubt.about(source=base.source, distance=base.distance, metric=metric),)


def neighbour_doubts(base: Vectors, queries: Vectors | None, posed: PosedProblem) -> tuple[Warned, ...]:
    """Return a doubt where neighbours that the queries' file lists are not as near as the exact ones.

    Ties are no doubt: a row counts if it is as near as the last of the exact neighbours. Neighbours of
    another base, by another metric, or in a base with rows left out by the user are not compared.
    """
    metric, problem = posed.profile.metric, posed.problem
    listed = None if queries is None else queries.listed
    if queries is None or listed is None or listed.source != base.source or base.kept is not None:
        return ()
    if metric_of(queries.distance) != metric:
        return ()
    k = min(problem.options.k, listed.rows.shape[1])
    ids = _positions(listed.rows[:, :k].astype(np.int64), base.n, posed.rows)
    share = 1 - float(problem.hits(ids).sum()) / ids.size
    if share <= MOST_WRONG:
        return ()
    facts = {"source": queries.source, "metric": metric, "k": problem.options.k}
    return (Doubt.WRONG_NEIGHBOURS.about(share=share, **facts),)


def _positions(rows: IdArray, n: int, indexed: IdArray | None) -> IdArray:
    """Return where rows of the file lie among those that are indexed, -1 for what is none.

    Args:
        n: number of rows of the file.
        indexed: rows that are indexed, ascending, None for all.
    """
    place = np.arange(n)
    if indexed is not None:
        place = np.full(n, -1)
        place[indexed] = np.arange(len(indexed))
    known = (rows >= 0) & (rows < n)
    return np.where(known, place[np.where(known, rows, 0)], -1)
