"""How many rows a run can be made on, where memory or time are too little for all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tuner.data.vectors import Vectors
from tuner.errors import ResourceError
from tuner.sweep.plan import Plan, plan, refusal
from tuner.types import Options

FEWEST = 8_000
"""Rows of the smallest sample: its eighths are a thousand."""
TIGHT = 0.5
"""Share of the estimated time that a budget must have for all rows: with less, few points are measured."""


def rows_that_fit(base: Vectors, queries: Vectors | None, options: Options, work: Path) -> int | None:
    """Return the rows of the largest sample that fits the limit on memory and the time budget.

    None where everything fits, neither is limited, or a run on all rows is better than on so few.

    Raises:
        InputError: no index could meet the limits.
        ResourceError: neither all rows nor the smallest sample fit.
    """
    limited = options.run_memory_bytes is not None or options.time_budget_s is not None
    if not limited:
        return None
    needed = plan(base, queries, options, work)
    if not refusal(needed, options, TIGHT * needed.estimate_s):
        return None
    low, high = FEWEST, base.n
    if base.n <= FEWEST:
        return None
    if not _fits(base, queries, options, work, low):
        if reason := refusal(needed, options, needed.least_s):
            raise ResourceError(f"{reason}, which no sample of {FEWEST:,} rows fits either: raise it")
        return None
    while high - low > low // 100:
        middle = (low + high) // 2
        low, high = (middle, high) if _fits(base, queries, options, work, middle) else (low, middle)
    return low


def plan_of_sample(base: Vectors, queries: Vectors | None, options: Options, work: Path, n: int) -> Plan:
    """Return the plan of a run on ``n`` rows; of a sample, with graphs of parts and a look at all rows."""
    if n == base.n:
        return plan(base, queries, options, work)
    options = for_sample(options, n, base.n)
    return plan(replace(base, n=n), queries, options, work, sample_of=base.n)


def for_sample(options: Options, n: int, n_whole: int) -> Options:
    """Return the options of a run on ``n`` of so many rows: a limit on the index is a share of it."""
    most = options.max_memory_bytes
    return replace(options, max_memory_bytes=None if most is None else max(1, most * n // n_whole))


def _fits(base: Vectors, queries: Vectors | None, options: Options, work: Path, n: int) -> bool:
    needed = plan_of_sample(base, queries, options, work, n)
    return not refusal(needed, options, needed.estimate_s)
