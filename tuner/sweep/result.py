"""Everything that a run found, in one record."""

from __future__ import annotations

from tuner.index.codec_view import CodecView
from tuner.runtime.journal import Journal
from tuner.runtime.machine import describe_machine, describe_versions, now
from tuner.runtime.timing import call_overhead_s
from tuner.sweep.answer import flattered, recommendation_of
from tuner.sweep.deliver import Delivered
from tuner.sweep.doubts import memory_doubts
from tuner.sweep.frontier import prediction_error
from tuner.sweep.index_file import own_ids_of
from tuner.sweep.measure import Measured
from tuner.sweep.model import Model
from tuner.sweep.prepare import Prepared
from tuner.sweep.rows_indexed import collapsed_of
from tuner.sweep.stage_options import is_native
from tuner.types import Cost, FilterPolicy, OperatingPoint, Options, Result


def sweep_result(
    prepared: Prepared,
    model: Model,
    measured: Measured,
    delivered: Delivered,
    filters: FilterPolicy | None = None,
) -> Result:
    """Return the result of a sweep that measured something.

    Args:
        filters: how queries with filters are answered, None where none were asked for.
    """
    problem, answer = measured.problem, delivered.answer
    recommendation = None
    if answer.found:
        recommendation = recommendation_of(problem, answer, flattered(problem, measured.timed.points))
    passed = memory_doubts(delivered.peak_rss_bytes, problem.options.run_memory_bytes)
    return Result(
        status="reached" if answer.found else "not_reached",
        options=problem.options,
        profile=prepared.posed.profile,
        queries=prepared.posed.query_set,
        points=answer.points,
        front=answer.front,
        named=answer.named,
        recommendation=recommendation,
        baseline=delivered.baseline,
        ceilings=model.evaluation.ceilings,
        curves=model.curve_points,
        n_configurations=prepared.plan.n_configurations,
        prediction_error=prediction_error(measured.points),
        noise_floor=measured.timed.noise_floor,
        call_overhead_s=call_overhead_s(problem.base.d),
        cost=cost_of(
            prepared.journal,
            measured.points,
            delivered.ordinary_build_cpu_s,
            delivered.peak_rss_bytes,
            problem.options,
            n_built=int(model.n_kept == 0),
        ),
        machine=describe_machine(),
        versions=describe_versions(),
        warnings=tuple(warned.text for warned in (*prepared.warnings, *measured.warnings, *passed)),
        advice=delivered.advice,
        created=now(),
        whole=delivered.whole if answer.found else None,
        ef_table=delivered.ef_table,
        own_ids=own_ids_of(prepared.posed.vectors, recommendation),
        collapsed=collapsed_of(prepared.problem),
        filters=filters if answer.found else None,
    )


def cost_of(
    journal: Journal,
    measured: tuple[OperatingPoint, ...],
    ordinary_cpu_s: float | None,
    peak_bytes: int,
    options: Options,
    *,
    n_built: int,
) -> Cost:
    """Return what the run took; the baseline's own stage is listed but not counted.

    Args:
        n_built: number of graphs built from nothing to derive others from.
    """
    counted = [cost for cost in journal.costs if cost.name != "baseline"]
    cpu = sum(cost.cpu_s for cost in counted)
    return Cost(
        wall_s=sum(cost.wall_s for cost in counted),
        cpu_s=cpu,
        peak_rss_bytes=peak_bytes,
        n_graph_builds=n_built + (_native_builds(measured) if is_native(options) else 0),
        n_indexes_measured=len(measured),
        stages=tuple(journal.costs),
        ordinary_build_cpu_s=ordinary_cpu_s,
        ordinary_builds=None if ordinary_cpu_s is None else cpu / ordinary_cpu_s,
    )


def _native_builds(measured: tuple[OperatingPoint, ...]) -> int:
    return len({(CodecView.of(point.configuration), point.configuration.M) for point in measured})
