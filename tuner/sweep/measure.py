"""Stage 3: what could be on the front is measured at full size, and the finalists are timed in turns."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial

from tuner.prediction.curves import Curve
from tuner.report.words import seconds_text
from tuner.sweep.doubts import Doubt, timing_doubts
from tuner.sweep.exhaustive import NativeBuilder, measure_everything
from tuner.sweep.finalist_times import Timed, time_finalists
from tuner.sweep.finalists import choose_finalists, quantile_of
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
        problem: the problem, with the quantile of the finalists' bounds.
        builder: maker of the indexes.
        points: measured points, their latencies modelled at the speed of the last rounds.
        timed: finalists with their latencies.
        warnings: doubts about the figures.
    """

    problem: Problem
    builder: IndexBuilder
    points: tuple[OperatingPoint, ...]
    timed: Timed
    warnings: tuple[Warned, ...]


def measure(prepared: Prepared, model: Model, stages: StageOptions) -> Generator[Event, None, Measured]:
    """Yield events; return the measured points and the finalists' latencies."""
    journal, problem, evaluation = prepared.journal, model.problem, model.evaluation
    builder = stages.builder_for(problem.options)(problem, model.graph, evaluation.trained)
    points, warnings = yield from measure_points(prepared, model, builder, stages)
    timed = yield from journal.stage(
        "timing",
        "certify the finalists together and time them in interleaved rounds",
        Timed,
        partial(_time, model, builder, points, stages.timing_rounds),
    )
    if timed.points:
        latencies = {p.configuration.label: p.latency for p in timed.points if p.latency is not None}
        doubts = timing_doubts(latencies, timed.noise_floor, timed.waited)
        warnings += doubts
        yield from doubts
    points = tuple(replace(p, modelled_latency_s=p.modelled_latency_s * timed.slower) for p in points)
    return Measured(replace(problem, quantile=timed.quantile), builder, points, timed, warnings)


def _first_guess(curves: dict[int, Curve], problem: Problem) -> int:
    guesses = [ef for curve in curves.values() if (ef := curve.ef_for(problem.aim)) is not None]
    return max(problem.options.k, sorted(guesses)[len(guesses) // 2] if guesses else REFERENCE_GUESS)


def measure_points(
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
    warnings: tuple[Warned, ...] = ()
    if found.out_of_time:
        budget_s, spent_s = problem.options.time_budget_s or 0.0, prepared.journal.spent_s
        times = {"budget": seconds_text(budget_s), "spent": seconds_text(spent_s)}
        warnings = (Doubt.OUT_OF_TIME.about(**times),)
    yield from warnings
    return found.points, warnings


def _time(
    model: Model, builder: IndexBuilder, points: tuple[OperatingPoint, ...], rounds: tuple[int, int]
) -> Steps[Timed]:
    problem, measured = model.problem, list(points)
    finalists = choose_finalists(measured, problem.max_memory_bytes())
    if len(finalists) > 1:
        problem = replace(problem, quantile=quantile_of(problem, measured))
    guess = _first_guess(model.curves, problem)
    return (yield from time_finalists(problem, builder, finalists, guess, model.evaluation.costs, rounds))
