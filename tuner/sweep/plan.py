"""What a run will do and need, before it does anything: ``--dry-run`` and the checks of memory and disk."""

from __future__ import annotations

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
from tuner.sweep.filters.made_up import MOST_BYTES
from tuner.sweep.forecast import expected_stages, on_this_machine, stages_of_sample
from tuner.sweep.hopeless import refuse_hopeless_limits, refuse_hopeless_target
from tuner.sweep.nested import BUILDS
from tuner.sweep.stage_options import is_native
from tuner.text import counted
from tuner.types import ExpectedStage, Options

MEGABYTE = 1e6
HASH_BYTES = 8
"""Bytes a row of the whole file while repeated rows are counted."""
FILTERS_BYTES = 2 * MOST_BYTES
"""Bytes that made-up filters and the candidates that are compared under them take."""
LEAST_SHARE = 0.1
"""A budget below this share of the expected time is refused: the guess is of a machine that may be slower."""


@dataclass(frozen=True)
class Plan:
    """What a run needs, by arithmetic; seconds are a rough guess.

    Attributes:
        n_configurations: combinations of M, codec, cut and re-ranking that are predicted.
        n_indexed: number of vectors that are indexed.
        peak_bytes: memory beyond the interpreter and its libraries.
        disk_bytes: scratch and result, at their largest.
        stages: expected seconds of each stage, on this machine as it is now.
        least_s: seconds below which no time budget can be kept.
    """

    n_configurations: int
    n_indexed: int
    n_queries: int
    peak_bytes: int
    disk_bytes: int
    stages: tuple[ExpectedStage, ...]
    least_s: float
    lines: tuple[str, ...]

    @property
    def estimate_s(self) -> float:
        """Expected seconds of the whole run."""
        return sum(stage.wall_s for stage in self.stages)


def plan(
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    work: Path,
    *,
    sample_of: int = 0,
    filtered: bool = False,
) -> Plan:
    """Return the plan of a run.

    Args:
        sample_of: number of rows of the file that the base is a sample of, 0 where it is all of it.
        filtered: whether queries have filters of the user.

    Raises:
        HopelessTargetError: no index could be shown to meet the target with so few queries.
        InputError: no index could meet the limits.
    """
    options = replace(options, space=sensible(options.space, base.d))
    held_out = n_held_out(base.n, options.n_queries, options.earlier)
    n_queries = queries.n if queries is not None else held_out
    n = base.n - (0 if queries is not None else n_queries)
    exact = is_exact_the_answer(options, n, base.n, base.d)
    if not exact:
        refuse_hopeless_target(options, n_queries)
    refuse_hopeless_limits(_known_limits(options), n, base.d)
    threads = options.threads or available_cores()
    M = options.space.most_links
    peak = _peak_bytes(n, base.d, n_queries, M) + HASH_BYTES * sample_of
    peak += FILTERS_BYTES * (filtered or bool(options.selectivity))
    program = psutil.Process().memory_info().rss
    disk = _disk_bytes(base, options, n, held_out=queries is None)
    at_once = min(threads, available_cores())
    expected = expected_stages(
        *(n, base.d, n_queries, options),
        threads=at_once,
        held_out=queries is None,
        exact=exact,
        filtered=filtered,
    )
    if sample_of:
        expected = stages_of_sample(expected, BUILDS, sample_of / n)
    stages = on_this_machine(expected)
    estimate = sum(stage.wall_s for stage in stages)
    least = LEAST_SHARE * sum(stage.wall_s for stage in expected)
    n_configurations = count_configurations(options, base.d)
    drawn = f", a sample of {sample_of:,} rows that do not fit the limits" if sample_of else ""
    lines = (
        f"{base.source}: {base.n:,} x {base.d} {base.dtype}{drawn}; {n:,} rows measured on, "
        f"{n_queries:,} queries "
        + (f"from {queries.source}" if queries is not None else "held out and put back at the end"),
        f"{counted(n_configurations, 'configuration')} predicted from 1 graph build (M={M}, "
        f"ef_construction={options.space.ef_construction}), the front of them measured",
        f"time: about {seconds_text(estimate)} on {counted(threads, 'thread')}, a rough guess",
        f"memory: about {(peak + program) / MEGABYTE:,.0f} MB at its peak, of which "
        f"{program / MEGABYTE:,.0f} MB are the program itself",
        f"disk: about {disk / MEGABYTE:.0f} MB in {work} while it runs",
    )
    return Plan(n_configurations, n, n_queries, peak, disk, stages, least, lines)


