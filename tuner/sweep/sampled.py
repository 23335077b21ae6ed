"""The sweep on a sample, where memory or time are too little for all rows, and what it says of all rows.

The sample is tuned as a file of its own, but for two things: codecs are judged by what they lose among all
rows, which is measured, and the answer is chosen by what each point is expected to need at the size of the
whole file, which is extrapolated from graphs of nested parts of the sample. No index is handed over:
``tune build`` makes it, finds its ef_search and measures it.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tuner.data.checks import check_inputs
from tuner.data.profile import rows_without_direction, scan
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.recall.allowed import GivenFilters
from tuner.runtime.journal import Journal
from tuner.runtime.peak import peak_rss_bytes
from tuner.runtime.process import use_threads
from tuner.sweep.advice import advice_not_reached
from tuner.sweep.answer import answer, closest
from tuner.sweep.deliver import Delivered
from tuner.sweep.index_file import remove_index
from tuner.sweep.measure import Measured, measure
from tuner.sweep.model import Model, model
from tuner.sweep.nested import PartCurves, ladders, measure_parts
from tuner.sweep.plan import check_resources
from tuner.sweep.pose import pose, read_profile
from tuner.sweep.prepare import (
    Prepared,
    accept_data,
    doubts_of,
    identity,
    refuse_with_filters,
    with_sensible_space,
)
from tuner.sweep.result import sweep_result
from tuner.sweep.run import STAGES, sweep
from tuner.sweep.sample_size import for_sample, plan_of_sample, rows_that_fit
from tuner.sweep.whole_answer import answer_at, expected_points, extrapolation_of, sample_ceilings
from tuner.sweep.whole_file import WholeFile
from tuner.types import Ceiling, Estimated, Event, Finished, IdArray, Options, Profile, Result, Steps, Warned

SAMPLE_STAGE = Path("sample.stage")


@dataclass(frozen=True)
class Sample:
    """Some rows of a file.

    Attributes:
        whole: all rows.
        rows: numbers of those that were drawn, ascending.
    """

    whole: Vectors
    rows: IdArray

    @property
    def vectors(self) -> Vectors:
        """The rows that were drawn."""
        return self.whole.part(self.rows)


def sweep_or_sample(
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    out: Path,
    work: Path,
    *,
    resume: bool = False,
    filters: GivenFilters | None = None,
) -> Generator[Event, None, Result]:
    """Yield events; return the result of a sweep, on a sample where the limits hold no more.

    Args:
        base: vectors to index.
        queries: the user's queries, or None to hold some of the base out.
        options: what the user asked for.
        out: folder of the delivered index; it exists.
        work: scratch folder.
        resume: go on from what an earlier run left in ``work``.
        filters: filters of the queries, None without any.

    Raises:
        InputError: base, queries and options do not fit.
        ResourceError: too little memory, disk or time for a sample too.
    """
    check_inputs(base, queries, options)
    n = rows_that_fit(base, queries, options, work)
    if n is None and not (resume and (work / SAMPLE_STAGE).exists()):
        return (yield from sweep(base, queries, options, out, work, resume=resume, filters=filters))
    refuse_with_filters(options, filters, sample=True)
    if options.duplicates == "collapse":
        raise InputError(
            f"{base.n:,} rows do not fit the limits of this run, and a sample of them has other copies than "
            "all: leave --duplicates collapse or the limits out"
        )
    prepared = yield from _prepare(base, queries, options, n, work, resume=resume)
    modelled = yield from model(prepared, STAGES)
    measured = yield from measure(prepared, modelled, STAGES)
    result = replace((yield from _result(prepared, modelled, measured)), options=options)
    remove_index(out)
    yield Finished(result)
    return result


def draw(base: Vectors, n: int, seed: int) -> Sample:
    """Return ``n`` rows of the base, drawn at random."""
    rows = np.random.default_rng([seed, 4]).choice(base.n, n, replace=False, shuffle=False)
    return Sample(base, np.sort(rows).astype(np.int64))


def _prepare(
    base: Vectors, queries: Vectors | None, options: Options, fitting: int | None, work: Path, *, resume: bool
) -> Generator[Event, None, Prepared]:
    """Yield events; return the posed problem of a sample.

    Args:
        fitting: number of rows that fit, unless a run that is resumed has chosen before.
    """
    started_s = time.perf_counter()
    options = yield from with_sensible_space(options, base.d)
    journal = Journal(work, identity(base, queries, options), resume=resume)
    size = partial(_just, fitting or base.n)
    n = yield from journal.stage(SAMPLE_STAGE.stem, "choose the size of a sample", int, size)
    needed = plan_of_sample(base, queries, options, work, n)
    check_resources(replace(needed, least_s=0.0), options, work)
    of_a_sample = Warned(
        f"{base.n:,} rows do not fit the limits of this run: it is made on {n:,} of them, and what all of "
        "them need is extrapolated"
    )
    yield of_a_sample
    yield Estimated(needed.estimate_s, needed.stages)
    use_threads(options.threads)
    profile = yield from read_profile(journal, base, queries, options, title="read and profile the vectors")
    sample = draw(base, n, options.seed)
    of_sample = yield from journal.stage(
        "profile-sample",
        "profile the sample",
        Profile,
        partial(scan, sample.vectors, profile.metric, seed=options.seed),
    )
    posed = yield from pose(
        journal,
        sample.vectors,
        queries,
        for_sample(options, n, base.n),
        work,
        profile=replace(of_sample, norm_max=profile.norm_max, metric_reason=profile.metric_reason),
        # what is told of the data is told of all rows
        accept=lambda _, query_set: accept_data(base, options.rerank_store, profile, query_set),
        put_back=True,
    )
    held_out = sample.rows[np.array(posed.query_set.held_out_rows, dtype=np.int64)]
    left_out = np.union1d(held_out, rows_without_direction(base, profile))
    whole = WholeFile(base, profile, left_out)
    warnings = (of_a_sample, *doubts_of(base, profile, posed.query_set))
    return Prepared(journal, needed, posed, warnings, started_s, whole)


def _just(n: int) -> Steps[int]:
    yield 1.0
    return n


def _result(prepared: Prepared, modelled: Model, measured: Measured) -> Generator[Event, None, Result]:
    """Yield events; return the result of the sample, and what its answer needs at the size of the file."""
    problem, journal, whole = measured.problem, prepared.journal, prepared.whole
    assert isinstance(whole, WholeFile)  # noqa: S101 - only samples come here
    found, expected = answer(measured), None
    parts: tuple[PartCurves, ...] = ()
    if found.found:
        Ms = sorted({point.configuration.M for point in measured.timed.points})
        ladder = ladders(modelled.curves, Ms, problem.aim, problem.options.space.ef_search_max)
        parts = yield from journal.stage(
            "parts",
            "graphs of parts of the sample, for what more rows need",
            tuple[PartCurves, ...],
            partial(measure_parts, problem, modelled.proxy, modelled.graph, ladder),
        )
        ceilings = yield from journal.stage(
            "ceilings-sample",
            "what the codecs lose in the sample",
            tuple[Ceiling, ...],
            partial(sample_ceilings, modelled, measured),
        )
        points = expected_points(whole.n, modelled, measured, parts, ceilings)
        found, expected = answer_at(whole.n, measured, points)
    if expected is None:
        found = closest(problem, list(measured.points), measured.timed.points)
    advice = () if expected else advice_not_reached(problem, list(found.points), modelled.evaluation.ceilings)
    delivered = Delivered(found, None, (), None, tuple(advice), peak_rss_bytes(), None)
    result = sweep_result(prepared, modelled, measured, delivered)
    if expected is None:
        return result
    source = whole.profile.source
    extrapolation = extrapolation_of(whole.n, source, problem, parts, expected)
    return replace(result, status="extrapolated", extrapolation=extrapolation)
