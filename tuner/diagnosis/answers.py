"""Answers of the index under test, and of exact searches of what it holds, as rows of the file."""

from __future__ import annotations

from typing import Any

import numpy as np

from tuner.data.base import prepared_queries
from tuner.data.copies import with_copies
from tuner.diagnosis.content import FOREIGN, Content
from tuner.diagnosis.questions import Questions, exactly
from tuner.index.layers import normalises
from tuner.index.opened import IndexUnderTest
from tuner.prediction.curves import search_counted
from tuner.types import FloatArray, IdArray

MOST_SPARE = 16
"""Answers more than needed, at most, where positions stand for one row or for none."""


def search_rows(
    questions: Questions, opened: IndexUnderTest, which: IdArray | None = None
) -> tuple[IdArray, float, float]:
    """Return prepared rows (nq, k + extra) that the index answers, distances and hops a query."""
    queries = questions.problem.raw if which is None else questions.problem.raw[which]
    depth = questions.k + questions.extra
    labels, ndis, hops = search_counted(opened.index, queries, depth)
    return rows_answered(questions, opened, labels, depth), ndis, hops


def rows_answered(questions: Questions, opened: IndexUnderTest, labels: IdArray, depth: int) -> IdArray:
    """Return prepared rows (nq, depth) of what an index answered, copies that its list has among them."""
    if opened.copies is not None:
        labels, _ = with_copies(opened.copies, labels, depth)
    return questions.rows_of(labels)


def exact_recall(
    questions: Questions, content: Content, queries: FloatArray, metric_type: int, seen: Any
) -> float:
    """Return the recall of an exact search of what the positions hold.

    Args:
        queries: (nq, d') queries in the form that is compared.
        metric_type: faiss's number of the metric.
        seen: function from a block of held vectors to what is compared.
    """
    depth = questions.k + questions.extra
    _, found = exactly(content.vectors, queries, depth + spare_answers(content), metric_type, seen)
    return questions.recall(first_rows(content, found, depth), questions.everyone)


def own_form(opened: IndexUnderTest, raw: FloatArray) -> FloatArray:
    """Return queries as the index compares them: only a transform of its own normalises."""
    return prepared_queries(raw, "cosine") if normalises(opened.chain) else np.ascontiguousarray(raw)


def spare_answers(content: Content) -> int:
    """Return how many answers more are asked for where positions stand for one row or for none."""
    return min(len(content.rows) - 1, MOST_SPARE) if content.n_repeated or content.n_of(FOREIGN) else 0


def first_rows(content: Content, positions: IdArray, depth: int) -> IdArray:
    """Return rows of positions (nq, depth)."""
    rows: IdArray = np.where(positions >= 0, content.rows[np.maximum(positions, 0)], -1)[:, :depth]
    return rows if content.copies is None else with_copies(content.copies, rows, depth)[0]
