"""Run contestants on the same vectors, and score every answer the same way.

python -m benchmarks.sweep BASE.npy QUERIES.npy --name NAME --out reports/benchmarks/NAME
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import click

from benchmarks.common import FILE
from benchmarks.sweep.answers import Answer, Failure
from benchmarks.sweep.contestants import expand
from benchmarks.sweep.launch import launcher, run_all
from benchmarks.sweep.ordinary import ordinary
from benchmarks.sweep.score import score
from benchmarks.sweep.tables import Scores, gather, table_lines, write_scores
from benchmarks.sweep.tasks import make_task
from tuner.errors import InputError

WORK = "work"


def benchmark(
    base: Path,
    queries: Path,
    out: Path,
    contestants: tuple[str, ...],
    *,
    interpreters: dict[str, str] | None = None,
    again: tuple[str, ...] = (),
    **asked: Any,
) -> Scores:
    """Run the contestants that have no answer yet, score all, write what was found to ``out`` and return it.

    Args:
        base: file of the vectors to index.
        queries: file of the queries, some to tune with and the others to score on.
        out: folder of the results; ``out/work`` keeps answers and indexes.
        contestants: names of the contestants; memory x latency is relative to the first.
        interpreters: path of a Python of its own, by the contestant's name.
        again: names of contestants whose answers are thrown away first.
        **asked: further arguments of ``make_task``.
    """
    work = out / WORK
    for name in again:
        shutil.rmtree(work / name, ignore_errors=True)
    task = make_task(base, queries, work, **asked)
    unit = ordinary(work)
    answers: list[Answer] = []
    failures: list[Failure] = []
    for found in run_all(contestants, work, launcher(interpreters)):
        if isinstance(found, Answer):
            answers.append(found)
            click.echo(
                f"{found.contestant}: {found.label} ef={found.ef_search}, {found.cpu_s:.1f} CPU s", err=True
            )
        else:
            failures.append(found)
            click.echo(f"{found.contestant}: no answer: {found.reason}", err=True)
    scored, noise = score(task, answers, work, unit.cpu_s)
    scores = gather(task, base, unit, scored, failures, noise)
    write_scores(scores, out)
    _plot(scores, out)
    return scores


def _plot(scores: Scores, out: Path) -> None:
    try:
        from benchmarks.sweep.plots import plot_all  # noqa: PLC0415 - matplotlib belongs to an extra
    except ModuleNotFoundError as error:
        click.echo(f"no plots: {error}: pip install '.[bench]'", err=True)
        return
    plot_all(scores, out)


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--name", required=True, help="Name of the results.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the results.")
@click.option(
    "--contestants", default="short", show_default=True, help="Names or groups, separated by commas."
)
@click.option("--rows", type=click.IntRange(min=1), help="Rows of BASE, at random.  [default: all]")
@click.option("--recall", default=0.95, show_default=True, help="Target recall@k.")
@click.option("--k", default=10, show_default=True, help="Neighbours.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option("--threads", default=0, help="Threads for building; 0 for all cores.")
@click.option(
    "--interpreter", multiple=True, metavar="NAME=PYTHON", help="Python of its own for a contestant."
)
@click.option("--again", default="", help="Names of contestants to run again.")
def main(
    base: Path,
    queries: Path,
    out: Path,
    contestants: str,
    interpreter: tuple[str, ...],
    again: str,
    **asked: Any,
) -> None:
    """Run contestants on the vectors in BASE with QUERIES, a part of which only the scorer sees."""
    try:
        scores = benchmark(
            base,
            queries,
            out,
            expand(contestants),
            interpreters=dict(each.split("=", 1) for each in interpreter),
            again=expand(again),
            **asked,
        )
    except InputError as error:
        raise click.UsageError(str(error)) from None
    click.echo("\n".join(table_lines(scores)))


if __name__ == "__main__":
    main()
