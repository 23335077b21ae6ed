"""``tune diagnose``: why is my index slow, heavy or wrong, and what is the smallest change that mends it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import click

from tuner.cli.again import pasteable, words_again
from tuner.cli.complete import complete_file
from tuner.cli.draw import Screen, follow
from tuner.cli.filter_options import filter_options
from tuner.cli.folders import refuse_unwritable_files
from tuner.cli.options import (
    ADDRESS,
    COLUMN,
    FORCE,
    HTML,
    IDS,
    JSON,
    MARKDOWN,
    METRIC,
    QUERIES,
    QUIET,
    SEED,
    THREADS,
)
from tuner.cli.outputs import show_paragraph, show_table, show_text, write_file
from tuner.cli.stop import Stopping
from tuner.data.copies import COPIES_FILE
from tuner.data.filters import FiltersAsked, open_filters
from tuner.data.vectors import Vectors
from tuner.diagnosis import DiagnoseOptions, Diagnosis, diagnose, headline, to_json, to_markdown
from tuner.engine_jobs import VerifyOptions, diagnose_engine
from tuner.engines.export import read_exported
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.recall.allowed import GivenFilters
from tuner.report import engines as in_engine
from tuner.report.diagnosis import (
    CAUSE_HEAD,
    COST_HEAD,
    SCREEN_HEAD,
    apply_text,
    cause_rows,
    cost_rows,
    describe_sensitivity,
    screen_rows,
)
from tuner.report.page import jobs as page
from tuner.report.words import recall_text
from tuner.runtime.process import dedicate_process
from tuner.space import default_space
from tuner.types import Metric, Options

ILL = 1
DEFAULT_RECALL, DEFAULT_K = 0.95, 10


@click.command("diagnose", short_help="Say where an index loses recall, and what mends it.")
@click.argument("file", metavar="FILE", shell_complete=complete_file)
@click.option(
    "--index", type=click.Path(path_type=Path), metavar="FILE", help="Index of faiss, hnswlib or usearch."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of tune export, to diagnose its engine instead of an index file.",
)
@ADDRESS
@click.option("--space", type=click.Choice(get_args(Metric)), help="Space of an hnswlib index.")
@QUERIES
@IDS
@COLUMN
@filter_options
@click.option(
    "--recall",
    type=float,
    help="Target recall@k in (0, 1].  [default: 0.95, or what --config says]",
)
@click.option("--k", type=int, help="Neighbours per query, >= 1.  [default: 10]")
@click.option(
    "--ef",
    "ef_search",
    type=click.IntRange(1, 10**6),
    help="ef_search or nprobe.  [default: what the index says]",
)
@METRIC
@click.option(
    "--apply",
    "number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of the prescription to apply, from 1 on.",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Mended index to write, with --apply.",
)
@FORCE
@MARKDOWN
@HTML
@THREADS
@SEED
@JSON
@QUIET
def diagnose_command(
    *,
    file: str,
    index: Path | None,
    config: Path | None,
    address: str | None,
    space: Metric | None,
    queries: str | None,
    ids: str | None,
    column: str | None,
    recall: float | None,
    k: int | None,
    ef_search: int | None,
    metric: Literal["auto", "cosine", "ip", "l2"],
    number: int | None,
    out: Path | None,
    force: bool,
    markdown: Path | None,
    html: Path | None,
    threads: int,
    seed: int,
    as_json: bool,
    quiet: bool,
    **of_filters: Any,
) -> int:
    """Say where an index over the vectors in FILE loses recall, and what mends it, measured.

    FILE is a file of vectors as for `tune run`. The exit code is 0 if the index reaches the target, 1 if it
    does not, 2 if that could not be judged.
    """
    if (index is None) == (config is None):
        raise InputError("give --index FILE, or --config FILE for an engine: one of them")
    refuse_unwritable_files(markdown, html)
    base, given = open_inputs(file, queries or None, ids, column)
    filters = open_filters(FiltersAsked(**of_filters), (base, given), (file, queries or None), column)
    if config is not None:
        if filters is not None:
            raise InputError(f"{filters.source}: filters are for an index file: leave them out, or --config")
        if number or out or ef_search or space or k is not None or metric != "auto":
            raise InputError(
                f"{config} says k, metric and ef_search, and an engine's index cannot be written: leave --k, "
                "--metric, --ef, --space, --apply and -o out"
            )
        deployment = VerifyOptions(address=address, recall=recall, threads=threads)
        return _of_engine(config, base, given, deployment, (markdown, html), as_json=as_json, quiet=quiet)
    assert index is not None  # noqa: S101 - one of them was given
    if address:
        raise InputError("--dsn and --url go with --config: leave them out")
    options = Options(
        recall=DEFAULT_RECALL if recall is None else recall,
        k=DEFAULT_K if k is None else k,
        metric=metric,
        seed=seed,
        threads=threads,
        space=default_space(),
    )
    what = DiagnoseOptions(
        index=index, hnswlib_space=space, ef_search=ef_search, apply=number or 0, out=out, force=force
    )
    return _of_index(what, base, given, options, (markdown, html), filters, as_json=as_json, quiet=quiet)


def _of_index(
    what: DiagnoseOptions,
    base: Vectors,
    queries: Vectors | None,
    options: Options,
    pages: tuple[Path | None, Path | None],
    filters: GivenFilters | None,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    dedicate_process()
    with tempfile.TemporaryDirectory(prefix="tune-diagnose-") as work:
        events = diagnose(base, queries, what, options, Path(work), filters)
        found = follow(events, Screen(stderr=True), quiet=quiet)
    screen = Screen(stderr=as_json)
    command = _applying(found, what, screen.width)
    _write_pages(pages, to_markdown(found, command), partial(page.diagnosis_to_html, found, command))
    if not quiet:
        _show(found, command, screen)
    show_text(screen, headline(found))
    if found.applied is not None:
        kind = found.prescriptions[what.apply - 1].kind
        and_list = f", with {COPIES_FILE} beside it" if kind == "collapse" else ""
        text = f"{what.out}: written{and_list} and read again, recall {recall_text(found.applied)}"
        show_text(screen, text)
    if as_json:
        click.echo(to_json(found), nl=False)
    return 0 if found.healthy or found.applied is not None else ILL


def _of_engine(
    config: Path,
    base: Vectors,
    queries: Vectors | None,
    options: VerifyOptions,
    pages: tuple[Path | None, Path | None],
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    engine, exported = read_exported(config)
    stopping = click.get_current_context().ensure_object(Stopping)
    with (
        tempfile.TemporaryDirectory(prefix="tune-diagnose-") as work,
        stopping.during(lambda: "stopped", engine.reap_orphans),
    ):
        events = diagnose_engine(engine, exported, base, queries, options, Path(work))
        found = follow(events, Screen(stderr=True), quiet=quiet)
    make_html = partial(page.engine_diagnosis_to_html, found)
    _write_pages(pages, in_engine.diagnosis_to_markdown(found), make_html)
    screen = Screen(stderr=as_json)
    if not quiet:
        show_table(screen, CAUSE_HEAD, in_engine.cause_rows(found))
        show_table(screen, in_engine.PRESCRIPTION_HEAD, in_engine.prescription_rows(found))
        for note in found.notes:
            show_paragraph(screen, note)
    show_text(screen, in_engine.diagnosis_headline(found))
    if as_json:
        click.echo(in_engine.diagnosis_to_json(found), nl=False)
    return 0 if found.healthy else ILL


def _write_pages(files: tuple[Path | None, Path | None], markdown: str, make_html: Callable[[], str]) -> None:
    """Write the Markdown page and the page with charts, each if it was asked for."""
    write_file(files[0], markdown.encode())
    if files[1] is not None:
        write_file(files[1], make_html().encode())


def _applying(found: Diagnosis, what: DiagnoseOptions, width: int) -> str:
    """Return the line of a shell that applies the first prescription; empty where none works."""
    works = any(each.works for each in found.prescriptions)
    if not works or found.applied is not None or not isinstance(what.index, Path):
        return ""
    out = what.index.with_name(f"{what.index.stem}-mended.faiss")
    without = ("number", "out", "force", "markdown", "html", "as_json", "quiet")
    more = ("--apply", "1", "--out", str(out), *(("--force",) if out.exists() else ()))
    return pasteable(words_again(click.get_current_context(), without, *more), width)


def _show(found: Diagnosis, command: str, screen: Screen) -> None:
    show_table(screen, CAUSE_HEAD, cause_rows(found))
    show_table(screen, COST_HEAD, cost_rows(found))
    show_table(screen, SCREEN_HEAD, screen_rows(found))
    if command:
        show_paragraph(screen, apply_text(found))
        click.echo(command, err=screen.stderr)
    for text in (describe_sensitivity(found.sensitivity, found.target), *found.notes):
        show_paragraph(screen, text)
