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

from tuner.diagnosis.answers import search_rows
from tuner.diagnosis.codec_losses import codec_losses
from tuner.diagnosis.content import Content
from tuner.diagnosis.data_losses import data_losses
from tuner.diagnosis.drift import drift_loss
from tuner.diagnosis.questions import Questions
from tuner.diagnosis.search_losses import graph_loss, search_loss
from tuner.index.opened import IndexUnderTest
from tuner.types import IdArray, Split, Steps


def split_loss(questions: Questions, opened: IndexUnderTest, content: Content) -> Steps[Split]:
    """Yield the share done; return where recall is lost."""
    rows, ndis, hops = search_rows(questions, opened)
    hits = questions.hits(rows, questions.everyone)
    now = float(hits.mean()) / questions.k
    yield 0.1
    data = data_losses(questions, opened, content)
    left = 1 - sum(cause.share for cause in data)
    yield 0.3
    codec, scan = codec_losses(questions, opened, content, left)
    yield 0.6
    graph = graph_loss(questions, opened, content, left)
    search = search_loss(questions, opened, now)
    yield 0.9
    causes = [*data, *codec, graph, search]
    split = Split(
        hits=hits,
        recall=now,
        causes=tuple(sorted(causes, key=lambda cause: -cause.share)),
        residual=1 - now - sum(cause.share for cause in causes),
        drift=drift_loss(questions, hits),
        by_id=recall_by_id(questions, rows),
        scan=scan,
        ndis_per_query=ndis,
        hops_per_query=hops,
    )
    yield 1.0
    return split


def recall_by_id(questions: Questions, rows: IdArray) -> float:
    """Return the recall of someone who compares ids: rows that tie with the k-th count as wrong."""
    k = questions.k
    rows = questions.without_themselves(rows, questions.everyone)
    wanted = questions.problem.truth.ids[:, :k]
    return float((rows[:, :k, None] == wanted[:, None, :]).any(axis=2).mean())
