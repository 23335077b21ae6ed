"""A run rehearsed, ``--dry-run``: whatever can be checked in seconds is, and nothing is built or written."""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

from tuner.data.checks import check_inputs
from tuner.data.profile import check_queries, rows_without_direction, scan
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.report.words import bytes_text, seconds_text
from tuner.runtime.journal import Journal
from tuner.runtime.timing import call_overhead_s
from tuner.sweep.codec_space import views_in_order
from tuner.sweep.plan import SMALL, check_resources, plan
from tuner.sweep.pose import draw_queries
from tuner.sweep.prepare import accept_data, with_sensible_space
from tuner.types import Event, Options, Profile


def rehearse(
    base: Vectors, queries: Vectors | None, options: Options, work: Path, scratch: Path
) -> Generator[Event, None, tuple[str, ...]]:
    """Yield what is known of the data; return the lines of the plan, everything checked but the building.

    Args:
        work: scratch folder of the run, which is not made.
        scratch: empty folder of the rehearsal itself, which the caller removes.

    Raises:
        InputError: base, queries and options do not fit, or no index could meet the limits.
        ResourceError: too little memory, disk or time.
    """
    check_inputs(base, queries, options)
    options = yield from with_sensible_space(options, base.d)
    needed = plan(base, queries, options, work)
    check_resources(needed, options, work)
    refuse_hopeless_limits(options, needed.n_indexed, base.d)
    journal = Journal(scratch, {}, resume=False)
    reading = partial(scan, base, options.metric, seed=options.seed)
    profile = yield from journal.stage("profile", "read and profile the vectors", Profile, reading)
    if queries is not None:
        check_queries(base, queries, profile.metric)
    _, query_set, _ = draw_queries(base, queries, profile, options, rows_without_direction(base, profile))
    yield from accept_data(base, options.rerank_store, profile, query_set)
    return needed.lines


def refuse_hopeless_limits(options: Options, n: int, d: int) -> None:
    """Raise InputError where no index of the space is so small, or no search so fast.

    Args:
        n: number of indexed vectors.
        d: dimensions of a vector.
    """
    least = smallest_bytes(options, n, d)
    limits = (
        options.max_memory_bytes,
        None if options.max_memory_per_vector is None else n * options.max_memory_per_vector,
    )
    limit = min((each for each in limits if each is not None), default=None)
    if limit is not None and limit < least:
        raise InputError(
            f"max_memory is {bytes_text(round(limit))}, but codes and links of the smallest index of this "
            f"space take {bytes_text(least)} ({least / n:,.0f} bytes per vector): raise it, or give fewer "
            "vectors"
        )
    if options.max_latency_s is not None and options.max_latency_s < (call_s := call_overhead_s(d)):
        raise InputError(
            f"max_latency is {seconds_text(options.max_latency_s)}, but the call of a search takes "
            f"{seconds_text(call_s)} before it has looked at a vector: raise it"
        )


def smallest_bytes(options: Options, n: int, d: int) -> int:
    """Return the least bytes of codes, links and levels that an index of the space can have."""
    if n <= SMALL:
        return 4 * n * d
    code_bytes = min(view.quantizer.code_bytes for view in views_in_order(options, d))
    return n * (code_bytes + 8 * min(options.space.M) + 12)
