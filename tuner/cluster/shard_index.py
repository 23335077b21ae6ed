"""The index of one shard: its graph built, configurations searched and timed, the chosen one written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tuner.cluster.shard import Shard
from tuner.index.assemble import SearchableIndex
from tuner.index.codec_view import CodecView
from tuner.prediction.curves import search_scored
from tuner.recall.metric import exact_distances
from tuner.runtime.steps import shares_of
from tuner.runtime.timing import ROUNDS, Search
from tuner.search import INDEX_FILE, digest_of
from tuner.sweep.finalist_times import RESIDENT_SHARE, BatchClock, anchor_of, batched
from tuner.sweep.grown_graph import OneGraph
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.index_file import check_written, write_and_check
from tuner.sweep.pose import is_whole
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import ProxyCodec, ProxyCodes
from tuner.sweep.stage_options import StageOptions
from tuner.types import Configuration, FloatArray, IdArray, Memory, OperatingPoint, Steps

T = TypeVar("T")
MOST_KEPT = 8
"""Indexes that a process keeps ready to search: those of one configuration, a shard each."""
Trained = tuple[tuple[CodecView, bytes], ...]
"""Serialized encoders by the codes that they make."""


@dataclass(frozen=True)
class Asked:
    """A search of a shard with all queries.

    Attributes:
        configuration: index that is searched.
        proxy: codec that the graph was built on.
        trained: encoders of the representative shard.
        ef_search: candidates kept while searching.
        k: neighbours asked of the shard.
    """

    shard: Shard
    configuration: Configuration
    proxy: ProxyCodec
    trained: Trained
    ef_search: int
    k: int


@dataclass(frozen=True)
class Answered:
    """What a shard answered.

    Attributes:
        rows: (nq, k) int64 rows of the source, -1 where fewer were found.
        scores: (nq, k) float32 distances as the index has them, by which answers are merged.
        distances: (nq, k) float64 exact squared distances.
        ndis: distance computations a query.
        hops: hops a query.
        memory: bytes of the index.
    """

    rows: IdArray
    scores: FloatArray
    distances: NDArray[np.float64]
    ndis: float
    hops: float
    memory: Memory


@dataclass(frozen=True)
class Timed:
    """Seconds of a shard.

    Attributes:
        seconds: (contestants, nq) of each query.
        anchor_s: mean seconds of a small index, which has its turn among them on every machine.
        noise: relative difference in time of the first contestant from itself.
        waited: share of the time that others had the processor.
    """

    seconds: NDArray[np.float64]
    anchor_s: float
    noise: float
    waited: float


@dataclass(frozen=True)
class Written:
    """An index on disk.

    Attributes:
        n: number of its vectors.
        digest: BLAKE2b of the file.
    """

    n: int
    digest: str


def build_shard(item: tuple[Shard, ProxyCodec]) -> Steps[int]:
    """Yield the share done; build the one graph of a shard, once; return its number of nodes."""
    made = yield from _graph(*item)
    return made.graph.n


def _graph(shard: Shard, proxy: ProxyCodec) -> Steps[OneGraph]:
    profile, base = shard.stages()
    problem = shard.problem(base)
    work = partial(StageOptions().make_graph, profile, problem, ProxyCodes(base, proxy))
    path = problem.links_path
    staged = shard.journal.stage(
        "graph",
        "build the graph",
        OneGraph,
        work,
        lambda made: is_whole(path, 4 * made.graph.n * made.graph.width),
    )
    return (yield from shares_of(staged))


def builder_of(shard: Shard, proxy: ProxyCodec, trained: Trained) -> Steps[IndexBuilder]:
    """Yield the share done; return what makes indexes of a shard, its graph built once."""
    made = yield from _graph(shard, proxy)
    return IndexBuilder(shard.problem(shard.prepared()), made.graph, dict(trained))


_KEPT: dict[tuple[object, ...], Any] = {}
"""Indexes that were searched last in this process, by run, folder and configuration."""


def _ready(asked: Asked) -> Steps[tuple[IndexBuilder, SearchableIndex]]:
    builder = yield from builder_of(asked.shard, asked.proxy, asked.trained)
    return builder, builder.serve(asked.configuration)


def kept_ready(asked: Asked, what: str, make: Callable[[], Steps[T]], *, last: bool = False) -> Steps[T]:
    """Yield the share done; return what is searched of a shard, made once and kept in this process.

    Args:
        what: name of what is made; only one such is kept at a time.
        last: whether nothing asks for it again, so that it is kept no longer.
    """
    run = (*asked.shard.identity.values(), asked.configuration.label, what)
    key = (*run, str(asked.shard.folder))
    found: T | None = _KEPT.pop(key, None)
    if found is None:
        if len(_KEPT) >= MOST_KEPT or any(other[:-1] != run for other in _KEPT):
            _KEPT.clear()
        found = yield from make()
    if not last:
        _KEPT[key] = found
    return found


def forget_indexes() -> None:
    """Free the indexes that this process keeps."""
    _KEPT.clear()


def search_shard(asked: Asked) -> Steps[Answered]:
    """Yield the share done; return what a shard answers to all queries."""
    builder, searchable = yield from kept_ready(asked, "", lambda: _ready(asked))
    problem = builder.problem
    searchable.set_ef(asked.ef_search)
    scores, found, ndis, hops = search_scored(searchable.index, problem.raw, asked.k)
    memory = builder.memory_of(asked.configuration)
    return answered(problem, asked.shard.rows_measured, found, scores, ndis, hops, memory)


def answered(
    problem: Problem,
    rows: IdArray,
    found: IdArray,
    scores: FloatArray,
    ndis: float,
    hops: float,
    memory: Memory,
) -> Answered:
    """Return what a shard answered.

    Args:
        rows: (n,) row of the source of each row of the problem's base.
        found: (nq, k) rows of the base, -1 where fewer were found.
        scores: (nq, k) float32 distances as the index has them.
    """
    distances = exact_distances(problem.base.x, problem.queries, found)
    numbers = np.where(found >= 0, rows[np.maximum(found, 0)], -1)
    return Answered(numbers, scores, distances, ndis, hops, memory)


def time_shard(
    item: tuple[Shard, ProxyCodec, Trained, tuple[tuple[OperatingPoint, int], ...]],
) -> Steps[Timed]:
    """Yield the share done; return the seconds of finalists, each with its k, in interleaved rounds.

    The machine does nothing else meanwhile. A small index has its turn too, so that the seconds of several
    machines can be put on one scale.
    """
    shard, proxy, trained, points = item
    forget_indexes()
    builder = yield from builder_of(shard, proxy, trained)
    problem = builder.problem
    clock, seconds = BatchClock(problem, anchor_of(problem), ROUNDS), list[NDArray[np.float64]]()
    sizes = [float(builder.memory_of(point.configuration).resident_bytes) for point, _ in points]
    for batch in batched(sizes, RESIDENT_SHARE * 4 * problem.base.n * problem.base.d):
        builder.keep_codecs(len(batch))
        timings, drift = clock.timings([_search(builder, *points[number]) for number in batch])
        seconds += [drift * timings.by_query(place, 0) for place in range(1, len(batch) + 1)]
        yield len(seconds) / len(points)
    return Timed(np.array(seconds), clock.first_s, float(clock.noise), clock.waited)


def _search(builder: IndexBuilder, point: OperatingPoint, k: int) -> Search:
    searchable = builder.serve(point.configuration)
    searchable.set_ef(point.ef_search)
    return lambda queries: searchable.index.search(queries, k)


def write_shard(
    item: tuple[Shard, ProxyCodec, Trained, OperatingPoint, Memory, Path],
) -> Steps[Written]:
    """Yield the share done; write the index of a shard and search it in a fresh process."""
    shard, proxy, trained, point, memory, folder = item
    forget_indexes()
    builder = yield from builder_of(shard, proxy, trained)
    searchable = builder.serve(point.configuration)
    searchable.set_ef(point.ef_search)
    folder.mkdir(parents=True, exist_ok=True)
    yield 0.5
    written = write_and_check(builder.problem, searchable, folder)
    check_written(written, memory)
    return Written(builder.problem.base.n, digest_of(folder / INDEX_FILE))
