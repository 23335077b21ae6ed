"""Queries unlike the file: which of them they are, and what they lose.

A two-sample test of scipy or scikit-learn would say that two samples differ, and not which queries do: what
is needed is the recall of those that lie far out beside the recall of the others.
"""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.diagnosis.questions import Questions, exactly
from tuner.types import Cause

DRIFTED = 0.05
"""Share of queries farther from the file than nearly all its rows are from each other: drift."""
SEEN_BY_CHANCE = 0.01
"""Share of rows that lie farther from all others than what is called far."""
DRIFT_ROWS = 500


def drift_loss(questions: Questions, hits: NDArray[np.int64]) -> Cause | None:
    """Return what queries lose that lie farther from the file than its rows do from each other."""
    base = questions.problem.base
    if questions.own is not None:
        return None
    sample = np.sort(np.random.default_rng(2).choice(base.n, min(DRIFT_ROWS, base.n // 2), replace=False))
    distances, _ = exactly(base.x, np.array(base.x[sample]), 2, faiss.METRIC_L2, np.asarray)
    usual = np.quantile(distances[:, 1], 1 - SEEN_BY_CHANCE)
    queries = questions.problem.queries
    nearest = base.x[questions.problem.truth.ids[:, 0]] - queries
    far = np.einsum("qd,qd->q", nearest, nearest) > usual
    if far.mean() < DRIFTED or far.all():
        return None
    share = hits / questions.k
    lost = float(far.mean() * (share[~far].mean() - share[far].mean()))
    text = (
        f"{far.mean():.0%} of the queries lie farther from the file than 99 % of its rows from each other: "
        f"recall {share[far].mean():.4f} there, {share[~far].mean():.4f} elsewhere"
    )
    return Cause(name="query drift", share=max(0.0, lost), text=text)
