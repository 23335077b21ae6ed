"""Tuned for one engine: M by our sweep with native graphs, all else by searching in the engine itself."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from tuner.curves import curves_of
from tuner.data.profile import scan
from tuner.data.vectors import Vectors
from tuner.engines import (
    Apart,
    Capabilities,
    Claims,
    Engine,
    EngineCodec,
    EngineDiedError,
    Exported,
    Place,
    Settings,
    problems,
    require_installed,
)
from tuner.engines.express import fitting_codecs, settings_of, space_for
from tuner.engines.files import claims_of
from tuner.errors import InputError
from tuner.journal import Journal
from tuner.live.points import Beside, EnginePoint, TargetResult, best_of
from tuner.live.problem import Questions, posed
from tuner.live.survey import SURVEYED_FROM, Surveyed, survey
from tuner.live.tuned import find, interleaved_ratio, point_of
from tuner.machine import available_cores
from tuner.steps import result_of
from tuner.sweep import sweep
from tuner.sweep.run import finish
from tuner.types import Event, Note, OperatingPoint, Options, Result, StageFinished, StageStarted, Warned

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
    """Yield events; return the settings that reach the target in ``engine`` at the least cost.

    Args:
        out: folder of the sweep's own index and files.
        work: scratch folder, which the caller removes.
        earlier: a sweep of the same data whose M is taken; None sweeps what the engine can express.

    Raises:
        InputError: the engine cannot hold such vectors, or is not installed.
    """
    can = engine.capabilities
    if engine.open is not None:
        require_installed(engine)
    if options.metric == "auto":
        options = replace(options, metric=result_of(scan(base, "auto", seed=options.seed)).metric)
    metric = None if options.metric == "auto" else options.metric
    narrowed = _narrowed(engine, base, options)
    if earlier is not None:
        _check_same(earlier, base, queries, options)
        result = earlier
    else:
        result = yield from sweep(base, queries, narrowed, out, work / "sweep")
        finish(work / "sweep")
    if result.recommendation is None:
        nothing: Literal["exact", "not_reached"] = "exact" if result.status == "exact" else "not_reached"
        return TargetResult(status=nothing, engine=can.name, sweep=result, excluded={})
    if engine.open is None:
        return _exported_only(engine, result)
    journal = Journal(work / "engine", {}, resume=False)
    asked = yield from posed(journal, base, queries, narrowed, work / "engine")
    codecs = fitting_codecs(engine, base.d, metric)
    return (yield from _tuned_in_engine(engine, codecs, asked, result, work))


def _narrowed(engine: Engine, base: Vectors, options: Options) -> Options:
    can = engine.capabilities
    metric = None if options.metric == "auto" else options.metric
    space = space_for(engine, options.space, base.d, options.k, metric)
    re_ranks = max(space.rerank_factors) > 1
    return replace(
        options,
        space=space,
        # where the engine runs, its codecs are measured in it: the sweep is for M alone
        native=space.codecs if engine.open is None else (can.codecs[0].nearest,),
        # engines keep the exact vectors beside the index, not in it; faiss's own refinement does not
        rerank_store="disk" if re_ranks and can.runs != "library" else "memory",
    )


def _exported_only(engine: Engine, result: Result) -> TargetResult:
    point = result.points[result.named[result.options.prefer]]
    settings = settings_of(engine, result, point)
    claims = claims_of(result, point)
    return TargetResult(
        status="exported",
        engine=engine.name,
        sweep=result,
        excluded={},
        exported=Exported(settings=settings, claims=claims),
    )


def _tuned_in_engine(
    engine: Engine, codecs: tuple[EngineCodec, ...], asked: Questions, result: Result, work: Path
) -> Generator[Event, None, TargetResult]:
    can = engine.capabilities
    options = asked.problem.options
    threads = options.threads or available_cores()
    start = Settings(
        engine=can.name,
        codec=codecs[0].name,
        d=asked.vectors.d,
        metric=asked.profile.metric,
        k=options.k,
        M=can.M[0],
        ef_construction=asked.problem.options.space.ef_construction,
        ef_search=options.k,
    )
    start = _like(start, codecs[0], can, result)
    by_name = {codec.name: codec for codec in codecs}
    order = yield from _order(engine, codecs, start, asked, threads)
    excluded = {each.codec: each.excluded for each in order if each.excluded}
    points: list[EnginePoint] = []
    warnings: list[str] = []
    with ExitStack() as open_ones:
        kept: dict[str, Apart] = {}
        for surveyed in (each for each in order if not each.excluded):
            what = _like(start, by_name[surveyed.codec], can, result)
            folder = work / f"engine-{len(points) + len(excluded)}"
            folder.mkdir(parents=True)
            place = Place(folder=folder, threads=threads, n=asked.n)
            yield StageStarted(surveyed.codec, f"build {surveyed.codec} in {can.title} and search it")
            try:
                apart = open_ones.enter_context(Apart(what, place))
                point, raised = _measured(engine, apart, what, asked, result, surveyed.factor)
            except EngineDiedError as error:
                excluded[surveyed.codec] = str(error)
                warnings.append(str(error))
                yield Warned(str(error))
                continue
            kept[surveyed.codec] = apart
            points.append(point)
            best = best_of(points, options.prefer)
            for codec in [each for each in kept if best is None or each != best.settings.codec]:
                kept.pop(codec).close()
            yield StageFinished(surveyed.codec, _told(point), point.load_s, 0.0)
            if raised and point.reaches_target:
                warnings.append(
                    f"{surveyed.codec}: the held-out half fell short at the ef_search that the tune half "
                    "chose, so "
                    "ef_search was raised: the held-out half took part in that choice"
                )
                yield Warned(warnings[-1])
            if sum(each.reaches_target for each in points) == ENOUGH_BUILDS:
                break
        chosen = best_of(points, options.prefer)
        beside = None
        if chosen is not None:
            beside = yield from _beside(
                engine, kept[chosen.settings.codec], chosen, asked, result, work, threads
            )
    return TargetResult(
        status="reached" if chosen is not None else "not_reached",
        engine=can.name,
        sweep=result,
        points=tuple(points),
        excluded=excluded,
        chosen=chosen,
        beside=beside,
        exported=None
        if chosen is None
        else Exported(settings=chosen.settings, claims=_claims(result, chosen)),
        warnings=tuple(warnings),
    )


def _check_same(earlier: Result, base: Vectors, queries: Vectors | None, options: Options) -> None:
    """Raise InputError if an earlier sweep was of other data or another question."""
    of_queries = base.fingerprint if queries is None else queries.fingerprint
    for name, then, now in (
        ("vectors", earlier.profile.fingerprint, base.fingerprint),
        ("queries", earlier.queries.fingerprint, of_queries),
        ("recall", earlier.options.recall, options.recall),
        ("k", earlier.options.k, options.k),
        ("metric", earlier.profile.metric, options.metric),
        ("seed", earlier.options.seed, options.seed),
    ):
        if then != now:
            raise InputError(f"--sweep: that report is of other {name}: sweep again by leaving --sweep out")


def _like(settings: Settings, codec: EngineCodec, can: Capabilities, result: Result) -> Settings:
    """Return ``settings`` with a codec, and the M that is worth most with codes of its size."""
    prefer = result.options.prefer

    def cost(point: OperatingPoint) -> float:
        size = settings.d * codec.bits / 8 + 2 * 4 * point.configuration.M
        return {"smallest": size, "fastest": point.seconds, "balanced": size * point.seconds}[prefer]

    plain = [
        point
        for point in result.points
        if point.reaches_target and point.configuration.cut == "none" and point.configuration.rerank is None
    ]
    guide = min(plain, key=cost, default=result.points[result.named[prefer]])
    M = min(max(guide.configuration.M, can.M[0]), can.M[1])
    return replace(settings, codec=codec.name, M=M, ef_search=guide.ef_search)


def _order(
    engine: Engine, codecs: tuple[EngineCodec, ...], start: Settings, asked: Questions, threads: int
) -> Generator[Event, None, list[Surveyed]]:
    """Yield events; return the codecs in the order in which they are built at full size."""
    can = engine.capabilities
    if asked.n < SURVEYED_FROM or len(codecs) == 1:
        return [
            Surveyed(codec=codec.name, factor=1, recall=1.0, bytes_per_vector=codec.bits, seconds=1.0)
            for codec in sorted(codecs, key=lambda each: each.bits)
        ]
    yield StageStarted("survey", f"look at {len(codecs)} codecs of {can.title} on a sample")
    found = result_of(survey(can, codecs, start, asked, threads))
    yield StageFinished("survey", f"looked at {len(codecs)} codecs of {can.title} on a sample", 0.0, 0.0)
    for each in found:
        if each.excluded:
            yield Note(f"{each.codec}: {each.excluded}")
    return list(found)


def _measured(
    engine: Engine, apart: Apart, what: Settings, asked: Questions, result: Result, first_factor: int
) -> tuple[EnginePoint, bool]:
    can, most = engine.capabilities, _most_ef(engine, asked)
    load_s = result_of(apart.load(asked.vectors, asked.rows))
    found = result_of(find(apart, can, what, asked, what.ef_search, most, first_factor))
    return point_of(apart, found, asked, most, load_s, predicted(engine, found.settings, result, asked.n))


def _most_ef(engine: Engine, asked: Questions) -> int:
    return min(engine.capabilities.ef_search[1], asked.problem.options.space.ef_search_max)


def _beside(
    engine: Engine,
    mine: Apart,
    chosen: EnginePoint,
    asked: Questions,
    result: Result,
    work: Path,
    threads: int,
) -> Generator[Event, None, Beside | None]:
    """Yield events; return the engine's own defaults at the same target, None if that is what was chosen."""
    can = engine.capabilities
    usual = can.defaults
    what = replace(
        chosen.settings,
        codec=usual.codec,
        M=usual.M,
        ef_construction=usual.ef_construction,
        ef_search=max(usual.ef_search, chosen.settings.k),
        oversampling=usual.oversampling,
    )
    if problems(engine, what):
        return None
    yield StageStarted("defaults", f"build {can.title}'s own default beside it")
    folder = work / "engine-default"
    folder.mkdir(parents=True)
    try:
        with Apart(what, Place(folder=folder, threads=threads, n=asked.n)) as theirs:
            point, _ = _measured(engine, theirs, what, asked, result, usual.oversampling)
            mine.set_search(chosen.settings.ef_search, chosen.settings.oversampling)
            ratio = interleaved_ratio(mine, theirs, asked.raw(asked.problem.validate), chosen.settings.k)
    except EngineDiedError as error:
        yield Warned(str(error))
        return None
    yield StageFinished("defaults", f"its default: {_told(point)}", point.load_s, 0.0)
    return Beside(point=point, memory_ratio=point.index_bytes / chosen.index_bytes, latency_ratio=ratio)


