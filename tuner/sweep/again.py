"""The answer of an earlier report once more: on newer or more vectors, its ef_search found by measurement.

The one configuration is built, from the graph that the cache has of the earlier rows where it can be, and
measured as a sweep measures it. What else could have been better now is not asked: ``since`` sweeps again
only where the earlier answer no longer does what it did.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tuner.data.copies import groups_of
from tuner.data.split import with_generation
from tuner.data.vectors import Vectors
from tuner.errors import InputError, TunerError
from tuner.report.words import recall_text
from tuner.runtime.journal import JOURNAL, write_atomically
from tuner.runtime.steps import result_of
from tuner.sweep.answer import Answer
from tuner.sweep.graph_cache import is_kept, name_of
from tuner.sweep.model import Model
from tuner.sweep.rows_indexed import NO_ROWS, rows_indexed
from tuner.sweep.run import accept_any, finish, sweep
from tuner.types import (
    Ceiling,
    EarlierAnswer,
    Event,
    Generation,
    Note,
    Options,
    Recommendation,
    Result,
    Space,
    Warned,
)

LINKS_OVER_M = 2
"""A graph of M cut from one of 2 M needs a ninth fewer distances than one built with M, and an eighth more
time to build. Measured: 115,659 x 256, M=12: 981 distances at .95 against 1,103; cut from M=48 1,008."""
MOST_M = 128
MORE_DISTANCES = 0.25
"""Distances a query may grow by this share beyond what more rows explain, and the answer still holds."""
LOST_BY_CODES = 0.01
"""Recall of the codec's exhaustive scan that may be lost before it is judged again."""

BROKEN = "broken.txt"
"""File of the scratch folder with the reason why the earlier answer no longer holds."""


class NoLongerHoldsError(TunerError):
    """The earlier answer does not do what it did; the sentence says why."""


@dataclass(frozen=True)
class Earlier:
    """A report to begin from.

    Attributes:
        result: what it holds.
        source: name that the user gave it.
    """

    result: Result
    source: str

    @property
    def best(self) -> Recommendation:
        """The recommendation; ``build`` and ``since`` look first whether there is one."""
        if self.result.recommendation is None:
            raise AssertionError("a report without an answer")
        return self.result.recommendation

    @property
    def space(self) -> Space:
        """The space that was swept, in this run or in that which it began from."""
        before = self.result.earlier
        return self.result.options.space if before is None else before.space

    def answer(self, broken: str = "") -> EarlierAnswer:
        """Return what the new report says of it.

        Args:
            broken: reason why it no longer holds.
        """
        best = self.best
        return EarlierAnswer(
            source=self.source,
            n=self.result.profile.n_indexed,
            label=best.label,
            ef_search=best.ef_search,
            recall=best.recall,
            memory_per_vector_bytes=best.memory_per_vector_bytes,
            ndis_per_query=best.ndis_per_query,
            space=self.space,
            broken=broken,
        )


def build_again(
    earlier: Earlier,
    base: Vectors,
    queries: Vectors | None,
    threads: int,
    out: Path,
    work: Path,
    *,
    resume: bool = False,
    accept: Callable[[Model, Answer], Iterable[Event]] = accept_any,
) -> Generator[Event, None, Result]:
    """Yield events; return the result of the earlier recommendation on these vectors, its index in ``out``.

    Args:
        earlier: report with the recommendation.
        base: vectors to index, those of the report, newer ones or more.
        queries: queries of the report's kind, None where it held rows out.
        threads: number of threads, 0 for all cores.
        out: folder of the index; it exists.
        work: scratch folder.
        resume: go on from what an earlier run left in ``work``.
        accept: events to yield before the index is written; what it raises ends the run.

    Raises:
        InputError: the report recommends nothing, or does not fit the vectors or queries.
        ResourceError: too little memory, disk or time.
    """
    refuse_unlike(earlier, base, queries)
    options = narrowed(earlier, base, threads)
    if options.earlier:
        yield Note(f"the first {options.earlier[-1].n:,} of {base.n:,} rows are those of {earlier.source}")
    result = yield from sweep(base, queries, options, out, work, resume=resume, accept=accept)
    return replace(result, earlier=earlier.answer())


def since(
    earlier: Earlier,
    base: Vectors,
    queries: Vectors | None,
    threads: int,
    out: Path,
    work: Path,
    *,
    resume: bool = False,
) -> Generator[Event, None, Result]:
    """Yield events; return the earlier answer built again where it holds, and a sweep's where it does not.

    Args:
        earlier: report to begin from.
        base: vectors to index.
        queries: queries of the report's kind, None where it held rows out.
        threads: number of threads, 0 for all cores.
        out: folder of the index; it exists.
        work: scratch folder.
        resume: go on from what an earlier run left in ``work``.

    Raises:
        InputError: the report does not fit the vectors or queries.
        ResourceError: too little memory, disk or time.
    """
    first, broken = work / "since", work / BROKEN
    if not resume:
        broken.unlink(missing_ok=True)
    if not broken.exists():
        judge = partial(still_holds, earlier)
        again = resume and (first / JOURNAL).exists()
        try:
            result = yield from build_again(
                earlier, base, queries, threads, out, first, resume=again, accept=judge
            )
            finish(first)
            return result
        except NoLongerHoldsError as error:
            write_atomically(broken, str(error).encode())
            shutil.rmtree(first)
    reason = broken.read_text(encoding="utf-8")
    yield Warned(f"{earlier.source} no longer holds, so everything is swept again: {reason}")
    options = replace(earlier.result.options, space=earlier.space, earlier=(), threads=threads)
    again = resume and (work / JOURNAL).exists()
    result = yield from sweep(base, queries, options, out, work, resume=again)
    broken.unlink()
    return replace(result, earlier=earlier.answer(reason))


