"""A check from end to end: the data looked at, the index opened or built, measured, and judged."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.gate.baseline import BaselineData, BaselineQueries, GateBaseline, machine_of
from tuner.gate.rebuild import fitting, options_of, rebuilt
from tuner.gate.subject import IndexUnderTest, changed_share, open_index
from tuner.gate.verdict import (
    CheckResult,
    Limits,
    Use,
    growth_line,
    power_line,
    recall_line,
    target_line,
    use_line,
)
from tuner.index.files.faiss import layers_of, links_of_level_0
from tuner.recall.metric import exact_distances, is_right
from tuner.recall.paired import Power, churn_beside, drop_between, upper_bound, variance_per_drop
from tuner.recall.target import summarize
from tuner.runtime.journal import Journal
from tuner.runtime.machine import (
    describe_machine,
    describe_versions,
    now,
)
from tuner.runtime.timing import BLOCK, interleave
from tuner.sweep.pose import pose
from tuner.sweep.problem import Problem
from tuner.types import Event, Line, Note, Profile, QuerySet

LOWERED = (2 / 3, 0.4, 0.2)
"""Shares of ef_search at which lost hits are looked at, until there are some."""
USUAL_SPREAD = 2.0
"""Variance a drop, in units of one hit, where nothing could be made to be lost."""
FEW_EMPTY, EMPTY_NODES = 3, 0.001
"""Nodes without a link, in number and as a share, that are not taken for damage."""
SLOWER = 0.10
"""Beyond what the same index differs from itself by, so much more time is worth a warning."""
STALE = 0.01
TIMED_QUERIES = 256
ROUNDS = 6


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """What the user asked for.

    Attributes:
        index: a faiss index file; None builds the frozen configuration again.
        ef_search: instead of what the index file or the baseline says.
        new_data: the vectors changed on purpose: other fingerprints are no mistake.
        threads: to build and to find exact neighbours with; 0 means all cores.
    """

    limits: Limits = field(default_factory=Limits)
    index: Path | None = None
    ef_search: int | None = None
    new_data: bool = False
    threads: int = 0


def check(
    baseline: GateBaseline, base: Vectors, queries: Vectors | None, request: CheckOptions, work: Path
) -> Generator[Event, None, CheckResult]:
    """Yield events; return what was found. Scratch files go to ``work``, which the caller removes.

    Raises:
        InputError: this cannot be judged: other data, other queries, no index.
        ResourceError: too little memory or disk.
    """
    options = options_of(baseline, request.threads)
    _check_query_source(baseline, queries)
    lines: list[Line] = []

    def accept(profile: Profile, query_set: QuerySet) -> Iterator[Event]:
        changed = _changes(baseline, profile, query_set, request)
        text = changed or "the vectors and queries of the baseline"
        lines.append(Line("data", "info" if changed else "pass", text))
        yield Note(text)

    journal = Journal(work, {}, resume=False)
    posed = yield from pose(journal, base, queries, options, work, accept=accept)
    problem, profile, query_set = posed.problem, posed.profile, posed.query_set
    if request.index is None:
        opened = yield from rebuilt(journal, problem, profile, query_set, baseline)
    else:
        what = baseline.configuration
        opened = open_index(
            request.index, problem.base, base.d, what.rerank_factor, on_disk=what.rerank_at == "disk"
        )
    if request.ef_search is not None:
        opened.set_ef(request.ef_search)
    if opened.from_file:
        lines += _inspected(opened, baseline, problem)
    yield Note(f"measure it on {len(problem.validate):,} held-out queries")
    return _judged(problem, opened, baseline, request.limits, lines, profile, query_set)


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
    n = queries.n_tune + queries.n_validate
    if n != baseline.queries.n or queries.n_validate != baseline.queries.n_validate:
        raise InputError(
            f"{queries.source}: {n:,} queries, the baseline has {baseline.queries.n:,}, and they are "
            "compared one by one: give the same queries in the same order"
        )
    if baseline.queries.held_out and profile.n != baseline.data.n:
        raise InputError(
            f"{profile.source}: {profile.n:,} rows, the baseline has {baseline.data.n:,}, and its queries "
            "were rows drawn from them: freeze a baseline with a query file, or tune again"
        )
    if baseline.queries.split and queries.split != baseline.queries.split:
        raise InputError(
            "the queries are drawn or split otherwise than when the baseline was frozen (another version of "
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


# ---------------------------------------------------------------- an index file, looked into


def _inspected(opened: IndexUnderTest, baseline: GateBaseline, problem: Problem) -> list[Line]:
    """Return what an index file says of itself, against the baseline."""
    graph = opened.graph
    if graph is None:
        return []
    other = _differences(opened, baseline, problem)
    lines = [
        Line("configuration", "fail" if other else "pass", "; ".join(other) or f"{baseline.label}, as frozen")
    ]
    same = opened.ef_search == baseline.ef_search
    asked = f"{opened.ef_search}, {baseline.ef_search} was frozen"
    lines.append(Line("ef_search", "pass" if same else "fail", asked))
    n_empty = int((links_of_level_0(graph) == 0).sum())
    cut = n_empty > max(FEW_EMPTY, EMPTY_NODES * graph.ntotal)
    lines.append(Line("graph", "fail" if cut else "pass", f"{n_empty:,} nodes have no link"))
    changed = changed_share(opened, problem.options.seed)
    if changed is None:
        lines.append(Line("content", "info", "not looked at: this index does not give its vectors back"))
    else:
        text = f"{changed:.1%} of the vectors that were looked at are not those of the base"
        lines.append(Line("content", "fail" if changed > STALE else "pass", text))
    return lines


def _differences(opened: IndexUnderTest, baseline: GateBaseline, problem: Problem) -> list[str]:
    """Return in words how an HNSW index differs from the frozen configuration."""
    graph, what = opened.graph, baseline.configuration
    assert graph is not None  # noqa: S101 - the caller looked
    found = [
        ("vectors", graph.ntotal, problem.base.n),
        ("links a node (M)", graph.hnsw.nb_neighbors(1), what.M),
        ("bytes a code", opened.code_bytes, baseline.code_bytes),
        ("metric", _metric_name(graph.metric_type), "L2"),
    ]
    layers = layers_of(opened.index)
    factors = [round(each.k_factor) for each in layers if hasattr(each, "k_factor")]
    found.append(("re-ranking factor", factors[0] if factors else 1, what.rerank_factor))
    return [f"{name} {now}, {before} was frozen" for name, now, before in found if now != before]


def _metric_name(metric_type: int) -> str:
    return {0: "inner product", 1: "L2"}.get(metric_type, str(metric_type))


# ---------------------------------------------------------------- measured and judged


def _judged(
    problem: Problem,
    opened: IndexUnderTest,
    baseline: GateBaseline,
    limits: Limits,
    lines: list[Line],
    profile: Profile,
    query_set: QuerySet,
) -> CheckResult:
    hits, ndis, use = _measured(problem, opened)
    k, confidence = baseline.k, baseline.confidence
    recall = summarize(hits, k, confidence)
    drop = drop_between(baseline.hit_array, hits, k, confidence)
    per_drop = _variance_per_drop(problem, opened, hits)
    power = Power(
        n_queries=len(hits),
        allowed=limits.recall,
        confidence=confidence,
        churn=churn_beside(drop, per_drop),
        per_drop=per_drop,
    )
    latency_s, latency_line = _timed(problem, opened, baseline)
    lines = [
        *lines,
        use_line(use),
        recall_line(drop, recall, baseline, limits.recall),
        target_line(upper_bound(hits, k, confidence), recall, baseline),
        growth_line("ndis", ndis, baseline.ndis_per_query, limits.ndis, "distances a query"),
        _memory_line(problem, opened, baseline, profile, limits),
        latency_line,
        power_line(power),
    ]
    what = fitting(baseline, problem.base)
    updated = replace(
        baseline,
        created=now(),
        label=what.label,
        configuration=what,
        ef_search=opened.ef_search,
        data=BaselineData.of(profile),
        queries=BaselineQueries.of(query_set),
        measured_recall=recall.mean,
        measured_lower=recall.lower,
        ndis_per_query=ndis,
        bytes={"total": opened.index_bytes, "codes": opened.code_bytes * problem.base.n},
        latency_s=latency_s,
        machine=machine_of(describe_machine()),
        versions=describe_versions(),
        hits=tuple(int(count) for count in hits),
    )
    return CheckResult(
        lines=tuple(lines),
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


def _memory_line(
    problem: Problem, opened: IndexUnderTest, baseline: GateBaseline, profile: Profile, limits: Limits
) -> Line:
    """Judge the bytes of the index: each vector's, because their number may have changed on purpose."""
    if profile.d != baseline.data.d:
        text = f"{opened.index_bytes:,} bytes; not compared, the vectors have other columns"
        return Line("memory", "info", text)
    before = baseline.bytes["total"] * problem.base.n / baseline.n_indexed
    return growth_line("memory", opened.index_bytes, before, limits.memory, "bytes")


