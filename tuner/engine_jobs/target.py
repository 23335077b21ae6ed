"""Tuned for one engine: native graphs say where to begin, builds in the engine itself say the rest."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

from tuner.data.vectors import Vectors
from tuner.engine_jobs.builds import Builds
from tuner.engine_jobs.measure import EngineMeasurement
from tuner.engine_jobs.ready import ready_for
from tuner.engine_jobs.settle import settle
from tuner.engines import (
    Engine,
    EngineCodec,
)
from tuner.engines.export import claims_of
from tuner.engines.translate import (
    config_of,
    describe_raised,
    nearest_expressible,
)
from tuner.errors import InputError
from tuner.report import write_report
from tuner.runtime.journal import Journal
from tuner.runtime.machine import available_cores, now
from tuner.sweep import sweep
from tuner.sweep.codec_space import sensible
from tuner.sweep.pose import PosedProblem, pose
from tuner.sweep.run import STAGES, finish
from tuner.sweep.stage_options import StageOptions
from tuner.types import (
    Claims,
    EnginePoint,
    Event,
    Exported,
    Note,
    Options,
    Result,
    TargetResult,
)

GUIDE = StageOptions(timing_rounds=(2, 3))
"""Stages of a sweep whose native graphs only say where to begin: latency is the engine's own."""
MOST_SWEEPS = 3
"""Sweeps for an engine that does not run here, each with twice the ef_construction of the one before."""


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
        earlier: a sweep of the same data to begin from; None sweeps what the engine can express.

    Raises:
        InputError: the engine cannot hold or compare such vectors, or is not installed.
    """
    can, ready = engine.capabilities, ready_for(engine, base, options, work)
    options, narrowed, codecs = ready.options, ready.narrowed, ready.codecs
    if earlier is not None:
        check_same(earlier, base, queries, options)
        result = earlier
    else:
        result = yield from _swept(engine, base, queries, narrowed, out, work / "sweep")
        write_report(result, out)  # now, because what follows may fail and this need not be repeated
    if result.status == "exact":
        return TargetResult(status="exact", engine=can.name, sweep=result, excluded={})
    if engine.open is None:
        return _exported_only(engine, result)
    journal = Journal(work / "engine", {}, resume=False)
    posed = yield from pose(journal, base, queries, narrowed, work / "engine")
    space = sensible(narrowed.space, base.d)
    posed = replace(posed, problem=replace(posed.problem, options=replace(options, space=space)))
    return (yield from _tuned_in_engine(engine, codecs, posed, result, work))


def _swept(
    engine: Engine, base: Vectors, queries: Vectors | None, options: Options, out: Path, work: Path
) -> Generator[Event, None, Result]:
    """Yield events; return the sweep with native graphs.

    An engine that runs is asked itself if it says no. For one that does not, that takes better graphs.
    """
    most, stages = engine.capabilities.ef_construction[1], STAGES if engine.open is None else GUIDE
    for number in range(1, MOST_SWEEPS + 1):
        result = yield from sweep(base, queries, options, out, work, stages=stages)
        finish(work)
        better = min(2 * options.space.ef_construction, most)
        last = number == MOST_SWEEPS or better == options.space.ef_construction
        if result.status != "not_reached" or engine.open is not None or last:
            break
        yield Note(f"no graph of ef_construction={options.space.ef_construction} reaches it: now {better}")
        options = replace(options, space=replace(options.space, ef_construction=better))
    return result


def _exported_only(engine: Engine, result: Result) -> TargetResult:
    """Return the config for an engine that does not run here: the best point that it can express."""
    if result.recommendation is None:
        return TargetResult(status="not_reached", engine=engine.name, sweep=result, excluded={})
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
    threads = posed.problem.options.threads or available_cores()
    builds = Builds(EngineMeasurement(engine, posed, result, work, threads))
    yield from builds.build_codecs(codecs)
    chosen, default = yield from settle(builds)
    best = max((point.recall for point in builds.points), key=lambda recall: recall.mean, default=None)
    few = None if chosen or best is None else posed.problem.target.queries_to_show(best)
    exported = Exported(settings=chosen.settings, claims=_claims(result, chosen)) if chosen else None
    return TargetResult(
        status="reached" if chosen is not None else "not_reached",
        engine=engine.name,
        sweep=result,
        points=tuple(builds.points),
        excluded=builds.excluded,
        chosen=chosen,
        default_comparison=default,
        exported=exported,
        warnings=tuple(dict.fromkeys(builds.warnings)),
        n_queries_needed=few,
    )


def check_same(earlier: Result, base: Vectors, queries: Vectors | None, options: Options) -> None:
    """Raise InputError if an earlier sweep was of other data or another question."""
    if earlier.sharded is not None:
        raise InputError(
            "--sweep: that report is of an index in shards: sweep again by leaving --sweep out, or write it "
            "for the engine with tune export"
        )
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
    guide = result.points[result.named.get(result.options.prefer, 0)]  # the closest, where none reached it
    return replace(
        claims_of(result, guide),
        n_queries=chosen.recall.n_queries,
        recall=chosen.recall.mean,
        recall_lower=chosen.recall.lower,
        index_bytes=chosen.index_bytes,
        measured_in=chosen.applied.version,
        in_engine=True,
        created=now(),
    )
