"""``tune export``: a point of a run as the configuration of an engine."""

from __future__ import annotations

from pathlib import Path

import click

from tuner.api.engines import point_of
from tuner.api.result import read_report
from tuner.cli.complete import complete_engine
from tuner.cli.options import FORCE
from tuner.cli.outputs import refuse_to_replace, say
from tuner.engines import Exported, find_engine, write_exported
from tuner.engines.export import claims_of, describe_shards, render
from tuner.engines.translate import config_of, describe_nearest, describe_raised, nearest_expressible


@click.command(short_help="Write a point of a run as the configuration of an engine.")
@click.argument("report", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "name",
    required=True,
    metavar="ENGINE",
    shell_complete=complete_engine,
    help="Engine; tune engines lists them.",
)
@click.option(
    "--point",
    metavar="NAME|N",
    help="balanced, fastest, smallest, or a point's number.  [default: the recommended one]",
)
@click.option(
    "--nearest", is_flag=True, help="Take the measured point nearest to one that the engine cannot express."
)
@click.option(
    "--variant",
    default="",
    metavar="VERSION",
    help="Version of the engine, where its configuration depends on it.  [default: the newest known]",
)
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File to write.  [default: standard output]",
)
@FORCE
def export(
    report: Path,
    *,
    name: str,
    point: str | None,
    nearest: bool,
    variant: str,
    out: Path | None,
    force: bool,
) -> int:
    """Write a point of a run as the configuration of an engine.

    REPORT is the report.json of the run, or its folder.
    """
    engine = find_engine(name)
    result = read_report(report)
    wanted = point_of(result, point, report)
    chosen = (nearest_expressible(engine, result, wanted, variant) if nearest else None) or wanted
    settings = config_of(engine, result, chosen, variant)
    if chosen is not wanted:
        taken = describe_nearest(result, wanted, chosen)
        click.echo(f"instead of {wanted.configuration.label}: {taken}", err=True)
    if settings.ef_search > chosen.ef_search:
        click.echo(describe_raised(settings, chosen), err=True)
    if engine.capabilities.most_shards == 1:  # what has to be done to use the file
        for sentence in describe_shards(engine.capabilities, settings):
            click.echo(sentence, err=True)
    exported = Exported(settings=settings, claims=claims_of(result, chosen))
    if out is None:
        click.echo(render(engine, exported), nl=False)
        return 0
    refuse_to_replace(out, force=force, instead="name another file")
    write_exported(engine, exported, out)
    say(f"{out}: {engine.capabilities.title}, {exported.settings.label}", err=True)
    return 0