def _measured(problem: Problem, opened: IndexUnderTest) -> tuple[NDArray[np.int64], float, Use]:
    """Return hits of the held-out queries, distance computations a query, and the proof of use."""
    half, k = problem.validate, problem.options.k
    raw = problem.raw[half]
    ids, ndis = opened.search(raw, k)
    hits = problem.hits(ids, half)
    ef_search = opened.ef_search
    opened.set_ef(1)
    first, starved_ndis = opened.search(raw, 1)
    opened.set_ef(ef_search)
    nearest = _nearest(problem)
    use = Use(
        n=problem.base.n,
        ndis=ndis,
        starved_ndis=starved_ndis,
        nearest=float(_finds(problem, ids[:, :1], nearest).mean()),
        starved_nearest=float(_finds(problem, first, nearest).mean()),
        kind="" if opened.graph is not None else type(layers_of(opened.index)[-1]).__name__,
    )
    return hits, ndis, use


def _nearest(problem: Problem) -> NDArray[np.float64]:
    """Return the exact distance (nq,) of each held-out query's nearest row."""
    truth = problem.truth.part(problem.validate)
    near = truth.ids[:, : truth.right.shape[1]]
    distances = exact_distances(problem.base.x, problem.queries[problem.validate], near)
    nearest: NDArray[np.float64] = distances.min(axis=1)
    return nearest


