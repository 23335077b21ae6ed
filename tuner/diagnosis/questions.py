"""Queries with their exact neighbours in the user's file, and answers of an index counted against them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.profile import rows_without_direction
from tuner.data.split import count_in_base, held_out_rows, random_order
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.index.opened import IndexUnderTest, prepared_rows
from tuner.recall.metric import release_pages
from tuner.runtime.journal import Journal
from tuner.sweep.pose import PosedProblem, pose, read_profile
from tuner.sweep.pose_within import pose_within
from tuner.types import Event, FloatArray, IdArray, Options, Profile, QuerySet

OWN_QUERIES = 1_000
"""Rows of the index that are asked for when there is nothing else to ask."""
FEWEST = 20
BLOCK_BYTES = 8 << 20
OWN = "rows of the index itself, each without itself"


@dataclass(frozen=True)
class Questions(PosedProblem):
    """Queries for the index, with their exact neighbours."""

    @property
    def own(self) -> IdArray | None:
        """(nq,) prepared row that each query is itself, None where queries are no rows."""
        return self.problem.own

    @property
    def k(self) -> int:
        """Neighbours asked for."""
        return self.problem.options.k

    @property
    def extra(self) -> int:
        """Answers asked for beyond k: the query itself may be among them."""
        return self.problem.extra

    def rows_of(self, labels: IdArray) -> IdArray:
        """Return prepared rows of the user's ids; -1 where there is no such row."""
        return prepared_rows(labels, self.problem.base)

    def hits(self, rows: IdArray, which: IdArray | None = None) -> NDArray[np.int64]:
        """Return tie-aware hits of each query (nq,) among prepared rows (nq, >= k + extra)."""
        return self.problem.hits(rows, which)

    def without_themselves(self, rows: IdArray, which: IdArray | None = None) -> IdArray:
        """Return answers (nq, m) without the row that each query is itself, -1 last in its place."""
        return self.problem.without_themselves(rows, which)

    def recall(self, rows: IdArray, which: IdArray) -> float:
        """Return mean tie-aware recall."""
        return float(self.hits(rows, which).mean()) / self.k

    def in_form(self, rows: IdArray, *, normalised: bool) -> FloatArray:
        """Return prepared rows as the user has them, or normalised."""
        own = self.problem.base.rows
        x = self.vectors.rows(rows if own is None else own[rows])
        if normalised:
            x /= np.maximum(np.linalg.norm(x, axis=1, keepdims=True), np.finfo(np.float32).tiny)
        return x


def questions_for(
    journal: Journal,
    opened: IndexUnderTest,
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    work: Path,
) -> Generator[Event, None, Questions]:
    """Yield events; return the questions.

    Without a query file, rows that `tune` held out of the index are asked for; where there are none, rows
    of the index, each without itself: searches find those a little too well.

    Raises:
        InputError: base, queries, index and options do not fit.
    """
    given = queries is not None
    profile = yield from read_profile(journal, base, queries, options)
    there = np.zeros(base.n, dtype=bool)
    there[opened.ids[(opened.ids >= 0) & (opened.ids < base.n)]] = True
    nowhere = rows_without_direction(base, profile)
    if opened.copies is not None:
        there[opened.copies[:, 1]] = True
    there[nowhere] = True
    missing = np.flatnonzero(~there)
    left_out = not given and FEWEST <= len(missing) <= base.n // 2
    if left_out and np.array_equal(missing, held_out_rows(base.n, nowhere, len(missing), options.seed)):
        options = replace(options, n_queries=len(missing))
    elif not given:
        there[nowhere] = False
        return (yield from _own_questions(journal, base, profile, np.flatnonzero(there), options, work))
    posed = yield from pose(journal, base, queries, options, work, profile=profile)
    return Questions(posed.problem, profile, posed.query_set, base)


def _own_questions(
    journal: Journal, base: Vectors, profile: Profile, there: IdArray, options: Options, work: Path
) -> Generator[Event, None, Questions]:
    n_wanted = options.n_queries or min(OWN_QUERIES, len(there) // 2)
    if n_wanted < FEWEST:
        raise InputError(f"{base.source}: {len(there)} of its rows are in the index, too few to ask for")
    rng = np.random.default_rng(options.seed)
    rows = np.sort(rng.choice(there, min(n_wanted, len(there)), replace=False))
    order = random_order(len(rows), options.seed)
    query_set = QuerySet(
        source=OWN,
        fingerprint=profile.fingerprint,
        n=len(rows),
        n_in_base=count_in_base(base, base.rows(rows), np.zeros(0, dtype=np.int64)),
    )
    posed = yield from pose_within(journal, base, profile, rows, query_set, order, options, work)
    return Questions(posed.problem, profile, query_set, base)


def exactly(
    x: NDArray[Any], queries: FloatArray, k: int, metric_type: int, seen: Callable[[Any], FloatArray]
) -> tuple[FloatArray, IdArray]:
    """Return distances and rows (nq, k) of the best of ``x`` by the metric, block by block.

    Args:
        x: (n, d) mapped, never held as a whole; or what ``seen`` makes as many columns of.
        seen: what a block of rows is before it is compared.
    """
    heap = faiss.ResultHeap(len(queries), k, keep_max=metric_type == faiss.METRIC_INNER_PRODUCT)
    step = max(256, BLOCK_BYTES // (4 * x.shape[1]))
    for start in range(0, len(x), step):
        block = np.ascontiguousarray(seen(x[start : start + step]), dtype=np.float32)
        distances, ids = faiss.knn(queries, block, min(k, len(block)), metric_type)
        heap.add_result(distances, ids + start)
    release_pages(x)
    heap.finalize()
    return heap.D, heap.I
