"""Fixes made and measured: each at the least search parameter that the queries certify."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import faiss
import numpy as np

from tuner.data.copies import COPIES_FILE, by_first, list_bytes, write_copies
from tuner.diagnosis.answers import search_rows
from tuner.diagnosis.content import Content
from tuner.diagnosis.fix_builder import Fix, FixBuilder
from tuner.diagnosis.questions import Questions
from tuner.errors import InputError
from tuner.index.assemble import write
from tuner.index.opened import IndexUnderTest, open_index
from tuner.index.own_ids import by_rows, with_own_ids
from tuner.runtime.process import use_threads
from tuner.runtime.timing import BLOCK, interleave
from tuner.sweep.ef_search import EfResult, find_min_ef, judged
from tuner.types import FixKind, FloatArray, IdArray, Prescription, Recall, Split, Steps

MOST_EF, MODERATE_EF = 4_096, 256
"""Largest ef_search that is prescribed, and one that most indexes need no more than."""
WORTH = 0.10
"""Share of its bytes or its time for less than which a healthy index is not touched."""
TIMED_QUERIES, ROUNDS = 256, 6
FEW, SURELY = 100, 3.0
"""Queries at the largest search parameter, and standard errors below the target, that rule a fix out."""
ENOUGH_OF_A_KIND = 2
LINK_SHARE, HARD = 0.01, 8
"""Recall that the links lose, and times the value that all else needs, from which on a new graph is
measured also where something cheaper works: links that were built on coarse codes are poor ones."""
TIME_NOISE, ERRORS = 0.05, 2.0
"""Least difference in time, as a share, that is taken for one: an index differs as much from itself; and the
standard errors that it must have besides."""
KEEPING: tuple[FixKind, ...] = ("search", "labels", "add")
"""Fixes that leave codes and links as they are."""
SLOW = 8
"""Times the fastest fix's time from which on one comes after all others: what it saves once, each search
would pay."""


@dataclass(frozen=True)
class MeasuredFixes:
    """Prescriptions with the fixes that they come from, in the same order."""

    prescriptions: tuple[Prescription, ...]
    fixes: tuple[Fix, ...]


def find_fixes(
    questions: Questions, opened: IndexUnderTest, content: Content, split: Split
) -> Steps[MeasuredFixes]:
    """Yield the share done; return what mends the index, or makes it smaller or faster."""
    problem = questions.problem
    needed = problem.target.needed(split.hits)
    builder = FixBuilder(questions, opened, content, split.scan, needed)
    made: list[tuple[Prescription, Fix]] = []
    offers = list(builder.offers())
    for number, fix in enumerate(offers):
        if not _enough(made, fix):
            made.append((measure_fix(questions, opened, fix), fix))
        yield 0.6 * (number + 1) / len(offers)
    easy = [p for p, _ in made if p.works and p.value <= HARD * max(opened.value, questions.k * p.factor)]
    if not easy or split.share_of("graph") + split.share_of("duplicates") > LINK_SHARE:
        for fix in builder.rebuilds():
            if not _enough(made, fix):
                made.append((measure_fix(questions, opened, fix), fix))
    yield 0.8
    kept = ranked(made)
    timed = slow_last(undominated(timed_beside(questions, opened, kept)))
    yield 1.0
    healthy = problem.certified(problem.recall(split.hits))
    worth = [pair for pair in timed if not healthy or is_worth(pair[0], opened.index_bytes)]
    return MeasuredFixes(tuple(p for p, _ in worth), tuple(fix for _, fix in worth))


def _enough(made: list[tuple[Prescription, Fix]], fix: Fix) -> bool:
    """Return whether enough of this kind work already."""
    return sum(p.works for p, other in made if other.kind == fix.kind) >= ENOUGH_OF_A_KIND


def measure_fix(questions: Questions, opened: IndexUnderTest, fix: Fix) -> Prescription:
    """Make a fix, and measure it at the least search parameter that reaches the target."""
    problem, k = questions.problem, questions.k
    index = fix.make()
    with turned(index, index.value, fix.factor):
        least = max(1, round((k + questions.extra) * index.factor)) if index.graph is not None else 1
        most = max(least, min(index.largest_value, MOST_EF))

        def at(value: int) -> EfResult:
            index.set_value(value)
            rows, ndis, hops = search_rows(questions, index, asked)
            return judged(problem, value, questions.hits(rows, asked), ndis, hops)

        asked = questions.everyone
        if index.search_param and _is_hopeless(questions, index, least, most):
            asked = problem.sample(FEW)
            tuned = at(most)
        elif index.search_param:
            tuned = find_min_ef(at, least, min(max(least, opened.value), most), most)
        else:
            tuned = at(1)
        recall = problem.recall(tuned.hits)
        return Prescription(
            kind=fix.kind,
            title=fix.title,
            label=index.label,
            search_param=index.search_param,
            value=tuned.ef_search,
            factor=index.factor,
            recall=recall,
            ndis_per_query=tuned.ndis,
            index_bytes=serialized_bytes(index.index) + _bytes_beside(index),
            works=tuned.passes and len(asked) == problem.n_queries,
        )


def _bytes_beside(index: IndexUnderTest) -> int:
    """Return the bytes of the list of copies that an index needs beside it."""
    return 0 if index.copies is None else list_bytes(len(index.copies))


def _is_hopeless(questions: Questions, index: IndexUnderTest, least: int, most: int) -> bool:
    """Return whether some queries show that no search parameter reaches the target.

    What a moderate one finds already is found with the largest too, which takes a hundred times as long.
    """
    problem, k = questions.problem, questions.k
    few = problem.sample(FEW)
    for value in sorted({min(most, max(MODERATE_EF, 2 * least)), most}):
        index.set_value(value)
        share = questions.hits(search_rows(questions, index, few)[0], few) / k
        if float(share.mean() + SURELY * share.std() / len(few) ** 0.5) >= problem.options.recall:
            return False
    return True


def serialized_bytes(index: faiss.Index) -> int:
    """Return the bytes of an index file, without holding one."""
    sizes: list[int] = [0]

    def count(data: bytes) -> None:
        sizes[0] += len(data)

    faiss.write_index(index, faiss.PyCallbackIOWriter(count))
    return sizes[0]


@contextmanager
def turned(opened: IndexUnderTest, value: int, factor: float) -> Iterator[IndexUnderTest]:
    """Set search parameter and re-ranking factor (0 leaves it) for a while."""
    before = opened.value, opened.factor
    try:
        opened.set_factor(factor)
        opened.set_value(value)
        yield opened
    finally:
        opened.set_value(before[0])
        opened.set_factor(before[1])


def ranked(made: list[tuple[Prescription, Fix]]) -> list[tuple[Prescription, Fix]]:
    """Return what works best of each kind, by its cost for the user; if nothing does, what comes nearest."""
    working = [pair for pair in made if pair[0].works]
    if not working:
        return sorted(made, key=lambda pair: -pair[0].recall.lower)[:1]
    best: dict[str, tuple[Prescription, Fix]] = {}
    for pair in sorted(working, key=lambda pair: pair[0].index_bytes * pair[0].ndis_per_query):
        best.setdefault(pair[1].kind, pair)
    return [best[kind] for kind in get_args(FixKind) if kind in best]


def undominated(timed: list[tuple[Prescription, Fix]]) -> list[tuple[Prescription, Fix]]:
    """Return prescriptions without those beside which another is at least as good in everything, and better.

    What leaves codes and links as they are stays: no other index is made for it.
    """
    kept = list(timed)
    for pair in timed:
        others = [other for other, _ in kept if other is not pair[0]]
        if pair[0].kind not in KEEPING and any(dominates(other, pair[0]) for other in others):
            kept.remove(pair)
    return kept


def dominates(one: Prescription, other: Prescription) -> bool:
    """Return whether one is as small, fast and exact as another within the noise, and more so in one."""
    noise = max(TIME_NOISE, ERRORS * float(np.hypot(one.latency_error, other.latency_error)))
    slower = (other.latency_ratio or 1.0) / (one.latency_ratio or 1.0) - 1
    spread = max(each.recall.mean - each.recall.lower for each in (one, other))
    worse = other.recall.mean - one.recall.mean
    if other.index_bytes < one.index_bytes or slower < -noise or worse > spread:
        return False
    return other.index_bytes > one.index_bytes or slower > noise or worse < -spread


def slow_last(timed: list[tuple[Prescription, Fix]]) -> list[tuple[Prescription, Fix]]:
    """Return prescriptions in their order, but for those behind which a far faster one stands."""
    fastest = min((made.latency_ratio or 0.0 for made, _ in timed), default=0.0)
    return sorted(timed, key=lambda pair: (pair[0].latency_ratio or 0.0) > SLOW * fastest)


def is_worth(prescription: Prescription, n_bytes: int) -> bool:
    """Return whether a healthy index of so many bytes gains enough by it."""
    size, ratio = prescription.index_bytes / n_bytes, prescription.latency_ratio or 1.0
    return (size < 1 - WORTH and ratio < 1 + WORTH) or (ratio < 1 - WORTH and size <= 1)


def timed_beside(
    questions: Questions, opened: IndexUnderTest, kept: list[tuple[Prescription, Fix]]
) -> list[tuple[Prescription, Fix]]:
    """Return the prescriptions with their time over that of the index as it is, in turns."""
    raw = questions.problem.raw[questions.problem.sample(TIMED_QUERIES)]
    k, now = questions.k, (opened.value, opened.factor)
    out = []
    for prescription, fix in kept:
        other = fix.make()

        def mine(queries: FloatArray) -> object:
            opened.set_value(now[0])
            opened.set_factor(now[1])
            return opened.index.search(queries, k)

        def theirs(
            queries: FloatArray, other: IndexUnderTest = other, asks: Prescription = prescription
        ) -> object:
            other.set_value(asks.value)
            other.set_factor(asks.factor)
            return other.index.search(queries, k)

        with turned(opened, *now):  # it may be the other, too
            timings = interleave([mine, theirs], raw, 0, a_round=BLOCK, fewest=ROUNDS, most=ROUNDS)
        ratio, error = timings.ratio(1, 0), timings.error(1, 0)
        out.append((replace(prescription, latency_ratio=ratio, latency_error=error), fix))
    use_threads(questions.problem.options.threads)
    return out


def apply(
    questions: Questions, prescription: Prescription, fix: Fix, own: IdArray | None, out: Path
) -> Recall:
    """Write the mended index, read it again and return what it does.

    Args:
        own: the user's own id of each number that the index answers with, None where it is the number.

    Raises:
        InputError: it does not do what was promised.
    """
    problem = questions.problem
    with turned(fix.make(), prescription.value, prescription.factor) as index:
        copies, d = index.copies, index.d
        if copies is not None:
            write_copies(by_first(copies if own is None else own[copies]), out.with_name(COPIES_FILE))
        with with_own_ids(index, own) as whole:
            write(whole, out)
    again = replace(by_rows(open_index(out, d, None, None), questions.vectors), copies=copies)
    rows, _, _ = search_rows(questions, again, questions.everyone)
    recall = problem.recall(questions.hits(rows))
    if recall.mean < prescription.recall.lower:
        out.unlink()
        raise InputError(
            f"{out}: read again it has a recall of {recall.mean:.4f} and {prescription.recall.mean:.4f} was "
            "measured, so it was removed: say so to the authors"
        )
    return recall
