"""Exported configurations as functions: written for an engine, and verified in it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tuner import types
from tuner.api.keywords import checked_call
from tuner.api.notebook import watched
from tuner.api.result import read_report
from tuner.data.filters import FiltersAsked, FilterSource, LabelSource, open_filters
from tuner.data.ids import IdSource
from tuner.data.inputs import Source
from tuner.engine_jobs import VerifyOptions
from tuner.engine_jobs import verify as run_verify
from tuner.engines import Exported, find_engine, read_exported, write_exported
from tuner.engines.export import claims_of, render
from tuner.engines.translate import config_of, nearest_expressible
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.runtime.process import kept_threads
from tuner.types import OperatingPoint, Preference, VerifyResult

MOST_NAME = 48
"""Letters of a name that every engine takes."""


@checked_call
def export(
    report: types.Result | str | Path,
    engine: str,
    *,
    point: Preference | int | None = None,
    nearest: bool = False,
    variant: str = "",
    out: str | Path | None = None,
    force: bool = False,
) -> str:
    """Return a point of a run as the configuration of an engine, in the engine's own language.

    >>> text = tuner.export(result, "pgvector", out="index.sql")  # doctest: +SKIP

    Args:
        report: A result, or a run's report.json, or its folder.
        engine: Name of the engine, as ``tune engines`` lists it.
        point: Name or number of the point; None takes the recommended one.
        nearest: Whether the nearest measured point is taken instead of one that the engine cannot express.
        variant: Version of the engine, where its configuration depends on it.
        out: File to write as well.
        force: Whether a file that is there may be replaced.

    Raises:
        InputError: the engine cannot express the point, or the file is there already.
    """
    able = find_engine(engine)
    result = report if isinstance(report, types.Result) else read_report(Path(report))
    source = result.profile.source if isinstance(report, types.Result) else str(report)
    wanted = point_of(result, None if point is None else str(point), source)
    chosen = (nearest_expressible(able, result, wanted, variant) if nearest else None) or wanted
    exported = Exported(settings=config_of(able, result, chosen, variant), claims=claims_of(result, chosen))
    if out is not None:
        if Path(out).exists() and not force:
            raise InputError(f"{out} is there already: use force to replace it, or name another file")
        write_exported(able, exported, Path(out))
    return render(able, exported)


@checked_call
def verify(
    config: str | Path,
    base: Source,
    queries: Source | None = None,
    *,
    ids: IdSource | None = None,
    column: str | None = None,
    labels: LabelSource | None = None,
    query_labels: LabelSource | None = None,
    filters: FilterSource | None = None,
    where: str | None = None,
    address: str | None = None,
    name: str = "tune_items",
    replace: bool = False,
    recall: float | None = None,
    threads: int = 0,
) -> VerifyResult:
    """Return what an exported configuration does in the engine itself: its ``verdict``, and why.

    Threads of the process are as before afterwards.

    >>> tuner.verify("index.sql", "embeddings.npy").verdict  # doctest: +SKIP

    Args:
        config: A file of ``tuner.export`` or ``tune export``.
        base: Vectors, (n, d), or a file.
        queries: Queries, (nq, d) likewise; None holds the rows out that the run held out.
        ids: Ids of the rows, a list, an array or a file; -1 or empty text is a row deleted on purpose.
        column: Name of the matrix in a file or table that holds several.
        labels: Labels of the rows, one or a list each, as for ``tuner.tune``.
        query_labels: Labels of the queries likewise.
        filters: Sparse matrix of scipy, (nq, n), of the rows that each query may be answered with.
        where: Condition of SQL over the columns of the base that allows rows.
        address: Address of your own server; None starts one and stops it.
        name: Name of the table, collection or index.
        replace: Whether a table or collection of that name is dropped.
        recall: Target recall@k instead of the file's.
        threads: Threads to build with; 0 means all cores.

    Raises:
        InputError: the data do not fit the file, the engine is not installed or cannot be reached.
    """
    able, exported = read_exported(Path(config))
    asked = VerifyOptions(
        address=address, name=checked_name(name), replace=replace, recall=recall, threads=threads
    )
    filtered = FiltersAsked(labels, query_labels, filters, where)
    filtered.check()
    vectors, given = open_inputs(base, queries, ids, column)
    found = open_filters(filtered, (vectors, given), (base, queries), column)
    with kept_threads(), tempfile.TemporaryDirectory(prefix="tune-verify-") as work:
        return watched(run_verify(able, exported, vectors, given, asked, Path(work), found))


def checked_name(name: str) -> str:
    """Return a name of a table or collection that every engine takes as it is.

    Raises:
        InputError: it is none.
    """
    plain = name.isascii() and name.isidentifier() and name == name.lower() and len(name) <= MOST_NAME
    if not plain:
        raise InputError(
            f"name {name!r} is no plain name: use lower-case letters, digits and _, at most {MOST_NAME}"
        )
    return name


def point_of(result: types.Result, asked: str | None, source: str | Path) -> OperatingPoint:
    """Return the point that is asked for by name or number, the recommended one if by neither.

    Args:
        source: What messages call the result.

    Raises:
        InputError: there is none.
    """
    if not result.points or result.status == "exact":
        raise InputError(
            f"{source}: holds no point of an index (its answer is {result.status}): there is nothing to "
            "export"
        )
    if result.status == "extrapolated":
        raise InputError(
            f"{source}: is of a sample, and the ef_search of all rows was not measured: export the report of "
            "tune build, which measures it"
        )
    name = asked or result.options.prefer
    if name in result.named:
        return result.points[result.named[name]]
    if name.isdigit() and int(name) < len(result.points):
        return result.points[int(name)]
    if asked is None:
        raise InputError(f"{source}: the target was not reached: name a point by its number with --point 0")
    raise InputError(
        f"{source}: has no point {name!r}: it has {', '.join(result.named)} and 0 to {len(result.points) - 1}"
    )
