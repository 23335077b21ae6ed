"""Recall that is lost in codes: dimensions cut, every code compared, too few candidates re-ranked."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.diagnosis.answers import exact_recall, first_rows, spare_answers
from tuner.diagnosis.content import Content
from tuner.diagnosis.data_losses import describe_metric, ranks_alike
from tuner.diagnosis.questions import Questions, exactly
from tuner.index.layers import ids_of_lists, through
from tuner.index.opened import IndexUnderTest
from tuner.index.stored import reconstructed, stored_codes
from tuner.text import counted
from tuner.types import Cause, FloatArray, IdArray

DEEPEST = 16
"""Candidates looked at for re-ranking, as a multiple of k."""
FACTORS = (1, 2, 4, 8, DEEPEST)


def codec_losses(
    questions: Questions, opened: IndexUnderTest, content: Content, left: float
) -> tuple[list[Cause], dict[int, float]]:
    """Return the losses of cut, codes and too few candidates re-ranked, and what a scan of codes finds."""
    causes = []
    k, depth = questions.k, questions.k + questions.extra
    chain = opened.chain
    queries = through(chain, questions.problem.raw)
    narrow = [step for step in chain if step.d_out < step.d_in]
    if narrow:
        seen = stored_codes(opened, questions.problem.base.radius).seen
        recall = exact_recall(questions, content, queries, opened.core.metric_type, seen)
        text = f"{narrow[0].d_in} dimensions cut to {narrow[0].d_out}"
        causes.append(Cause(name="dimension cut", share=left - recall, text=text))
        left = recall
    deepest = min(opened.n, depth * DEEPEST + spare_answers(content))
    found = _scanned(opened, queries, deepest)
    rows = first_rows(content, found, deepest)
    scan = {
        factor: float(_right_among(questions, rows[:, : depth * factor]).mean()) / k
        for factor in FACTORS
        if depth * factor <= deepest
    }
    if opened.refine is not None:
        return causes + _reranking_losses(questions, opened, content, found, left), scan
    plain = questions.recall(rows[:, :depth], questions.everyone)
    text = f"{_describe_codec(opened)}: every code compared gives {plain:.4f}"
    return [*causes, Cause(name="codec", share=left - plain, text=text)], scan


def _reranking_losses(
    questions: Questions, opened: IndexUnderTest, content: Content, found: IdArray, left: float
) -> list[Cause]:
    """Return what the codes lose at the best re-ranking, and what the index's own re-ranking loses on top.

    Args:
        found: (nq, deepest) positions of an exhaustive scan of the codes.
    """
    raw, deepest, depth = questions.problem.raw, found.shape[1], questions.k + questions.extra
    most = max(factor for factor in FACTORS if depth * factor <= deepest)

    def exact_at(factor: float) -> float:
        rows = first_rows(content, found, deepest)[:, : round(depth * factor)]
        return float(_right_among(questions, rows).mean()) / questions.k

    at = {
        factor: questions.recall(
            first_rows(content, _reranked(opened, raw, found[:, : round(depth * factor)], depth), depth),
            questions.everyone,
        )
        for factor in sorted({opened.factor, float(most)})
        if depth * factor <= deepest or factor == opened.factor
    }
    current = at[opened.factor]
    causes = []
    assert opened.store is not None  # noqa: S101 - the caller looked
    if not ranks_alike(questions, content, *opened.store):
        text = f"its re-ranking store: {describe_metric(questions, content, *opened.store)}"
        at = {factor: exact_at(factor) for factor in at}
        causes.append(Cause(name="metric", share=at[opened.factor] - current, text=text))
    factor = max(at, key=lambda each: (at[each], each))
    best = at[factor]
    codec = f"{_describe_codec(opened)}: re-ranked x{factor:g}, every code compared gives {best:.4f}"
    few = f"x{opened.factor:g} re-ranks {at[opened.factor]:.4f}, x{factor:g} {best:.4f}"
    return [
        *causes,
        Cause(name="codec", share=left - best, text=codec),
        Cause(name="re-ranking", share=best - at[opened.factor], text=few),
    ]


def _describe_codec(opened: IndexUnderTest) -> str:
    storage = opened.storage
    label = opened.label.split(",")
    name = next((part for part in reversed(label) if not part.startswith("Refine")), "")
    if hasattr(storage, "sq") and storage.sq.trained.size() == 2 * storage.d:
        spread = faiss.vector_to_array(storage.sq.trained)[storage.d :]
        n_dead = int((spread <= 1e-6 * np.median(spread)).sum())
        if n_dead:
            return f"{name}, {counted(n_dead, 'dimension')} of it trained on vectors that did not vary there"
    return name


def _scanned(opened: IndexUnderTest, queries: FloatArray, depth: int) -> IdArray:
    """Return positions (nq, depth) of an exhaustive scan of the codes."""
    if isinstance(opened.core, faiss.IndexIVF):
        before = opened.core.nprobe
        opened.core.nprobe = opened.core.nlist
        labels = opened.core.search(queries, depth)[1]
        opened.core.nprobe = before
        return _positions_of(opened, labels)
    storage = opened.storage
    if opened.graph is not None and isinstance(storage, faiss.IndexLSH):
        # alone it compares bits with bits, and under a graph queries with what bits decode to
        positions = np.broadcast_to(np.arange(opened.n)[:, None], (opened.n, storage.d))
        return exactly(
            positions,
            queries,
            depth,
            storage.metric_type,
            lambda at: reconstructed(storage, np.ascontiguousarray(at[:, 0])),
        )[1]
    found: IdArray = storage.search(queries, depth)[1]
    return found


def _positions_of(opened: IndexUnderTest, labels: IdArray) -> IdArray:
    """Return positions of ids that lists answer with."""
    own = ids_of_lists(opened.core)
    order = np.argsort(own, kind="stable")
    place = np.minimum(np.searchsorted(own[order], labels), len(own) - 1)
    return np.where(labels >= 0, order[place], -1)


def _right_among(questions: Questions, rows: IdArray) -> NDArray[np.int64]:
    """Return how many true neighbours (nq,), at most k, are among many candidates: exact re-ranking."""
    truth, k = questions.problem.truth, questions.k
    near = truth.ids[:, : truth.right.shape[1]]
    right = np.zeros(len(rows), dtype=np.int64)
    for number in range(near.shape[1]):
        right += (rows == near[:, number : number + 1]).any(axis=1) & truth.right[:, number]
    return np.minimum(right, k)


def _reranked(opened: IndexUnderTest, raw: FloatArray, positions: IdArray, depth: int) -> IdArray:
    """Return the best positions (nq, depth) of candidates by the re-ranking store."""
    assert opened.store is not None  # noqa: S101 - the caller looked
    chain, store = opened.store
    queries = through(chain, raw)
    out = np.full((len(raw), depth), -1, dtype=np.int64)
    smaller_first = store.metric_type == faiss.METRIC_L2
    for number, candidates in enumerate(positions):
        there = candidates[candidates >= 0]
        held = reconstructed(store, there)
        score = ((held - queries[number]) ** 2).sum(axis=1) if smaller_first else -(held @ queries[number])
        best = there[np.argsort(score, kind="stable")[:depth]]
        out[number, : len(best)] = best
    return out
