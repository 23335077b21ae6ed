"""Recall in your own tests, for any engine: a callable that searches, judged against exact neighbours.

from tuner.testing import assert_recall

def test_search(client):
    assert_recall(client.search, queries, base, at_least=0.95, k=10)

A search takes queries and k and returns ids: row numbers, or the user's own ids that are given with ``ids``;
the pair that ``search`` of a faiss index and ``knn_query`` of hnswlib return will do. A search that filters
is judged with ``allowed``, among the rows that each query may be answered with.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tuner.api import check
from tuner.data.answers import returned_ids, rows_of
from tuner.data.base import prepare, prepared_queries
from tuner.data.checks import FEWEST_QUERIES
from tuner.data.filters.listed import AllowedSource, by_rows, refuse_fewer_than
from tuner.data.ids import IdSource
from tuner.data.inputs import Source
from tuner.data.profile import check_queries, rows_without_direction, scan
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.gate import CheckResult, Limits
from tuner.gate.verdict import points
from tuner.index.inputs import open_inputs
from tuner.index.opened import prepared_rows
from tuner.recall.allowed import Filters
from tuner.recall.filtered_truth import DEPTH, filtered_truth
from tuner.recall.paired import POWER, upper_bound, visible_shortfall
from tuner.recall.starvation import IndexUse, Starvation
from tuner.recall.target import summarize
from tuner.recall.truth import cached
from tuner.report.gate import headline
from tuner.runtime.steps import result_of
from tuner.text import counted, one_line
from tuner.types import FloatArray, Metric, Recall

Search = Callable[[FloatArray, int], Any]
"""Queries (nq, d) float32 and k -> ids (nq, k), nearest first: row numbers of the base, or the user's own; -1
or empty text for nothing. Distances may come with them, before or after, as those of faiss and hnswlib do."""


def assert_recall(
    search: Search,
    queries: Source,
    base: Source,
    *,
    at_least: float,
    k: int = 10,
    metric: Literal["auto", "cosine", "ip", "l2"] = "auto",
    ids: IdSource | None = None,
    confidence: float = 0.95,
    starved: Search | None = None,
    allowed: AllowedSource | None = None,
) -> Recall:
    """Assert that ``search`` finds at least that share of the true neighbours; return what it finds.

    It fails only where recall is *surely* below ``at_least``, by the upper confidence bound over queries: a
    mean that lies on the threshold by chance does not make a test flake. Recall is tie-aware: a row counts if
    it is as near as the k-th true neighbour. Exact neighbours are cached by content.

    Args:
        search: called once with all queries.
        queries: (nq, d), an array or a .npy file; at least 20.
        base: (n, d) likewise.
        at_least: recall@k in (0, 1].
        metric: ``auto`` decides from the vectors as ``tune`` does; say what the engine ranks by.
        ids: ids of the rows, where ``search`` returns these, a list, an array or a file; -1 or empty text
            for a row that was deleted on purpose.
        confidence: confidence level of the bounds.
        starved: the same search with the least ef_search there is: if it finds as much, query by query, the
            index was not used, and the test fails.
        allowed: what the filter of ``search`` allows, at least k rows: ids as ``search`` returns them, for
            all queries or a list for each, or booleans (n,) or (nq, n). Any other answer fails the test.

    Raises:
        AssertionError: recall is too low, starving the search changes nothing, or a filter was ignored.
        InputError: the arrays do not fit each other or what ``search`` returns.
    """
    __tracebackhide__ = True  # a test that fails shows its own line
    k = _checked_k(at_least, k, metric, confidence)
    vectors, given = open_inputs(base, queries, ids)
    assert given is not None  # noqa: S101 - they are an argument
    judge = _Judge(vectors, given, k, metric, allowed)
    hits = judge.hits(search)
    recall = summarize(hits, k, confidence)
    upper = upper_bound(hits, k, confidence)
    text = (
        f"recall@{k} by {judge.metric}{judge.among} is {recall.mean:.4f} ({recall.lower:.4f} to {upper:.4f}, "
        f"{confidence:.0%} each)"
    )
    if judge.n_forbidden:
        raise AssertionError(f"{judge.forbidden}; {text}")
    if upper < at_least:
        raise AssertionError(
            f"{text}, surely below {at_least:g}; {judge.worst(hits)}; with {len(hits):,} queries, recall "
            f"{points(visible_shortfall(hits, k, confidence))} points below it is noticed with {POWER:.0%} "
            "power"
        )
    if starved is not None and _is_unmoved(hits, judge.hits(starved), k, judge.n):
        raise AssertionError(f"{text}, and the starved search finds as much: the index was not used")
    return recall


def _checked_k(at_least: float, k: int, metric: str, confidence: float) -> int:
    """Return k, all four arguments being what they should."""
    __tracebackhide__ = True
    if not 0 < at_least <= 1:
        raise InputError(f"at_least is {at_least:g}, but recall lies in (0, 1]: give a share such as 0.95")
    if not 0.5 < confidence < 1:
        raise InputError(f"confidence is {confidence:g}, but it lies in (0.5, 1): give 0.95, say")
    if metric not in ("auto", *get_args(Metric)):
        raise InputError(f"metric is {metric!r}, but it is auto, cosine, ip or l2: give one of them")
    if isinstance(k, bool) or not isinstance(k, Integral):
        raise InputError(f"k is {k!r}, but it is a whole number: give one")
    return int(k)


def _is_unmoved(hits: NDArray[np.int64], starved: NDArray[np.int64], k: int, n: int) -> bool:
    """Return whether starving the search changes nothing that it finds."""
    return IndexUse(n=n, starvation=Starvation.between(hits, starved, k)).finding == "unmoved"


class _Judge:
    """Exact neighbours of one query set, and what a search finds of them."""

    def __init__(
        self, base: Vectors, queries: Vectors, k: int, metric: Any, allowed: AllowedSource | None = None
    ) -> None:
        if queries.n < FEWEST_QUERIES:
            raise InputError(
                f"{queries.source} has {counted(queries.n, 'query', 'queries')}, and recall needs at least "
                f"{FEWEST_QUERIES}: give more"
            )
        if not 1 <= k < base.n:
            raise InputError(
                f"k is {k} but {base.source} has {counted(base.n, 'row')}: use a k from 1 to {base.n - 1}"
            )
        profile = result_of(scan(base, metric, seed=0))
        check_queries(base, queries, profile.metric)
        self.raw, self.k, self.metric = queries.read(0, queries.n), k, profile.metric
        self.queries = prepared_queries(self.raw, profile.metric)
        self.n, self.vectors, self.n_strange = base.n, base, 0
        self.n_forbidden = self.n_missing = self.n_short = self.n_asked = 0
        self.filters: Filters | None = None if allowed is None else by_rows(allowed, base, queries.n)
        with tempfile.TemporaryDirectory(prefix="assert-recall-") as folder:
            path = Path(folder, "base.f32")
            nowhere = rows_without_direction(base, profile)
            prepared = result_of(prepare(base, profile.metric, nowhere, profile.norm_max, path))
            key = ("testing", profile.fingerprint, profile.metric)
            depth = k if self.filters is None else min(DEPTH, prepared.n)
            self.truth = result_of(cached(key, prepared.x, self.queries, k, depth))[0]
            self.base = prepared  # the mapping outlives the file's name
        if self.filters is not None:
            among = self.filters.among(prepared.rows)
            refuse_fewer_than(k, among)
            self.truth = result_of(filtered_truth(prepared.x, self.queries, among, k, self.truth.ids))

    def hits(self, search: Search) -> NDArray[np.int64]:
        found = returned_ids(search(self.raw.copy(), self.k), len(self.raw), self.k)
        rows = np.full((len(found), self.k), -1, dtype=np.int64)
        rows[:, : found.shape[1]], self.n_strange = rows_of(found, self.vectors)
        places = prepared_rows(rows, self.base)
        n_answers = (rows >= 0).sum(axis=1)
        self.n_missing, self.n_short = int((self.k - n_answers).sum()), int((n_answers < self.k).sum())
        if self.filters is not None:
            strangers = (rows >= 0) & ~self.filters.allow(rows)
            self.n_forbidden, self.n_asked = int(strangers.sum()), int(strangers.any(axis=1).sum())
            places = np.where(strangers, -1, places)
        hits: NDArray[np.int64] = self.truth.hits(self.base.x, self.queries, places)
        return hits

    @property
    def among(self) -> str:
        return "" if self.filters is None else " among the allowed rows"

    @property
    def forbidden(self) -> str:
        """Return in words that a filter was ignored."""
        return (
            f"the filter forbids {counted(self.n_forbidden, 'answer')}, to "
            f"{counted(self.n_asked, 'query', 'queries')} of {len(self.raw):,}: the search ignored it, or "
            "has another"
        )

    def worst(self, hits: NDArray[np.int64]) -> str:
        """Return in words where most is missing."""
        order = np.argsort(hits, kind="stable")[:3]
        named = ", ".join(f"query {number} finds {hits[number]}" for number in order)
        strange = f"; {self.n_strange:,} answers are none of the ids" if self.n_strange else ""
        short = ""
        if self.filters is not None and self.n_short:
            short = (
                f"; {self.n_short:,} of {counted(len(self.raw), 'query', 'queries')} got fewer than {self.k} "
                f"answers ({self.n_missing:,} are missing), as of a filter that is applied after the search"
            )
        return f"of {self.k}, {named}{strange}{short}"


def gate(
    baseline: str | Path,
    base: Source,
    *,
    queries: Source | None = None,
    index: str | Path | None = None,
    limits: Limits | None = None,
    new_data: bool = False,
    threads: int = 0,
    **filters: Any,
) -> CheckResult:
    """Return what ``tune check`` finds; raise AssertionError if that is a regression.

    Args:
        baseline: the file that ``tune baseline`` wrote.
        base: the vectors, an array or a .npy file.
        queries: the queries of the baseline, None if it held some rows out.
        index: a faiss index to check; None builds the frozen configuration again.
        limits: what may change; None means the defaults of ``tuner.Limits``.
        new_data: whether the documents were embedded again.
        threads: threads to build with; 0 means all cores.
        filters: ``labels``, ``query_labels``, ``filters``, ``where`` or ``no_filters`` of ``tuner.check``.

    Raises:
        AssertionError: recall, cost or memory got worse, or no index was searched.
        InputError: this cannot be judged: other data, other queries, no index.
        ResourceError: too little memory or disk.
    """
    __tracebackhide__ = True
    asked = {"index": index, "limits": limits, "new_data": new_data, "threads": threads, **filters}
    result = check(baseline, base, queries, **asked)
    if not result.passed:
        lines = "\n".join(one_line(f"  {line.status}: {line.name}: {line.text}") for line in result.lines)
        raise AssertionError(f"{headline(result)}\n{lines}")
    return result
