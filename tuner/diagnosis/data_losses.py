"""Recall that is lost before any codec: rows missing, changed or re-ordered, and another metric."""

from __future__ import annotations

import faiss
import numpy as np

from tuner.data.base import prepared_queries
from tuner.data.vectors import Vectors
from tuner.diagnosis.answers import exact_recall, own_form
from tuner.diagnosis.content import FOREIGN, MOVED, SAME, SCALED, STALE, Content, unit
from tuner.diagnosis.questions import Questions
from tuner.index.layers import normalises, widens
from tuner.index.opened import IndexUnderTest, metric_of
from tuner.types import Cause, CauseName

EQUAL = 1.01
"""Ratio of lengths that rank alike by any metric, as `tune` takes it too."""


def data_losses(questions: Questions, opened: IndexUnderTest, content: Content) -> list[Cause]:
    """Return the losses of what the index holds and of how it compares, all codecs aside."""
    causes = []
    left = 1.0
    if len(content.missing):
        missing = missing_loss(questions, content)
        causes.append(missing)
        left -= missing.share
    if (content.state != SAME).any() or content.n_repeated:
        recall = _recall_by_own_metric(questions, content)
        name, text = _worst_state(content, questions.vectors)
        causes.append(Cause(name=name, share=left - recall, text=text))
        left = recall
    if not ranks_alike(questions, content, opened.chain, opened.storage):
        queries = own_form(opened, questions.problem.raw)
        as_compared = unit if normalises(opened.chain) else np.asarray
        recall = exact_recall(questions, content, queries, opened.core.metric_type, as_compared)
        text = describe_metric(questions, content, opened.chain, opened.storage)
        if causes and causes[-1].name == "not normalised":  # one illness: the metric sees what cosine did not
            seen = causes.pop()
            share = seen.share + left - recall
            causes.append(Cause(name="not normalised", share=share, text=f"{seen.text}: {text}"))
        else:
            causes.append(Cause(name="metric", share=left - recall, text=text))
    return causes


def missing_loss(questions: Questions, content: Content) -> Cause:
    """Return the loss of rows that are not in the index, all else exact."""
    n, truth = questions.problem.base.n, questions.problem.truth
    present = np.ones(n, dtype=bool)
    present[content.missing] = False
    right = (truth.right & present[truth.ids[:, : truth.right.shape[1]]]).sum(axis=1)
    recall = float(np.minimum(right, questions.k).mean()) / questions.k
    text = f"{len(content.missing):,} of {n:,} rows of the file are not in the index"
    return Cause(name="missing rows", share=1.0 - recall, text=text)


def _recall_by_own_metric(questions: Questions, content: Content) -> float:
    """Return the recall of what the index holds by the metric that the user meant."""
    metric, raw = questions.problem.base.metric, questions.problem.raw
    kind = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    if metric == "cosine":
        return exact_recall(questions, content, prepared_queries(raw, "cosine"), kind, unit)
    return exact_recall(questions, content, np.ascontiguousarray(raw), kind, np.asarray)


def _worst_state(content: Content, vectors: Vectors) -> tuple[CauseName, str]:
    """Return the name of what most changed positions are, and the count of each."""
    foreign = "is no row of the file"
    if vectors.ids is not None:
        foreign = f"{vectors.ids_source} does not have: deleted there, or of other vectors"
    words: dict[int, tuple[CauseName, str]] = {
        STALE: ("stale rows", "hold another vector than their row of the file"),
        MOVED: ("re-ordered rows", "hold the vector of another row of the file"),
        SCALED: ("not normalised", "hold their row at another length"),
        FOREIGN: ("foreign rows", f"have an id that {foreign}"),
    }
    counts = sorted(((content.n_of(state), state) for state in words), reverse=True)
    parts = [f"{count:,} of {len(content.rows):,} {words[state][1]}" for count, state in counts if count]
    if content.n_repeated:
        parts.append(f"{content.n_repeated:,} repeat an id")
    return words[counts[0][1]][0] if counts[0][0] else "repeated ids", "; ".join(parts)


def ranks_alike(
    questions: Questions, content: Content, chain: list[faiss.VectorTransform], storage: faiss.Index
) -> bool:
    """Return whether a storage behind transforms ranks vectors of these lengths as the user's metric does."""
    if isinstance(storage, faiss.IndexLSH):
        return True  # by angle, whatever is meant: what that loses is the codec's
    wanted, own = questions.problem.base.metric, metric_of(storage)
    profile = questions.profile
    of_length_1 = content.normalised or normalises(chain)
    equal = profile.norm_max <= EQUAL * profile.norm_min
    if content.n_of(SCALED):
        return wanted == own and not of_length_1
    if wanted == "cosine":
        return of_length_1 or equal
    if widens(chain):
        return wanted == "ip"
    return equal or (wanted == own and not of_length_1)


def describe_metric(
    questions: Questions, content: Content, chain: list[faiss.VectorTransform], storage: faiss.Index
) -> str:
    """Return in words how a storage behind transforms compares, and how it should."""
    own = {"l2": "L2 distance", "ip": "inner product"}[metric_of(storage)]
    profile = questions.profile
    lengths = "normalised vectors" if content.normalised or normalises(chain) else (
        f"vectors of lengths {profile.norm_min:.3g} to {profile.norm_max:.3g}"
    )  # fmt: skip
    return f"it compares {lengths} by {own}, and {questions.problem.base.metric} was meant"
