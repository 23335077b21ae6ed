"""The sweep over shards as a function."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tuner import types
from tuner.api.index_folder import IndexFolder
from tuner.api.jobs import space_of
from tuner.api.keywords import TuneOptions, Unpack, checked_call
from tuner.api.notebook import watched
from tuner.api.result import Result, with_files
from tuner.cluster.on_ray import workers_of
from tuner.cluster.pose import Request, refuse_with_shards, remove_scratch
from tuner.cluster.run import sweep_shards
from tuner.data.inputs import Source
from tuner.data.vectors import open_vectors
from tuner.report import write_report
from tuner.runtime.process import borrowed_process
from tuner.sweep.run import finish
from tuner.types import Options, Space


@checked_call
def tune_shards(
    base: str | Path,
    queries: Source | None = None,
    *,
    recall: float,
    out: str | Path,
    shards: int | None = None,
    ray: str | None = None,
    node_bytes: int | None = None,
    ids: str | None = None,
    column: str | None = None,
    work: str | Path | None = None,
    space: Space | str | Path | None = None,
    **options: Unpack[TuneOptions],
) -> Result:
    """Return the parameters of an index in shards that reaches ``recall``; write it to ``out``.

    ``tuner.search.ShardedIndex.load(out)`` is the index.

    >>> result = tuner.tune_shards(files, queries, recall=0.95, out="shared", ray="auto")  # doctest: +SKIP

    Args:
        base: File, pattern, folder or address of the vectors, which all machines see.
        queries: Queries, (nq, d), or a file; None holds some of the rows out while measuring.
        recall: Target recall@k in (0, 1].
        out: Folder for the shards, their manifest and the report, which all machines share.
        shards: Number of shards; None makes one for each machine.
        ray: Address of a Ray cluster, ``auto`` for the one that runs here, ``local`` to start one; None works
            in this process.
        node_bytes: Memory of a machine that serves a shard, which the table of other numbers of shards heeds.
        ids: File of ids of the rows, whole numbers.
        column: Name of the matrix in a file that holds several.
        work: Scratch folder, which all machines share; None takes one in ``out``.
        space: What to sweep: an object, the name of a preset such as ``quick``, or a YAML file.
        **options: Further fields of ``tuner.Options``, as for ``tuner.tune``.

    Raises:
        InputError: data or options cannot be used as they are.
        ResourceError: too little memory or disk, or machines were lost again and again.
    """
    wanted = Options(recall=recall, space=space_of(space), **options)
    refuse_with_shards(wanted)
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    request = Request(str(base), column, ids, shards, node_bytes)
    asked = None if queries is None else open_vectors(queries, "queries", column)
    with ExitStack() as undo:
        scratch = Path(work or tempfile.mkdtemp(prefix="work-", dir=folder))
        if work is None:
            undo.callback(shutil.rmtree, scratch, ignore_errors=True)
        workers = undo.enter_context(workers_of(ray, wanted.threads))
        undo.enter_context(borrowed_process())
        found: types.Result = watched(sweep_shards(workers, request, asked, wanted, folder, scratch))
        write_report(found, folder)
        finish(scratch)
        remove_scratch(scratch)
    return with_files(found, IndexFolder(folder))
