"""``tune verify``: an exported file, proved on the engine itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

import click

from tuner.api.engines import checked_name
from tuner.cli.complete import complete_engine, complete_file
from tuner.cli.draw import Screen, follow
from tuner.cli.filter_options import filter_options
from tuner.cli.folders import refuse_unwritable_files
from tuner.cli.options import ADDRESS, COLUMN, HTML, IDS, JSON, QUERIES, QUIET, THREADS
from tuner.cli.outputs import show_verdict, write_file
from tuner.cli.stop import Stopping
from tuner.data.filters import FiltersAsked, open_filters
from tuner.engine_jobs import VerifyOptions, verify
from tuner.engines import find_engine, read_exported
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.report.engines import verify_headline, verify_to_json
from tuner.report.page.jobs import verify_to_html

NOT_VERIFIED, NOT_JUDGED = 1, 2


@click.command("verify", short_help="Prove an exported file on the engine itself.")
@click.argument("config", type=click.Path(path_type=Path))
@click.argument("file", metavar="FILE", shell_complete=complete_file)
@click.option(
    "--on", "name", metavar="ENGINE", shell_complete=complete_engine, help="Engine that CONFIG must be for."
)
@QUERIES
@IDS
@COLUMN
@filter_options
@ADDRESS
@click.option(
    "--name",
    "table",
    default="tune_items",
    show_default=True,
    metavar="NAME",
    help="Name of the table, collection or index to make.",
)
@click.option("--replace", "drop", is_flag=True, help="Drop a table or collection of that name.")
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True),
    help="Target recall@k in (0, 1].  [default: the one in CONFIG]",
)
@HTML
@THREADS
@JSON
@QUIET
def verify_command(
    *,
    config: Path,
    file: str,
    name: str | None,
    queries: str | None,
    ids: str | None,
    column: str | None,
    labels: str | None,
    query_labels: str | None,
    filters: str | None,
    where: str | None,
    address: str | None,
    table: str,
    drop: bool,
    recall: float | None,
    html: Path | None,
    threads: int,
    as_json: bool,
    quiet: bool,
) -> int:
    """Build what CONFIG says in the engine itself, with the vectors in FILE, and search it.

    CONFIG is a file of `tune export`, FILE one of vectors. With filters, queries are searched with them too,
    and recall is that among the rows allowed, for each band of shares. The exit code is 0 if the index was
    used as configured and reached the target, 1 if not, 2 if that could not be judged.
    """
    refuse_unwritable_files(html)
    engine, exported = read_exported(config)
    if name is not None and find_engine(name).name != engine.name:
        raise InputError(
            f"{config}: is for {engine.name}, not for {name}: name that engine, or export to {name}"
        )
    options = VerifyOptions(
        address=address, name=checked_name(table), replace=drop, recall=recall, threads=threads
    )
    asked = FiltersAsked(labels, query_labels, filters, where)
    asked.check()
    base, given = open_inputs(file, queries or None, ids, column)
    found = open_filters(asked, (base, given), (file, queries or None), column)
    stopping = click.get_current_context().ensure_object(Stopping)
    with (
        tempfile.TemporaryDirectory(prefix="tune-verify-") as work,
        stopping.during(lambda: "stopped", engine.reap_orphans),
    ):
        events = verify(engine, exported, base, given, options, Path(work), found)
        result = follow(events, Screen(stderr=True), quiet=quiet)
    if html is not None:
        write_file(html, verify_to_html(engine.capabilities.title, result).encode())
    json = verify_to_json(result) if as_json else None
    show_verdict(Screen(stderr=as_json), result.lines, verify_headline(result), json, quiet=quiet)
    return {"verified": 0, "not_verified": NOT_VERIFIED, "died": NOT_JUDGED}[result.verdict]
