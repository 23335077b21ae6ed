"""The sweep, stage by stage: the table of contents of the main job.

Every stage is kept in the journal when it is finished; a run that was killed goes on after the last
one. Events tell what happens; nothing is printed here.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import msgspec
import numpy as np

from tuner.backends.faiss_hnsw import Encoded, Served
from tuner.ceilings import encode_rows
from tuner.curves import Curve, curves_of, measure_curves
from tuner.data.base import Base, open_prepared, prepare, prepared_queries
from tuner.data.checks import check_inputs
from tuner.data.profile import check_queries, scan
from tuner.data.split import count_in_base, hold_out, split_halves
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.graph import Links, build
from tuner.journal import Journal, peak_rss_bytes
from tuner.machine import (
    available_cores,
    describe_machine,
    describe_versions,
    return_memory_promptly,
    use_threads,
)
from tuner.surface import Candidate
from tuner.sweep.answer import (
    MOST_NOISE,
    advice_not_reached,
    answer_of,
    beyond_the_bound,
    closest,
    disk_hint,
    recommendation_of,
)
from tuner.sweep.baseline import (
    Reference,
    graph_baseline,
    hnswlib_baseline,
    light_index,
    reference_configuration,
    time_light,
    tune_reference,
)
from tuner.sweep.codecs import (
    BUILDER_CEILING,
    CEILING_QUERIES,
    EXACT_CEILING,
    Study,
    cheapest_codec,
    rough_memory,
    sensible,
    study_codecs,
    surface_of,
)
from tuner.sweep.deliver import Delivery, deliver
from tuner.sweep.exact import SMALL, exact_result
from tuner.sweep.exhaustive import NativeBench, measure_everything
from tuner.sweep.finalists import Timed, choose_finalists, raise_ef, time_finalists
from tuner.sweep.frontier import codec_key, measure_group, next_group, out_of_time, prediction_error
from tuner.sweep.plan import check_resources, plan
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import Workbench, encoder_name
from tuner.timing import call_overhead_s
from tuner.truth import Truth, cached
from tuner.types import (
    Baseline,
    Cost,
    CurvePoint,
    Event,
    Finished,
    FloatArray,
    IdArray,
    Note,
    OperatingPoint,
    Options,
    Profile,
    QuerySet,
    Result,
    Steps,
    Warned,
)

MOST_POINTS = 16
"""Points measured at full size at most."""
FRONTIER_SHARE = 0.7
"""Share of the time budget after which no further codec is measured."""
SHORTEST = 1e-12
"""Squared distances of shorter rows are lost in float32."""
CURVE_QUERIES = 400
PREPARED, LINKS = "base.f32", "links.i32"
"""Scratch files beside the journal."""
NEARLY = 0.9995
POOL_DEPTH = 1000
LARGEST_SHARE = 1.0
"""Candidates above this many times the float32 M=16 index are left out."""
REFERENCE_GUESS = 64


def sweep(  # noqa: PLR0912, PLR0915 # the table of contents: one stage after the other
    base: Vectors, queries: Vectors | None, options: Options, out: Path, work: Path, *, resume: bool = False
) -> Generator[Event, None, Result]:
    """Yield events; return the result. Writes ``index.faiss`` to ``out`` and scratch to ``work``.

    Args:
        base: vectors to index.
        queries: the user's queries, or None to hold some of the base out.
        out: folder of the delivered index; it exists.
        work: scratch folder; emptied at the start unless resuming, removed at the end.

    Raises:
        InputError: base, queries and options do not fit.
        ResourceError: too little memory, disk or time.
    """
    started = time.perf_counter()
    check_inputs(base, queries, options)
    asked = options.space.M
    options = replace(options, space=sensible(options.space, base.d))
    if asked != options.space.M:
        left_out = ", ".join(str(M) for M in asked if M not in options.space.M)
        yield Note(f"M {left_out} left out: its links would take more bytes than the vectors in float32")
    needed = plan(base, queries, options, work)
    check_resources(needed, options, work)
    use_threads(options.threads)
    return_memory_promptly()
    journal = Journal(work, _identity(base, queries, options), resume=resume)

    profile = yield from journal.stage(
        "profile",
        "read and profile the vectors",
        Profile,
        lambda: scan(base, options.metric, seed=options.seed),
    )
    yield from _tell_profile(profile)
    if profile.metric != "cosine" and profile.norm_max < SHORTEST:
        raise InputError(
            f"{base.source}: the longest row has norm {profile.norm_max:.3g}, too short to be squared "
            "in float32: multiply base and queries by a constant"
        )
    warnings: list[str] = []
    raw, query_set, halves = _split(base, queries, profile, options)
    if queries is not None:
        check_queries(base, queries, profile.metric)
    if query_set.n_in_base:
        warnings.append(
            f"{query_set.n_in_base} of {len(raw)} queries equal a row of the base: they find themselves, "
            "which makes recall look better than new queries will see"
        )
        yield Warned(warnings[-1])
    held_out = np.array(query_set.held_out_rows, dtype=np.int64)
    prepared = yield from _prepared(journal, base, profile, held_out, work)
    problem = yield from _problem(journal, options, profile, query_set, prepared, raw, halves, work)

    if problem.best_bound < options.recall:
        warnings.append(
            f"nothing can meet this target with these queries; it would take {beyond_the_bound(problem)}"
        )
        yield Warned(warnings[-1])
    if prepared.n <= SMALL:
        result = exact_result(problem, profile, query_set, journal, out, started)
        yield Finished(result)
        return result

    deep, _ = yield from journal.stage(
        "pool",
        "exact neighbours, deep, for ceilings",
        tuple[Truth, bool],
        lambda: cached(
            _truth_key(profile, query_set, "pool"),
            prepared.x,
            problem.queries[problem.tune[:CEILING_QUERIES]],
            max(POOL_DEPTH, 2 * options.k * max(options.space.rerank_factors)),
            options.k,
        ),
    )
    links = yield from journal.stage(
        "graph",
        f"build the one graph (M={max(options.space.M)})",
        Links,
        partial(_graph, problem, deep),
        needed.estimate_s / 2,
        lambda links: _is_whole(problem.links_path, 4 * links.n * links.width),
    )
    points = yield from journal.stage(
        "curves",
        "recall and cost of every derived M",
        tuple[CurvePoint, ...],
        partial(_curves, problem, deep, links),
    )
    curves = curves_of(points)
    study = yield from journal.stage(
        "ceilings",
        "time and judge every codec",
        Study,
        partial(study_codecs, problem, deep, links, curves),
    )
    del deep
    bench = Workbench(problem, links, study.trained)
    on_disk = _surface(problem, curves, study, links, disk=True)
    reference = yield from journal.stage(
        "reference",
        "tune the float32 reference",
        Reference,
        lambda: tune_reference(problem, bench, _first_guess(curves, problem)),
    )
    bench.keep_codecs(1)
    light = light_index(problem, Workbench(problem, links, study.trained))
    light_s = yield from journal.stage(
        "light", "time the light index", float, lambda: time_light(problem, light)
    )
    if options.exhaustive:
        bench = NativeBench(problem, links, study.trained)
        measured = yield from measure_everything(
            journal, problem, bench, curves, study.ceilings, (light, light_s)
        )
    else:
        measured = yield from _frontier(
            journal, problem, bench, curves, study, (light, light_s), started, warnings
        )
    raised: tuple[OperatingPoint, ...] = ()
    if measured and not any(p.reaches_target for p in measured) and problem.best_bound >= options.recall:
        raised = yield from journal.stage(
            "raise", "raise ef_search", tuple[OperatingPoint, ...], lambda: _raised(problem, bench, measured)
        )
        if raised:
            measured += raised
            warnings.append(
                "the held-out half fell short at the ef_search that the tune half chose, so ef_search was "
                "raised until both halves support the target: the held-out half took part in that choice"
            )
            yield Warned(warnings[-1])
    timed = yield from journal.stage(
        "timing",
        "time the finalists in interleaved rounds",
        Timed,
        lambda: _timed(problem, bench, measured, (light, light_s), reference),
    )
    if timed.points and timed.noise_floor > MOST_NOISE:
        warnings.append(
            f"the machine was busy: the same index entered twice differed by {timed.noise_floor:.0%} in "
            "time, so latencies are that uncertain; recall, memory and ndis are not: run again when it is "
            "quiet"
        )
        yield Warned(warnings[-1])
    answer = answer_of(measured, timed.points, problem.max_memory_bytes(), timed.noise_floor)
    advice: list[str] = []
    peak = peak_rss_bytes()  # before a baseline that the user asked for takes memory of its own
    baseline: Baseline | None = None
    delivery: Delivery | None = None
    ordinary: float | None = None
    if answer.found:
        chosen = answer.points[answer.named[options.prefer]]
        baseline = graph_baseline(reference, timed.reference, chosen)
        if options.baseline == "hnswlib":
            baseline = yield from journal.stage(
                "baseline",
                "build and tune hnswlib (M=16, ef_construction=200)",
                Baseline,
                lambda: hnswlib_baseline(problem, light, light_s, chosen, reference.ef_search),
            )
            ordinary = baseline.build_cpu_s
        delivery = yield from journal.stage(
            "deliver",
            "write the index and check it in a fresh process",
            Delivery,
            lambda: _deliver(bench, chosen, out),
        )
        _check_delivery(delivery, chosen)
        hint = disk_hint(problem, on_disk, chosen) if options.rerank_store == "memory" else None
        advice += [hint] if hint else []
        advice += _held_out_advice(query_set, profile, chosen)
    else:
        answer = closest(problem, measured, timed.points)
        advice += advice_not_reached(problem, list(answer.points), study.ceilings)
    result = Result(
        status="reached" if answer.found else "not_reached",
        options=options,
        profile=profile,
        queries=query_set,
        points=answer.points,
        front=answer.front,
        named=answer.named,
        recommendation=recommendation_of(problem, answer, raised=bool(raised)) if answer.found else None,
        baseline=baseline,
        ceilings=study.ceilings,
        curves=points,
        n_configurations=needed.n_configurations,
        prediction_error=prediction_error(measured),
        noise_floor=timed.noise_floor,
        call_overhead_s=call_overhead_s(prepared.d),
        cost=cost_of(journal, measured, ordinary, peak, options),
        machine=describe_machine(),
        versions=describe_versions(),
        warnings=tuple(warnings),
        advice=tuple(advice),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    yield Finished(result)
    return result


def finish(work: Path) -> None:
    """Remove the scratch files of a finished run, and their folder if nothing else is in it."""
    for pattern in ("*.stage", "*.partial", "journal.json", PREPARED, LINKS):
        for path in work.glob(pattern):
            path.unlink()
    with suppress(OSError):  # someone else's files are in it
        work.rmdir()


def _identity(base: Vectors, queries: Vectors | None, options: Options) -> dict[str, str]:
    settings = msgspec.to_builtins(options)
    settings.pop("threads")
    return {
        "data": base.fingerprint,
        "queries": queries.fingerprint if queries is not None else "held out",
        "options": msgspec.json.encode(settings).decode(),
        "versions": msgspec.json.encode(describe_versions()).decode(),
    }


def _tell_profile(profile: Profile) -> Generator[Event, None, None]:
    yield Note(
        f"{profile.n:,} x {profile.d} {profile.dtype}; metric {profile.metric}: {profile.metric_reason}"
    )
    if profile.n_duplicate_rows:
        yield Note(
            f"{profile.n_duplicate_rows:,} rows ({profile.n_duplicate_rows / profile.n:.1%}) repeat another; "
            f"the largest group has {profile.largest_duplicate_group:,}"
        )
    if profile.dead_dimensions:
        yield Note(f"{len(profile.dead_dimensions)} dimensions never vary")


def _split(
    base: Vectors, queries: Vectors | None, profile: Profile, options: Options
) -> tuple[FloatArray, QuerySet, tuple[IdArray, IdArray]]:
    if queries is None:
        rows = hold_out(base.n, options.n_queries, options.seed)
        raw, source, fingerprint = base.rows(rows), "held out of the base", profile.fingerprint
    else:
        rows = np.zeros(0, dtype=np.int64)
        raw, source, fingerprint = queries.read(0, queries.n), queries.source, queries.fingerprint
    tune, validate = split_halves(len(raw), options.seed)
    query_set = QuerySet(
        source=source,
        fingerprint=fingerprint,
        n_tune=len(tune),
        n_validate=len(validate),
        held_out_rows=tuple(int(row) for row in rows),
        n_in_base=count_in_base(base, raw, rows),
    )
    return raw, query_set, (tune, validate)


def _prepared(
    journal: Journal, base: Vectors, profile: Profile, held_out: IdArray, work: Path
) -> Generator[Event, None, Base]:
    path = work / PREPARED

    def write() -> Steps[tuple[int, int]]:
        prepared = yield from prepare(base, profile.metric, held_out, profile.norm_max, path)
        return prepared.n, prepared.d

    n, d = yield from journal.stage(
        "prepare",
        "write the prepared base",
        tuple[int, int],
        write,
        intact=lambda shape: _is_whole(path, 4 * shape[0] * shape[1]),
    )
    return open_prepared(path, n, d, profile.metric, held_out, profile.norm_max)


def _truth_key(profile: Profile, query_set: QuerySet, what: str) -> tuple[object, ...]:
    return (
        what,
        profile.fingerprint,
        profile.metric,
        query_set.fingerprint,
        query_set.held_out_rows,
        query_set.n_tune,
    )


def _problem(
    journal: Journal,
    options: Options,
    profile: Profile,
    query_set: QuerySet,
    prepared: Base,
    raw: FloatArray,
    halves: tuple[IdArray, IdArray],
    work: Path,
) -> Generator[Event, None, Problem]:
    queries = prepared_queries(raw, profile.metric)
    truth, from_cache = yield from journal.stage(
        "truth",
        "exact neighbours of every query",
        tuple[Truth, bool],
        lambda: cached(_truth_key(profile, query_set, "truth"), prepared.x, queries, options.k, options.k),
    )
    if from_cache:
        yield Note("exact neighbours came from the cache of an earlier run")
    return Problem(
        options=options,
        base=prepared,
        raw=raw,
        queries=queries,
        truth=truth,
        tune=halves[0],
        validate=halves[1],
        links_path=work / LINKS,
        threads=options.threads or available_cores(),
    )


def _graph(problem: Problem, deep: Truth) -> Steps[Links]:
    space = problem.options.space
    encoder = cheapest_codec(problem, deep, ("SQ8", "fp16"), BUILDER_CEILING)
    links = yield from build(
        problem.base, encoder, max(space.M), space.ef_construction, problem.options.seed, problem.links_path
    )
    return links


def _curves(problem: Problem, deep: Truth, links: Links) -> Steps[tuple[CurvePoint, ...]]:
    options, base = problem.options, problem.base
    encoder = cheapest_codec(problem, deep, ("fp16",), EXACT_CEILING)
    codes = base.x.view(np.uint8) if encoder.codec.name == "fp32" else encode_rows(base, encoder)
    points = yield from measure_curves(
        base,
        links,
        problem.links_path,
        Encoded(encoder, codes),
        Ms=options.space.M,
        queries=problem.queries[problem.tune[:CURVE_QUERIES]],
        truth=problem.truth.part(problem.tune[:CURVE_QUERIES]),
        target=problem.aim,
        ef_max=options.space.ef_search_max,
    )
    base.release()
    return points


def _surface(
    problem: Problem,
    curves: dict[int, Curve],
    study: Study,
    links: Links,
    *,
    disk: bool = False,
    aim: float | None = None,
) -> list[Candidate]:
    """Return every candidate of the surface; with ``disk`` those whose store would lie on disk."""
    if disk:
        problem = replace(problem, options=replace(problem.options, rerank_store="disk"))
    found: list[Candidate] = []
    for ceiling in study.ceilings:
        relaxed = disk or (aim is not None and aim < problem.aim)
        if not ceiling.recall_at or (ceiling.excluded and not relaxed):
            continue
        name = encoder_name(ceiling.codec, ceiling.dims, ceiling.cut)
        memory_of = partial(rough_memory, problem.base, links)
        found += surface_of(problem, curves, ceiling, study.prices[name], memory_of, aim)
    return found


def _best_reachable(curves: dict[int, Curve], study: Study) -> float:
    """Return the highest recall that the model gives any configuration."""
    best = max((max(c.recall_at.values()) for c in study.ceilings if c.recall_at), default=0.0)
    return NEARLY * best * max(float(curve.recall[-1]) for curve in curves.values())


def _first_guess(curves: dict[int, Curve], problem: Problem) -> int:
    guesses = [ef for curve in curves.values() if (ef := curve.ef_for(problem.aim)) is not None]
    return max(problem.options.k, sorted(guesses)[len(guesses) // 2] if guesses else REFERENCE_GUESS)


def _frontier(
    journal: Journal,
    problem: Problem,
    bench: Workbench,
    curves: dict[int, Curve],
    study: Study,
    light: tuple[Served, float],
    started: float,
    warnings: list[str],
) -> Generator[Event, None, list[OperatingPoint]]:
    found: list[Candidate] = []
    # with the margin, without it, and then the best there is: an honest no still shows it
    for aim in (problem.aim, problem.options.recall, _best_reachable(curves, study)):
        found = found or _surface(problem, curves, study, bench.links, aim=aim)
    surface = [replace(c, memory=bench.memory_of(c.configuration)) for c in found]
    # beside the limit, nothing much larger than the index that most people have is worth a measurement
    usual = LARGEST_SHARE * bench.memory_of(reference_configuration(problem)).resident_bytes
    limit = min(problem.max_memory_bytes(), usual)
    fitting = [c for c in surface if c.memory.resident_bytes <= limit]
    remaining = fitting or sorted(surface, key=lambda c: (c.memory.resident_bytes, c.configuration.label))[:3]
    measured: list[OperatingPoint] = []
    done: set[str] = set()
    while len(measured) < MOST_POINTS:
        if measured and out_of_time(started, problem.options.time_budget_s, FRONTIER_SHARE):
            warnings.append("the time budget ended the measurements early: the front may lack a point")
            yield Warned(warnings[-1])
            break
        group = next_group(remaining, measured, done)
        if group is None:
            break
        rivals = list(measured)
        points = yield from journal.stage(
            f"frontier-{group.key}",
            f"measure {group.key.split('@')[0]} ({len(group.candidates)} candidates)",
            tuple[OperatingPoint, ...],
            partial(measure_group, problem, bench, group, curves, light, rivals, MOST_POINTS - len(rivals)),
        )
        measured += points
        done.add(group.key)
        seen = {point.configuration for point in measured}
        remaining = [
            c for c in remaining if c.configuration not in seen and codec_key(c.configuration) not in done
        ]
    return measured


def _raised(
    problem: Problem, bench: Workbench, measured: list[OperatingPoint]
) -> Steps[tuple[OperatingPoint, ...]]:
    raised = raise_ef(problem, bench, measured)
    yield 1.0
    return tuple(raised)


def _timed(
    problem: Problem,
    bench: Workbench,
    measured: list[OperatingPoint],
    light: tuple[Served, float],
    reference: Reference,
) -> Steps[Timed]:
    finalists = choose_finalists(measured, problem.max_memory_bytes())
    timed = yield from time_finalists(problem, bench, finalists, light, reference)
    return timed


def _deliver(bench: Workbench, chosen: OperatingPoint, out: Path) -> Steps[Delivery]:
    bench.keep_codecs(1)
    served = bench.serve(chosen.configuration)
    served.set_ef(chosen.ef_search)
    yield 0.2
    return deliver(bench.problem, served, out)


def _check_delivery(delivery: Delivery, chosen: OperatingPoint) -> None:
    if delivery.index_bytes != chosen.memory.resident_bytes:
        raise AssertionError(
            f"index of {delivery.index_bytes} bytes, {chosen.memory.resident_bytes} by arithmetic"
        )
    if delivery.same_ids < 1:
        raise AssertionError(f"only {delivery.same_ids:.4f} of the ids are the same after write and read")


def _held_out_advice(query_set: QuerySet, profile: Profile, chosen: OperatingPoint) -> list[str]:
    if not query_set.held_out_rows:
        return []
    held_out = f"{len(query_set.held_out_rows):,} rows were held out as queries and are not in index.faiss: "
    if profile.metric == "ip" or chosen.configuration.rerank_at == "disk":
        return [held_out + "with --queries every row is indexed"]
    return [
        held_out
        + "index.add_with_ids(x[held_out], held_out) adds them (queries.held_out_rows in report.json), "
        "or with --queries every row is indexed"
    ]


def _is_whole(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def cost_of(
    journal: Journal,
    measured: list[OperatingPoint],
    ordinary_cpu_s: float | None,
    peak_bytes: int,
    options: Options,
) -> Cost:
    """Return what the run took; the baseline's own stage is listed but not counted."""
    counted = [cost for cost in journal.costs if cost.name != "baseline"]
    cpu = sum(cost.cpu_s for cost in counted)
    return Cost(
        wall_s=sum(cost.wall_s for cost in counted),
        cpu_s=cpu,
        peak_rss_bytes=peak_bytes,
        n_graph_builds=1 + (_native_builds(measured) if options.exhaustive else 0),
        n_indexes_measured=len(measured),
        stages=tuple(journal.costs),
        ordinary_build_cpu_s=ordinary_cpu_s,
        ordinary_builds=None if ordinary_cpu_s is None else cpu / ordinary_cpu_s,
    )


def _native_builds(measured: list[OperatingPoint]) -> int:
    whats = (point.configuration for point in measured)
    return len({(what.codec, what.dims, what.cut, what.M) for what in whats})
