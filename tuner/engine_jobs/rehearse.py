"""``--target --dry-run``: the engine started and stopped, the sweep rehearsed, and what would follow."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from tuner.data.vectors import Vectors
from tuner.engine_jobs.ready import ready_for
from tuner.engine_jobs.target import check_same
from tuner.engines import Engine
from tuner.sweep import rehearse
from tuner.types import Event, Options, Result


def rehearse_for(
    engine: Engine,
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    work: Path,
    scratch: Path,
    earlier: Result | None,
) -> Generator[Event, None, tuple[str, ...]]:
    """Yield what is known of the data; return the lines of the plan.

    Args:
        work: scratch folder of the run, which is not made.
        scratch: empty folder of the rehearsal itself, which the caller removes.
        earlier: a sweep of the same data to begin from; None sweeps what the engine can express.

    Raises:
        InputError: data, options and engine do not fit, or the engine is not installed.
        ResourceError: too little memory, disk or time.
    """
    ready = ready_for(engine, base, options, scratch)
    if earlier is not None:
        check_same(earlier, base, queries, ready.options)
    lines = yield from rehearse(base, queries, ready.narrowed, work, scratch / "sweep")
    codecs = ", ".join(codec.name for codec in ready.codecs)
    title = engine.capabilities.title
    if engine.open is None:
        return (*lines, f"{title} does not run here: the best point that it can express is written for it")
    if earlier is not None:
        lines = (lines[0], "no sweep: M begins with that of the report given with --sweep")
    return (
        *lines,
        f"{title} starts here: then codecs that could win are built and searched in it, out of {codecs}; "
        "the time above is without that",
    )
