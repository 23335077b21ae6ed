"""``tune run``, which is also plain ``tune``: the sweep."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from tuner.cli.draw import Screen, follow
from tuner.cli.units import MemoryLimit, parse_duration, parse_size
from tuner.data.checks import check_inputs, check_options
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError
from tuner.report import result_to_json, show_result, write_report
from tuner.space import default_space, load_space
from tuner.sweep import plan, sweep
from tuner.types import PREFERENCES, Options, Result

HONEST_NO, STOPPED = 1, 130
JOURNAL = "journal.json"


@click.command()
@click.argument("file")
@click.option("--recall", type=float, required=True, help="Target recall@k in (0, 1].")
@click.option("--queries", metavar="FILE", help="Queries as .npy; else held out from the base.")
@click.option("--n-queries", type=int, help="How many queries to hold out.  [default: by the base's size]")
@click.option("--k", type=int, default=10, show_default=True, help="Neighbours that a search returns.")
@click.option("--metric", type=click.Choice(["auto", "cosine", "ip", "l2"]), default="auto", show_default=True,
              help="What near means; auto decides from the data and says why.")
@click.option("--max-memory", type=parse_size, metavar="SIZE",
              help="Limit on the resident index: 600MB, 2GiB or 180B/vector.")
@click.option("--max-latency", type=parse_duration, metavar="TIME",
              help="Limit on the 95th percentile of one query at a time on one thread: 400us.")
@click.option("--prefer", type=click.Choice(PREFERENCES), default="balanced", show_default=True,
              help="Which point of the front is recommended.")
@click.option("--confidence", type=float, default=0.95, show_default=True,
              help="Of the lower bound on recall that must meet the target.")
@click.option("--space", metavar="YAML", type=click.Path(path_type=Path),
              help="What to sweep, such as configs/quick.yaml.  [default: everything]")
@click.option("--rerank-store", type=click.Choice(["memory", "disk"]), default="memory", show_default=True,
              help="Where re-ranking vectors live.")
@click.option("--baseline", type=click.Choice(["graph", "hnswlib"]), default="graph", show_default=True,
              help="What to compare with: float32 on the graph that is there, or a real hnswlib index.")
@click.option("--exhaustive", is_flag=True, help="Build and measure every configuration natively.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of everything that is drawn.")
@click.option("--threads", type=int, default=0, show_default=True,
              help="For building and exact truth; 0 is all cores. Latency is always of one.")
@click.option("--time-budget", type=parse_duration, metavar="TIME", help="For the whole run: 90s, 10m, 1h.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path),
              help="Where results go.  [default: tune-out/NAME]")
@click.option("--work", metavar="DIR", type=click.Path(path_type=Path), hidden=True,
              help="Where the run keeps what it may resume from.  [default: OUT/work]")
@click.option("--resume", is_flag=True, help="Go on from the journal of a stopped run.")
@click.option("--dry-run", is_flag=True, help="Show the plan, its time and memory, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON; all else goes to stderr.")
@click.option("--quiet", is_flag=True, help="Print nothing but the answer.")
@click.pass_context
def run(
    ctx: click.Context,
    *,
    file: str,
    queries: str | None,
    out: Path | None,
    work: Path | None,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    **chosen: Any,
) -> int:
    """Find the M, efConstruction, efSearch, quantizer, dimension cut and re-ranking for the vectors in FILE.

    FILE is an (n, d) .npy of float32, float16, float64, int8 or uint8. The exit code is 0 if the target is
    reached, 1 if nothing reaches it, 2 for bad input.
    """
    options = _options(**chosen)
    out = out or Path("tune-out", Path(file).stem)
    work = work or out / "work"
    _refuse_contradictions(file, queries, options, resume=resume, dry_run=dry_run, as_json=as_json)
    base = open_vectors(file, "base")
    asked = open_vectors(queries, "queries") if queries else None
    check_inputs(base, asked, options)
    if dry_run:
        click.echo("\n".join(plan(base, asked, options, work).lines))
        return 0
    if resume and not _has_journal(work):
        raise InputError(f"{work}: no journal of an earlier run to resume; run without --resume")
    try:
        result = _sweep_into(base, asked, options, out, work, resume=resume, quiet=quiet)
    except KeyboardInterrupt:
        kept = f"finished stages are in {work}: the same command with --resume goes on from there"
        click.echo(f"tune: stopped; {kept if _has_journal(work) else 'no stage was finished'}", err=True)
        ctx.exit(STOPPED)
    _show(result, as_json=as_json, quiet=quiet)
    return HONEST_NO if result.status == "not_reached" else 0


def _options(*, max_memory: MemoryLimit | None, max_latency: float | None, time_budget: float | None,
             space: Path | None, **named: Any) -> Options:  # fmt: skip
    limit = max_memory or MemoryLimit()
    options = Options(
        max_memory_bytes=limit.total_bytes,
        max_memory_per_vector=limit.per_vector_bytes,
        max_latency_s=max_latency,
        time_budget_s=time_budget,
        space=load_space(space) if space else default_space(),
        **named,
    )
    check_options(options)
    return options


def _refuse_contradictions(file: str, queries: str | None, options: Options, *, resume: bool, dry_run: bool,
                           as_json: bool) -> None:  # fmt: skip
    if queries and options.n_queries is not None:
        raise InputError("--queries gives queries and --n-queries holds them out: use one of them")
    if queries and Path(queries).exists() and Path(file).exists() and Path(queries).samefile(file):
        raise InputError(f"--queries names the base itself, {file}: leave it out to hold queries out")
    if dry_run and resume:
        raise InputError("--dry-run starts nothing and --resume goes on with a run: use one of them")
    if dry_run and as_json:
        raise InputError("--dry-run prints a plan and --json prints a report: use one of them")


def _has_journal(work: Path) -> bool:
    return any(work.rglob(JOURNAL))


def _sweep_into(base: Vectors, queries: Vectors | None, options: Options, out: Path, work: Path, *,
                resume: bool, quiet: bool) -> Result:  # fmt: skip
    screen = Screen(stderr=True)
    with _claimed(out, work):
        result = follow(sweep(base, queries, options, out, work, resume=resume), screen, quiet=quiet)
        written = write_report(result, out)
    if not quiet:
        names = ", ".join(path.name for path in written)
        screen.print(f"{names} in {out}", markup=False, highlight=False, soft_wrap=True)
    return result


def _show(result: Result, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(result_to_json(result))
    if not (as_json and quiet):
        show_result(result, Screen(stderr=as_json))


@contextmanager
def _claimed(*folders: Path) -> Iterator[None]:
    """Make the folders and try to write; if the input turns out to be bad, remove what was made."""
    made: list[Path] = []
    try:
        for folder in folders:
            made += _make(folder)
        yield
    except InputError:
        for folder in reversed(made):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _make(folder: Path) -> list[Path]:
    """Make a folder that can be written to and return those of it and its parents that were missing."""
    made = [parent for parent in (*reversed(folder.parents), folder) if not parent.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        raise InputError(f"{folder} is a file, not a directory: choose another --out") from None
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from None
    return made
