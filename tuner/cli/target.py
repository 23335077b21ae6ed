"""``tune --target ENGINE``: the sweep, then the engine itself; what is written and shown."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import click
from rich.table import Table

from tuner.cli.draw import Screen, follow
from tuner.cli.folders import claimed
from tuner.cli.outputs import show_text
from tuner.cli.stop import Stopping
from tuner.data.vectors import Vectors
from tuner.engine_jobs import tune_for
from tuner.engines import Engine, write_exported
from tuner.engines.export import suffix
from tuner.errors import InputError
from tuner.report.engines import POINT_HEAD, point_row, target_sentences, target_to_json
from tuner.report.page.jobs import target_to_html
from tuner.runtime.journal import write_atomically
from tuner.types import Options, Result, TargetResult

HONEST_NO = 1
SWEEP = "sweep"
TARGET_REPORT, TARGET_PAGE = "engine.json", "engine.html"


def refuse_with_target(options: Options, *, resume: bool, filters: list[str]) -> None:
    """Raise InputError for options that mean nothing beside --target.

    Args:
        filters: options that give filters.
    """
    for name, given in (
        *((option, True) for option in filters),
        ("--resume", resume),
        ("--exhaustive", options.exhaustive),
        ("--time-budget", options.time_budget_s is not None),
        ("--rerank-store disk", options.rerank_store == "disk"),
        ("--duplicates collapse", options.duplicates == "collapse"),
        ("--baseline hnswlib", options.baseline == "hnswlib"),
    ):
        if given:
            raise InputError(f"{name} and --target exclude each other: leave one of them out")


def run_target(
    engine: Engine,
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    out: Path,
    *,
    earlier: Result | None = None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Tune for one engine, write its configuration to ``out``, show it, and return the exit code."""
    screen, work = Screen(stderr=True), out / "work"
    stopping = click.get_current_context().ensure_object(Stopping)
    with claimed(out, work), stopping.during(lambda: "stopped", partial(_clean, engine, work)):
        sweep_out = out / SWEEP
        sweep_out.mkdir(parents=True, exist_ok=True)
        try:
            events = tune_for(engine, base, queries, options, sweep_out, work, earlier)
            result = follow(events, screen, quiet=quiet, whole=False)
            written = _write(engine, result, out)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    if not quiet:
        show_text(screen, f"{', '.join(written)} in {out}")
    if as_json:
        click.echo(target_to_json(result), nl=False)
    if not (as_json and quiet):
        _show(engine, result, Screen(stderr=as_json))
    return HONEST_NO if result.status == "not_reached" else 0


def _clean(engine: Engine, work: Path) -> None:
    shutil.rmtree(work, ignore_errors=True)
    engine.reap_orphans()


def _write(engine: Engine, result: TargetResult, out: Path) -> list[str]:
    config = out / f"{engine.name}{suffix(engine)}"
    names = [TARGET_REPORT, TARGET_PAGE, SWEEP + "/"]
    write_atomically(out / TARGET_REPORT, target_to_json(result).encode())
    write_atomically(out / TARGET_PAGE, target_to_html(engine.capabilities.title, result).encode())
    if result.exported is None:
        config.unlink(missing_ok=True)  # of an earlier run
        return names
    write_exported(engine, result.exported, config)
    return [config.name, *names]


def _show(engine: Engine, result: TargetResult, screen: Screen) -> None:
    if result.points:
        table = Table(box=None, pad_edge=False)
        for title in POINT_HEAD:
            table.add_column(title, justify="left" if title == "codec" else "right")
        for point in result.points:
            table.add_row(*point_row(point))
        if result.default_comparison is not None:
            table.add_row(*point_row(result.default_comparison.point, "its default: "))
        screen.print(table)
    for line in target_sentences(engine.capabilities.title, result):
        show_text(screen, line)
