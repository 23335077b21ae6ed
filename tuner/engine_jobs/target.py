"""Tuned for one engine: M by our sweep with native graphs, all else by searching in the engine itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tuner.data.vectors import Vectors
from tuner.engine_jobs.candidates import build_order, config_like
from tuner.engine_jobs.choice import best_of, within
from tuner.engine_jobs.default import choose_beside_default
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engine_jobs.ready import ready_for
from tuner.engine_jobs.survey import SURVEYED_FROM
from tuner.engines import (
    Engine,
    EngineCodec,
    EngineDiedError,
    EngineProcess,
)
from tuner.engines.export import claims_of
from tuner.engines.translate import (
    config_of,
    describe_raised,
    nearest_expressible,
)
from tuner.errors import InputError
from tuner.report import write_report
from tuner.report.engines import describe_point
from tuner.runtime.journal import Journal
from tuner.runtime.machine import available_cores, now
from tuner.sweep import sweep
from tuner.sweep.pose import PosedProblem, pose
from tuner.sweep.run import finish
from tuner.types import (
    Claims,
    EnginePoint,
    Event,
    Exported,
    Options,
    Result,
    StageFinished,
    StageStarted,
    TargetResult,
    Warned,
)

RAISED = (
    "the held-out half fell short at the ef_search that the tune half chose, so ef_search was raised: the "
    "held-out half took part in that choice"
)
ENOUGH_BUILDS = 2
"""Codecs that reach the target at full size, after which no further one is built."""


def tune_for(
    engine: Engine,
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    out: Path,
    work: Path,
    earlier: Result | None = None,
) -> Generator[Event, None, TargetResult]:
    """Yield events; return the config that reaches the target in ``engine`` at the least cost.

    Args:
        out: folder of the sweep's own index and files.
        work: scratch folder, which the caller removes.
        earlier: a sweep of the same data whose M is taken; None sweeps what the engine can express.

    Raises:
        InputError: the engine cannot hold or compare such vectors, or is not installed.
    """
    can, ready = engine.capabilities, ready_for(engine, base, options, work)
    options, narrowed, codecs = ready.options, ready.narrowed, ready.codecs
    if earlier is not None:
        check_same(earlier, base, queries, options)
        result = earlier
    else:
        result = yield from sweep(base, queries, narrowed, out, work / "sweep")
        finish(work / "sweep")
        write_report(result, out)  # now, because what follows may fail and this need not be repeated
    if result.recommendation is None or result.status == "exact":
        nothing: Literal["exact", "not_reached"] = "exact" if result.status == "exact" else "not_reached"
        return TargetResult(status=nothing, engine=can.name, sweep=result, excluded={})
    if engine.open is None:
        return _exported_only(engine, result)
    journal = Journal(work / "engine", {}, resume=False)
    posed = yield from pose(journal, base, queries, narrowed, work / "engine")
    posed = replace(posed, problem=replace(posed.problem, options=replace(options, space=narrowed.space)))
    return (yield from _tuned_in_engine(engine, codecs, posed, result, work))


def _exported_only(engine: Engine, result: Result) -> TargetResult:
    """Return the config for an engine that does not run here: the best point that it can express."""
    wanted = result.points[result.named[result.options.prefer]]
    point = nearest_expressible(engine, result, wanted) or wanted
    settings = config_of(engine, result, point)
    warnings = []
    if point.configuration != wanted.configuration:
        warnings.append(
            f"{wanted.configuration.label} is better in faiss, and {engine.capabilities.title} cannot "
            "express it"
        )
    if settings.ef_search > point.ef_search:
        warnings.append(describe_raised(settings, point))
    return TargetResult(
        status="exported",
        engine=engine.name,
        sweep=result,
        excluded={},
        exported=Exported(settings=settings, claims=claims_of(result, point)),
        warnings=tuple(warnings),
    )


def _tuned_in_engine(
    engine: Engine, codecs: tuple[EngineCodec, ...], posed: PosedProblem, result: Result, work: Path
) -> Generator[Event, None, TargetResult]:
    options = posed.problem.options
    measurement = EngineMeasurement(engine, posed, result, work, options.threads or available_cores())
    can = engine.capabilities
    likes = {codec.name: config_like(measurement, codec) for codec in codecs}
    order = yield from build_order(measurement, codecs, likes[codecs[0].name])
    excluded = {each.codec: each.excluded for each in order if each.excluded}
    points: list[EnginePoint] = []
    warnings: list[str] = []
    default = None
    with ExitStack() as open_ones:
        kept: dict[str, EngineProcess] = {}
        for surveyed in (each for each in order if not each.excluded):
            codec, config = surveyed.codec, likes[surveyed.codec]
            yield StageStarted(codec, f"build {codec} in {can.title} and search it")
            try:
                process = EngineProcess(config, measurement.deployment(codec))
                open_ones.callback(process.close)
                kept[codec] = process
                point = yield from measurement.measure(process, config, surveyed.factor)
            except (EngineDiedError, InputError) as error:
                if codec in kept:
                    kept.pop(codec).close()
                excluded[codec] = str(error)
                warnings.append(str(error))
                yield Warned(str(error))
                continue
            points.append(point)
            best = best_of(points, options, posed.n)
            for beaten in [each for each in kept if best is None or each != best.settings.codec]:
                kept.pop(beaten).close()
            yield StageFinished(codec, describe_point(point), point.load_s, 0.0)
            if point.raised and point.reaches_target:
                warnings.append(f"{codec}: {RAISED}")
                yield Warned(warnings[-1])
            enough = ENOUGH_BUILDS if posed.n >= SURVEYED_FROM else len(order)
            if sum(within(each, options, posed.n) for each in points) >= enough:
                break
        chosen = best_of(points, options, posed.n)
        if chosen is not None:
            mine = kept[chosen.settings.codec]
            chosen, default = yield from choose_beside_default(measurement, mine, points, chosen)
    exported = Exported(settings=chosen.settings, claims=_claims(result, chosen)) if chosen else None
    return TargetResult(
        status="reached" if chosen is not None else "not_reached",
        engine=can.name,
        sweep=result,
        points=tuple(points),
        excluded=excluded,
        chosen=chosen,
        default_comparison=default,
        exported=exported,
        warnings=tuple(warnings),
    )


def check_same(earlier: Result, base: Vectors, queries: Vectors | None, options: Options) -> None:
    """Raise InputError if an earlier sweep was of other data or another question."""
    of_queries = base.fingerprint if queries is None else queries.fingerprint
    for name, then, posed in (
        ("vectors", earlier.profile.fingerprint, base.fingerprint),
        ("queries", earlier.queries.fingerprint, of_queries),
        ("recall", earlier.options.recall, options.recall),
        ("k", earlier.options.k, options.k),
        ("metric", earlier.profile.metric, options.metric),
        ("seed", earlier.options.seed, options.seed),
        ("confidence", earlier.options.confidence, options.confidence),
        ("number of held-out queries", earlier.options.n_queries, options.n_queries),
    ):
        if then != posed:
            raise InputError(f"--sweep: that report is of other {name}: sweep again by leaving --sweep out")


def _claims(result: Result, chosen: EnginePoint) -> Claims:
    return replace(
        claims_of(result, result.points[result.named[result.options.prefer]]),
        recall=chosen.validated.mean,
        recall_lower=chosen.validated.lower,
        index_bytes=chosen.index_bytes,
        measured_in=chosen.applied.version,
        in_engine=True,
        raised=chosen.raised,
        created=now(),
    )