def predicted(engine: Engine, settings: Settings, result: Result, n: int) -> tuple[float | None, int | None]:
    """Return the recall and the bytes that faiss's nearest codec predicts for an engine's settings."""
    codec = engine.capabilities.codec(settings.codec)
    ceiling = next((c for c in result.ceilings if codec is not None and c.codec == codec.nearest), None)
    curve = curves_of(result.curves).get(settings.M)
    if ceiling is None or not ceiling.recall_at:
        return None, None
    size = n * (ceiling.code_bytes + 2 * 4 * settings.M)
    if curve is None:
        return None, size
    known = {1: ceiling.recall_at[1]} | ceiling.recall_with.get("fp32", ceiling.recall_at)
    factors = sorted(known)
    # engines take factors between those of the sweep
    best = float(np.interp(settings.oversampling, factors, [known[factor] for factor in factors]))
    return best * curve.recall_at(settings.ef_search), size


def _claims(result: Result, chosen: EnginePoint) -> Claims:
    return replace(
        claims_of(result, result.points[result.named[result.options.prefer]]),
        recall=chosen.validated.mean,
        recall_lower=chosen.validated.lower,
        index_bytes=chosen.index_bytes,
        measured_in=chosen.applied.version,
        in_engine=True,
    )


def _told(point: EnginePoint) -> str:
    settings = point.settings
    scored = f" re-scoring x{settings.oversampling}" if settings.oversampling > 1 else ""
    reached = "" if point.reaches_target else ", misses the target"
    return (
        f"{settings.codec} M={settings.M} ef_search={settings.ef_search}{scored}: recall "
        f"{point.validated.mean:.4f} "
        f"(at least {point.validated.lower:.4f}), {point.index_bytes:,} bytes, "
        f"{1e6 * point.latency.mean_s:,.0f} us"
        f"{reached}; loaded and built"
    )
