"""The options that commands share, and those of a sweep: ranges, defaults, which exclude each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from tuner.cli.complete import complete_engine, complete_file
from tuner.cli.filter_options import FILTERS
from tuner.cli.units import (
    MemoryLimit,
    parse_duration,
    parse_numbers,
    parse_shares,
    parse_size,
    parse_whole_numbers,
)
from tuner.data.checks import check_options
from tuner.data.sources import shown
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.space import default_space, load_space
from tuner.types import PREFERENCES, Options

F = TypeVar("F", bound=Callable[..., Any])

RECALL = click.option("--recall", type=float, required=True, help="Target recall@k in (0, 1].")
QUERIES = click.option(
    "--queries",
    metavar="FILE",
    shell_complete=complete_file,
    help="Queries in a file like FILE, 1,000 to 4,000 or more.  [default: some rows of the base]",
)
IDS = click.option(
    "--ids",
    metavar="FILE|NAME",
    shell_complete=complete_file,
    help="Ids of the rows: .npy, text with one a line, or a column of FILE; -1 or empty is a deleted row.",
)
COLUMN = click.option(
    "--column",
    metavar="NAME",
    help="Name of the matrix, where a file holds several.  [default: the only one]",
)
K = click.option("--k", type=int, default=10, show_default=True, help="Neighbours per query, >= 1.")
METRIC = click.option(
    "--metric",
    type=click.Choice(["auto", "cosine", "ip", "l2"]),
    default="auto",
    show_default=True,
    help="Metric; auto decides from the data and says why.",
)
SEED = click.option("--seed", type=int, default=0, show_default=True, help="Random seed, >= 0.")
THREADS = click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Number of threads; 0 means all cores.",
)
ADDRESS = click.option(
    "--dsn",
    "--url",
    "address",
    metavar="ADDRESS",
    help="Address of your own server.  [default: one is started and stopped]",
)
MARKDOWN = click.option(
    "--markdown", type=click.Path(path_type=Path), metavar="FILE", help="Markdown page to write."
)
HTML = click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Page with charts to write."
)
OUT = click.option(
    "--out", type=click.Path(path_type=Path), metavar="DIR", help="Results folder.  [default: tune-out/NAME]"
)
WORK = click.option(
    "--work",
    type=click.Path(path_type=Path),
    metavar="DIR",
    hidden=True,
    help="Folder that --resume needs.  [default: OUT/work]",
)
RESUME = click.option("--resume", is_flag=True, help="Go on from the journal of a stopped run.")
FORCE = click.option("--force", is_flag=True, help="Replace what exists.")
JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON; everything else goes to stderr.")
QUIET = click.option("--quiet", is_flag=True, help="Print nothing but the answer.")

_path = partial(click.option, type=click.Path(path_type=Path))
_value = partial(click.option, show_default=True)
_size = partial(click.option, type=parse_size, metavar="SIZE")
_time = partial(click.option, type=parse_duration, metavar="TIME")
_flag = partial(click.option, is_flag=True)
_stores, _baselines = click.Choice(["memory", "disk"]), click.Choice(["graph", "hnswlib"])
_duplicates = click.Choice(["keep", "collapse"])
_preferences = click.Choice(list(PREFERENCES))

SWEEP_OPTIONS = (
    click.option(
        "--recall",
        type=parse_numbers,
        metavar="NUMBER[,...]",
        help="Target recall@k in (0, 1]. Of several the first is tuned for, the others are looked up.",
    ),
    QUERIES,
    IDS,
    COLUMN,
    click.option("--n-queries", type=int, help="Number of rows that become queries.  [default: by size]"),
    click.option(
        "--k",
        type=parse_whole_numbers,
        default="10",
        show_default=True,
        metavar="NUMBER[,...]",
        help="Neighbours per query, >= 1. Of several the first is tuned for, the others are looked up.",
    ),
    METRIC,
    *FILTERS,
    click.option(
        "--selectivity",
        type=parse_shares,
        default=(),
        metavar="SHARE[,...]",
        help="Make filters up that allow such shares of the rows: 50%,10%,2%,0.5%.",
    ),
    _size("--max-memory", help="Limit on the index in memory: 600MB, 2GiB or 180B/vector."),
    _time("--max-latency", help="Limit on the p95 of one query at a time on one thread: 400us."),
    _value(
        "--prefer",
        type=_preferences,
        default="balanced",
        help="Point of the front to recommend; balanced: least memory x latency within 1.5 x the fastest.",
    ),
    _value(
        "--confidence",
        type=float,
        default=0.95,
        help="Confidence level of the lower bound on recall, in (0.5, 1).",
    ),
    _path(
        "--space",
        metavar="NAME|YAML",
        help="Space to sweep: quick, low-memory, oracle or a file.  [default: everything]",
    ),
    _value("--rerank-store", type=_stores, default="memory", help="Place of the re-ranking vectors."),
    _value(
        "--duplicates",
        type=_duplicates,
        default="keep",
        help="Rows that repeat another: nodes of their own, or collapsed to one with a list of its copies.",
    ),
    _value(
        "--baseline",
        type=_baselines,
        default="graph",
        help="Reference for the gain: derived from the graph, or built by hnswlib.",
    ),
    click.option(
        "--target",
        metavar="ENGINE",
        shell_complete=complete_engine,
        help="Engine to tune for, and in, where it runs.",
    ),
    _path("--sweep", "earlier", metavar="REPORT", help="With --target: report.json to begin from."),
    _path("--since", metavar="REPORT", help="Earlier answer: built again if it holds, else swept again."),
    _flag("--exhaustive", help="Build and measure every configuration natively."),
    click.option(
        "--shards", type=int, metavar="NUMBER", help="Build as so many shards, whose answers are merged."
    ),
    click.option(
        "--ray",
        metavar="auto|local|ADDRESS",
        help="Run on this Ray cluster, a shard for each machine unless --shards says otherwise.",
    ),
    _size("--node-memory", help="With --shards or --ray: memory of a machine that serves a shard."),
    SEED,
    # no IntRange: check_options has a sentence for what is out of range
    _value(
        "--threads",
        type=int,
        default=0,
        help="Number of threads for building, >= 0; 0 means all cores. Latency is measured on one.",
    ),
    _time(
        "--time-budget",
        help="Time for the whole run: 90s, 10m or 1h; a sample is tuned where all rows take much longer.",
    ),
    _size(
        "--memory-limit",
        help="Memory for the run itself: 3GB; or a sample is tuned.  [default: what is free]",
    ),
    OUT,
    WORK,
    FORCE,
    RESUME,
    _flag("--dry-run", help="Check all that takes seconds, show the plan, its time and memory, and stop."),
    JSON,
    QUIET,
)


def sweep_options(command: F) -> F:
    """Give a command the options of a sweep, in the order of the table."""
    for option in reversed(SWEEP_OPTIONS):
        command = option(command)
    return command


def to_options(
    *,
    recall: tuple[float, ...] | None,
    k: tuple[int, ...],
    max_memory: MemoryLimit | None,
    max_latency: float | None,
    time_budget: float | None,
    memory_limit: MemoryLimit | None,
    space: Path | None,
    **named: Any,
) -> Options:
    """Return checked options from what the command line parsed.

    Raises:
        InputError: an option is out of range, or the space cannot be used.
    """
    if recall is None:
        raise click.MissingParameter(param_hint="'--recall'", param_type="option")
    limit = max_memory or MemoryLimit()
    options = Options(
        recall=recall[0],
        k=k[0],
        other_recalls=recall if len(recall) > 1 else (),
        other_ks=k if len(k) > 1 else (),
        max_memory_bytes=limit.total_bytes,
        max_memory_per_vector=limit.per_vector_bytes,
        max_latency_s=max_latency,
        time_budget_s=time_budget,
        run_memory_bytes=_total_bytes(memory_limit),
        space=load_space(space) if space else default_space(),
        **named,
    )
    check_options(options)
    return options


def _total_bytes(limit: MemoryLimit | None) -> int | None:
    if limit is not None and limit.total_bytes is None:
        raise InputError("--memory-limit is for the run, not for a vector: give a size such as 3GB")
    return None if limit is None else limit.total_bytes


def refuse_base_as_queries(file: str, queries: str | None, base: Vectors, given: Vectors | None) -> None:
    """Raise InputError if the queries are the base: the same matrix of the same file."""
    if queries is None or given is None:
        return
    same = Path(queries).samefile(file) if Path(queries).exists() and Path(file).exists() else queries == file
    if same and given.source.removeprefix(queries) == base.source.removeprefix(file):
        raise InputError(f"--queries names the base itself, {shown(file)}: leave it out to hold queries out")


def refuse_contradictions(
    queries: str | None, options: Options, *, resume: bool, dry_run: bool, as_json: bool
) -> None:
    """Raise InputError if two options exclude each other."""
    if queries and options.n_queries is not None:
        raise InputError("--queries gives queries and --n-queries holds them out: use one of them")
    if dry_run and resume:
        raise InputError("--dry-run starts nothing and --resume goes on with a run: use one of them")
    if dry_run and as_json:
        raise InputError("--dry-run prints a plan and --json prints a report: use one of them")
