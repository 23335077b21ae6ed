"""Stage 5: the baseline beside the answer, the index handed over, and advice."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tuner.index.codec_view import CodecView
from tuner.prediction.surface import Candidate
from tuner.runtime.peak import peak_rss_bytes
from tuner.runtime.steps import scaled
from tuner.sweep.added_rows import Places
from tuner.sweep.advice import advice_not_reached, collapse_hint, disk_hint, more_queries_hint
from tuner.sweep.answer import Answer, answer_of, closest
from tuner.sweep.baseline import graph_baseline, hnswlib_baseline
from tuner.sweep.candidates import whole_surface
from tuner.sweep.ef_table import TABLE_QUERIES, Asked, deep_truth, ef_table
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.index_file import WrittenIndex, check_written, write_and_check
from tuner.sweep.measure import Measured
from tuner.sweep.model import Model
from tuner.sweep.pose import whole_base
from tuner.sweep.prepare import Prepared
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import ProxyCodes
from tuner.sweep.stage_options import is_native
from tuner.sweep.whole_index import HandedOver, make_whole
from tuner.types import CertifiedEf, Event, OperatingPoint, ReferenceComparison, Steps, WholeIndex


@dataclass(frozen=True)
class Delivered:
    """The answer as it is handed over, and what comes with it.

    Attributes:
        answer: the answer, its preferred point measured once more if rows were added to its index.
        whole: the index with the rows that had been held out.
        ef_table: ef_search of its index for other k and targets.
        baseline: the index that most people have, or None where there is no answer to compare it with.
        advice: what would help, or what another option would save.
        peak_rss_bytes: largest resident memory of the run, before a baseline takes memory of its own.
        ordinary_build_cpu_s: CPU seconds of a hnswlib build, or None where none was asked for.
    """

    answer: Answer
    whole: WholeIndex | None
    ef_table: tuple[CertifiedEf, ...]
    baseline: ReferenceComparison | None
    advice: tuple[str, ...]
    peak_rss_bytes: int
    ordinary_build_cpu_s: float | None


def deliver(
    prepared: Prepared, model: Model, measured: Measured, answer: Answer, out: Path
) -> Generator[Event, None, Delivered]:
    """Yield events; write the index of the preferred point to ``out`` and return what comes with it."""
    problem, journal = measured.problem, prepared.journal
    whole: WholeIndex | None = None
    table: tuple[CertifiedEf, ...] = ()
    if answer.found and prepared.posed.query_set.held_out_rows:
        answer, whole, table = yield from _with_every_row(prepared, model, measured, answer, out)
    elif answer.found:
        chosen = _preferred(problem, answer)
        written, table = yield from journal.stage(
            "deliver",
            "write the index and check it in a fresh process",
            tuple[WrittenIndex, tuple[CertifiedEf, ...]],
            partial(_write, problem, measured.builder, chosen, out),
        )
        check_written(written, chosen.memory)
    peak = peak_rss_bytes()
    if not answer.found:
        advice = advice_not_reached(problem, list(answer.points), model.evaluation.ceilings)
        return Delivered(answer, None, (), None, (*advice, *_collapse(prepared)), peak, None)
    chosen = _preferred(problem, answer)
    baseline = graph_baseline(
        measured.timed.reference,
        measured.timed.reference_latency,
        chosen,
        native=is_native(problem.options),
    )
    ordinary_s = None
    if problem.options.baseline == "hnswlib":
        baseline = yield from journal.stage(
            "baseline",
            "build and tune hnswlib (M=16, ef_construction=200)",
            ReferenceComparison,
            partial(hnswlib_baseline, problem, measured.builder, chosen, measured.timed.reference.ef_search),
        )
        ordinary_s = baseline.build_cpu_s
    hints = (*_advice(model, measured, chosen), *_collapse(prepared))
    return Delivered(answer, whole, table, baseline, hints, peak, ordinary_s)


def _preferred(problem: Problem, answer: Answer) -> OperatingPoint:
    return answer.points[answer.named[problem.options.prefer]]


def _write(
    problem: Problem, builder: IndexBuilder, chosen: OperatingPoint, out: Path
) -> Steps[tuple[WrittenIndex, tuple[CertifiedEf, ...]]]:
    builder.keep_codecs(1)
    searchable = builder.serve(chosen.configuration)
    searchable.set_ef(chosen.ef_search)
    yield 0.2
    written = write_and_check(builder.problem, searchable, out)
    yield 0.5
    some = problem.sample(TABLE_QUERIES)
    truth = yield from scaled(deep_truth(problem, some), 0.5, 0.7)
    table = ef_table(problem, chosen, [Asked(searchable, problem.base, some, truth)])
    problem.base.release()
    return written, table


def _with_every_row(
    prepared: Prepared, model: Model, measured: Measured, answer: Answer, out: Path
) -> Generator[Event, None, tuple[Answer, WholeIndex | None, tuple[CertifiedEf, ...]]]:
    """Yield events; write the index with the held-out rows in it, and return the answer as it is then.

    A point that no longer holds once they are in is none; the next one that would be named takes its place.
    """
    problem, posed = measured.problem, prepared.posed
    every_row = yield from whole_base(prepared.journal, posed)
    places = Places.of(problem, posed.query_set, every_row)
    proxy = ProxyCodes(problem.base, model.proxy).builder
    points, finalists = list(measured.points), list(measured.timed.points)
    noise, stage = measured.timed.noise_floor, "deliver"
    while answer.found:
        chosen = _preferred(problem, answer)
        handed = yield from prepared.journal.stage(
            stage,
            "put the held-out rows back, write the index and check it in a fresh process",
            HandedOver,
            partial(make_whole, problem, places, measured.builder, proxy, chosen, noise, out),
        )
        finalists = [handed.point if point == chosen else point for point in finalists]
        if handed.point.reaches_target:
            now = tuple(handed.point if point is chosen else point for point in answer.points)
            return replace(answer, points=now), handed.whole, handed.ef_table
        stage += "-next"
        answer = answer_of(points, tuple(finalists), problem.max_memory_bytes(), noise)
    return closest(problem, points, tuple(finalists)), None, ()


def _predicted(model: Model, chosen: OperatingPoint, aim: float) -> Candidate | None:
    """Return what a configuration is predicted to need for a recall."""
    mine = CodecView.of(chosen.configuration)
    ceilings = tuple(each for each in model.evaluation.ceilings if CodecView.of(each) == mine)
    surface = whole_surface(
        model.problem, model.curves, ceilings, model.evaluation.costs, model.graph, aim=aim
    )
    return next((each for each in surface if each.configuration == chosen.configuration), None)


def _collapse(prepared: Prepared) -> tuple[str, ...]:
    hint = collapse_hint(prepared.problem.options, prepared.posed.profile)
    return (hint,) if hint else ()


def _advice(model: Model, measured: Measured, chosen: OperatingPoint) -> tuple[str, ...]:
    problem, evaluation = measured.problem, model.evaluation
    advice: list[str] = []
    if problem.options.rerank_store == "memory" and problem.options.duplicates == "keep":
        on_disk = whole_surface(
            problem, model.curves, evaluation.ceilings, evaluation.costs, model.graph, disk=True
        )
        hint = disk_hint(problem, on_disk, chosen)
        advice += [hint] if hint else []
    hint = more_queries_hint(problem.target, chosen, partial(_predicted, model, chosen))
    advice += [hint] if hint else []
    return tuple(advice)
