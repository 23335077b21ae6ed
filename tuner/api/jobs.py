"""The sweep and the diagnosis as functions."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from tuner import types
from tuner.api.index_folder import IndexFolder
from tuner.api.keywords import QueryOptions, TuneOptions, Unpack, checked_call
from tuner.api.notebook import watched
from tuner.api.result import Result, read_report, with_files
from tuner.data.filters import FiltersAsked, FilterSource, LabelSource, open_filters
from tuner.data.ids import IdSource
from tuner.data.inputs import Source
from tuner.diagnosis import DiagnoseOptions, Diagnosis
from tuner.diagnosis import diagnose as run_diagnosis
from tuner.errors import InputError
from tuner.index.inputs import open_inputs
from tuner.runtime.process import borrowed_process
from tuner.space import checked_space, default_space, load_space
from tuner.sweep.again import Earlier, build_again, since
from tuner.sweep.run import finish
from tuner.sweep.sampled import sweep_or_sample
from tuner.types import Event, Metric, Options, Space


@checked_call
def tune(
    base: Source,
    *,
    recall: float,
    queries: Source | None = None,
    ids: IdSource | None = None,
    column: str | None = None,
    labels: LabelSource | None = None,
    query_labels: LabelSource | None = None,
    filters: FilterSource | None = None,
    where: str | None = None,
    out: str | Path | None = None,
    space: Space | str | Path | None = None,
    **options: Unpack[TuneOptions],
) -> Result:
    """Return the parameters that reach ``recall`` on these vectors, with all that was measured.

    Threads and huge pages of the process are as before afterwards.

    >>> result = tuner.tune("embeddings.npy", recall=0.95, max_memory_per_vector=180)  # doctest: +SKIP
    >>> result.best.sentence  # doctest: +SKIP

    Args:
        base: Vectors to index, (n, d) float32, float16, float64, int8 or uint8, or a file.
        recall: Target recall@k in (0, 1].
        queries: Queries, (nq, d) likewise; None holds some rows of the base out.
        ids: Ids of the rows, a list, an array, a file or the name of a column of the base, which the index
            then answers with; -1 or empty text is a row deleted on purpose.
        column: Name of the matrix in a file or table that holds several.
        labels: Labels of the rows, one or a list each (None or an empty list for none): a list, an array, a
            file or the name of a column of the base.
        query_labels: Labels of the queries likewise: each may be answered with rows that have any of them.
            Rows held out as queries ask for their own.
        filters: Sparse matrix of scipy, (nq, n), whose entries are the rows that each query may be answered
            with, or a file of one.
        where: Condition of SQL over the columns of the base, a file, that allows rows; or the name of a
            column of the queries that has one each.
        out: Folder for ``index.faiss``; None keeps it in a temporary one as long as the result lives.
        space: What to sweep: an object, the name of a preset such as ``quick``, or a YAML file.
        **options: Further fields of ``tuner.Options``, which has their defaults: ``k``, ``metric``,
            ``prefer``, ``max_memory_bytes``, ``max_memory_per_vector``, ``max_latency_s``, ``rerank_store``,
            ``duplicates``, ``confidence``, ``n_queries``, ``seed``, ``threads``, ``time_budget_s``,
            ``run_memory_bytes``, ``baseline``, ``other_ks``, ``other_recalls``, ``exhaustive``,
            ``native`` and ``selectivity``, for filters that are made up.

    Raises:
        InputError: data or options cannot be used as they are.
        ResourceError: too little memory, disk or time.
    """
    wanted = Options(recall=recall, space=space_of(space), **options)
    asked = FiltersAsked(labels, query_labels, filters, where, selectivity=bool(wanted.selectivity))
    asked.check()
    vectors, given = open_inputs(base, queries, ids, column)
    found = open_filters(asked, (vectors, given), (base, queries), column)
    return _into_folder(partial(sweep_or_sample, vectors, given, wanted, filters=found), out)


@checked_call
def build(
    report: Path | str | types.Result,
    base: Source,
    *,
    queries: Source | None = None,
    ids: IdSource | None = None,
    column: str | None = None,
    out: str | Path | None = None,
    threads: int = 0,
    sweep_if_broken: bool = False,
) -> Result:
    """Build what an earlier run recommended on newer or more vectors, with the ef_search that they need.

    >>> tuner.build("tune-out/embeddings/report.json", "next_week.npy")  # doctest: +SKIP

    Args:
        report: Result of the earlier run, or its report.json or folder.
        base: Vectors to index, (n, d), or a file.
        queries: Queries, (nq, d), if the earlier run was given some; None holds rows of the base out.
        ids: Ids of the rows, as for ``tune``.
        column: Name of the matrix in a file or table that holds several.
        out: Folder for ``index.faiss``; None keeps it in a temporary one as long as the result lives.
        threads: Number of threads, 0 for all cores.
        sweep_if_broken: Whether everything is swept again if the answer no longer holds; else nothing else
            than the answer is tried.

    Raises:
        InputError: the report recommends nothing, or does not fit the vectors or queries.
        ResourceError: too little memory, disk or time.
    """
    known = report if isinstance(report, types.Result) else read_report(Path(report))
    source = "the earlier result" if isinstance(report, types.Result) else str(report)
    vectors, given = open_inputs(base, queries, ids, column)
    job = since if sweep_if_broken else build_again
    return _into_folder(partial(job, Earlier(known, source), vectors, given, threads), out)


def _into_folder(
    job: Callable[[Path, Path], Generator[Event, None, types.Result]], out: str | Path | None
) -> Result:
    """Return the result of a job that is given a folder for the index and one for scratch."""
    with ExitStack() as undo:
        work = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tune-")))
        folder = Path(tempfile.mkdtemp(prefix="tune-index-")) if out is None else Path(out)
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as failed:
            if out is None:
                failed.callback(shutil.rmtree, folder, ignore_errors=True)
            with borrowed_process():
                found = watched(job(folder, work))
            finish(work)
            failed.pop_all()
    return with_files(found, IndexFolder(folder, temporary=out is None))


@checked_call
def diagnose(
    index: Any,
    base: Source,
    queries: Source | None = None,
    *,
    ids: IdSource | None = None,
    column: str | None = None,
    recall: float = 0.95,
    ef_search: int | None = None,
    hnswlib_space: Metric | None = None,
    apply: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    labels: LabelSource | None = None,
    query_labels: LabelSource | None = None,
    filters: FilterSource | None = None,
    where: str | None = None,
    **options: Unpack[QueryOptions],
) -> Diagnosis:
    """Return where an index loses recall, and what mends it.

    Threads and huge pages of the process are as before afterwards.

    >>> found = tuner.diagnose("my.faiss", "embeddings.npy", recall=0.95)  # doctest: +SKIP
    >>> found.healthy, found.first  # doctest: +SKIP

    Args:
        index: A faiss index, or a file of faiss, hnswlib or usearch.
        base: Vectors that it was made of, (n, d), or a file.
        queries: Queries, (nq, d) likewise; None asks for rows of the base.
        ids: Ids of the rows, a list, an array or a file; -1 or empty text is a row deleted on purpose.
        column: Name of the matrix in a file or table that holds several.
        recall: Target recall@k in (0, 1].
        ef_search: ef_search or nprobe, instead of what the index says.
        hnswlib_space: Metric of an hnswlib file, which does not say it.
        apply: Number of the prescription to apply, from 1, written to ``out``.
        out: File for the mended index.
        force: Whether a file that is there may be replaced.
        labels: Labels of the rows, to see what filters by them lose, as for ``tune``.
        query_labels: Labels that the queries ask for.
        filters: Sparse matrix of the filters instead.
        where: Condition of SQL instead.
        **options: Further fields of ``tuner.Options``, which has their defaults: ``k``, ``metric``,
            ``confidence``, ``n_queries``, ``seed`` and ``threads``.

    Raises:
        InputError: index, data and options do not fit.
    """
    asked = DiagnoseOptions(
        index=Path(index) if isinstance(index, (str, Path)) else index,
        hnswlib_space=hnswlib_space,
        ef_search=ef_search,
        apply=apply,
        out=None if out is None else Path(out),
        force=force,
    )
    wanted = Options(recall=recall, **options)
    vectors, given = open_inputs(base, queries, ids, column)
    of_filters = FiltersAsked(labels, query_labels, filters, where)
    found = open_filters(of_filters, (vectors, given), (base, queries), column)
    with borrowed_process(), tempfile.TemporaryDirectory(prefix="tune-diagnose-") as work:
        return watched(run_diagnosis(vectors, given, asked, wanted, Path(work), found))


def space_of(space: Space | str | Path | None) -> Space:
    """Return the space that is meant by an object, a name or a file; the default for None.

    Raises:
        InputError: it is no such space.
    """
    if space is None:
        return default_space()
    if isinstance(space, (str, Path)):
        return load_space(space)
    if isinstance(space, Space):
        return checked_space(space)
    raise InputError(
        f"space is a {type(space).__name__}, but it is a tuner.Space, the name of a preset or a YAML file: "
        "give one of them"
    )
