"""Where recall is lost: each cause measured on the same queries, from the file to the answers.

Each step searches exactly what the step before left, so that the losses add up::

    the file, its metric, exactly                          1
    without rows that are missing                          data
    with the vectors that the index really holds           data
    by the index's own metric                              data
    behind a cut of dimensions                             codec
    an exhaustive scan of the codes, re-ranked             codec, re-ranking
    the index with its search parameter far up             graph
    the index as it is                                     search

The links alone are measured on exact vectors, and what their loss and the others leave over is the
residual: codes that mislead a walk, or walks that hide what codes would have lost.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import prepared_queries, view_codes
from tuner.diagnosis.content import FOREIGN, MOVED, SAME, SCALED, STALE, Content
from tuner.diagnosis.opened import IndexUnderTest, ids_of_lists, through
from tuner.diagnosis.questions import Questions, exactly
from tuner.index.files.faiss import unreachable
from tuner.index.graph import share_graph
from tuner.prediction.curves import search_counted
from tuner.types import Cause, FloatArray, IdArray, Steps

FLAT = 0.0005
"""A gain in recall below which raising the search parameter further brings nothing."""
FAR, FAR_EF = 8, 2_048
"""The search parameter is raised to at least so many times its value, and at most to this, or to twice its
value: faiss's queue of candidates takes time that grows with its square."""
MOST_EF = 4_096
"""The largest ef_search that is prescribed."""
DEEPEST = 16
"""Candidates looked at for re-ranking, as a multiple of k."""
DRIFTED = 0.05
"""Share of queries farther from the file than nearly all its rows are from each other: drift."""
SEEN_BY_CHANCE = 0.01
DRIFT_ROWS = 500
NOT_NORMALISED = "not normalised"
EQUAL = 1.01
"""Lengths that differ no more than this rank alike by any metric, as `tune` takes it too."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The whole loss and its parts.

    Attributes:
        hits: (nq,) of the index as it is.
        recall: of the index as it is.
        causes: by share, the largest first; those that overlap with others are not among them.
        residual: what the causes leave over of 1 - recall.
        drift: of the loss, what queries unlike the file add to it, whatever the cause.
        by_id: recall that counts ids instead of distances.
        scan: recall of an exhaustive scan of the codes, by candidates re-ranked exactly as multiples of k.
        ndis_per_query: distances a query of the index as it is.
        hops_per_query: nodes expanded.
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


def split_loss(questions: Questions, opened: IndexUnderTest, content: Content) -> Steps[Split]:
    """Yield the share done; return where recall is lost."""
    everyone = questions.everyone
    rows, ndis, hops = search_rows(questions, opened)
    hits = questions.hits(rows, everyone)
    now = float(hits.mean()) / questions.k
    yield 0.1
    data = _data_losses(questions, opened, content)
    left = 1 - sum(cause.share for cause in data)
    yield 0.3
    codec, scan = _codec_losses(questions, opened, content, left)
    yield 0.6
    graph = _graph_loss(questions, opened, content, left)
    far, far_value = _far(questions, opened, now)
    yield 0.9
    causes = [
        *data,
        *codec,
        graph,
        Cause(
            name="search",
            share=max(0.0, far - now),
            text=f"{opened.search_param} {opened.value:,}; at {far_value:,} recall is {far:.4f}"
            if opened.search_param
            else "nothing to turn: every code is compared",
        ),
    ]
    split = Split(
        hits=hits,
        recall=now,
        causes=tuple(sorted(causes, key=lambda cause: -cause.share)),
        residual=1 - now - sum(cause.share for cause in causes),
        drift=_drift(questions, hits),
        by_id=_by_id(questions, rows),
        scan=scan,
        ndis_per_query=ndis,
        hops_per_query=hops,
    )
    yield 1.0
    return split


def search_rows(
    questions: Questions, opened: IndexUnderTest, which: IdArray | None = None
) -> tuple[IdArray, float, float]:
    """Return prepared rows (nq, k + extra) that the index answers, distances and hops a query."""
    queries = questions.problem.raw if which is None else questions.problem.raw[which]
    labels, ndis, hops = search_counted(opened.index, queries, questions.k + questions.extra)
    return questions.rows_of(labels), ndis, hops


# ---------------------------------------------------------------- data


def _data_losses(questions: Questions, opened: IndexUnderTest, content: Content) -> list[Cause]:
    """Return the losses of what the index holds and of how it compares, all codecs aside."""
    everyone, causes = questions.everyone, []
    left = 1.0
    if len(content.missing):
        present = np.ones(questions.problem.base.n, dtype=bool)
        present[content.missing] = False
        truth = questions.problem.truth
        right = (truth.right & present[truth.ids[:, : truth.right.shape[1]]]).sum(axis=1)
        recall = float(np.minimum(right, questions.k).mean()) / questions.k
        n = questions.problem.base.n
        text = f"{len(content.missing):,} of {n:,} rows of the file are not in the index"
        causes.append(Cause(name="missing rows", share=left - recall, text=text))
        left = recall
    x, raw = content.vectors, questions.problem.raw
    metric = questions.problem.base.metric
    depth = questions.k + questions.extra
    if (content.state != SAME).any() or content.n_repeated:
        cosine = metric == "cosine"
        queries = prepared_queries(raw, "cosine") if cosine else np.ascontiguousarray(raw)
        kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
        _, found = exactly(x, queries, depth + _spare(content), kind, unit if cosine else np.asarray)
        recall = questions.recall(_first_rows(content, found, depth), everyone)
        name, text = _worst_state(content)
        causes.append(Cause(name=name, share=left - recall, text=text))
        left = recall
    if not _same_order(questions, opened, content):
        before = [step for step in opened.chain if isinstance(step, faiss.NormalizationTransform)]
        _, found = exactly(
            x,
            _own_form(opened, raw),
            depth + _spare(content),
            opened.core.metric_type,
            partial(through, before),
        )
        recall = questions.recall(_first_rows(content, found, depth), everyone)
        text = _describe_metric(questions, opened, content)
        if causes and causes[-1].name == NOT_NORMALISED:  # one illness: the metric sees what cosine did not
            seen = causes.pop()
            text = f"{seen.text}: {text}"
            causes.append(Cause(name=NOT_NORMALISED, share=seen.share + left - recall, text=text))
        else:
            causes.append(Cause(name="metric", share=left - recall, text=text))
    return causes


def _own_form(opened: IndexUnderTest, raw: FloatArray) -> FloatArray:
    """Return queries as the index compares them: only a transform of its own normalises."""
    normalises = any(isinstance(step, faiss.NormalizationTransform) for step in opened.chain)
    return prepared_queries(raw, "cosine") if normalises else np.ascontiguousarray(raw)


def _spare(content: Content) -> int:
    """Return how many answers more are asked for where positions stand for one row or for none."""
    return min(len(content.rows) - 1, 16) if content.n_repeated or content.n_of(FOREIGN) else 0


def _first_rows(content: Content, positions: IdArray, depth: int) -> IdArray:
    """Return rows of positions (nq, depth)."""
    rows: IdArray = np.where(positions >= 0, content.rows[np.maximum(positions, 0)], -1)[:, :depth]
    return rows


@np.errstate(invalid="ignore", over="ignore")
def unit(x: FloatArray) -> FloatArray:
    """Return rows (m, d) at length 1."""
    scaled: FloatArray = x / (np.linalg.norm(x, axis=1, keepdims=True) + np.finfo(np.float32).tiny)
    return scaled


def _worst_state(content: Content) -> tuple[str, str]:
    """Return the name of what most changed positions are, and the count of each."""
    words = {
        STALE: ("stale rows", "hold another vector than their row of the file"),
        MOVED: ("re-ordered rows", "hold the vector of another row of the file"),
        SCALED: (NOT_NORMALISED, "hold their row at another length"),
        FOREIGN: ("foreign rows", "have an id that is no row of the file"),
    }
    counts = sorted(((content.n_of(state), state) for state in words), reverse=True)
    said = [f"{count:,} of {len(content.rows):,} {words[state][1]}" for count, state in counts if count]
    if content.n_repeated:
        said.append(f"{content.n_repeated:,} repeat an id")
    return words[counts[0][1]][0] if counts[0][0] else "repeated ids", "; ".join(said)


def _same_order(questions: Questions, opened: IndexUnderTest, content: Content) -> bool:
    """Return whether the index's metric ranks vectors of these lengths as the user's metric does."""
    wanted, own = questions.problem.base.metric, opened.metric
    profile = questions.profile
    unit = content.normalised or any(isinstance(s, faiss.NormalizationTransform) for s in opened.chain)
    equal = profile.norm_max <= EQUAL * profile.norm_min
    if content.n_of(SCALED):
        return wanted == own and not unit
    if wanted == "cosine":
        return unit or equal
    if _adds_a_column(opened):
        return wanted == "ip"
    return equal or (wanted == own and not unit)


def _adds_a_column(opened: IndexUnderTest) -> bool:
    """Return whether the index turns inner products into distances by one more column."""
    before = opened.chain
    return bool(before) and isinstance(before[0], faiss.RemapDimensionsTransform) and (
        before[0].d_out == before[0].d_in + 1
    )  # fmt: skip


def _describe_metric(questions: Questions, opened: IndexUnderTest, content: Content) -> str:
    own = {"l2": "L2 distance", "ip": "inner product"}[opened.metric]
    profile = questions.profile
    lengths = "normalised vectors" if content.normalised else (
        f"vectors of lengths {profile.norm_min:.3g} to {profile.norm_max:.3g}"
    )  # fmt: skip
    return f"it compares {lengths} by {own}, and {questions.problem.base.metric} was meant"


# ---------------------------------------------------------------- codec


def _codec_losses(
    questions: Questions, opened: IndexUnderTest, content: Content, left: float
) -> tuple[list[Cause], dict[int, float]]:
    """Return the losses of cut, codes and too few candidates re-ranked, and the scan."""
    everyone, causes = questions.everyone, []
    k, depth = questions.k, questions.k + questions.extra
    chain, raw = opened.chain, questions.problem.raw
    queries = through(chain, raw)
    narrow = [step for step in chain if step.d_out < step.d_in]
    if narrow:
        compared_by = opened.core.metric_type
        _, found = exactly(
            content.vectors, queries, depth + _spare(content), compared_by, partial(through, chain)
        )
        recall = questions.recall(_first_rows(content, found, depth), everyone)
        text = f"{narrow[0].d_in} dimensions cut to {narrow[0].d_out}"
        causes.append(Cause(name="dimension cut", share=left - recall, text=text))
        left = recall
    deepest = min(opened.n, depth * DEEPEST + _spare(content))
    found = _scanned(opened, queries, deepest)
    rows = _first_rows(content, found, deepest)
    scan = {
        factor: float(_right_among(questions, rows[:, : depth * factor]).mean()) / k
        for factor in (1, 2, 4, 8, 16)
        if depth * factor <= deepest
    }
    name = _describe_codec(opened)
    if opened.refine is None:
        plain = questions.recall(rows[:, :depth], everyone)
        text = f"{name}: every code compared gives {plain:.4f}"
        causes.append(Cause(name="codec", share=left - plain, text=text))
        return causes, scan
    at = {
        factor: questions.recall(
            _first_rows(content, _reranked(opened, raw, found[:, : round(depth * factor)], depth), depth),
            everyone,
        )
        for factor in sorted({opened.factor, float(max(scan))})
        if depth * factor <= deepest or factor == opened.factor
    }
    best, current = at[max(at)], at[opened.factor]
    text = f"{name}: re-ranked x{max(at):g}, every code compared gives {best:.4f}"
    causes.append(Cause(name="codec", share=left - best, text=text))
    text = f"x{opened.factor:g} re-ranks {current:.4f}, x{max(at):g} {best:.4f}"
    causes.append(Cause(name="re-ranking", share=best - current, text=text))
    return causes, scan


def _describe_codec(opened: IndexUnderTest) -> str:
    storage = opened.storage
    label = opened.label.split(",")
    name = next((part for part in reversed(label) if not part.startswith("Refine")), "")
    if hasattr(storage, "sq") and storage.sq.trained.size() == 2 * storage.d:
        spread = faiss.vector_to_array(storage.sq.trained)[storage.d :]
        n_dead = int((spread <= 1e-6 * np.median(spread)).sum())
        if n_dead:
            return f"{name}, {n_dead} dimensions of it trained on vectors that did not vary there"
    return name


def _scanned(opened: IndexUnderTest, queries: FloatArray, depth: int) -> IdArray:
    """Return positions (nq, depth) of an exhaustive scan of the codes."""
    if isinstance(opened.core, faiss.IndexIVF):
        before = opened.core.nprobe
        opened.core.nprobe = opened.core.nlist
        labels = opened.core.search(queries, depth)[1]
        opened.core.nprobe = before
        return _positions_of(opened, labels)
    found: IdArray = opened.storage.search(queries, depth)[1]
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
        held = store.reconstruct_batch(there)
        score = ((held - queries[number]) ** 2).sum(axis=1) if smaller_first else -(held @ queries[number])
        best = there[np.argsort(score, kind="stable")[:depth]]
        out[number, : len(best)] = best
    return out


# ---------------------------------------------------------------- graph and search


def _graph_loss(questions: Questions, opened: IndexUnderTest, content: Content, left: float) -> Cause:
    """Return what the links lose on exact vectors with the search parameter far up."""
    graph = opened.graph
    if graph is None:
        return Cause(name="graph", share=0.0, text="no graph")
    x = content.vectors
    exact = faiss.IndexHNSWFlat(x.shape[1], graph.hnsw.nb_neighbors(1), graph.metric_type)
    storage = faiss.downcast_index(exact.storage)
    view_codes(storage, x.view(np.uint8))
    share_graph(graph, exact)
    exact.is_trained = True
    queries = _own_form(opened, questions.problem.raw)
    depth = questions.k + questions.extra

    def recall(ef_search: int) -> float:
        exact.hnsw.efSearch = ef_search
        found = exact.search(queries, depth + _spare(content))[1]
        return questions.recall(_first_rows(content, found, depth), questions.everyone)

    best, ef_search = _turned_up(recall, opened, 0.0)
    n_cut_off = int(unreachable(graph).sum())
    text = f"its links reach {best:.4f} of {left:.4f} on exact vectors at ef {ef_search:,}"
    if n_cut_off:
        text += f"; {n_cut_off:,} of {opened.n:,} nodes are out of reach"
    return Cause(name="graph", share=max(0.0, left - best), text=text)


def _far(questions: Questions, opened: IndexUnderTest, now: float) -> tuple[float, int]:
    """Return recall with the search parameter far up, and where it was turned to."""
    if not opened.search_param:
        return now, 1
    before = opened.value

    def recall(value: int) -> float:
        opened.set_value(value)
        return questions.recall(search_rows(questions, opened)[0], questions.everyone)

    try:
        return _turned_up(recall, opened, now)
    finally:
        opened.set_value(before)


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


# ---------------------------------------------------------------- beside the sum


def _by_id(questions: Questions, rows: IdArray) -> float:
    """Return the recall of someone who compares ids: rows that tie with the k-th count as wrong."""
    k = questions.k
    rows = questions.without_themselves(rows, questions.everyone)
    wanted = questions.problem.truth.ids[:, :k]
    return float((rows[:, :k, None] == wanted[:, None, :]).any(axis=2).mean())


def _drift(questions: Questions, hits: NDArray[np.int64]) -> Cause | None:
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
