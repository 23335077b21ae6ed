"""Few vectors: exact search is the answer."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path

from tuner.runtime.journal import Journal, peak_rss_bytes
from tuner.runtime.machine import describe_machine, describe_versions
from tuner.sweep.deliver import deliver_exact
from tuner.sweep.problem import Problem
from tuner.types import Cost, Profile, QuerySet, Result

SMALL = 1000
"""A HNSW search at recall .95 computes about as many distances as there are rows here."""


def exact_result(
    problem: Problem, profile: Profile, query_set: QuerySet, journal: Journal, out: Path, started: float
) -> Result:
    """Write a flat index and return the result that says so."""
    size = deliver_exact(problem, out)
    return Result(
        status="exact",
        options=problem.options,
        profile=profile,
        queries=query_set,
        points=(),
        front=(),
        named={},
        recommendation=None,
        baseline=None,
        ceilings=(),
        curves=(),
        n_configurations=0,
        prediction_error=None,
        noise_floor=None,
        call_overhead_s=None,
        cost=Cost(
            wall_s=time.perf_counter() - started,
            cpu_s=sum(cost.cpu_s for cost in journal.costs),
            peak_rss_bytes=peak_rss_bytes(),
            n_graph_builds=0,
            n_indexes_measured=0,
            stages=tuple(journal.costs),
        ),
        machine=describe_machine(),
        versions=describe_versions(),
        advice=(
            f"{problem.base.n:,} rows are few: exact search computes {problem.base.n:,} distances a query, "
            f"about what a graph would, with recall 1; index.faiss is an exact index of {size / 1e6:.2f} MB",
        ),
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
