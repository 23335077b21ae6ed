"""Few vectors: exact search is the answer."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path

import faiss

from tuner.report.words import bytes_text, seconds_text
from tuner.runtime.machine import describe_machine, describe_versions, now
from tuner.runtime.peak import peak_rss_bytes
from tuner.runtime.timing import BLOCK, interleave
from tuner.sweep.index_file import deliver_exact, own_ids_of
from tuner.sweep.pose import PosedProblem, whole_base
from tuner.sweep.prepare import Prepared
from tuner.sweep.problem import Problem
from tuner.sweep.rows_indexed import collapsed_of
from tuner.types import Cost, Event, FloatArray, Recommendation, Result


def exact_result(prepared: Prepared, out: Path) -> Generator[Event, None, Result]:
    """Yield events; write a flat index of every row and return the result that says so."""
    problem, journal = prepared.problem, prepared.journal
    if prepared.posed.query_set.held_out_rows:
        every_row = yield from whole_base(journal, prepared.posed)
        problem = replace(problem, base=every_row)
    index, size = deliver_exact(problem, out)
    found = _recommendation(problem, index, size, _asked(prepared.posed))
    most_s = problem.options.max_latency_s
    fits = size <= problem.max_memory_bytes() and (most_s is None or found.latency_p95_s <= most_s)
    return Result(
        status="exact" if fits else "not_reached",
        options=problem.options,
        profile=prepared.posed.profile,
        queries=prepared.posed.query_set,
        points=(),
        front=(),
        named={},
        recommendation=found if fits else None,
        baseline=None,
        ceilings=(),
        curves=(),
        n_configurations=0,
        prediction_error=None,
        noise_floor=None,
        call_overhead_s=None,
        cost=Cost(
            wall_s=time.perf_counter() - prepared.started_s,
            cpu_s=sum(cost.cpu_s for cost in journal.costs),
            peak_rss_bytes=peak_rss_bytes(),
            n_graph_builds=0,
            n_indexes_measured=0,
            stages=tuple(journal.costs),
        ),
        machine=describe_machine(),
        versions=describe_versions(),
        warnings=tuple(warned.text for warned in prepared.warnings),
        advice=(
            f"for k = {problem.options.k:,} of {problem.base.n:,} rows exact search computes "
            f"{problem.base.n:,} distances a query, no slower than a graph, with recall 1; an exact "
            f"index takes {bytes_text(size)} ({size / problem.base.n_answers:,.0f} bytes per vector), p95 "
            f"{seconds_text(found.latency_p95_s)}",
        ),
        created=now(),
        own_ids=own_ids_of(prepared.posed.vectors, found),
        collapsed=collapsed_of(prepared.problem),
    )


def _asked(posed: PosedProblem) -> FloatArray:
    """Return queries (nq, d) to time; of so few vectors that none became one, whatever there is."""
    return posed.problem.raw if posed.problem.n_queries else posed.vectors.read(0, posed.vectors.n)


def _recommendation(problem: Problem, index: faiss.Index, size: int, queries: FloatArray) -> Recommendation:
    """Return exact search as an answer: no graph, so M, ef_construction and ef_search are 0.

    Args:
        queries: (nq, d) float32 that are timed.
    """
    n, answers, k = problem.base.n, problem.base.n_answers, problem.options.k
    latency = interleave([lambda q: index.search(q, k)], queries, 0, a_round=BLOCK).latency(0, 0)
    return Recommendation(
        M=0,
        ef_construction=0,
        ef_search=0,
        codec="fp32",
        dims=problem.base.d,
        cut="none",
        rerank=None,
        rerank_factor=1,
        rerank_at="memory",
        recall=1.0,
        recall_lower=1.0,
        memory_bytes=size,
        disk_bytes=0,
        memory_per_vector_bytes=size / answers,
        latency_mean_s=latency.mean_s,
        latency_p50_s=latency.p50_s,
        latency_p95_s=latency.p95_s,
        latency_p99_s=latency.p99_s,
        ndis_per_query=float(n),
        label="Flat",
        sentence=(
            f"Exact search of {n:,} vectors finds all of the true {k} nearest in {size / answers:.0f} bytes "
            f"per vector and {1e6 * latency.p50_s:.0f} us a query (median)."
        ),
    )
