"""A diagnosis from end to end: the index opened, looked into, its loss split, and what mends it measured."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import faiss

from tuner.data.copies import COPIES_FILE
from tuner.data.ids import describe_rows
from tuner.data.vectors import Vectors
from tuner.diagnosis.causes import split_loss
from tuner.diagnosis.content import inspect_content
from tuner.diagnosis.costs import bytes_of, time_spent
from tuner.diagnosis.distinct_rows import with_list
from tuner.diagnosis.filter_loss import filter_loss, refuse_filters, with_filters
from tuner.diagnosis.fixes import MeasuredFixes, apply, find_fixes, turned
from tuner.diagnosis.growth import recall_trend
from tuner.diagnosis.questions import Questions, questions_for
from tuner.diagnosis.sensitivity import by_k, grown_from
from tuner.errors import InputError
from tuner.index.opened import IndexUnderTest, open_index, open_object
from tuner.index.own_ids import by_rows
from tuner.prediction.recall_trend import RecallTrend
from tuner.recall.allowed import GivenFilters
from tuner.runtime.journal import Journal, cpu_seconds
from tuner.runtime.machine import describe_machine, describe_versions, now
from tuner.runtime.process import use_threads
from tuner.runtime.steps import as_progress
from tuner.sweep.hopeless import refuse_certainty
from tuner.text import counted
from tuner.types import (
    Costs,
    Diagnosis,
    Event,
    Metric,
    Note,
    Options,
    Recall,
    Sensitivity,
    Split,
    StageFinished,
    StageStarted,
    Steps,
    T,
)

TIMED = 512
"""Queries whose time is split."""
NEW_GRAPHS = ("rebuild", "collapse")
"""Kinds of fixes that build a graph."""
OVERLAPPING = 0.5
"""Share of the whole loss from which on drift is named first, whatever it acts through."""


@dataclass(frozen=True, kw_only=True)
class DiagnoseOptions:
    """What the user asked for.

    Attributes:
        index: file, or a faiss index of this process.
        hnswlib_space: metric of an hnswlib file, which does not say it.
        ef_search: ef_search or nprobe, instead of what the index says.
        apply: number of the prescription to apply, from 1; 0 for none.
        out: file of the mended index.
        force: whether a file that is there is replaced.
    """

    index: Path | faiss.Index
    hnswlib_space: Metric | None = None
    ef_search: int | None = None
    apply: int = 0
    out: Path | None = None
    force: bool = False


def diagnose(
    base: Vectors,
    queries: Vectors | None,
    request: DiagnoseOptions,
    options: Options,
    work: Path,
    filters: GivenFilters | None = None,
) -> Generator[Event, None, Diagnosis]:
    """Yield events; return what is wrong and what mends it. Scratch files go to ``work``.

    Args:
        filters: filters of the queries, whose loss is measured beside that of the index; None without any.

    Raises:
        InputError: index, vectors and options do not fit.
    """
    _check_out(request)
    refuse_certainty(options.recall)
    journal = Journal(work, {}, resume=False)
    opened = by_rows(_opened(base, request), base)
    if isinstance(request.index, Path):
        opened = with_list(opened, request.index, base)
    for note in opened.notes:
        yield Note(note)
    if filters is not None:
        refuse_filters(opened, own=queries is None)
    questions = yield from questions_for(journal, opened, base, queries, options, work)
    content = yield from _staged("content", "what the index holds", inspect_content(questions, opened, work))
    split = yield from _staged("split", "where recall is lost", split_loss(questions, opened, content))
    fixes = yield from _staged(
        "fixes", "measure what mends it", find_fixes(questions, opened, content, split)
    )
    trend = yield from _staged(
        "growth",
        "what more vectors would do, from parts of the file",
        recall_trend(questions, opened, normalised=content.normalised),
    )
    steps = weigh(questions, opened, split, fixes, trend)
    weighed = yield from _staged("costs", "where bytes and time go, and how close the call is", steps)
    applied = None
    if request.apply and request.out is not None:
        applied = _applied(questions, opened, fixes, request.apply, request.out, force=request.force)
    found = _diagnosis(questions, opened, split, fixes, weighed, applied)
    if filters is None:
        return found
    steps_of_filters = filter_loss(questions, opened, filters)
    return with_filters(found, (yield from _staged("filter", "what filters lose", steps_of_filters)))


@dataclass(frozen=True)
class Weighed:
    """What the index costs, what the first prescription would, and how close the call is."""

    now: Costs
    needed: Costs | None
    sensitivity: Sensitivity


def weigh(
    questions: Questions,
    opened: IndexUnderTest,
    split: Split,
    fixes: MeasuredFixes,
    trend: RecallTrend | None,
) -> Steps[Weighed]:
    """Yield the share done; return what the index costs beside what the first prescription would."""
    problem, k = questions.problem, questions.k
    raw = problem.raw[problem.sample(TIMED)]
    present = Costs(bytes=bytes_of(opened, opened.index_bytes), time=time_spent(opened, raw, k))
    yield 0.3
    recall = problem.recall(split.hits)
    healthy = problem.certified(recall)
    needed, subject, supported = None, "the index as it is", recall.lower
    with ExitStack() as stack:
        index = opened
        if fixes.prescriptions:
            best = fixes.prescriptions[0]
            made = stack.enter_context(turned(fixes.fixes[0].make(), best.value, best.factor))
            needed = Costs(bytes=bytes_of(made, best.index_bytes), time=time_spent(made, raw, k))
            if not healthy and best.works:
                index, subject, supported = made, "prescription 1", best.recall.lower
        yield 0.6
        ks = yield from by_k(questions, index)
    use_threads(problem.options.threads)
    grown, lasts = (
        ((), None) if trend is None else grown_from(trend, recall, opened.n, problem.options.recall)
    )
    sensitivity = Sensitivity(
        subject=subject, target=supported, by_k=ks, n=opened.n, grown=grown, lasts=lasts
    )
    return Weighed(present, needed, sensitivity)


def _check_out(request: DiagnoseOptions) -> None:
    """Refuse, before anything is measured, what could not be written at the end."""
    out = request.out
    if request.apply < 0:
        raise InputError(
            f"--apply is {request.apply}, but prescriptions are numbered from 1: give one of them"
        )
    if (request.apply > 0) != (out is not None):
        raise InputError("--apply needs -o FILE, and -o needs --apply N: give both or none")
    if out is None:
        return
    if (
        isinstance(request.index, Path)
        and out.exists()
        and request.index.exists()
        and out.samefile(request.index)
    ):
        raise InputError(f"{out}: is the index itself: write the mended one to another file")
    if out.exists() and not request.force:
        raise InputError(f"{out} is there already: use --force to replace it, or name another file")
    if not out.parent.is_dir() or out.is_dir():
        raise InputError(f"{out}: is no file in a folder that is there: name one")


def _staged(name: str, title: str, steps: Steps[T]) -> Generator[Event, None, T]:
    """Yield the events of work that is not kept in a journal; return its result."""
    yield StageStarted(name, title)
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = yield from as_progress(name, steps)
    yield StageFinished(name, title, time.perf_counter() - wall, cpu_seconds() - cpu)
    return result


def _opened(base: Vectors, request: DiagnoseOptions) -> IndexUnderTest:
    if isinstance(request.index, Path):
        return open_index(request.index, base.d, request.hnswlib_space, request.ef_search)
    index = request.index
    if base.ids is not None and isinstance(index, faiss.Index):
        index = faiss.deserialize_index(faiss.serialize_index(index))  # its ids are about to change
    return open_object(index, base.d, request.ef_search)


def _applied(
    questions: Questions, opened: IndexUnderTest, fixes: MeasuredFixes, number: int, out: Path, *, force: bool
) -> Recall:
    if number > len(fixes.prescriptions):
        raise InputError(
            f"--apply asks for number {number} of {counted(len(fixes.prescriptions), 'prescription')}: "
            "give one of them"
        )
    prescription = fixes.prescriptions[number - 1]
    if not prescription.works:
        raise InputError("nothing that was measured reaches the target, so there is nothing to apply")
    file = out.with_name(COPIES_FILE)
    if prescription.kind == "collapse" and file.exists() and not force:
        raise InputError(
            f"{file} is there already, and the index of this prescription needs a list of that name: name "
            "a file in another folder, or use --force to replace it"
        )
    return apply(questions, prescription, fixes.fixes[number - 1], opened.own, out)


def _diagnosis(
    questions: Questions,
    opened: IndexUnderTest,
    split: Split,
    fixes: MeasuredFixes,
    weighed: Weighed,
    applied: Recall | None,
) -> Diagnosis:
    problem = questions.problem
    recall = problem.recall(split.hits)
    healthy = problem.certified(recall)
    loss = 1 - split.recall
    first = split.causes[0] if split.causes else None
    if split.drift is not None and split.drift.share > OVERLAPPING * loss:
        first = split.drift
    notes = list(opened.notes)
    if remark := describe_rows(questions.vectors):
        notes.append(remark)
    if healthy and split.by_id < problem.options.recall:
        notes.append(
            f"who compares ids sees {split.by_id:.4f}: copies and ties are as near as what they displace"
        )
    if questions.own is not None:
        notes.append(
            f"the queries are {questions.query_set.source}: searches find those a little too well, so give "
            "--queries"
        )
    if any(each.kind in NEW_GRAPHS for each in fixes.prescriptions):
        notes.append(
            "few graphs were tried here: before you build a new one, let tune --recall "
            f"{problem.options.recall:g} compare all M and codecs; it may find a smaller or a faster index"
        )
    return Diagnosis(
        source=opened.source,
        label=opened.label,
        queries=questions.query_set.source,
        n_queries=len(problem.raw),
        target=problem.options.recall,
        search_param=opened.search_param,
        value=opened.value,
        recall=recall,
        healthy=healthy,
        first=None if healthy else first,
        causes=split.causes,
        residual=split.residual,
        adds_up=split.adds_up,
        drift=split.drift,
        by_id=split.by_id,
        index_bytes=opened.index_bytes,
        resident_bytes=opened.resident_bytes,
        costs=weighed.now,
        needed=weighed.needed,
        prescriptions=fixes.prescriptions,
        sensitivity=weighed.sensitivity,
        applied=applied,
        notes=tuple(notes),
        machine=describe_machine(),
        versions=describe_versions(),
        created=now(),
    )
