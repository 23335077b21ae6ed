"""The options of a sweep: how they are written, what they default to, which exclude each other."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from tuner.cli.units import MemoryLimit, parse_duration, parse_size
from tuner.data.checks import check_options
from tuner.errors import InputError
from tuner.space import default_space, load_space
from tuner.types import PREFERENCES, Options

F = TypeVar("F", bound=Callable[..., Any])

_text = partial(click.option, metavar="FILE")
_path = partial(click.option, type=click.Path(path_type=Path))
_value = partial(click.option, show_default=True)
_size = partial(click.option, type=parse_size, metavar="SIZE")
_time = partial(click.option, type=parse_duration, metavar="TIME")
_flag = partial(click.option, is_flag=True)
_metrics, _stores = click.Choice(["auto", "cosine", "ip", "l2"]), click.Choice(["memory", "disk"])
_baselines, _preferences = click.Choice(["graph", "hnswlib"]), click.Choice(list(PREFERENCES))

# fmt: off - a table, one option a line
OPTIONS = (
    click.option("--recall", type=float, required=True, help="Target recall@k in (0, 1]."),
    _text("--queries", help="Queries as .npy; else some rows of the base become queries and leave it."),
    click.option("--n-queries", type=int, help="How many rows become queries.  [default: by size]"),
    _value("--k", type=int, default=10, help="Neighbours that a search returns."),
    _value("--metric", type=_metrics, default="auto", help="auto decides from the data and says why."),
    _size("--max-memory", help="Limit on the resident index: 600MB, 2GiB or 180B/vector."),
    _time("--max-latency", help="Limit on the p95 of one query at a time on one thread: 400us."),
    _value("--prefer", type=_preferences, default="balanced", help="Which point of the front to recommend."),
    _value("--confidence", type=float, default=0.95, help="Of the lower bound on recall."),
    _path(
        "--space",
        metavar="NAME|YAML",
        help="quick, low-memory, oracle or a file.  [default: everything]",
    ),
    _value("--rerank-store", type=_stores, default="memory", help="Where re-ranking vectors live."),
    _value("--baseline", type=_baselines, default="graph", help="What the gain is measured against."),
    click.option("--target", metavar="ENGINE", help="Tune for this engine, and in it where it runs."),
    _path("--sweep", "earlier", metavar="REPORT", help="With --target: take M from this report.json."),
    _flag("--exhaustive", help="Build and measure every configuration natively."),
    _value("--seed", type=int, default=0, help="Of everything that is drawn."),
    _value("--threads", type=int, default=0, help="To build with; 0 is all cores. Latency is always of one."),
    _time("--time-budget", help="For the whole run: 90s, 10m or 1h."),
    _path("--out", metavar="DIR", help="Where results go.  [default: tune-out/NAME]"),
    _path("--work", metavar="DIR", hidden=True, help="What --resume needs.  [default: OUT/work]"),
    _flag("--resume", help="Go on from the journal of a stopped run."),
    _flag("--dry-run", help="Show the plan, its time and memory, and stop."),
    _flag("--json", "as_json", help="Print the report as JSON; all else goes to stderr."),
    _flag("--quiet", help="Print nothing but the answer."),
)
# fmt: on


def sweep_options(command: F) -> F:
    """Give a command the options of a sweep, in the order of the table."""
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def to_options(
    *,
    max_memory: MemoryLimit | None,
    max_latency: float | None,
    time_budget: float | None,
    space: Path | None,
    **named: Any,
) -> Options:
    """Return checked options from what the command line parsed.

    Raises:
        InputError: an option is out of range, or the space cannot be used.
    """
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


def refuse_contradictions(
    file: str, queries: str | None, options: Options, *, resume: bool, dry_run: bool, as_json: bool
) -> None:
    """Raise InputError if two options exclude each other."""
    if queries and options.n_queries is not None:
        raise InputError("--queries gives queries and --n-queries holds them out: use one of them")
    if queries and Path(queries).exists() and Path(file).exists() and Path(queries).samefile(file):
        raise InputError(f"--queries names the base itself, {file}: leave it out to hold queries out")
    if dry_run and resume:
        raise InputError("--dry-run starts nothing and --resume goes on with a run: use one of them")
    if dry_run and as_json:
        raise InputError("--dry-run prints a plan and --json prints a report: use one of them")
