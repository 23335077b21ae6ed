"""``tune engines``, ``tune export`` and ``tune verify``: what engines can, their configs, and the proof."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
from rich.table import Table

from tuner.cli.draw import Screen, follow
from tuner.cli.target import read_report
from tuner.data.vectors import open_vectors
from tuner.engine_jobs import VerifyOptions, VerifyResult, verify
from tuner.engine_jobs.outputs import to_json
from tuner.engines import (
    Capabilities,
    Exported,
    engine_names,
    find_engine,
    missing_modules,
    read_exported,
    write_exported,
)
from tuner.engines.export import claims_of, describe, render
from tuner.engines.translate import settings_of
from tuner.errors import InputError
from tuner.types import OperatingPoint, Result

NOT_VERIFIED, NOT_JUDGED = 1, 2
STYLES = {"pass": "green", "fail": "bold red", "info": "dim", "warn": "yellow"}
RUNS = {"library": "library", "embedded": "embedded", "server": "own server", "no": "export only"}


@click.command()
@click.argument("name", required=False)
def engines(name: str | None) -> int:
    """List what each engine can express, or all that is known of the one NAMEd."""
    screen = Screen()
    if name is not None:
        _show_engine(screen, find_engine(name).capabilities)
        return 0
    table = Table(box=None, pad_edge=False)
    for title in ("engine", "runs here", "codecs (nearest of faiss)", "M", "ef_search", "re-scoring"):
        table.add_column(title, overflow="fold")
    for each in engine_names():
        try:
            engine = find_engine(each)
        except InputError as error:  # somebody's entry point: the others are still there
            table.add_row(each, "-", str(error), "", "", "")
            continue
        can = engine.capabilities
        there = "" if not missing_modules(engine) else ", not installed"
        table.add_row(
            can.name,
            RUNS[can.runs] + there,
            ", ".join(f"{codec.name} ({codec.nearest})" for codec in can.codecs),
            f"{can.M[0]}-{can.M[1]}",
            f"{can.ef_search[0]}-{can.ef_search[1]:,}",
            f"x{can.oversampling[1]}" if any(codec.oversampling for codec in can.codecs) else "-",
        )
    screen.print(table)
    screen.print("tune engines NAME tells more: bounds, silent fallbacks, what was tested", highlight=False)
    return 0


def _show_engine(screen: Screen, can: Capabilities) -> None:
    usual = can.defaults
    lines = [
        can.title,
        f"runs: {RUNS[can.runs]}; tested: {can.tested}",
        *([f"install: pip install {' '.join(map(repr, can.packages))}"] if can.packages else []),
        *([f"licence: {can.licence}"] if can.licence else []),
        f"metrics {', '.join(can.metrics)}; M {can.M[0]} to {can.M[1]}; ef_construction "
        f"{can.ef_construction[0]} to {can.ef_construction[1]:,}; ef_search {can.ef_search[0]} to "
        f"{can.ef_search[1]:,}",
        f"default: {usual.codec}, M={usual.M}, ef_construction={usual.ef_construction}, "
        f"ef_search={usual.ef_search}",
        f"oversampling: {can.counts_oversampling}",
        f"bytes: {can.bytes_are}",
        *(
            f"codec {codec.name}: {codec.bits:g} bits a dimension, nearest {codec.nearest}"
            + (", can re-score" if codec.oversampling else "")
            + (f"; {codec.note}" if codec.note else "")
            for codec in can.codecs
        ),
        *(f"silently: {fallback}" for fallback in can.fallbacks),
    ]
    for line in lines:
        screen.print(line, markup=False, highlight=False, soft_wrap=True)


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("--to", "name", required=True, metavar="ENGINE", help="Which engine; tune engines lists them.")
@click.option("--point", default=None, metavar="NAME|N",
              help="balanced, fastest, smallest, or a point's number.  [default: recommended]")  # fmt: skip
@click.option(
    "--variant", default="", metavar="VERSION", help="The engine's version, where its config depends on it."
)
@click.option(
    "-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="[default: standard output]"
)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def export(report: Path, *, name: str, point: str | None, variant: str, out: Path | None, force: bool) -> int:
    """Write a point of REPORT, a run's report.json, as the configuration of an engine."""
    engine = find_engine(name)
    result = read_report(report)
    chosen = _point_of(result, point, report)
    exported = Exported(
        settings=settings_of(engine, result, chosen, variant), claims=claims_of(result, chosen)
    )
    if out is None:
        click.echo(render(engine, exported), nl=False)
        return 0
    if out.exists() and not force:
        raise InputError(f"{out} is there already: use --force to replace it, or name another file")
    write_exported(engine, exported, out)
    click.echo(f"{out}: {engine.capabilities.title}, {describe(exported.settings)}", err=True)
    return 0


