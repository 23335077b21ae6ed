"""``tune diagnose``: why is my index slow, heavy or wrong, and what is the smallest change that mends it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal, get_args

import click
from rich.table import Table

from tuner.cli.draw import Screen, follow
from tuner.data.vectors import Vectors, open_vectors
from tuner.diagnosis import DiagnoseOptions, Diagnosis, diagnose, headline, to_json, to_markdown
from tuner.diagnosis.outputs import COST_HEAD, PRESCRIPTION_HEAD, cause_rows, cost_rows, prescription_row
from tuner.diagnosis.sensitivity import describe_sensitivity
from tuner.engine_jobs.diagnose import diagnose_engine
from tuner.engine_jobs.outputs import (
    LIVE_CAUSE_HEAD,
    LIVE_CURE_HEAD,
    live_cause_rows,
    live_cure_rows,
    live_headline,
    live_to_json,
    live_to_markdown,
)
from tuner.engine_jobs.verify import VerifyOptions
from tuner.engines.export import read_exported
from tuner.errors import InputError
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import dedicate_process
from tuner.space import default_space
from tuner.types import Metric, Options

ILL = 1
DEFAULT_RECALL, DEFAULT_K = 0.95, 10


@click.command("diagnose")
@click.argument("file", metavar="FILE")
@click.option("--index", type=click.Path(path_type=Path), metavar="FILE",
              help="Of faiss, hnswlib or usearch.")  # fmt: skip
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
              help="Instead of an index: a file from tune export, diagnosed in its engine.")  # fmt: skip
@click.option("--dsn", "--url", "address", metavar="ADDRESS",
              help="With --config: your own server; else one is started and stopped.")  # fmt: skip
@click.option("--space", type=click.Choice(get_args(Metric)), help="Of an hnswlib index.")
@click.option("--queries", metavar="FILE", help="Queries as .npy; else rows of the file are asked for.")
@click.option(
    "--recall", type=float, help="Target recall@k in (0, 1].  [default: 0.95, or what --config says]"
)
@click.option("--k", type=int, help="Neighbours that a search returns.  [default: 10]")
@click.option("--ef", "ef_search", type=click.IntRange(1, 10**6),
              help="ef_search or nprobe.  [default: what the index says]")  # fmt: skip
@click.option("--metric", type=click.Choice(["auto", "cosine", "ip", "l2"]), default="auto",
              show_default=True, help="What near means to you.")  # fmt: skip
@click.option("--apply", "number", type=click.IntRange(min=1), help="Do what this prescription says.")
@click.option("-o", "--out", type=click.Path(path_type=Path), metavar="FILE", help="The mended index.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Write a page.")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="To build with; 0 is all cores.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON; all else goes to stderr.")
@click.option("--quiet", is_flag=True, help="Print the answer alone.")
def diagnose_command(
    *,
    file: str,
    index: Path | None,
    config: Path | None,
    address: str | None,
    space: Metric | None,
    queries: str | None,
    recall: float | None,
    k: int | None,
    ef_search: int | None,
    metric: Literal["auto", "cosine", "ip", "l2"],
    number: int | None,
    out: Path | None,
    force: bool,
    markdown: Path | None,
    threads: int,
    seed: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Say where an index over the vectors in FILE loses recall, and what mends it, measured.

    The exit code is 0 if it reaches the target, 1 if it does not, 2 if that could not be judged.
    """
    if (index is None) == (config is None):
        raise InputError("give --index FILE, or --config FILE for an engine: one of them")
    if markdown and (markdown.is_dir() or not markdown.parent.is_dir()):
        raise InputError(f"{markdown}: is no file in a folder that is there: name one")
    base = open_vectors(file, "base")
    given = open_vectors(queries, "queries") if queries else None
    if config is not None:
        if number or out or ef_search or space or k is not None or metric != "auto":
            raise InputError(
                f"{config} says k, metric and ef_search, and an engine's index cannot be written: leave --k, "
                "--metric, --ef, --space, --apply and -o out"
            )
        wanted = VerifyOptions(address=address, recall=recall, threads=threads)
        return _of_engine(config, base, given, wanted, markdown, as_json=as_json, quiet=quiet)
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
    asked = DiagnoseOptions(
        index=index, space=space, ef_search=ef_search, apply=number or 0, out=out, force=force
    )
    dedicate_process()
    with tempfile.TemporaryDirectory(prefix="tune-diagnose-") as work:
        found = follow(diagnose(base, given, asked, options, Path(work)), Screen(stderr=True), quiet=quiet)
    _write_page(markdown, to_markdown(found))
    _show(found, out, as_json=as_json, quiet=quiet)
    return 0 if found.healthy or found.applied is not None else ILL


def _of_engine(
    config: Path,
    base: Vectors,
    queries: Vectors | None,
    asked: VerifyOptions,
    markdown: Path | None,
    *,
    as_json: bool,
    quiet: bool,
) -> int:
    engine, exported = read_exported(config)
    with tempfile.TemporaryDirectory(prefix="tune-diagnose-") as work:
        events = diagnose_engine(engine, exported, base, queries, asked, Path(work))
        found = follow(events, Screen(stderr=True), quiet=quiet)
    _write_page(markdown, live_to_markdown(found))
    screen = Screen(stderr=as_json)
    if not quiet:
        told = ((LIVE_CAUSE_HEAD, live_cause_rows(found)), (LIVE_CURE_HEAD, live_cure_rows(found)))
        for head, rows in told:
            table = Table(*head, box=None, pad_edge=False)
            for row in rows:
                table.add_row(*row)
            if table.row_count:
                screen.print(table)
        for note in found.notes:
            screen.print(note, markup=False, highlight=False)
    screen.print(live_headline(found), markup=False, highlight=False, soft_wrap=True)
    if as_json:
        click.echo(live_to_json(found), nl=False)
    return 0 if found.healthy else ILL


def _write_page(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        write_atomically(path, text.encode())
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}): name another file") from None


def _show(found: Diagnosis, out: Path | None, *, as_json: bool, quiet: bool) -> None:
    screen = Screen(stderr=as_json)
    if not quiet:
        causes = Table("lost to", "recall", "seen", box=None, pad_edge=False)
        for row in cause_rows(found):
            causes.add_row(*row)
        screen.print(causes)
        costs = Table(*COST_HEAD, box=None, pad_edge=False)
        for row in cost_rows(found):
            costs.add_row(*row)
        screen.print(costs)
        if found.prescriptions:
            cures = Table(*PRESCRIPTION_HEAD, box=None, pad_edge=False)
            for number, each in enumerate(found.prescriptions, start=1):
                cures.add_row(*prescription_row(number, each))
            screen.print(cures)
        said = describe_sensitivity(found.sensitivity, found.target)
        screen.print(said, markup=False, highlight=False)
        for note in found.notes:
            screen.print(note, markup=False, highlight=False)
    screen.print(headline(found), markup=False, highlight=False, soft_wrap=True)
    if found.applied is not None:
        recall = f"{found.applied.mean:.4f} (at least {found.applied.lower:.4f})"
        said = f"{out}: written and read again, recall {recall}"
        screen.print(said, markup=False, highlight=False, soft_wrap=True)
    if as_json:
        click.echo(to_json(found), nl=False)
