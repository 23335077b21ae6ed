"""The sweep, stage by stage: the table of contents of the main job.

Every stage is kept in the journal when it is finished; a run that was killed goes on after the last
one. Events tell what happens; nothing is printed here.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec

from tuner.data.checks import check_inputs
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.index.graph import DerivableGraph
from tuner.prediction.ceilings import Pool
from tuner.prediction.curves import Curve, curves_of
from tuner.prediction.surface import CodecCost
from tuner.runtime.journal import Journal, peak_rss_bytes
from tuner.runtime.machine import (
    describe_machine,
    describe_versions,
    now,
    use_threads,
)
from tuner.runtime.timing import call_overhead_s
from tuner.sweep.answer import (
    MOST_NOISE,
    advice_not_reached,
    answer_of,
    beyond_the_bound,
    closest,
    disk_hint,
    recommendation_of,
)
from tuner.sweep.baseline import Reference, graph_baseline, hnswlib_baseline, tune_reference
from tuner.sweep.candidates import whole_surface
from tuner.sweep.codecs import CodecEvaluation, evaluate_codecs, sensible
from tuner.sweep.deliver import Delivery, deliver
from tuner.sweep.exact import SMALL, exact_result
from tuner.sweep.exhaustive import NativeBuilder, measure_everything
from tuner.sweep.finalists import Timed, choose_finalists, raise_ef, time_finalists
from tuner.sweep.frontier import measure_frontier, prediction_error
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.plan import check_resources, plan
from tuner.sweep.pose import LINKS, PREPARED, is_whole, pose, read_profile, truth_pool
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import (
    Curves,
    ProxyCodec,
    ProxyCodes,
    build_graph,
    choose_proxy,
    trace_curves,
)
from tuner.types import (
    Ceiling,
    Cost,
    Event,
    Finished,
    Note,
    OperatingPoint,
    Options,
    Profile,
    QuerySet,
    ReferenceComparison,
    Result,
    Steps,
    Warned,
)

SHORTEST = 1e-12
"""Squared distances of shorter rows are lost in float32."""
REFERENCE_GUESS = 64
MOST_NORM = 60.0
"""Inner product becomes L2 with a column of the size of the longest row; measured: at 100 times the mean,
rounding in that column makes wrong neighbours count as right."""


def sweep(  # noqa: PLR0915 # the table of contents: one stage after the other
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
        yield Note(f"M {left_out} left out: their links would take more bytes than the vectors in float32")
    needed = plan(base, queries, options, work)
    check_resources(needed, options, work)
    use_threads(options.threads)
    journal = Journal(work, _identity(base, queries, options), resume=resume)

    warnings: list[str] = []

    def accept(profile: Profile, query_set: QuerySet) -> Iterator[Event]:
        yield from _tell_profile(profile)
        check_norms(base, profile)
        if query_set.n_in_base:
            warnings.append(
                f"{query_set.n_in_base} of {query_set.n_tune + query_set.n_validate} queries equal a row of "
                "the base: they find themselves, which makes recall look better than new queries will see"
            )
            yield Warned(warnings[-1])

    profile = yield from read_profile(journal, base, queries, options, title="read and profile the vectors")
    posed = yield from pose(journal, base, queries, options, work, profile=profile, accept=accept)
    problem, query_set, prepared = posed.problem, posed.query_set, posed.problem.base

    if problem.best_bound < options.recall:
        warnings.append(
            f"nothing can meet this target with these queries; it would take {beyond_the_bound(problem)}"
        )
        yield Warned(warnings[-1])
    if prepared.n <= SMALL:
        result = exact_result(problem, profile, query_set, journal, out, started)
        yield Finished(result)
        return result

    pool = yield from journal.stage(
        "pool",
        "exact neighbours, deep, for ceilings",
        Pool,
        partial(truth_pool, problem, profile, query_set),
    )
    chosen_codec = yield from journal.stage(
        "stand-in", "choose codes to build on", ProxyCodec, partial(choose_proxy, problem, pool)
    )
    proxy = ProxyCodes(prepared, chosen_codec)
    links = yield from journal.stage(
        "graph",
        f"build the one graph (M={max(options.space.M)}, on {proxy.builder.codec.name})",
        DerivableGraph,
        partial(build_graph, problem, proxy),
        needed.estimate_s / 2,
        lambda links: is_whole(problem.links_path, 4 * links.n * links.width),
    )
    traced = yield from journal.stage(
        "curves",
        "recall and cost of every derived M",
        Curves,
        partial(trace_curves, problem, links, proxy),
    )
    problem = replace(problem, measured_aim=traced.aim)
    curves = curves_of(traced.points)
    evaluation = yield from journal.stage(
        "ceilings",
        "time and judge every codec",
        CodecEvaluation,
        partial(evaluate_codecs, problem, pool, links, curves, proxy),
    )
    del pool, proxy  # and the codes with it
    native = options.exhaustive or bool(options.native)
    make_builder = NativeBuilder if native else IndexBuilder
    builder = make_builder(problem, links, evaluation.trained)
    reference = yield from journal.stage(
        "reference",
        "tune the float32 reference",
        Reference,
        partial(tune_reference, problem, builder, _first_guess(curves, problem)),
    )
    builder.keep_codecs(1)
    if options.exhaustive and isinstance(builder, NativeBuilder):
        measured = yield from measure_everything(journal, problem, builder, curves, evaluation)
    else:
        asked_for = replace(evaluation, ceilings=_of_codecs(evaluation.ceilings, options.native))
        measured = yield from measure_frontier(journal, problem, builder, curves, asked_for, warnings)
    raised: tuple[OperatingPoint, ...] = ()
    if measured and not any(p.reaches_target for p in measured) and problem.best_bound >= options.recall:
        raised = yield from journal.stage(
            "raise",
            "raise ef_search",
            tuple[OperatingPoint, ...],
            partial(_raised, problem, builder, measured, evaluation.costs),
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
        lambda: _timed(problem, builder, measured, reference),
    )
    if timed.points and timed.noise_floor > MOST_NOISE:
        warnings.append(
            f"the machine was busy: the same index entered twice differed by {timed.noise_floor:.0%} in "
            "time, so latencies are that uncertain; recall, memory and ndis are not: run again when it is "
            "quiet"
        )
        yield Warned(warnings[-1])
    measured = [replace(p, modelled_latency_s=p.modelled_latency_s * timed.slower) for p in measured]
    answer = answer_of(measured, timed.points, problem.max_memory_bytes(), timed.noise_floor)
    advice: list[str] = []
    peak = peak_rss_bytes()  # before a baseline that the user asked for takes memory of its own
    baseline: ReferenceComparison | None = None
    delivery: Delivery | None = None
    ordinary: float | None = None
    if answer.found:
        chosen = answer.points[answer.named[options.prefer]]
        baseline = graph_baseline(reference, timed.reference, chosen, native=native)
        if options.baseline == "hnswlib":
            baseline = yield from journal.stage(
                "baseline",
                "build and tune hnswlib (M=16, ef_construction=200)",
                ReferenceComparison,
                lambda: hnswlib_baseline(problem, builder, chosen, reference.ef_search),
            )
            ordinary = baseline.build_cpu_s
        delivery = yield from journal.stage(
            "deliver",
            "write the index and check it in a fresh process",
            Delivery,
            lambda: _deliver(builder, chosen, out),
        )
        _check_delivery(delivery, chosen)
        on_disk = whole_surface(problem, curves, evaluation.ceilings, evaluation.costs, links, disk=True)
        hint = disk_hint(problem, on_disk, chosen) if options.rerank_store == "memory" else None
        advice += [hint] if hint else []
        advice += _held_out_advice(query_set, profile, chosen)
    else:
        answer = closest(problem, measured, timed.points)
        advice += advice_not_reached(problem, list(answer.points), evaluation.ceilings)
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
        ceilings=evaluation.ceilings,
        curves=traced.points,
        n_configurations=needed.n_configurations,
        prediction_error=prediction_error(measured),
        noise_floor=timed.noise_floor,
        call_overhead_s=call_overhead_s(prepared.d),
        cost=cost_of(journal, measured, ordinary, peak, options),
        machine=describe_machine(),
        versions=describe_versions(),
        warnings=tuple(warnings),
        advice=tuple(advice),
        created=now(),
    )
    yield Finished(result)
    return result


def check_norms(base: Vectors, profile: Profile) -> None:
    """Raise InputError where squared distances of the rows are lost in float32."""
    if profile.metric != "cosine" and profile.norm_max < SHORTEST:
        raise InputError(
            f"{base.source}: the longest row has norm {profile.norm_max:.3g}, too short to be squared "
            "in float32: multiply base and queries by a constant"
        )
    if profile.metric == "ip" and profile.norm_max > MOST_NORM * profile.norm_mean:
        raise InputError(
            f"{base.source}: the longest row has norm {profile.norm_max:.3g}, {MOST_NORM:g} times the mean "
            f"of {profile.norm_mean:.3g} or more: beside it the inner products of the others cannot be told "
            "apart in float32; take such rows out or scale them down"
        )


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


def _of_codecs(ceilings: tuple[Ceiling, ...], codecs: tuple[str, ...]) -> tuple[Ceiling, ...]:
    return tuple(ceiling for ceiling in ceilings if not codecs or ceiling.codec in codecs)


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


def _first_guess(curves: dict[int, Curve], problem: Problem) -> int:
    guesses = [ef for curve in curves.values() if (ef := curve.ef_for(problem.aim)) is not None]
    return max(problem.options.k, sorted(guesses)[len(guesses) // 2] if guesses else REFERENCE_GUESS)


def _raised(
    problem: Problem, builder: IndexBuilder, measured: list[OperatingPoint], costs: dict[str, CodecCost]
) -> Steps[tuple[OperatingPoint, ...]]:
    raised = raise_ef(problem, builder, measured, costs)
    yield 1.0
    return tuple(raised)


def _timed(
    problem: Problem,
    builder: IndexBuilder,
    measured: list[OperatingPoint],
    reference: Reference,
) -> Steps[Timed]:
    finalists = choose_finalists(measured, problem.max_memory_bytes())
    timed = yield from time_finalists(problem, builder, finalists, reference)
    return timed


def _deliver(builder: IndexBuilder, chosen: OperatingPoint, out: Path) -> Steps[Delivery]:
    builder.keep_codecs(1)
    searchable = builder.serve(chosen.configuration)
    searchable.set_ef(chosen.ef_search)
    yield 0.2
    return deliver(builder.problem, searchable, out)


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
        n_graph_builds=1 + (_native_builds(measured) if options.exhaustive or options.native else 0),
        n_indexes_measured=len(measured),
        stages=tuple(journal.costs),
        ordinary_build_cpu_s=ordinary_cpu_s,
        ordinary_builds=None if ordinary_cpu_s is None else cpu / ordinary_cpu_s,
    )


def _native_builds(measured: list[OperatingPoint]) -> int:
    whats = (point.configuration for point in measured)
    return len({(what.codec, what.dims, what.cut, what.M) for what in whats})