def _known_limits(options: Options) -> Options:
    """Return the options without limits that no one can check before rows are read: how many are distinct."""
    if options.duplicates != "collapse":
        return options
    return replace(options, max_memory_bytes=None, max_memory_per_vector=None)


def _peak_bytes(n: int, d: int, n_queries: int, M: int) -> int:
    """Return the memory beyond the program itself at its peak."""
    fp32, graph = 4 * n * d, n * (8 * M + 12)
    return int(fp32 + max(fp32, graph + n * d) + 8 * n_queries * d + (32 << 20))


def _disk_bytes(base: Vectors, options: Options, n: int, *, held_out: bool) -> int:
    """Return the bytes of scratch and result at their largest, where ``n`` rows are measured on."""
    M = options.space.most_links
    disk = int(4 * n * base.d + 2 * n * 8 * M + n * (4 * base.d + 8 * M + 12))
    if held_out:  # every row once more, to put those that were held out back
        disk += 4 * base.n * base.d + n * 8 * M
    if is_native(options):
        views = [view.codec for view in views_in_order(options, base.d)]
        n_views = sum(not options.native or codec in options.native for codec in views)
        disk += n_views * sum(n * (8 * each + 12) for each in options.space.M)
    return disk


def count_configurations(options: Options, d: int) -> int:
    """Return how many configurations the space holds at ``d`` dimensions, ef_search not counted."""
    space = options.space
    factors = space.rerank_factors
    rerankings = (1 in factors) + len(space.rerank_stores) * sum(factor > 1 for factor in factors)
    codecs = len(views_in_order(options, d))
    return len(space.M) * codecs * rerankings


def check_resources(needed: Plan, options: Options, work: Path) -> None:
    """Raise ResourceError if memory, disk or the time budget cannot hold the plan."""
    if reason := refusal(needed, options, needed.least_s):
        raise ResourceError(f"{reason}: raise it, or give fewer rows")
    available = psutil.virtual_memory().available
    if needed.peak_bytes > available:
        raise ResourceError(
            f"the run needs about {needed.peak_bytes / MEGABYTE:,.0f} MB of memory and "
            f"{available / MEGABYTE:,.0f} MB are free: give fewer rows, free some memory, or tune on a "
            "sample with --memory-limit"
        )
    free = free_bytes(work)
    if needed.disk_bytes > free:
        raise ResourceError(
            f"{work}: the run needs about {needed.disk_bytes / MEGABYTE:,.0f} MB of disk and "
            f"{free / MEGABYTE:,.0f} MB are free: give another --work folder or free some space"
        )


def refusal(needed: Plan, options: Options, least_s: float) -> str:
    """Return why the limit on memory or the time budget cannot hold the plan; empty where they can.

    Args:
        least_s: seconds that the budget must have.
    """
    limit, resident = options.run_memory_bytes, needed.peak_bytes + psutil.Process().memory_info().rss
    if limit is not None and resident > limit:
        return (
            f"the run needs about {resident / MEGABYTE:,.0f} MB of memory and the limit on it is "
            f"{limit / MEGABYTE:,.0f} MB"
        )
    budget = options.time_budget_s
    if budget is not None and budget < least_s:
        return (
            f"the time budget of {seconds_text(budget)} is below the about {seconds_text(needed.estimate_s)} "
            "that the one build and its measurements take"
        )
    return ""
