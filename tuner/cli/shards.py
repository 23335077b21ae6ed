"""``tune run --shards`` and ``--ray``: the sweep over shards, here or on a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tuner.api.result import REPORT_NAME
from tuner.cli.folders import name_of
from tuner.cli.options import refuse_base_as_queries
from tuner.cli.outputs import refuse_to_replace
from tuner.cli.perform import check_stages, perform
from tuner.cli.units import MemoryLimit
from tuner.cluster.on_ray import workers_of
from tuner.cluster.pose import Request, refuse_with_shards, remove_scratch
from tuner.cluster.run import sweep_shards
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.runtime.process import dedicate_process
from tuner.types import Options

OF_SHARDS = ("shards", "ray", "node_memory")
"""Parameters that ask for shards."""
NOT_OF_SHARDS = {
    "--target": "target",
    "--sweep": "earlier",
    "--dry-run": "dry_run",
    "--labels": "labels",
    "--filters": "filters",
    "--where": "where",
}
"""Options that do not go with them, and their parameters."""


def run_shards(ctx: click.Context, options: Options) -> int:
    """Do what ``tune run`` was asked for, over shards; return the exit code.

    Raises:
        InputError: what was asked for does not go with shards, or something is missing.
    """
    given = ctx.params
    name, out, work, queries = given["file"], given["out"], given["work"], given["queries"]
    _refuse(given)
    refuse_with_shards(options)
    request = Request(name, given["column"], given["ids"], given["shards"], _node_bytes(given["node_memory"]))
    out = out or Path("tune-out", name_of(name))
    work = work or out / "work"
    if not given["resume"]:
        refuse_to_replace(out / REPORT_NAME, force=given["force"], instead="give another --out")
    check_stages(out / REPORT_NAME, work, resume=given["resume"], force=given["force"])
    asked = open_vectors(queries, "queries", request.column) if queries else None
    if asked is not None and Path(queries).exists() and Path(name).exists() and Path(queries).samefile(name):
        refuse_base_as_queries(name, queries, open_vectors(name, "base", request.column), asked)
    dedicate_process()
    with workers_of(given["ray"], options.threads) as workers:
        events = sweep_shards(workers, request, asked, options, out, work, resume=given["resume"])
        code = perform(ctx, events, out, work, as_json=given["as_json"], quiet=given["quiet"])
    remove_scratch(work)
    return code


def _refuse(given: Mapping[str, Any]) -> None:
    for option, name in NOT_OF_SHARDS.items():
        if given[name]:
            raise InputError(f"{option} is not for shards: leave it out, or run without --shards and --ray")


def _node_bytes(limit: MemoryLimit | None) -> int | None:
    if limit is not None and limit.total_bytes is None:
        raise InputError("--node-memory is of a machine, not of a vector: give a size such as 16GB")
    return None if limit is None else limit.total_bytes
