"""``tune baseline``: freeze a decision in a small file."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from tuner.api.result import read_report
from tuner.cli.options import FORCE
from tuner.cli.outputs import refuse_to_replace, say
from tuner.gate import save_baseline, write_baseline
from tuner.gate.frozen_filters import reason_not_frozen
from tuner.text import counted
from tuner.types import Preference


@click.command(short_help="Freeze what a run decided, for tune check.")
@click.argument("report", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("reports/baseline.yaml"),
    show_default=True,
    metavar="FILE",
    help="Baseline to write.",
)
@click.option(
    "--point",
    type=click.Choice(get_args(Preference)),
    help="Point to freeze.  [default: the recommended one]",
)
@FORCE
def baseline(report: Path, out: Path, point: Preference | None, *, force: bool) -> int:
    """Freeze what a run decided in a small file for `tune check`.

    REPORT is the report.json of the run, or its folder.
    """
    result = read_report(report)
    refuse_to_replace(out, force=force, instead="tune check --update")
    saved = save_baseline(result, point)
    position = result.named[point or result.options.prefer]
    write_baseline(saved, out)
    say(
        f"{out}: {saved.label} with ef_search={saved.ef_search}, recall {saved.measured_recall:.4f} on "
        f"{len(saved.hits):,} queries"
    )
    if saved.filters is not None:
        n_bands = len({band.least_rows for band in saved.filters.bands})
        say(f"and {counted(n_bands, 'band')} of filters ({saved.filters.source}), which tune check measures")
    elif why := reason_not_frozen(result, position):
        say(f"its bands of filters are not frozen, and tune check does not measure them: {why}")
    promised = result.recommendation
    if saved.queries.indexed and promised is not None:
        say(
            "these queries are rows of the index, which finds them more easily than new ones: for those the "
            f"report says {promised.recall:.4f}; tune check compares like with like"
        )
    return 0