def refuse_unlike(earlier: Earlier, base: Vectors, queries: Vectors | None) -> None:
    """Raise InputError if the report recommends nothing, or is of other vectors or queries than these."""
    result, source = earlier.result, earlier.source
    if result.recommendation is None:
        raise InputError(f"{source} recommends nothing, as nothing reached its target: run tune without it")
    if result.sharded is not None:
        raise InputError(f"{source} is of an index in shards: run tune with --shards instead")
    if base.d != result.profile.d:
        found = f"{result.profile.d:,} columns and {base.source} has {base.d:,}"
        raise InputError(f"{source} is of {found}: run tune on it")
    held_out = bool(result.queries.held_out_rows)
    if queries is None and not held_out:
        raise InputError(
            f"{source} was measured on queries of {result.queries.source}: give them, or newer ones, with "
            "--queries"
        )
    if queries is not None and held_out:
        raise InputError(
            f"{source} was measured on rows held out of the base, not on queries such as "
            f"{queries.source}: leave them out, or run tune with them"
        )


def narrowed(earlier: Earlier, base: Vectors, threads: int) -> Options:
    """Return the options of the report with its recommendation alone as space."""
    options, before = earlier.result.options, grown_from(earlier, base)
    kept = replace(
        options,
        threads=threads,
        exhaustive=False,
        native=(),
        rerank_store="memory" if earlier.result.recommendation is None else earlier.best.rerank_at,
        baseline="graph",
        time_budget_s=None,
        run_memory_bytes=None,
        earlier=before,
        n_queries=None if before else options.n_queries,
    )
    if earlier.result.status == "exact":
        return kept
    best = earlier.best
    can_grow = before and _has_graph(earlier, base)
    links = options.space.most_links if can_grow else min(MOST_M, LINKS_OVER_M * best.M)
    columns = earlier.result.profile.d + (earlier.result.profile.metric == "ip")
    space = Space(
        name=options.space.name,
        M=(best.M,),
        ef_construction=best.ef_construction,
        codecs=(best.codec,),
        cuts=(1.0 if best.cut == "none" else best.dims / columns,),
        cut_kinds=("truncate" if best.cut == "truncate" else "pca",),
        rerank_stores=() if best.rerank is None else (best.rerank,),
        rerank_factors=(best.rerank_factor,),
        ef_search_max=options.space.ef_search_max,
        graph_M=max(best.M, links),
    )
    return replace(kept, metric=earlier.result.profile.metric, space=space)


def grown_from(earlier: Earlier, base: Vectors) -> tuple[Generation, ...]:
    """Return the file each time that it was tuned before, if it begins with the rows of the report.

    Then queries stay what they are, and its graph can grow.
    """
    profile, queries = earlier.result.profile, earlier.result.queries
    if base.n < profile.n or replace(base, n=profile.n).fingerprint != profile.fingerprint:
        return ()
    return with_generation(earlier.result.options.earlier, profile, queries)


def _has_graph(earlier: Earlier, base: Vectors) -> bool:
    """Return whether the cache has the graph of the report's rows."""
    profile, options = earlier.result.profile, earlier.result.options
    if profile.n_left_out:
        return False
    held_out = np.array(earlier.result.queries.held_out_rows, dtype=np.int64)
    groups = None
    if earlier.result.collapsed is not None:
        groups = result_of(groups_of(base, np.arange(profile.n)))
    left_out = rows_indexed(profile.n, NO_ROWS, held_out, groups, put_back=False).left_out
    return is_kept(name_of(profile.fingerprint, profile.metric, left_out, options))


def still_holds(earlier: Earlier, modelled: Model, found: Answer) -> Iterator[Event]:
    """Yield what was expected and what was found; raise NoLongerHoldsError where they are too far apart.

    Distances grow with the logarithm of the rows (Malkov and Yashunin 2016, 4.2.1).
    """
    if not found.found:
        raise NoLongerHoldsError(f"{earlier.best.label} does not reach the target within its limits")
    point = found.points[next(iter(found.named.values()))]
    lost = _ceiling(earlier.best, earlier.result.ceilings) - _ceiling(
        earlier.best, modelled.evaluation.ceilings
    )
    if lost > LOST_BY_CODES:
        raise NoLongerHoldsError(
            f"an exhaustive scan of {point.configuration.codec} finds {lost:.4f} less than then"
        )
    n, before = modelled.problem.base.n_answers, earlier.result.profile.n_indexed
    expected = earlier.best.ndis_per_query * max(1.0, math.log(n) / math.log(before))
    text = f"{point.ndis_per_query:,.0f} distances a query where {expected:,.0f} were expected"
    if point.ndis_per_query > (1 + MORE_DISTANCES) * expected:
        raise NoLongerHoldsError(f"{point.configuration.label} takes {text}")
    yield Note(f"the answer of {earlier.source} holds: {recall_text(point.recall)}, {text}")


def _ceiling(best: Recommendation, ceilings: Sequence[Ceiling]) -> float:
    """Return the recall that an exhaustive scan of the recommended codes has; 0 where it was not measured."""
    mine = (best.codec, best.dims, best.cut)
    found = (each for each in ceilings if (each.codec, each.dims, each.cut) == mine)
    return max((each.recall_at.get(best.rerank_factor, 0.0) for each in found), default=0.0)
