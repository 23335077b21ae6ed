"""A diagnosis from end to end: the index opened, looked into, its loss split, and what mends it measured."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss

from tuner.data.vectors import Vectors
from tuner.diagnosis.causes import Cause, Split, split_loss
from tuner.diagnosis.content import Content, look
from tuner.diagnosis.cure import Cured, Prescription, apply, cures
from tuner.diagnosis.opened import Library, Opened, open_index, open_object
from tuner.diagnosis.questions import Questions, questions_for
from tuner.errors import InputError
from tuner.journal import Journal, cpu_seconds
from tuner.machine import describe_machine, describe_versions, now
from tuner.types import (
    Event,
    Metric,
    Note,
    Options,
    Progress,
    Recall,
    StageFinished,
    StageStarted,
    Steps,
    T,
)

OVERLAPPING = 0.5
"""Share of the whole loss from which on drift is named first, whatever it acts through."""


@dataclass(frozen=True, kw_only=True)
class DiagnoseOptions:
    """What the user asked for.

    Attributes:
        index: a file, or a faiss index of this process.
        space: of an hnswlib file.
        ef_search: instead of what the index says.
        apply: number of the prescription to apply, from 1; 0 for none.
        out: where the mended index goes.
    """

    index: Path | faiss.Index
    library: Library = "faiss"
    space: Metric | None = None
    ef_search: int | None = None
    apply: int = 0
    out: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What was found.

    Attributes:
        healthy: recall on all queries supports the target.
        first: the cause that takes most away, None where the index is healthy.
        causes: that add up, with ``residual``, to 1 - recall; the largest first.
        drift: what queries unlike the file add, whatever it acts through.
        by_id: recall that counts ids instead of distances.
        parts: bytes of the index by part.
        applied: recall of the mended index, read again from its file.
    """

    source: str
    label: str
    queries: str
    n_queries: int
    target: float
    knob: str
    effort: int
    recall: Recall
    healthy: bool
    first: Cause | None
    causes: tuple[Cause, ...]
    residual: float
    drift: Cause | None
    by_id: float
    ndis_per_query: float
    hops_per_query: float
    index_bytes: int
    resident_bytes: int | None
    parts: dict[str, int]
    prescriptions: tuple[Prescription, ...]
    applied: Recall | None
    notes: tuple[str, ...]
    machine: dict[str, Any]
    versions: dict[str, str]
    created: str


def diagnose(
    base: Vectors, queries: Vectors | None, asked: DiagnoseOptions, options: Options, work: Path
) -> Generator[Event, None, Diagnosis]:
    """Yield events; return what is wrong and what mends it. Scratch files go to ``work``.

    Raises:
        InputError: index, vectors and options do not fit.
    """
    if (asked.apply > 0) != (asked.out is not None):
        raise InputError("--apply needs -o FILE, and -o needs --apply N: give both or none")
    if (
        asked.out is not None
        and isinstance(asked.index, Path)
        and asked.out.resolve() == asked.index.resolve()
    ):
        raise InputError(f"{asked.out}: is the index itself: write the mended one to another file")
    journal = Journal(work, {}, resume=False)
    opened = _opened(base, asked)
    for said in opened.notes:
        yield Note(said)
    questions = yield from questions_for(journal, opened, base, queries, options, work)
    content = yield from _told("content", "what the index holds", look(questions, opened, work))
    split = yield from _told("split", "where recall is lost", split_loss(questions, opened, content))
    cured = yield from _told("cures", "measure what mends it", cures(questions, opened, content, split))
    applied = None
    if asked.apply and asked.out is not None:
        applied = _applied(questions, cured, asked.apply, asked.out)
    return _diagnosis(questions, opened, content, split, cured, applied)


def _told(name: str, title: str, steps: Steps[T]) -> Generator[Event, None, T]:
    """Yield the events of work that is not kept in a journal; return its result."""
    yield StageStarted(name, title)
    wall, cpu = time.perf_counter(), cpu_seconds()
    while True:
        try:
            yield Progress(name, next(steps))
        except StopIteration as end:
            yield StageFinished(name, title, time.perf_counter() - wall, cpu_seconds() - cpu)
            result: T = end.value
            return result


def _opened(base: Vectors, asked: DiagnoseOptions) -> Opened:
    if isinstance(asked.index, Path):
        return open_index(asked.index, base.d, asked.library, asked.space, asked.ef_search)
    return open_object(asked.index, base.d, asked.ef_search)


def _applied(questions: Questions, cured: Cured, number: int, out: Path) -> Recall:
    if number > len(cured.prescriptions):
        raise InputError(
            f"there are {len(cured.prescriptions)} prescriptions and --apply asks for number {number}: "
            "give one of them"
        )
    prescription = cured.prescriptions[number - 1]
    if not prescription.works:
        raise InputError("nothing that was measured reaches the target, so there is nothing to apply")
    return apply(questions, prescription, cured.remedies[number - 1], out)


def _diagnosis(
    questions: Questions,
    opened: Opened,
    content: Content,
    split: Split,
    cured: Cured,
    applied: Recall | None,
) -> Diagnosis:
    problem = questions.problem
    recall = problem.recall(split.hits)
    healthy = problem.validated(recall)
    loss = 1 - split.recall
    first = split.causes[0] if split.causes else None
    if split.drift is not None and split.drift.share > OVERLAPPING * loss:
        first = split.drift
    notes = list(opened.notes)
    if healthy and split.by_id < problem.options.recall:
        notes.append(
            f"who compares ids sees {split.by_id:.4f}: copies and ties are as near as what they displace"
        )
    if questions.own is not None:
        notes.append(
            f"the queries are {questions.query_set.source}: searches find those a little too well, so give "
            "--queries"
        )
    return Diagnosis(
        source=opened.source,
        label=opened.label,
        queries=questions.query_set.source,
        n_queries=len(problem.raw),
        target=problem.options.recall,
        knob=opened.knob,
        effort=opened.effort,
        recall=recall,
        healthy=healthy,
        first=None if healthy else first,
        causes=split.causes,
        residual=split.residual,
        drift=split.drift,
        by_id=split.by_id,
        ndis_per_query=split.ndis_per_query,
        hops_per_query=split.hops_per_query,
        index_bytes=opened.index_bytes,
        resident_bytes=opened.resident_bytes,
        parts=parts_of(opened),
        prescriptions=cured.prescriptions,
        applied=applied,
        notes=tuple(notes),
        machine=describe_machine(),
        versions=describe_versions(),
        created=now(),
    )


def parts_of(opened: Opened) -> dict[str, int]:
    """Return bytes by part; what is left are headers, codebooks and transforms."""
    n, graph = opened.n, opened.graph
    parts = {"codes": n * int(opened.storage.code_size)}
    if graph is not None:
        parts["links"] = 4 * int(graph.hnsw.neighbors.size())
        parts["levels"] = 12 * n
    if any(hasattr(layer, "id_map") for layer in opened.layers) or opened.knob == "nprobe":
        parts["ids"] = 8 * n
    if opened.store is not None:
        parts["re-ranking store"] = n * int(opened.store[1].code_size)
    parts["codebooks and headers"] = max(0, opened.index_bytes - sum(parts.values()))
    if opened.resident_bytes is not None:
        parts["allocator"] = max(0, opened.resident_bytes - opened.index_bytes)
    return parts
