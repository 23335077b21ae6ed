"""The recall gate as a function."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from tuner import types
from tuner.api.keywords import checked_call
from tuner.api.notebook import watched
from tuner.data.filters import FiltersAsked, FilterSource, LabelSource, open_filters
from tuner.data.ids import IdSource
from tuner.data.inputs import Source
from tuner.errors import InputError
from tuner.gate import CheckOptions, CheckResult, GateBaseline, Limits, read_baseline, save_baseline
from tuner.gate import check as run_check
from tuner.index.inputs import open_inputs
from tuner.runtime.process import borrowed_process


@checked_call
def check(
    baseline: GateBaseline | types.Result | str | Path,
    base: Source,
    queries: Source | None = None,
    *,
    ids: IdSource | None = None,
    column: str | None = None,
    index: str | Path | None = None,
    ef_search: int | None = None,
    limits: Limits | None = None,
    new_data: bool = False,
    threads: int = 0,
    labels: LabelSource | None = None,
    query_labels: LabelSource | None = None,
    filters: FilterSource | None = None,
    where: str | None = None,
    no_filters: bool = False,
) -> CheckResult:
    """Return whether a decision still holds on these vectors: ``passed``, and why, line by line.

    Threads and huge pages of the process are as before afterwards.

    >>> tuner.check("reports/baseline.yaml", "embeddings.npy").passed  # doctest: +SKIP

    Args:
        baseline: A file of ``tune baseline``, or the result of ``tuner.tune`` itself.
        base: Vectors, (n, d), or a file.
        queries: Queries of the baseline, None if it held rows of the base out.
        ids: Ids of the rows, a list, an array or a file; -1 or empty text is a row deleted on purpose.
        column: Name of the matrix in a file or table that holds several.
        index: A faiss index file to check; None builds the frozen configuration again.
        ef_search: ef_search, instead of what the index file or the baseline says.
        limits: What may change; None means the defaults of ``tuner.Limits``.
        new_data: Whether the vectors changed on purpose.
        threads: Threads to build with; 0 means all cores.
        labels: Labels of the rows, where the run had filters by them, as for ``tuner.tune``.
        query_labels: Labels that the queries ask for.
        filters: Sparse matrix of the filters, where the run had one.
        where: Condition of SQL, where the run had one.
        no_filters: Whether to leave the frozen bands of filters unchecked.

    Raises:
        InputError: this cannot be judged: other data, other queries, no index.
        ResourceError: too little memory or disk.
    """
    asked = CheckOptions(
        limits=limits or Limits(),
        index=None if index is None else Path(index),
        ef_search=ef_search,
        new_data=new_data,
        threads=threads,
        no_filters=no_filters,
    )
    frozen = _frozen(baseline)
    vectors, given = open_inputs(base, queries, ids, column)
    wanted = FiltersAsked(labels, query_labels, filters, where)
    given_filters = open_filters(wanted, (vectors, given), (base, queries), column)
    with borrowed_process(), tempfile.TemporaryDirectory(prefix="tune-check-") as work:
        return watched(run_check(frozen, vectors, given, asked, Path(work), given_filters))


def _frozen(baseline: Any) -> GateBaseline:
    if isinstance(baseline, GateBaseline):
        return baseline
    if isinstance(baseline, types.Result):
        return save_baseline(baseline)
    if isinstance(baseline, (str, Path)):
        return read_baseline(Path(baseline))
    raise InputError(
        f"baseline is a {type(baseline).__name__}, but it is a file of tune baseline or a result of tune: "
        "give one of them"
    )