def _finds(problem: Problem, ids: NDArray[np.int64], nearest: NDArray[np.float64]) -> NDArray[np.bool_]:
    distances = exact_distances(problem.base.x, problem.queries[problem.validate], ids)
    return is_right(distances, nearest)[:, 0]


def _variance_per_drop(problem: Problem, opened: IndexUnderTest, hits: NDArray[np.int64]) -> float:
    """Return the variance that a drop brings with it, from hits that a lower ef_search really loses."""
    half, k = problem.validate, problem.options.k
    ef_search = opened.ef_search
    found = None
    for share in LOWERED:
        if found is None:
            opened.set_ef(max(1, round(share * ef_search)))
            ids, _ = opened.search(problem.raw[half], k)
            found = variance_per_drop(hits, problem.hits(ids, half), k)
    opened.set_ef(ef_search)
    return found if found is not None else USUAL_SPREAD / k


def _timed(problem: Problem, opened: IndexUnderTest, baseline: GateBaseline) -> tuple[float, Line]:
    """Return seconds a query, and what they say beside the frozen ones: advice, never a failure."""
    queries = problem.raw[problem.validate[:TIMED_QUERIES]]
    k = problem.options.k

    def search(q: NDArray[np.float32]) -> object:
        return opened.index.search(q, k)

    timings = interleave(
        [search, search], queries, problem.options.seed, a_round=BLOCK, fewest=ROUNDS, most=ROUNDS
    )
    mean_s = timings.latency(0, 0).mean_s
    noise = max(abs(timings.ratio(1, 0) - 1), timings.error(1, 0))
    text = f"{1e6 * mean_s:.0f} us a query, the same index twice differs by {noise:.0%}"
    here = machine_of(describe_machine())
    if baseline.latency_s is None or baseline.machine != here:
        return mean_s, Line("latency", "info", f"{text}; not compared, the baseline is of another machine")
    change = mean_s / baseline.latency_s - 1
    slower = change > noise + SLOWER
    told = f"{text}; {change:+.0%} on the baseline, which judges nothing"
    return mean_s, Line("latency", "warn" if slower else "info", told)
