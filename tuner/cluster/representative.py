"""The sweep on one shard: graph, codecs, curves and the configurations that could be the answer."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from tuner.cluster.merge import merged_near
from tuner.cluster.shard import Near, Shard, pool_in_shard, rows_of_shard
from tuner.cluster.shard_index import Trained
from tuner.cluster.sizes import Need, measure_needs
from tuner.cluster.stages import across
from tuner.data.base import Base, prepared_queries
from tuner.data.split import random_order
from tuner.data.vectors import Vectors, open_vectors
from tuner.index.codec_view import CodecView
from tuner.prediction.ceilings import Pool, make_pool
from tuner.prediction.surface import CodecCost
from tuner.recall.truth import judged
from tuner.runtime.journal import Journal, about, rename_synced
from tuner.runtime.workers import Workers
from tuner.sweep.finalists import choose_finalists
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.measure import measure_points
from tuner.sweep.model import model
from tuner.sweep.plan import plan
from tuner.sweep.pose import FEWEST_POOL_QUERIES, WHOLE_POOL, is_whole, pool_shape, pose
from tuner.sweep.prepare import Prepared
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import ProxyCodec
from tuner.sweep.run import STAGES
from tuner.sweep.whole_file import mapped_rows
from tuner.types import (
    Ceiling,
    Configuration,
    CurvePoint,
    Event,
    IdArray,
    OperatingPoint,
    Options,
    Profile,
    StageCost,
    Steps,
)


@dataclass(frozen=True)
class ShardSweep:
    """What the sweep on the representative shard says.

    Attributes:
        proxy: codec that graphs are built on.
        trained: encoders of the finalists.
        costs: what a search costs, by codec.
        finalists: configurations that could be the answer, as this shard measured them.
        closest: every point that was measured, where none of them could be.
        ceilings: best recall that each codec can reach among all rows.
        curves: recall and distances of each derived graph.
        needs: what finalists need in shards of other sizes.
        n_configurations: number of configurations predicted.
        n_measured: number of indexes searched.
        stages: cost of each stage, its name after ``one-``.
    """

    proxy: ProxyCodec
    trained: Trained
    costs: tuple[tuple[CodecView, CodecCost], ...]
    finalists: tuple[OperatingPoint, ...]
    closest: tuple[OperatingPoint, ...]
    ceilings: tuple[Ceiling, ...]
    curves: tuple[CurvePoint, ...]
    needs: tuple[Need, ...]
    n_configurations: int
    n_measured: int
    stages: tuple[StageCost, ...]


@dataclass(frozen=True)
class GatheredPool:
    """Exact neighbours among all shards, for what codecs lose among all rows.

    Attributes:
        found: the pool.
        path: file of the prepared rows that it names.
    """

    found: Pool
    path: Path

    def pool(self, journal: Journal, problem: Problem) -> Generator[Event, None, tuple[Pool, Base]]:
        """Return the pool and the rows that it names."""
        yield from ()
        return self.found, mapped_rows(self.path, len(self.found.rows), problem.base)


def gather_pool(
    journal: Journal, workers: Workers, shards: list[Shard], d: int
) -> Generator[Event, None, GatheredPool]:
    """Yield events; return the deep pool of some queries among all shards.

    Args:
        d: columns of prepared rows.
    """
    first = shards[0]
    n_queries, depth = pool_shape(first.options, d)
    n_queries = min(n_queries, max(FEWEST_POOL_QUERIES, first.n // depth))
    some = random_order(len(first.queries), first.options.seed)[:n_queries]
    depth = min(depth, sum(shard.n for shard in shards) - len(first.held_out))
    title = "exact neighbours among all shards, deep, for ceilings"
    items = [(shard, some, depth) for shard in shards]
    near = yield from across(journal, workers, "pool-near", title, Near, pool_in_shard, items)
    ids, _ = merged_near(near, depth)
    rows, path = np.unique(ids), journal.folder / WHOLE_POOL
    yield from journal.stage(
        "pool-rows",
        "fetch these neighbours",
        int,
        partial(_fetch, workers, shards, rows, path),
        intact=lambda m: is_whole(path, 4 * m * d),
    )
    x = np.memmap(path, dtype=np.float32, mode="r", shape=(len(rows), d))
    base = Base(x=x, rows=None, metric=first.profile.metric, radius=0.0)
    queries = prepared_queries(first.queries[some], first.profile.metric)
    found = judged(np.searchsorted(rows, ids), base.x, queries, first.options.k)
    return GatheredPool(make_pool(base, queries, found), path)


def _fetch(workers: Workers, shards: list[Shard], rows: IdArray, path: Path) -> Steps[int]:
    """Yield the share done; write prepared rows of all shards to a file, in ascending order."""
    mine = [np.isin(rows, shard.rows_measured, assume_unique=True) for shard in shards]
    items = [(shard, rows[each]) for shard, each in zip(shards, mine, strict=True)]
    found = yield from workers.spread(rows_of_shard, items)
    x = np.empty((len(rows), found[0].shape[1]), dtype=np.float32)
    for each, part in zip(mine, found, strict=True):
        x[each] = part
    unfinished = path.with_suffix(".partial")
    with about(path), unfinished.open("wb") as out:
        out.write(x.data)
    rename_synced(unfinished, path)
    return len(rows)


def tune_shard(item: tuple[Shard, GatheredPool | None, int]) -> Generator[Event, None, ShardSweep]:
    """Yield events; return what the sweep says of a shard, on a machine that does nothing else.

    Its codecs are judged among all rows where there are other shards; limits on memory are its share of them.
    """
    shard, whole, n = item
    started_s, journal = time.perf_counter(), shard.journal
    options = _share_of_limits(shard.options, shard.n, n)
    profile, _ = shard.stages()
    vectors = shard.vectors
    queries = open_vectors(shard.queries, "queries")
    here = shard.queries_here
    posed = yield from pose(
        journal, vectors, queries, options, shard.folder, profile=profile, put_back=True, held_out=here
    )
    needed = plan(vectors, queries, options, shard.folder)
    prepared = Prepared(journal, needed, posed, (), started_s, whole)
    modelled = yield from model(prepared, STAGES)
    evaluation = modelled.evaluation
    builder = IndexBuilder(modelled.problem, modelled.graph, evaluation.trained)
    points, _ = yield from measure_points(prepared, modelled, builder, STAGES)
    finalists = choose_finalists(list(points), modelled.problem.max_memory_bytes())
    needs = yield from measure_needs(journal, modelled, finalists, shard.n_shards)
    wanted = {view for point in finalists for view in _views(point.configuration, vectors, profile)}
    return ShardSweep(
        proxy=modelled.proxy,
        trained=tuple((view, each) for view, each in evaluation.trained.items() if view in wanted),
        costs=tuple((view, cost) for view, cost in evaluation.costs.items() if view in wanted),
        finalists=tuple(finalists),
        closest=() if finalists else points,
        ceilings=evaluation.ceilings,
        curves=modelled.curve_points,
        needs=needs,
        n_configurations=needed.n_configurations,
        n_measured=len(points),
        stages=tuple(replace(cost, name=f"one-{cost.name}") for cost in journal.costs),
    )


def _views(what: Configuration, vectors: Vectors, profile: Profile) -> set[CodecView]:
    d = vectors.d + (profile.metric == "ip")
    return {CodecView.of(what)} | ({CodecView(what.rerank, d)} if what.rerank else set())


def _share_of_limits(options: Options, rows: int, n: int) -> Options:
    """Return the options with the limit on memory that a shard of so many of ``n`` rows has."""
    if options.max_memory_bytes is None:
        return options
    return replace(options, max_memory_bytes=int(options.max_memory_bytes * rows / n))
