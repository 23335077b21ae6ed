"""``tune engines``: what each engine can express."""

from __future__ import annotations

from collections.abc import Iterator

import click
from rich.table import Table

from tuner.cli.complete import complete_engine
from tuner.cli.draw import Screen
from tuner.cli.outputs import show_text
from tuner.engines import Capabilities, engine_names, find_engine, missing_modules
from tuner.engines.protocol import NO_LIMIT
from tuner.engines.versions import known_versions
from tuner.errors import InputError

CODECS = "codecs"
RUNS = {"library": "library", "embedded": "embedded", "server": "own server", "no": "export only"}


@click.command(short_help="List what each engine can express.")
@click.argument("name", required=False, shell_complete=complete_engine)
def engines(name: str | None) -> int:
    """List what each engine can express, or all that is known of the engine NAME."""
    screen = Screen()
    if name is not None:
        _show_engine(screen, find_engine(name).capabilities)
        return 0
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("engine", "runs here", CODECS, "M", "ef_search", "re-scoring"):
        words = title in (CODECS, "runs here")  # which are wrapped between words, and figures not at all
        table.add_column(title, no_wrap=not words, overflow="fold", min_width=16 if title == CODECS else None)
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
            ", ".join(codec.name for codec in can.codecs),
            f"{can.M[0]}-{can.M[1]}",
            f"{can.ef_search[0]}-{can.ef_search[1]:,}",
            f"x{can.oversampling[1]}" if any(codec.oversampling for codec in can.codecs) else "-",
        )
    screen.print(table)
    screen.print(
        "tune engines NAME tells more: codecs of faiss that are like its own, bounds, silent fallbacks",
        highlight=False,
    )
    return 0


def _show_engine(screen: Screen, can: Capabilities) -> None:
    show_text(screen, can.title)
    for name, text in describe_engine(can):
        show_text(screen, f"{name}: {text}")


def describe_engine(can: Capabilities) -> Iterator[tuple[str, str]]:
    """Yield what is known of an engine, each with its name; the pages of the documentation say the same."""
    usual = can.defaults
    yield "runs", f"{RUNS[can.runs]}; tested: {can.tested}"
    if can.versions:
        yield "versions of configurations", known_versions(can)
    if can.unit_length:
        yield "needs vectors of length 1", ", ".join(can.unit_length)
    if can.packages:
        yield "install", f"pip install {' '.join(map(repr, can.packages))}"
    if can.licence:
        yield "licence", can.licence
    yield "metrics", ", ".join(can.metrics)
    yield "M", f"{can.M[0]} to {can.M[1]}"
    yield "ef_construction", f"{can.ef_construction[0]} to {can.ef_construction[1]:,}"
    yield "ef_search", f"{can.ef_search[0]} to {can.ef_search[1]:,}"
    yield (
        "default",
        f"{usual.codec}, M={usual.M}, ef_construction={usual.ef_construction}, ef_search={usual.ef_search}",
    )
    yield "oversampling", can.counts_oversampling
    if can.most_shards > 1:
        most = f"up to {can.most_shards:,}; " if can.most_shards < NO_LIMIT else ""
        yield "shards", most + can.counts_shards
    else:
        yield "shards", can.counts_shards
    if (filters := can.filters) is not None:
        yield "filtered search", f"{filters.how}; ef_search counts {filters.ef_counts}; {filters.source}"
        yield "few rows that are allowed", filters.scans
        if filters.cannot:
            yield "with filters it cannot", filters.cannot
    yield "bytes", can.bytes_are
    for codec in can.codecs:
        text = f"{codec.bits:g} bits a dimension, nearest {codec.nearest}"
        text += ", can re-score" if codec.oversampling else ""
        text += f", since {codec.since}" if codec.since and "since" not in codec.note else ""
        yield f"codec {codec.name}", text + (f"; {codec.note}" if codec.note else "")
    for fallback in can.fallbacks:
        yield "silently", fallback
