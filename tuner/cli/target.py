"""``tune --target ENGINE``: the sweep, then the engine itself; what is written and shown."""

from __future__ import annotations

import shutil
from pathlib import Path

import click
from rich.table import Table

from tuner.api.result import read_report
from tuner.cli.draw import Screen, follow
from tuner.cli.folders import claimed
from tuner.cli.outputs import show_text
from tuner.data.vectors import Vectors
from tuner.engine_jobs import EnginePoint, TargetResult, tune_for
from tuner.engine_jobs.outputs import target_to_json
from tuner.engines import Engine, write_exported
from tuner.engines.export import suffix
from tuner.errors import InputError
from tuner.runtime.journal import write_atomically
from tuner.types import Options

HONEST_NO = 1
SWEEP = "sweep"


def refuse_with_target(options: Options, *, resume: bool, dry_run: bool) -> None:
    """Raise InputError for options that mean nothing beside --target."""
    for name, given in (
        ("--resume", resume),
        ("--dry-run", dry_run),
        ("--exhaustive", options.exhaustive),
        ("--time-budget", options.time_budget_s is not None),
        ("--rerank-store disk", options.rerank_store == "disk"),
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
    earlier: Path | None = None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Tune for one engine, write its configuration to ``out``, show it, and return the exit code."""
    screen, work = Screen(stderr=True), out / "work"
    known = None if earlier is None else read_report(earlier)
    with claimed(out, work):
        sweep_out = out / SWEEP
        sweep_out.mkdir(parents=True, exist_ok=True)
        try:
            events = tune_for(engine, base, queries, options, sweep_out, work, known)
            result = follow(events, screen, quiet=quiet)
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


def _write(engine: Engine, result: TargetResult, out: Path) -> list[str]:
    config = out / f"{engine.name}{suffix(engine)}"
    names = ["engine.json", SWEEP + "/"]
    write_atomically(out / "engine.json", target_to_json(result).encode())
    if result.exported is None:
        config.unlink(missing_ok=True)  # of an earlier run
        return names
    write_exported(engine, result.exported, config)
    return [config.name, *names]


def _show(engine: Engine, result: TargetResult, screen: Screen) -> None:
    if result.points:
        table = Table(box=None, pad_edge=False)
        for title in ("codec", "M", "ef", "re-score", "recall", "lower", "predicted", "MB", "us"):
            table.add_column(title, justify="left" if title == "codec" else "right")
        for point in result.points:
            table.add_row(*_row(point))
        if result.beside is not None:
            table.add_row(*_row(result.beside.point, "its default: "))
        screen.print(table)
    for line in sentences(engine, result):
        show_text(screen, line)


def _row(point: EnginePoint, before: str = "") -> tuple[str, ...]:
    settings = point.settings
    return (
        before + settings.codec,
        str(settings.M),
        str(settings.ef_search),
        f"x{settings.oversampling}" if settings.oversampling > 1 else "-",
        f"{point.validated.mean:.4f}",
        f"{point.validated.lower:.4f}",
        "-" if point.predicted_recall is None else f"{point.predicted_recall:.4f}",
        f"{point.index_bytes / 1e6:.1f}",
        f"{1e6 * point.latency.mean_s:,.0f}",
    )


def sentences(engine: Engine, result: TargetResult) -> list[str]:
    """Return the answer in words."""
    can = engine.capabilities
    if result.status == "exact":
        return [f"so few vectors that exact search is the answer: {can.title} needs no HNSW index for them"]
    if result.status == "exported" and result.exported is not None:
        claims = result.exported.claims
        return [
            f"{can.title} does not run here: {claims.label} was measured in {claims.measured_in} with native "
            f"graphs, recall {claims.recall:.4f} (at least {claims.recall_lower:.4f}); NOT verified on a "
            "running server",
            *(f"warning: {warning}" for warning in result.warnings),
        ]
    if result.chosen is None:
        best = max((point.validated.mean for point in result.points), default=None)
        seen = "" if best is None else f"; the best that was seen is {best:.4f}"
        return [f"not reached in {can.title}{seen}"]
    chosen, beside = result.chosen, result.beside
    lines = [
        f"{can.title}: {chosen.settings.codec} with M={chosen.settings.M} and "
        f"ef_search={chosen.settings.ef_search} reaches recall {chosen.validated.mean:.4f} (at least "
        f"{chosen.validated.lower:.4f}), measured in {chosen.applied.version}"
    ]
    if beside is not None and beside.point.reaches_target:
        lines.append(
            f"its own default takes {beside.memory_ratio:.2f} x the memory and {beside.latency_ratio:.2f} x "
            "the time of that at the same target"
        )
    elif beside is not None:
        lines.append(
            "its own default misses the target, with the margin that a held-out half needs: "
            f"{beside.point.validated.mean:.4f}"
        )
    return lines
