"""``tune baseline`` and ``tune check``: freeze a decision, and notice when it no longer holds."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import get_args

import click
from rich.table import Table

from tuner.cli.draw import Screen, follow
from tuner.data.vectors import open_vectors
from tuner.errors import InputError, TunerError
from tuner.gate import (
    CheckOptions,
    CheckResult,
    Limits,
    check,
    read_baseline,
    save_baseline,
    write_baseline,
)
from tuner.gate.outputs import (
    error_annotation,
    error_junit,
    headline,
    to_annotations,
    to_json,
    to_junit,
    to_markdown,
)
from tuner.report import result_from_json
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import dedicate_process
from tuner.types import Preference

REGRESSION = 1
LIMITS = ("recall", "ndis", "memory")
STYLES = {"pass": "green", "fail": "bold red", "info": "dim", "warn": "yellow"}
_LIMIT = re.compile(r"([a-z]+):([0-9]*\.?[0-9]+)(%?)")


@click.command()
@click.argument("report", type=click.Path(path_type=Path))
@click.option("-o", "--out", type=click.Path(path_type=Path), default=Path("reports/baseline.yaml"),
              show_default=True, metavar="FILE", help="The baseline to write.")  # fmt: skip
@click.option("--point", type=click.Choice(get_args(Preference)), help="Which point.  [default: recommended]")
@click.option("--force", is_flag=True, help="Replace a baseline that is there.")
def baseline(report: Path, out: Path, point: Preference | None, *, force: bool) -> int:
    """Freeze what a run decided, REPORT being its report.json, in a small file for `tune check`."""
    try:
        data = report.read_bytes()
    except OSError as error:
        raise InputError(f"{report}: cannot be read ({error.strerror}): name a run's report.json") from None
    if out.exists() and not force:
        raise InputError(f"{out} is there already: use --force to replace it, or tune check --update")
    frozen = save_baseline(result_from_json(data), point)
    write_baseline(frozen, out)
    click.echo(
        f"{out}: {frozen.label} with ef_search={frozen.ef_search}, recall {frozen.measured_recall:.4f} on "
        f"{len(frozen.hits):,} held-out queries"
    )
    return 0


@click.command("check")
@click.argument("baseline_file", metavar="BASELINE", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE")
@click.option("--queries", metavar="FILE", help="The queries of the baseline as .npy.")
@click.option("--index", type=click.Path(path_type=Path), metavar="FILE",
              help="The faiss index to check.  [default: build it again]")  # fmt: skip
@click.option("--ef-search", type=click.IntRange(1, 10**6), help="Search the index with this one.")
@click.option("--fail-on", multiple=True, metavar="NAME:LIMIT",
              help="recall:0.005 (share lost), ndis:20%, memory:5% (rise).")  # fmt: skip
@click.option("--new-data", is_flag=True, help="The documents were embedded again: other vectors are meant.")
@click.option("--update", is_flag=True, help="Accept what was measured as the new baseline.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a summary.")
@click.option("--annotations", is_flag=True, help="Print GitHub annotations.  [default: on GitHub]")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="To build with; 0 is all cores.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; all else goes to stderr.")
@click.option("--quiet", is_flag=True, help="Print the decision alone.")
def check_command(
    *,
    baseline_file: Path,
    file: str,
    queries: str | None,
    index: Path | None,
    ef_search: int | None,
    fail_on: tuple[str, ...],
    new_data: bool,
    update: bool,
    junit: Path | None,
    markdown: Path | None,
    annotations: bool,
    threads: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Measure again what BASELINE froze, on the vectors in FILE.

    The exit code is 0 if nothing regressed, 1 if something did, 2 if that could not be judged.
    """
    annotate = annotations or os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        asked = CheckOptions(
            limits=parse_limits(fail_on), index=index, ef_search=ef_search, new_data=new_data, threads=threads
        )
        result = _checked(baseline_file, file, queries, asked, quiet=quiet)
        if update and result.broken:
            raise InputError(
                f"--update accepts figures, not another index ({result.broken}): mend it, or tune again"
            )
    except TunerError as error:
        if junit:
            _write(junit, error_junit(str(error)))
        if annotate:
            click.echo(error_annotation(str(error), baseline_file.as_posix()), err=as_json)
        raise
    if junit:
        _write(junit, to_junit(result))
    if markdown:
        _write(markdown, to_markdown(result).encode())
    _show(result, baseline_file, as_json=as_json, quiet=quiet, annotate=annotate)
    if update:
        write_baseline(result.updated, baseline_file)
        click.echo(f"{baseline_file}: updated; review the difference", err=as_json)
        return 0
    return 0 if result.passed else REGRESSION


def _checked(
    baseline_file: Path, file: str, queries: str | None, asked: CheckOptions, *, quiet: bool
) -> CheckResult:
    frozen = read_baseline(baseline_file)
    base = open_vectors(file, "base")
    given = open_vectors(queries, "queries") if queries else None
    dedicate_process()
    with tempfile.TemporaryDirectory(prefix="tune-check-") as work:
        return follow(check(frozen, base, given, asked, Path(work)), Screen(stderr=True), quiet=quiet)


def parse_limits(texts: tuple[str, ...]) -> Limits:
    """Return the limits that ``recall:0.01``, ``ndis:10%`` and ``memory:2%`` stand for.

    Raises:
        InputError: one of them is no such limit.
    """
    limits = Limits()
    for text in texts:
        match = _LIMIT.fullmatch(text.strip())
        if match is None or match[1] not in LIMITS:
            raise InputError(f"--fail-on {text!r} is no limit: write recall:0.01, ndis:10% or memory:2%")
        limit = float(match[2]) / (100 if match[3] else 1)
        if limit >= 1 and not (match[3] and match[1] != "recall"):
            raise InputError(
                f"--fail-on {text!r} allows {limit:.0%}: 10 % is {match[1]}:10% or {match[1]}:0.10"
            )
        limits = replace(limits, **{match[1]: limit})
    return limits


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, data)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): name another file") from None


def _show(result: CheckResult, file: Path, *, as_json: bool, quiet: bool, annotate: bool) -> None:
    screen = Screen(stderr=as_json)
    if not quiet:
        table = Table(box=None, show_header=False, pad_edge=False)
        for line in result.lines:
            table.add_row(f"[{STYLES[line.status]}]{line.status}[/]", line.name, line.text)
        screen.print(table)
    screen.print(headline(result), markup=False, highlight=False, soft_wrap=True)
    if as_json:
        click.echo(to_json(result), nl=False)
    if annotate:
        for command in to_annotations(result, file.as_posix()):
            click.echo(command, err=as_json)
