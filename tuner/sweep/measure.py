"""Stage 3: what could be on the front is measured at full size, and the finalists are timed in turns."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial

from tuner.prediction.curves import Curve
from tuner.sweep.baseline import Reference, tune_reference
from tuner.sweep.doubts import Doubt, timing_doubts
from tuner.sweep.exhaustive import NativeBuilder, measure_everything
from tuner.sweep.finalist_times import Timed, time_finalists
from tuner.sweep.finalists import choose_finalists, raise_ef
from tuner.sweep.frontier import measure_frontier
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.model import Model
from tuner.sweep.prepare import Prepared
from tuner.sweep.problem import Problem
from tuner.sweep.stage_options import StageOptions
from tuner.types import Event, OperatingPoint, Steps, Warned

REFERENCE_GUESS = 64
"""First ef_search of the float32 reference where no curve reaches the aim."""


@dataclass(frozen=True)
class Measured:
    """What was measured at full size.

    Attributes:
        builder: maker of the indexes.
        reference: the float32 index that most people have.
        points: measured points, their latencies modelled at the speed of the last rounds.
        raised: whether the held-out half took part in choosing ef_search.
        timed: finalists with their latencies.
        warnings: doubts about the figures.
    """

    builder: IndexBuilder
    reference: Reference
    points: tuple[OperatingPoint, ...]
    raised: bool
    timed: Timed
    warnings: tuple[Warned, ...]


def measure(prepared: Prepared, model: Model, stages: StageOptions) -> Generator[Event, None, Measured]:
    """Yield events; return the measured points and the finalists' latencies."""
    journal, problem, evaluation = prepared.journal, model.problem, model.evaluation
    builder = stages.builder_for(problem.options)(problem, model.graph, evaluation.trained)
    reference = yield from journal.stage(
        "reference",
        "tune the float32 reference",
        Reference,
        partial(tune_reference, problem, builder, _first_guess(model.curves, problem)),
    )
    builder.keep_codecs(1)
    points, warnings = yield from _measure_points(prepared, model, builder, stages)
    raised = yield from _raise_where_none_holds(prepared, model, builder, points)
    if raised:
        points += raised
        warnings += (Doubt.RAISED.about(),)
        yield warnings[-1]
    timed = yield from journal.stage(
        "timing",
        "time the finalists in interleaved rounds",
        Timed,
        partial(_time, problem, builder, points, reference),
    )
    if timed.points:
        latencies = {p.configuration.label: p.latency for p in timed.points if p.latency is not None}
        doubts = timing_doubts(latencies, timed.noise_floor, timed.waited)
        warnings += doubts
        yield from doubts
    points = tuple(replace(p, modelled_latency_s=p.modelled_latency_s * timed.slower) for p in points)
    return Measured(builder, reference, points, bool(raised), timed, warnings)


def _first_guess(curves: dict[int, Curve], problem: Problem) -> int:
    guesses = [ef for curve in curves.values() if (ef := curve.ef_for(problem.aim)) is not None]
    return max(problem.options.k, sorted(guesses)[len(guesses) // 2] if guesses else REFERENCE_GUESS)


def _measure_points(
    prepared: Prepared, model: Model, builder: IndexBuilder, stages: StageOptions
) -> Generator[Event, None, tuple[tuple[OperatingPoint, ...], tuple[Warned, ...]]]:
    """Yield events; return every point measured, of the front or of the whole space, and what to warn of."""
    problem, evaluation, wanted = model.problem, model.evaluation, model.problem.options.native
    if problem.options.exhaustive and isinstance(builder, NativeBuilder):
        everything = yield from measure_everything(
            prepared.journal, problem, builder, model.curves, evaluation
        )
        return tuple(everything), ()
    if wanted:
        asked_for = tuple(ceiling for ceiling in evaluation.ceilings if ceiling.codec in wanted)
        evaluation = replace(evaluation, ceilings=asked_for)
    found = yield from measure_frontier(
        prepared.journal, problem, builder, model.curves, evaluation, stages.most_points
    )
    warnings = (Doubt.OUT_OF_TIME.about(),) if found.out_of_time else ()
    yield from warnings
    return found.points, warnings


def _raise_where_none_holds(
    prepared: Prepared, model: Model, builder: IndexBuilder, points: tuple[OperatingPoint, ...]
) -> Generator[Event, None, tuple[OperatingPoint, ...]]:
    """Yield events; return points whose ef_search was raised, if none of ``points`` holds."""
    problem = model.problem
    if not points or any(p.reaches_target for p in points):
        return ()

    def raise_them() -> Steps[tuple[OperatingPoint, ...]]:
        raised = raise_ef(problem, builder, list(points), model.evaluation.costs)
        yield 1.0
        return tuple(raised)

    raised = yield from prepared.journal.stage(
        "raise", "raise ef_search", tuple[OperatingPoint, ...], raise_them
    )
    return raised


def _time(
    problem: Problem, builder: IndexBuilder, points: tuple[OperatingPoint, ...], reference: Reference
) -> Steps[Timed]:
    finalists = choose_finalists(list(points), problem.max_memory_bytes())
    timed = yield from time_finalists(problem, builder, finalists, reference)
    return timed
