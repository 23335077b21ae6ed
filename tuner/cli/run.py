"""``tune run``, which is also plain ``tune``: the sweep."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from tuner.api.result import REPORT_NAME, read_report
from tuner.cli.build import run_since
from tuner.cli.complete import complete_file
from tuner.cli.folders import name_of
from tuner.cli.options import (
    refuse_base_as_queries,
    refuse_contradictions,
    sweep_options,
    to_options,
)
from tuner.cli.outputs import refuse_to_replace
from tuner.cli.perform import check_stages, perform
from tuner.cli.rehearse import show_plan
from tuner.cli.shards import OF_SHARDS, run_shards
from tuner.cli.target import TARGET_REPORT, refuse_with_target, run_target
from tuner.data.checks import check_inputs
from tuner.data.filters import FiltersAsked, open_filters
from tuner.engines import Engine, find_engine
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.runtime.process import dedicate_process
from tuner.sweep.sampled import sweep_or_sample
from tuner.types import Options

OF_FILTERS = ("labels", "query_labels", "filters", "where")
"""Parameters that give filters."""


@click.command(short_help="Find HNSW parameters and a quantizer: what tune does unnamed.")
@click.argument("file", shell_complete=complete_file)
@sweep_options
@click.pass_context
def run(
    ctx: click.Context,
    /,
    *,
    file: str,
    queries: str | None,
    ids: str | None,
    column: str | None,
    out: Path | None,
    work: Path | None,
    force: bool,
    resume: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    target: str | None,
    earlier: Path | None,
    since: Path | None,
    **chosen: Any,
) -> int:
    """Find M, efConstruction, efSearch, quantizer, dimension cut and re-ranking for the vectors in FILE.

    FILE holds (n, d) float32, float16, float64, int8 or uint8: .npy, .npz, .fvecs, .bvecs, .fbin, .u8bin,
    .i8bin, .csv, .tsv, .txt, .json, .jsonl, word2vec, HDF5, Parquet, Arrow, safetensors, torch, a folder or
    pattern of such, a database or an address (README). The exit code is 0 if the target is reached, 1 if
    nothing reaches it, 2 for bad input.

    Bring 1,000 to 4,000 queries: the fewer there are, the farther above the target the answer must lie. A
    target of 0.95 needs 60 at least, 0.99 needs 300, 0.999 needs 3,000.
    """
    if since is not None:
        return run_since(ctx)
    asked = _filters_asked(chosen)
    shards = [chosen.pop(name) for name in OF_SHARDS]
    options = to_options(**chosen)
    refuse_contradictions(queries, options, resume=resume, dry_run=dry_run, as_json=as_json)
    if shards != [None] * len(OF_SHARDS):
        return run_shards(ctx, options)
    base, given = open_inputs(file, queries or None, ids, column)
    refuse_base_as_queries(file, queries, base, given)
    as_default, out = out is None, out or Path("tune-out", name_of(file))
    check_inputs(base, given, options)
    engine = _engine_for(target, earlier, options, asked, resume=resume)
    if engine is not None and as_default:
        out = out / engine.name
    work = work or out / "work"
    if not resume:
        report = REPORT_NAME if engine is None else TARGET_REPORT
        refuse_to_replace(out / report, force=force, instead="give another --out")
    known = None if earlier is None else read_report(earlier)
    filters = open_filters(asked, (base, given), (file, queries), column)
    if dry_run:
        plan = partial(show_plan, base, given, options, out, work, filters=filters)
        return plan(engine=engine, earlier=known, quiet=quiet)
    dedicate_process()
    if engine is not None:
        return run_target(engine, base, given, options, out, earlier=known, as_json=as_json, quiet=quiet)
    check_stages(out / REPORT_NAME, work, resume=resume, force=force)
    events = sweep_or_sample(base, given, options, out, work, resume=resume, filters=filters)
    return perform(ctx, events, out, work, as_json=as_json, quiet=quiet)


def _engine_for(
    target: str | None, earlier: Path | None, options: Options, asked: FiltersAsked, *, resume: bool
) -> Engine | None:
    """Return the engine to tune for, None without one."""
    if target is None and earlier is not None:
        raise InputError("--sweep is for --target: name an engine, or leave it out")
    if target is None:
        return None
    engine = find_engine(target)
    refuse_with_target(options, resume=resume, filters=asked.options)
    return engine


def _filters_asked(chosen: dict[str, Any]) -> FiltersAsked:
    """Take what gives filters out of the options; return it, checked."""
    given = {name: chosen.pop(name) for name in OF_FILTERS}
    asked = FiltersAsked(**given, selectivity=bool(chosen["selectivity"]))
    asked.check()
    return asked