def _point_of(result: Result, asked: str | None, report: Path) -> OperatingPoint:
    if not result.points or result.status == "exact":
        raise InputError(
            f"{report}: holds no point of an index (its answer is {result.status}): there is nothing to "
            "export"
        )
    name = asked or result.options.prefer
    if name in result.named:
        return result.points[result.named[name]]
    if name.isdigit() and int(name) < len(result.points):
        return result.points[int(name)]
    if asked is None:
        raise InputError(f"{report}: the target was not reached: name a point by its number with --point 0")
    raise InputError(
        f"{report}: has no point {name!r}: it has {', '.join(result.named)} and 0 to {len(result.points) - 1}"
    )


@click.command("verify")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE")
@click.option("--on", "name", metavar="ENGINE", help="The engine of CONFIG, to be sure.")
@click.option("--queries", metavar="FILE", help="Queries as .npy; else rows of the base are held out.")
@click.option(
    "--dsn", "--url", "address", metavar="ADDRESS", help="Your own server; else one is started and stopped."
)
@click.option(
    "--name", "table", default="tune_items", show_default=True, help="Of the table, collection or index."
)
@click.option("--replace", "drop", is_flag=True, help="Drop a table or collection of that name.")
@click.option(
    "--recall", type=click.FloatRange(0, 1, min_open=True), help="Target.  [default: the one in CONFIG]"
)
@click.option("--threads", type=click.IntRange(min=0), default=0, help="To build with; 0 is all cores.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; all else goes to stderr.")
@click.option("--quiet", is_flag=True, help="Print the verdict alone.")
def verify_command(
    *,
    config: Path,
    file: str,
    name: str | None,
    queries: str | None,
    address: str | None,
    table: str,
    drop: bool,
    recall: float | None,
    threads: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Try CONFIG, a file from tune export, on the engine itself with the vectors in FILE.

    The exit code is 0 if the index was used as asked and reached the target, 1 if not, 2 if that could not be
    judged.
    """
    engine, exported = read_exported(config)
    if name is not None and find_engine(name).name != engine.name:
        raise InputError(
            f"{config}: is for {engine.name}, not for {name}: name that engine, or export to {name}"
        )
    asked = VerifyOptions(
        address=address, name=checked_name(table), replace=drop, recall=recall, threads=threads
    )
    base = open_vectors(file, "base")
    given = open_vectors(queries, "queries") if queries else None
    with tempfile.TemporaryDirectory(prefix="tune-verify-") as work:
        events = verify(engine, exported, base, given, asked, Path(work))
        result = follow(events, Screen(stderr=True), quiet=quiet)
    _show_verdict(result, as_json=as_json, quiet=quiet)
    return {"verified": 0, "not_verified": NOT_VERIFIED, "died": NOT_JUDGED}[result.verdict]


def checked_name(table: str) -> str:
    """Return a name that every engine takes as it is.

    Raises:
        InputError: it is none.
    """
    if not (table.isascii() and table.isidentifier() and table == table.lower() and len(table) <= 48):
        raise InputError(
            f"--name {table!r} is no plain name: use lower-case letters, digits and _, at most 48"
        )
    return table


def _show_verdict(result: VerifyResult, *, as_json: bool, quiet: bool) -> None:
    screen = Screen(stderr=as_json)
    if not quiet:
        table = Table(box=None, show_header=False, pad_edge=False)
        for line in result.lines:
            table.add_row(f"[{STYLES[line.status]}]{line.status}[/]", line.name, line.text)
        screen.print(table)
    screen.print(result.headline, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        click.echo(to_json(result), nl=False)
