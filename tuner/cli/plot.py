"""``tune plot``: a chart of a run as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from tuner.api.result import read_report
from tuner.cli.options import FORCE
from tuner.cli.outputs import refuse_to_replace, say, write_file
from tuner.errors import InputError
from tuner.report.charts import CHARTS, chart_of, picture


@click.command(short_help="Draw a chart of a run as SVG or PNG.")
@click.argument("report", type=click.Path(path_type=Path))
@click.option(
    "--kind", type=click.Choice(list(CHARTS)), default="front", show_default=True, help="Chart to draw."
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="Picture to write: .svg, .png, or .json for its Vega-Lite specification.",
)
@FORCE
def plot(report: Path, *, kind: str, out: Path, force: bool) -> int:
    """Draw a chart of a run: the front, recall, memory, the loss, queries, or predictions.

    REPORT is the report.json of the run, or its folder.
    """
    result = read_report(report)
    refuse_to_replace(out, force=force, instead="name another file")
    chart = chart_of(result, kind)
    if chart is None:
        raise InputError(f"{report}: nothing was measured that a chart of {kind} shows: name another run")
    write_file(out, picture(chart, out.suffix.lower()))
    say(f"{out}: {chart.title.lower()}", err=True)
    return 0
