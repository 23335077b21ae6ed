"""A sweep as a command does it: its folders claimed, stopped in a sentence, its report written and shown."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import click

from tuner.cli.draw import Screen, follow
from tuner.cli.folders import FINISHED_STAGES, claimed, has_journal, remove_partial_files
from tuner.cli.following import next_command
from tuner.cli.outputs import show_text
from tuner.cli.stop import Stopping
from tuner.cluster.deliver import remove_shards
from tuner.errors import InputError, ResourceError
from tuner.report import result_to_json, show_result, write_report
from tuner.runtime.journal import FULL_DISK
from tuner.sweep.run import finish
from tuner.text import counted
from tuner.types import Event, Result

HONEST_NO = 1


def perform(
    ctx: click.Context,
    sweep: Generator[Event, None, Result],
    out: Path,
    work: Path,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run a sweep, write its report to ``out``, show it, and return the exit code."""
    screen = Screen(stderr=True)
    with ctx.ensure_object(Stopping).during(partial(_stopped, work), partial(remove_partial_files, out)):
        with claimed(out, work), _full_disk_in_words(work):
            result = follow(sweep, screen, quiet=quiet)
            written = write_report(result, out)
            if result.sharded is None:
                remove_shards(out)
            finish(work)
        if not quiet:
            names = ", ".join(path.name for path in written)
            show_text(screen, f"{names} in {out}")
    if as_json:
        click.echo(result_to_json(result), nl=False)
    if not (as_json and quiet):
        show_result(result, Screen(stderr=as_json), next_command(result, out, ctx.params))
    filters_missed = result.filters is not None and not result.filters.reaches_target
    return HONEST_NO if result.status == "not_reached" or filters_missed else 0


def check_stages(report: Path, work: Path, *, resume: bool, force: bool) -> None:
    """Raise InputError if there is nothing to resume, or finished stages would be removed unasked.

    Args:
        report: where the report of a run that has ended lies.
        work: folder of the stages.
        resume: whether to go on from them.
        force: whether to begin anew all the same.
    """
    n_stages = sum(1 for _ in work.rglob(FINISHED_STAGES))
    if n_stages and not resume and not force:
        raise InputError(
            f"{work} has {counted(n_stages, 'finished stage')} of a run that was stopped: go on with "
            "--resume, or begin anew with --force"
        )
    if not resume or has_journal(work):
        return
    if report.exists():
        raise InputError(
            f"{report} is there: its run ended, and left nothing to resume; run again with --force"
        )
    raise InputError(f"{work}: no journal of an earlier run to resume; run without --resume")


@contextmanager
def _full_disk_in_words(work: Path) -> Iterator[None]:
    """Say how a run goes on whose disk was full.

    Raises:
        ResourceError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL_DISK:
            raise
        sentence = f"{error.filename or work}: {error.strerror}: make room there, or choose another place"
        if any(work.rglob(FINISHED_STAGES)):
            sentence += "; the same command with --resume goes on from the stages that were finished"
        raise ResourceError(sentence) from None


def _stopped(work: Path) -> str:
    """Return what a stopped run tells the user."""
    kept = f"finished stages are in {work}: the same command with --resume goes on from there"
    return f"stopped; {kept if has_journal(work) else 'no stage was finished'}"
