"""Stage 5: the baseline beside the answer, the index handed over, and advice."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tuner.runtime.journal import peak_rss_bytes
from tuner.sweep.advice import advice_not_reached, disk_hint, held_out_advice
from tuner.sweep.answer import Answer
from tuner.sweep.baseline import graph_baseline, hnswlib_baseline
from tuner.sweep.candidates import whole_surface
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.index_file import WrittenIndex, check_written, write_and_check
from tuner.sweep.measure import Measured
from tuner.sweep.model import Model
from tuner.sweep.prepare import Prepared
from tuner.sweep.stage_options import is_native
from tuner.types import Event, OperatingPoint, ReferenceComparison, Steps


@dataclass(frozen=True)
class Delivered:
    """What comes with the answer.

    Attributes:
        baseline: the index that most people have, or None where there is no answer to compare it with.
        advice: what would help, or what another option would save.
        peak_rss_bytes: largest resident memory of the run, before a baseline takes memory of its own.
        ordinary_build_cpu_s: CPU seconds of a hnswlib build, or None where none was asked for.
    """

    baseline: ReferenceComparison | None
    advice: tuple[str, ...]
    peak_rss_bytes: int
    ordinary_build_cpu_s: float | None


def deliver(
    prepared: Prepared, model: Model, measured: Measured, answer: Answer, out: Path
) -> Generator[Event, None, Delivered]:
    """Yield events; write the index of the preferred point to ``out`` and return what comes with it."""
    problem, peak = model.problem, peak_rss_bytes()
    if not answer.found:
        advice = advice_not_reached(problem, list(answer.points), model.evaluation.ceilings)
        return Delivered(None, tuple(advice), peak, None)
    chosen = answer.points[answer.named[problem.options.prefer]]
    baseline = graph_baseline(
        measured.reference, measured.timed.reference, chosen, native=is_native(problem.options)
    )
    ordinary_s = None
    if problem.options.baseline == "hnswlib":
        baseline = yield from prepared.journal.stage(
            "baseline",
            "build and tune hnswlib (M=16, ef_construction=200)",
            ReferenceComparison,
            partial(hnswlib_baseline, problem, measured.builder, chosen, measured.reference.ef_search),
        )
        ordinary_s = baseline.build_cpu_s
    written = yield from prepared.journal.stage(
        "deliver",
        "write the index and check it in a fresh process",
        WrittenIndex,
        partial(_write, measured.builder, chosen, out),
    )
    check_written(written, chosen, exact_bytes=measured.builder.exact_bytes)
    return Delivered(baseline, _advice(prepared, model, chosen), peak, ordinary_s)


def _write(builder: IndexBuilder, chosen: OperatingPoint, out: Path) -> Steps[WrittenIndex]:
    builder.keep_codecs(1)
    searchable = builder.serve(chosen.configuration)
    searchable.set_ef(chosen.ef_search)
    yield 0.2
    return write_and_check(builder.problem, searchable, out)


def _advice(prepared: Prepared, model: Model, chosen: OperatingPoint) -> tuple[str, ...]:
    problem, evaluation = model.problem, model.evaluation
    advice: list[str] = []
    if problem.options.rerank_store == "memory":
        on_disk = whole_surface(
            problem, model.curves, evaluation.ceilings, evaluation.costs, model.graph, disk=True
        )
        hint = disk_hint(problem, on_disk, chosen)
        advice += [hint] if hint else []
    advice += held_out_advice(prepared.posed.query_set, prepared.posed.profile, chosen)
    return tuple(advice)
