"""``tune compare``: what changed from one run to another."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from tuner.api.result import read_report
from tuner.cli.draw import Screen
from tuner.cli.options import JSON
from tuner.cli.outputs import show_paragraph, show_table
from tuner.report.json_report import versioned_json


@click.command(short_help="Say what changed from one run to another.")
@click.argument("before", type=click.Path(path_type=Path))
@click.argument("after", type=click.Path(path_type=Path))
@JSON
def compare(before: Path, after: Path, *, as_json: bool) -> int:
    """Say what changed from one run to another: data, configuration, recall, bytes and distances.

    BEFORE and AFTER are reports of runs, or their folders. Clock times are compared on one machine alone.
    """
    from tuner.report.compare import HEAD, SCHEMA_VERSION, changes, remarks  # noqa: PLC0415 - scipy.stats

    one, two = read_report(before), read_report(after)
    found, notes = changes(one, two), remarks(one, two)
    if as_json:
        tree = {"changes": [asdict(each) for each in found], "remarks": notes}
        click.echo(versioned_json(SCHEMA_VERSION, tree), nl=False)
        return 0
    screen = Screen()
    show_table(screen, HEAD, (tuple(asdict(each).values()) for each in found))
    for note in notes:
        show_paragraph(screen, note)
    return 0
