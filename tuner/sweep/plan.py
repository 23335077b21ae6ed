"""What a run will do and need, before it does anything: ``--dry-run`` and the checks of memory and disk."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from tuner.data.split import n_held_out
from tuner.data.vectors import Vectors
from tuner.errors import ResourceError
from tuner.report.words import seconds_text
from tuner.runtime.machine import available_cores, free_bytes
from tuner.sweep.codec_space import sensible, views_in_order
from tuner.sweep.few_rows import is_exact_the_answer
from tuner.sweep.hopeless import refuse_hopeless_limits, refuse_hopeless_target
from tuner.sweep.stage_options import is_native
from tuner.text import counted
from tuner.types import Options

SECONDS_A_ROW = 13e-6
"""Graph build at M=48, ef_construction=100 on SQ8 codes: a row costs about this times log2(n)."""
FIXED_S = 12.0
RUN_OVER_BUILD = 1.6
MEGABYTE = 1e6


@dataclass(frozen=True)
class Plan:
    """What a run needs, by arithmetic; seconds are a rough guess.

    Attributes:
        n_configurations: combinations of M, codec, cut and re-ranking that are predicted.
        n_indexed: number of vectors that are indexed.
        peak_bytes: memory beyond the interpreter and its libraries.
        disk_bytes: scratch and result, at their largest.
    """

    n_configurations: int
    n_indexed: int
    n_queries: int
    peak_bytes: int
    disk_bytes: int
    estimate_s: float
    lines: tuple[str, ...]


def plan(base: Vectors, queries: Vectors | None, options: Options, work: Path) -> Plan:
    """Return the plan of a run.

    Raises:
        HopelessTargetError: no index could be shown to meet the target with so few queries.
        InputError: no index could meet the limits.
    """
    options = replace(options, space=sensible(options.space, base.d))
    held_out = n_held_out(base.n, options.n_queries, options.earlier)
    n_queries = queries.n if queries is not None else held_out
    n = base.n - (0 if queries is not None else n_queries)
    if not is_exact_the_answer(options, n, base.n, base.d):
        refuse_hopeless_target(options, n_queries)
    known = options
    if options.duplicates == "collapse":  # how few rows are distinct is not known before they are read
        known = replace(options, max_memory_bytes=None, max_memory_per_vector=None)
    refuse_hopeless_limits(known, n, base.d)
    threads = options.threads or available_cores()
    M = options.space.most_links
    fp32, graph = 4 * n * base.d, n * (8 * M + 12)
    largest = max(fp32, graph + n * base.d)
    peak = int(fp32 + largest + 8 * n_queries * base.d + (32 << 20))
    program = psutil.Process().memory_info().rss
    disk = int(fp32 + 2 * n * 8 * M + n * (4 * base.d + 8 * M + 12))
    if queries is None:  # every row once more, to put those that were held out back
        disk += 4 * base.n * base.d + n * 8 * M
    if is_native(options):
        views = [view.codec for view in views_in_order(options, base.d)]
        n_views = sum(not options.native or codec in options.native for codec in views)
        disk += n_views * sum(n * (8 * each + 12) for each in options.space.M)
    build_s = SECONDS_A_ROW * n * math.log2(max(2, n)) * options.space.ef_construction / 100
    estimate = (RUN_OVER_BUILD * build_s + FIXED_S) / min(threads, 2)
    n_configurations = count_configurations(options, base.d)
    lines = (
        f"{base.source}: {base.n:,} x {base.d} {base.dtype}; {n:,} rows measured on, {n_queries:,} queries "
        + (f"from {queries.source}" if queries is not None else "held out and put back at the end"),
        f"{counted(n_configurations, 'configuration')} predicted from 1 graph build (M={M}, "
        f"ef_construction={options.space.ef_construction}), the front of them measured",
        f"time: about {estimate:.0f} s on {counted(threads, 'thread')}, a rough guess",
        f"memory: about {(peak + program) / MEGABYTE:,.0f} MB at its peak, of which "
        f"{program / MEGABYTE:,.0f} MB are the program itself",
        f"disk: about {disk / MEGABYTE:.0f} MB in {work} while it runs",
    )
    return Plan(n_configurations, n, n_queries, peak, disk, estimate, lines)


def count_configurations(options: Options, d: int) -> int:
    """Return how many configurations the space holds at ``d`` dimensions, ef_search not counted."""
    space = options.space
    factors = space.rerank_factors
    rerankings = (1 in factors) + len(space.rerank_stores) * sum(factor > 1 for factor in factors)
    codecs = len(views_in_order(options, d))
    return len(space.M) * codecs * rerankings


def check_resources(needed: Plan, options: Options, work: Path) -> None:
    """Raise ResourceError if memory, disk or the time budget cannot hold the plan."""
    available = psutil.virtual_memory().available
    limit, resident = options.run_memory_bytes, needed.peak_bytes + psutil.Process().memory_info().rss
    if limit is not None and resident > limit:
        raise ResourceError(
            f"the run needs about {resident / MEGABYTE:,.0f} MB of memory and the limit on it is "
            f"{limit / MEGABYTE:,.0f} MB: raise it, or give fewer rows"
        )
    if needed.peak_bytes > available:
        raise ResourceError(
            f"the run needs about {needed.peak_bytes / MEGABYTE:,.0f} MB of memory and "
            f"{available / MEGABYTE:,.0f} MB are free: give fewer rows or free some memory"
        )
    free = free_bytes(work)
    if needed.disk_bytes > free:
        raise ResourceError(
            f"{work}: the run needs about {needed.disk_bytes / MEGABYTE:,.0f} MB of disk and "
            f"{free / MEGABYTE:,.0f} MB are free: give another --work folder or free some space"
        )
    budget = options.time_budget_s
    if budget is not None and budget < 0.5 * needed.estimate_s:
        raise ResourceError(
            f"the time budget of {seconds_text(budget)} is below the about {needed.estimate_s:.0f} s that "
            "the one build and its measurements take: raise it, or give fewer rows"
        )
