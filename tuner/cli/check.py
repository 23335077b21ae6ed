"""``tune check``: notice when a frozen decision no longer holds."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from tuner.cli.complete import complete_file
from tuner.cli.draw import Screen, follow
from tuner.cli.filter_options import filter_options
from tuner.cli.folders import refuse_unwritable_files
from tuner.cli.options import COLUMN, HTML, IDS, JSON, MARKDOWN, QUIET, THREADS
from tuner.cli.outputs import say, show_verdict, write_file
from tuner.data.filters import FiltersAsked, open_filters
from tuner.errors import InputError, TunerError
from tuner.gate import (
    CheckOptions,
    CheckResult,
    GateBaseline,
    Limits,
    check,
    read_baseline,
    write_baseline,
)
from tuner.gate.history import history_of
from tuner.index.inputs import open_inputs
from tuner.report.gate import (
    error_annotation,
    error_junit,
    headline,
    to_annotations,
    to_json,
    to_junit,
    to_markdown,
)
from tuner.report.page.jobs import check_to_html
from tuner.runtime.process import dedicate_process

REGRESSION = 1
LIMITS = ("recall", "ndis", "memory")
_LIMIT = re.compile(r"([a-z]+):([0-9]*\.?[0-9]+)(%?)")


@click.command("check", short_help="Measure again what a baseline froze: the recall gate of CI.")
@click.argument("baseline_file", metavar="BASELINE", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE", shell_complete=complete_file)
@click.option(
    "--queries",
    metavar="FILE",
    shell_complete=complete_file,
    help="Queries of the baseline, a file like FILE.",
)
@IDS
@COLUMN
@filter_options
@click.option("--no-filters", is_flag=True, help="Leave the bands of filters of BASELINE unchecked.")
@click.option(
    "--index",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="faiss index to check.  [default: one that is built again]",
)
@click.option(
    "--ef-search",
    type=click.IntRange(1, 10**6),
    help="Candidates kept while searching.  [default: what BASELINE says]",
)
@click.option(
    "--fail-on",
    multiple=True,
    metavar="NAME:LIMIT",
    help="Largest change allowed: recall:0.005 (share lost), ndis:20%, memory:5% (rise).",
)
@click.option("--new-data", is_flag=True, help="Accept other vectors: the documents were embedded again.")
@click.option("--update", is_flag=True, help="Accept what was measured as the new baseline.")
@click.option("--junit", type=click.Path(path_type=Path), metavar="FILE", help="JUnit XML to write.")
@MARKDOWN
@HTML
@click.option(
    "--history",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of earlier baselines, for --html.  [default: BASELINE in the history of git]",
)
@click.option("--annotations", is_flag=True, help="Print GitHub annotations.  [default: on GitHub]")
@THREADS
@JSON
@QUIET
def check_command(
    *,
    baseline_file: Path,
    file: str,
    queries: str | None,
    ids: str | None,
    column: str | None,
    index: Path | None,
    ef_search: int | None,
    fail_on: tuple[str, ...],
    new_data: bool,
    update: bool,
    junit: Path | None,
    markdown: Path | None,
    html: Path | None,
    history: Path | None,
    annotations: bool,
    threads: int,
    as_json: bool,
    quiet: bool,
    **filters: Any,
) -> int:
    """Measure again what BASELINE froze, on the vectors in FILE.

    BASELINE is a file of `tune baseline`, FILE one of vectors. The exit code is 0 if nothing regressed, 1 if
    something did, 2 if that could not be judged.
    """
    refuse_unwritable_files(junit, markdown, html)
    earlier = () if html is None else history_of(baseline_file, history)
    annotate = annotations or os.environ.get("GITHUB_ACTIONS") == "true"
    try:
        options = CheckOptions(
            limits=parse_limits(fail_on), index=index, ef_search=ef_search, new_data=new_data, threads=threads
        )
        before = read_baseline(baseline_file)
        result = _checked(before, (file, queries, ids, column), filters, options, quiet=quiet)
        if update and result.broken:
            raise InputError(
                f"--update accepts figures, not another index ({result.broken}): mend it, or tune again"
            )
    except TunerError as error:
        write_file(junit, error_junit(str(error)))
        if annotate:
            click.echo(error_annotation(str(error), baseline_file.as_posix()), err=as_json)
        raise
    write_file(junit, to_junit(result))
    write_file(markdown, to_markdown(result).encode())
    if html is not None:
        write_file(html, check_to_html(result, before, earlier).encode())
    json = to_json(result) if as_json else None
    show_verdict(Screen(stderr=as_json), result.lines, headline(result), json, quiet=quiet)
    if annotate:
        for command in to_annotations(result, baseline_file.as_posix()):
            click.echo(command, err=as_json)
    if update:
        write_baseline(result.updated, baseline_file)
        say(f"{baseline_file}: updated; review the difference", err=as_json)
        return 0
    return 0 if result.passed else REGRESSION


def _checked(
    baseline: GateBaseline,
    sources: tuple[str, str | None, str | None, str | None],
    of_filters: dict[str, Any],
    options: CheckOptions,
    *,
    quiet: bool,
) -> CheckResult:
    file, queries, ids, column = sources
    base, given = open_inputs(file, queries or None, ids, column)
    options = replace(options, no_filters=of_filters.pop("no_filters"))
    filters = open_filters(FiltersAsked(**of_filters), (base, given), (file, queries or None), column)
    dedicate_process()
    with tempfile.TemporaryDirectory(prefix="tune-check-") as work:
        events = check(baseline, base, given, options, Path(work), filters)
        return follow(events, Screen(stderr=True), quiet=quiet)


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
