"""Recall that is lost on the way: links that lead nowhere near, and searches that stop too early."""

from __future__ import annotations

from collections.abc import Callable

import faiss
import numpy as np

from tuner.data.base import prepared_queries, view_codes
from tuner.data.vectors import row_groups
from tuner.diagnosis.answers import first_rows, own_form, search_rows, spare_answers
from tuner.diagnosis.content import Content
from tuner.diagnosis.questions import Questions
from tuner.index.graph import share_graph
from tuner.index.layers import closed_in, normalises, unreachable, widens
from tuner.index.opened import IndexUnderTest
from tuner.index.stored import widened
from tuner.types import Cause, CauseName, FloatArray

FLAT = 0.0005
"""Gain in recall below which raising the search parameter further brings nothing."""
CUT_SHARE = 0.01
"""Recall that links lose, and share of nodes, from which on copies are looked at as the cause."""
ROWS = 1 << 12
FAR, FAR_EF = 8, 2_048
"""Multiple of its value that the search parameter is raised to at least, and what it is raised to at most
unless twice its value is more: faiss's queue of candidates takes time that grows with its square."""


def graph_loss(questions: Questions, opened: IndexUnderTest, content: Content, left: float) -> Cause:
    """Return what the links lose on exact vectors with the search parameter far up."""
    graph = opened.graph
    if graph is None:
        return Cause(name="graph", share=0.0, text="no graph")
    x, queries = _as_compared(questions, opened, content)
    exact = faiss.IndexHNSWFlat(x.shape[1], graph.hnsw.nb_neighbors(1), graph.metric_type)
    storage = faiss.downcast_index(exact.storage)
    view_codes(storage, x.view(np.uint8))
    share_graph(graph, exact)
    exact.is_trained = True
    depth = questions.k + questions.extra

    def recall(ef_search: int) -> float:
        exact.hnsw.efSearch = ef_search
        found = exact.search(queries, depth + spare_answers(content))[1]
        return questions.recall(first_rows(content, found, depth), questions.everyone)

    best, ef_search = _turned_up(recall, opened, 0.0)
    n_cut_off = int(unreachable(graph).sum())
    name: CauseName = "graph"
    text = f"its links reach {best:.4f} of {left:.4f} on exact vectors at ef {ef_search:,}"
    if n_cut_off:
        text += f"; {n_cut_off:,} of {opened.n:,} nodes are out of reach"
    if left - best >= CUT_SHARE and questions.profile.n_duplicate_rows:
        blocks = (content.vectors[start : start + ROWS] for start in range(0, opened.n, ROWS))
        n_closed = int(closed_in(graph, row_groups(blocks)).sum())
        if n_closed >= CUT_SHARE * opened.n:
            name = "duplicates"
            text += f"; {n_closed:,} link to copies of themselves alone: duplicates cut it into groups"
    return Cause(name=name, share=max(0.0, left - best), text=text)


def _as_compared(
    questions: Questions, opened: IndexUnderTest, content: Content
) -> tuple[FloatArray, FloatArray]:
    """Return held vectors and queries as the graph compares them, with a column that only it has."""
    raw, radius = questions.problem.raw, questions.problem.base.radius
    if radius and widens(opened.chain):
        return widened(content.vectors, radius), prepared_queries(raw, "ip")
    if normalises(opened.chain):
        path = questions.problem.links_path.with_name("content.unit.f32")
        return content.at_unit_length(path), own_form(opened, raw)
    return content.vectors, own_form(opened, raw)


def search_loss(questions: Questions, opened: IndexUnderTest, now: float) -> Cause:
    """Return what the search parameter as it is loses beside one far up.

    Args:
        now: recall of the index as it is.
    """
    if not opened.search_param:
        return Cause(name="search", share=0.0, text="nothing to turn: every code is compared")
    before = opened.value

    def recall(value: int) -> float:
        opened.set_value(value)
        return questions.recall(search_rows(questions, opened)[0], questions.everyone)

    try:
        far, far_value = _turned_up(recall, opened, now)
    finally:
        opened.set_value(before)
    text = f"{opened.search_param} {before:,}; at {far_value:,} recall is {far:.4f}"
    return Cause(name="search", share=max(0.0, far - now), text=text)


def _turned_up(recall: Callable[[int], float], opened: IndexUnderTest, least: float) -> tuple[float, int]:
    """Return the best recall and its value: four times as much until that brings nothing."""
    most = min(opened.largest_value, max(FAR_EF, 2 * opened.value))
    value = min(most, max(FAR * opened.value, 256 if opened.graph is not None else 1))
    best, at = least, opened.value
    while True:
        found = recall(value)
        gain = found - best
        if gain > 0:
            best, at = found, value
        if gain < FLAT or value >= most or best >= 1:
            return best, at
        value = min(most, 4 * value)
