"""``tune engines``: what each engine can express."""

from __future__ import annotations

import click
from rich.table import Table

from tuner.cli.draw import Screen
from tuner.cli.outputs import show_text
from tuner.engines import Capabilities, engine_names, find_engine, missing_modules
from tuner.engines.versions import known_versions
from tuner.errors import InputError

RUNS = {"library": "library", "embedded": "embedded", "server": "own server", "no": "export only"}


@click.command(short_help="List what each engine can express.")
@click.argument("name", required=False)
def engines(name: str | None) -> int:
    """List what each engine can express, or all that is known of the engine NAME."""
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
        *([f"versions of configurations: {known_versions(can)}"] if can.versions else []),
        *([f"needs vectors of length 1: {', '.join(can.unit_length)}"] if can.unit_length else []),
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
            + (f", since {codec.since}" if codec.since and "since" not in codec.note else "")
            + (f"; {codec.note}" if codec.note else "")
            for codec in can.codecs
        ),
        *(f"silently: {fallback}" for fallback in can.fallbacks),
    ]
    for line in lines:
        show_text(screen, line)
