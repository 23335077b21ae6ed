"""``tune show``: the answer of an earlier run again."""

from __future__ import annotations

from pathlib import Path

import click

from tuner.api.result import read_report
from tuner.cli.draw import Screen
from tuner.cli.folders import refuse_unwritable_files
from tuner.cli.options import HTML, MARKDOWN
from tuner.cli.outputs import write_file
from tuner.report import result_to_html, result_to_markdown, show_result


@click.command(short_help="Show the answer of an earlier run again.")
@click.argument("report", type=click.Path(path_type=Path))
@MARKDOWN
@HTML
def show(report: Path, *, markdown: Path | None, html: Path | None) -> int:
    """Show the answer of an earlier run as it was shown then, or write its pages again.

    REPORT is the report.json of the run, or its folder.
    """
    refuse_unwritable_files(markdown, html)
    result = read_report(report)
    write_file(markdown, result_to_markdown(result).encode())
    if html is not None:
        write_file(html, result_to_html(result).encode())
    show_result(result, Screen())
    return 0
