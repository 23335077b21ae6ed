"""``tune --dry-run``: the plan of a run, after everything was checked that takes seconds."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tuner.cli.draw import Screen, follow
from tuner.cli.folders import refuse_unwritable
from tuner.cli.outputs import say
from tuner.cli.stop import Stopping, nothing
from tuner.data.vectors import Vectors
from tuner.engine_jobs import rehearse_for
from tuner.engines import Engine
from tuner.recall.allowed import GivenFilters
from tuner.sweep import rehearse
from tuner.types import Options, Result


def show_plan(
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    out: Path,
    work: Path,
    *,
    engine: Engine | None,
    earlier: Result | None,
    quiet: bool,
    filters: GivenFilters | None = None,
) -> int:
    """Print the plan of a run that would write to ``out`` and ``work``; make and write nothing there."""
    refuse_unwritable(out, work)
    stopping = click.get_current_context().ensure_object(Stopping)
    clean = nothing if engine is None else engine.reap_orphans
    with (
        tempfile.TemporaryDirectory(prefix="tune-dry-run-") as folder,
        stopping.during(lambda: "stopped", clean),
    ):
        scratch = Path(folder)
        if engine is None:
            events = rehearse(base, queries, options, work, scratch, filters)
        else:
            events = rehearse_for(engine, base, queries, options, work, scratch, earlier)
        for line in follow(events, Screen(stderr=True), quiet=quiet):
            say(line)
    return 0
