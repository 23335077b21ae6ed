"""``tune build``, and ``tune run --since``: an earlier answer on newer or more vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from tuner.api.result import REPORT_NAME, read_report
from tuner.cli.complete import complete_file
from tuner.cli.folders import name_of
from tuner.cli.options import (
    COLUMN,
    FORCE,
    IDS,
    JSON,
    OUT,
    QUIET,
    RESUME,
    THREADS,
    WORK,
    refuse_base_as_queries,
)
from tuner.cli.outputs import refuse_to_replace
from tuner.cli.perform import check_stages, perform
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.runtime.process import dedicate_process
from tuner.sweep.again import Earlier, build_again, refuse_unlike, since

BESIDE_SINCE = ("file", "queries", "ids", "column", "since", "out", "work", "force", "resume", "threads")
SHOWING = ("as_json", "quiet")
"""Parameters of ``tune run`` that a report does not give."""


@click.command(short_help="Build what a run recommended again, on newer or more vectors.")
@click.argument("report", type=click.Path(path_type=Path))
@click.argument("file", shell_complete=complete_file)
@click.option(
    "--queries", metavar="FILE", shell_complete=complete_file, help="Queries, if REPORT was measured on some."
)
@IDS
@COLUMN
@OUT
@WORK
@FORCE
@RESUME
@THREADS
@JSON
@QUIET
@click.pass_context
def build(ctx: click.Context, /, *, report: Path, **given: Any) -> int:
    """Build what REPORT recommends on the vectors in FILE, with the ef_search that they need.

    REPORT is a run's report.json or its folder; target, limits and metric are its own. Nothing else is tried:
    `tune run --since REPORT FILE` says whether the answer still holds, and sweeps again if it does not. The
    exit code is 0 if the target is reached, 1 if it is not, 2 for bad input.
    """
    return build_from(ctx, report, **given, only_if_it_holds=False)


def build_from(
    ctx: click.Context,
    report: Path,
    *,
    file: str,
    queries: str | None,
    ids: str | None,
    column: str | None,
    out: Path | None,
    work: Path | None,
    threads: int,
    force: bool,
    resume: bool,
    as_json: bool,
    quiet: bool,
    only_if_it_holds: bool,
) -> int:
    """Build the answer of a report again; return the exit code.

    Args:
        only_if_it_holds: whether everything is swept again where the answer no longer holds.
    """
    earlier = Earlier(read_report(report), str(report))
    base, given = open_inputs(file, queries or None, ids, column)
    refuse_base_as_queries(file, queries, base, given)
    refuse_unlike(earlier, base, given)
    out = out or Path("tune-out", name_of(file))
    work = work or out / "work"
    if not resume:
        refuse_to_replace(out / REPORT_NAME, force=force, instead="give another --out")
    check_stages(out / REPORT_NAME, work, resume=resume, force=force)
    dedicate_process()
    job = since if only_if_it_holds else build_again
    sweep = job(earlier, base, given, threads, out, work, resume=resume)
    return perform(ctx, sweep, out, work, as_json=as_json, quiet=quiet)


def run_since(ctx: click.Context) -> int:
    """Do what ``tune run --since`` was asked for; return the exit code.

    Raises:
        InputError: an option is given that is taken from the report.
    """
    known = (*BESIDE_SINCE, *SHOWING)
    for parameter in ctx.command.params:
        name = parameter.name or ""
        if name not in known and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = parameter.opts[-1]
            raise InputError(
                f"--since takes its options from the report: leave {option} out, or run tune without --since"
            )
    given = {name: ctx.params[name] for name in known if name != "since"}
    return build_from(ctx, ctx.params["since"], **given, only_if_it_holds=True)
