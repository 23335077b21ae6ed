"""A sweep over shards, stage by stage: the table of contents.

Every stage is kept in the journal when it is finished, and every shard's part of it as soon as that is: a run
whose machines or whose driver were lost goes on from there. Nothing is printed here.
"""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path

from tuner.cluster.deliver import deliver_shards
from tuner.cluster.measure import OnAllShards, measure_shards
from tuner.cluster.merge import representative_of, shards_of
from tuner.cluster.pose import Request, pose_shards
from tuner.cluster.representative import gather_pool, tune_shard
from tuner.cluster.result import sharded_result
from tuner.cluster.shard_index import build_shard
from tuner.cluster.stages import across
from tuner.data.vectors import Vectors
from tuner.runtime.workers import Workers
from tuner.types import Event, Finished, Note, Options, Result


def sweep_shards(
    workers: Workers,
    request: Request,
    queries: Vectors | None,
    options: Options,
    out: Path,
    work: Path,
    *,
    resume: bool = False,
) -> Generator[Event, None, Result]:
    """Yield events; return the result. Writes the index of each shard to ``out`` and scratch to ``work``.

    Args:
        workers: where the work is done.
        queries: the user's queries, or None to hold some of the rows out.
        out: folder of the delivered shards, which all machines share; it exists.
        work: scratch folder, which all machines share; emptied at the start unless resuming.
        resume: go on from what an earlier run left in ``work``.

    Raises:
        InputError: vectors, queries and options do not fit.
        ResourceError: too little memory or disk, or machines were lost again and again.
    """
    started_s = time.perf_counter()
    posed = yield from pose_shards(workers, request, queries, options, work.resolve(), resume=resume)
    journal, shards, k = posed.journal, posed.shards, options.k
    chosen, n_shards = representative_of(posed.near, k), len(shards)
    pool = None
    if n_shards > 1:
        yield Note(
            f"shard {chosen} stands for all {n_shards}: its neighbours are as far away as those of most"
        )
        pool = yield from gather_pool(journal, workers, shards, posed.problem.base.d)
    tuned = yield from workers.follow(tune_shard, (shards[chosen], pool, posed.problem.base.n_delivered))
    items = [(shard, tuned.proxy) for shard in shards]
    yield from across(journal, workers, "graphs", "build the graph of every shard", int, build_shard, items)
    on_all = OnAllShards(workers, shards, posed.problem, tuned, shards_of(posed.problem.truth, posed.near))
    measured = yield from measure_shards(journal, on_all)
    handed = yield from deliver_shards(journal, posed, on_all, measured, out.resolve())
    result = sharded_result(posed, on_all, measured, handed, chosen, started_s)
    yield Finished(result)
    return result
