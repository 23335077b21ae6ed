"""A check from end to end: the data looked at, the index opened or built, measured, and judged."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.data.ids import describe_rows
from tuner.data.profile import rows_without_direction
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.gate.bands import check_filters_given, checked_bands
from tuner.gate.baseline import machine_of
from tuner.gate.inspect import code_bytes, inspect_file, list_beside
from tuner.gate.measure import measure, spread_per_drop, time_line
from tuner.gate.rebuild import fitting, options_of, rebuilt
from tuner.gate.verdict import growth_line, power_line, recall_line, target_line, use_line
from tuner.index.opened import IndexUnderTest, open_faiss, open_with_store
from tuner.index.own_ids import by_rows
from tuner.recall.allowed import GivenFilters
from tuner.recall.paired import Power, churn_beside, drop_between, upper_bound
from tuner.recall.target import summarize
from tuner.report.faiss_lines import STORE_FILE
from tuner.runtime.journal import Journal
from tuner.runtime.machine import describe_machine, describe_versions, now
from tuner.runtime.steps import as_progress
from tuner.sweep.pose import PosedProblem, draw_queries, pose, read_profile
from tuner.sweep.pose_within import pose_within
from tuner.sweep.problem import Problem
from tuner.types import (
    BaselineData,
    BaselineQueries,
    CheckOptions,
    CheckResult,
    Event,
    GateBaseline,
    Limits,
    Line,
    Note,
    Options,
    Profile,
    QuerySet,
    Recall,
)

MOSTLY = 0.5
"""Share of the held-out rows beyond which an index holds them on purpose."""


def check(
    baseline: GateBaseline,
    base: Vectors,
    queries: Vectors | None,
    request: CheckOptions,
    work: Path,
    filters: GivenFilters | None = None,
) -> Generator[Event, None, CheckResult]:
    """Yield events; return what was found. Scratch files go to ``work``, which the caller removes.

    Args:
        filters: the user's filters, where the baseline has bands of such.

    Raises:
        InputError: this cannot be judged: other data, other queries, no index.
        ResourceError: too little memory or disk.
    """
    options = options_of(baseline, request.threads)
    _check_query_source(baseline, queries)
    frozen = check_filters_given(baseline, filters, no_filters=request.no_filters)
    lines: list[Line] = []

    def accept(profile: Profile, query_set: QuerySet) -> Iterator[Event]:
        changed = _changes(baseline, profile, query_set, request)
        text = changed or "the vectors and queries of the baseline"
        if remark := describe_rows(base):
            text += f"; {remark}"
        lines.append(Line("data", "info" if changed else "pass", text))
        yield Note(text)

    journal = Journal(work, {}, resume=False)
    if baseline.queries.indexed:
        posed = yield from _posed_within(journal, base, options, accept, work)
    else:
        posed = yield from pose(journal, base, queries, options, work, accept=accept)
    problem = posed.problem
    opened = yield from _opened(journal, request, posed, baseline)
    if request.index is not None and problem.base.copies is not None:
        found = list_beside(request.index, problem.base, posed.vectors)
        opened = replace(opened, index_bytes=opened.index_bytes + found.n_bytes)
        lines.append(found.line)
    if request.ef_search is not None:
        opened.set_value(request.ef_search)
    if request.index is not None:
        lines += inspect_file(opened, baseline, problem, base)
    yield Note(f"measure it on {problem.n_queries:,} queries")
    result = _judged(posed, opened, baseline, request.limits, lines)
    if frozen is None:
        return result
    yield Note(f"measure its bands of filters ({frozen.source})")
    steps = checked_bands(posed, opened, baseline, frozen, filters, request)
    of_bands, frozen = yield from as_progress("filters", steps)
    return replace(result, lines=(*result.lines, *of_bands), updated=replace(result.updated, filters=frozen))


def _posed_within(
    journal: Journal,
    base: Vectors,
    options: Options,
    accept: Callable[[Profile, QuerySet], Iterable[Event]],
    work: Path,
) -> Generator[Event, None, PosedProblem]:
    """Yield events; return the problem of an index that holds the rows that the queries are."""
    profile = yield from read_profile(journal, base, None, options)
    _, query_set, order = draw_queries(base, None, profile, options, rows_without_direction(base, profile))
    query_set = replace(query_set, indexed=True)
    yield from accept(profile, query_set)
    rows = np.array(query_set.held_out_rows, dtype=np.int64)
    return (yield from pose_within(journal, base, profile, rows, query_set, order, options, work))


def _opened(
    journal: Journal, request: CheckOptions, posed: PosedProblem, baseline: GateBaseline
) -> Generator[Event, None, IndexUnderTest]:
    """Yield events; return the index of the file, or the frozen configuration built again."""
    problem, what = posed.problem, baseline.configuration
    if request.index is None:
        return (yield from rebuilt(journal, posed, baseline))
    if what.rerank_at == "disk":
        store = request.index.with_name(STORE_FILE)
        opened = open_with_store(request.index, store, problem.base.rows, posed.vectors.d, what.rerank_factor)
    else:
        opened = by_rows(open_faiss(request.index, posed.vectors.d), posed.vectors)
    _refuse_queries_in(opened, posed.query_set)
    return opened


def _refuse_queries_in(opened: IndexUnderTest, query_set: QuerySet) -> None:
    """Raise InputError if the index holds the queries of a baseline that was frozen without them."""
    held_out = query_set.held_out_rows
    if held_out and not query_set.indexed and np.isin(held_out, opened.ids).mean() > MOSTLY:
        raise InputError(
            f"{opened.source}: holds the {len(held_out):,} rows that were held out as queries, and the "
            "baseline was frozen without them: check the index as it was before they were added, or run tune "
            "again, whose index holds every row, and freeze that with tune baseline"
        )


def _check_query_source(baseline: GateBaseline, queries: Vectors | None) -> None:
    if baseline.queries.held_out and queries is not None:
        raise InputError(
            "the baseline's queries were rows of the base, and hits are compared query by query: "
            "leave --queries out"
        )
    if not baseline.queries.held_out and queries is None:
        raise InputError("the baseline was frozen with a query file: give the same one with --queries")


def _changes(baseline: GateBaseline, profile: Profile, queries: QuerySet, request: CheckOptions) -> str:
    """Return what differs from the frozen data, empty if nothing does.

    Raises:
        InputError: it differs and that was not said to be on purpose, or queries cannot be paired.
    """
    if queries.n != baseline.queries.n:
        raise InputError(
            f"{queries.source}: {queries.n:,} queries, the baseline has {baseline.queries.n:,}, and they are "
            "compared one by one: give the same queries in the same order"
        )
    if baseline.queries.held_out and profile.n != baseline.data.n:
        raise InputError(
            f"{profile.source}: {profile.n:,} rows, the baseline has {baseline.data.n:,}, and its queries "
            "were rows drawn from them: freeze a baseline with a query file, or tune again"
        )
    if baseline.queries.drawn and queries.drawn != baseline.queries.drawn:
        raise InputError(
            "the queries are drawn otherwise than when the baseline was frozen (another version of "
            "numpy or of this tool): make another with tune baseline report.json"
        )
    other = []
    if profile.fingerprint != baseline.data.fingerprint:
        was, is_now = f"{baseline.data.n:,} x {baseline.data.d}", f"{profile.n:,} x {profile.d}"
        other.append("other vectors" if was == is_now else f"other vectors ({is_now}, they were {was})")
    if not baseline.queries.held_out and queries.fingerprint != baseline.queries.fingerprint:
        other.append("other queries")
    if not other:
        return ""
    if not request.new_data:
        raise InputError(
            f"{profile.source}: {' and '.join(other)} than the baseline's: give the data that it was frozen "
            "on, or --new-data if the documents were embedded again on purpose"
        )
    return (
        f"{' and '.join(other)} than the baseline's: exact neighbours were found anew, and queries are "
        "compared by their position"
    )


# ---------------------------------------------------------------- measured and judged


def _judged(
    posed: PosedProblem,
    opened: IndexUnderTest,
    baseline: GateBaseline,
    limits: Limits,
    lines: list[Line],
) -> CheckResult:
    problem = posed.problem
    hits, ndis, use = measure(problem, opened)
    k, confidence = baseline.k, baseline.confidence
    recall = summarize(hits, k, confidence)
    drop = drop_between(baseline.hit_array, hits, k, confidence)
    per_drop = spread_per_drop(problem, opened, hits)
    power = Power(
        n_queries=len(hits),
        allowed=limits.recall,
        confidence=confidence,
        churn=churn_beside(drop, per_drop),
        per_drop=per_drop,
    )
    latency_s, latency_line = time_line(problem, opened, baseline)
    judged = (
        use_line(use, "" if opened.graph is not None else type(opened.core).__name__),
        recall_line(drop, recall, baseline, limits.recall),
        target_line(upper_bound(hits, k, confidence), recall, baseline),
        growth_line("ndis", ndis, baseline.ndis_per_query, limits.ndis, "distances a query"),
        _memory_line(problem, opened, baseline, posed.profile, limits),
        latency_line,
        power_line(power),
    )
    updated = _updated(posed, opened, baseline, recall, hits, ndis, latency_s)
    return CheckResult(
        lines=(*lines, *judged),
        label=baseline.label,
        recall=recall,
        drop=drop,
        ndis_per_query=ndis,
        index_bytes=opened.index_bytes,
        visible_drop=power.visible(),
        hits=updated.hits,
        updated=updated,
        latency_s=latency_s,
        machine=updated.machine,
        versions=updated.versions,
    )


def _updated(
    posed: PosedProblem,
    opened: IndexUnderTest,
    baseline: GateBaseline,
    recall: Recall,
    hits: NDArray[np.int64],
    ndis: float,
    latency_s: float,
) -> GateBaseline:
    """Return the baseline as it would be frozen now."""
    base = posed.problem.base
    what = fitting(baseline, base)
    return replace(
        baseline,
        created=now(),
        label=what.label,
        configuration=what,
        ef_search=opened.value,
        data=BaselineData.of(posed.profile, base.n_answers - base.n_delivered),
        queries=BaselineQueries.of(posed.query_set),
        measured_recall=recall.mean,
        measured_lower=recall.lower,
        ndis_per_query=ndis,
        bytes={"total": opened.index_bytes, "codes": code_bytes(opened) * base.n},
        latency_s=latency_s,
        machine=machine_of(describe_machine()),
        versions=describe_versions(),
        hits=tuple(int(count) for count in hits),
    )


def _memory_line(
    problem: Problem, opened: IndexUnderTest, baseline: GateBaseline, profile: Profile, limits: Limits
) -> Line:
    """Judge the bytes of the index: each vector's, because their number may have changed on purpose."""
    if profile.d != baseline.data.d:
        text = f"{opened.index_bytes:,} bytes; not compared, the vectors have other columns"
        return Line("memory", "info", text)
    before = baseline.bytes["total"] * problem.base.n / baseline.n_indexed
    return growth_line("memory", opened.index_bytes, before, limits.memory, "bytes")
