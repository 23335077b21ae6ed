"""The index of one shard with the rows put back that were held out as queries: searched, timed, written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tuner.cluster.shard_index import Answered, Asked, Written, answered, builder_of, kept_ready
from tuner.index.assemble import SearchableIndex
from tuner.prediction.curves import search_scored
from tuner.runtime.steps import scaled
from tuner.search import INDEX_FILE, digest_of
from tuner.sweep.added_rows import Codes, Graphs, Places, graphs_of
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.index_file import check_written, write_and_check
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import ProxyCodes
from tuner.sweep.whole_index import answers_of_halves, times_slower
from tuner.types import Memory, Steps


@dataclass(frozen=True)
class WholeShard:
    """A shard whose rows are all there.

    Attributes:
        problem: its problem without the rows that were held out.
        places: where rows stand among all of the shard.
        graphs: its graph before and after they were added.
        codes: codes of all of them.
        halves: index with the rows of one half of the queries, and with those of the other.
    """

    problem: Problem
    places: Places
    graphs: Graphs
    codes: Codes
    halves: tuple[SearchableIndex, SearchableIndex]


@dataclass(frozen=True)
class HandedShard:
    """What was measured of a shard's finished index, and what was written.

    Attributes:
        answered: what it answers, no query being an answer to itself.
        times_slower: time of a query over that before the rows were added, in interleaved rounds.
    """

    answered: Answered
    times_slower: float
    written: Written


def search_halves(asked: Asked) -> Steps[Answered]:
    """Yield the share done; return what a shard answers to each half of the queries.

    The rows that the queries of the other half are have been put back then.
    """
    shard = yield from kept_ready(asked, "with the rows held out", lambda: _whole(asked))
    scores, found, ndis, hops = answers_of_halves(shard.problem, shard.halves, asked.ef_search, asked.k)
    whole = shard.codes.builder
    memory = whole.memory_of(asked.configuration)
    return answered(whole.problem, asked.shard.rows, found, scores, ndis, hops, memory)


def hand_over_shard(item: tuple[Asked, int, Memory, Path]) -> Steps[HandedShard]:
    """Yield the share done; write the index of all rows of a shard, searched and timed before.

    Args:
        item: the search, the ef_search before rows were put back, the bytes that are expected, the folder.
    """
    asked, before_ef, memory, folder = item
    making = kept_ready(asked, "with the rows held out", lambda: _whole(asked), last=True)
    shard = yield from scaled(making, 0.0, 0.6)
    problem, whole = shard.problem, shard.codes.builder.problem
    before, every = shard.codes.under(shard.graphs.before), shard.codes.under(shard.graphs.all)
    before.set_ef(before_ef)
    every.set_ef(asked.ef_search)
    slower = times_slower(problem, before, every)
    yield 0.7
    scores, found, ndis, hops = search_scored(every.index, problem.raw, asked.k + 1)
    hidden = found == shard.places.queries[:, None]
    hidden[~hidden.any(axis=1), -1] = True  # k answers of every shard
    found = np.where(hidden, -1, found)
    answers = answered(whole, asked.shard.rows, found, scores, ndis, hops, memory)
    yield 0.8
    folder.mkdir(parents=True, exist_ok=True)
    written = write_and_check(whole, every, folder)
    check_written(written, memory)
    whole.base.release()
    return HandedShard(answers, slower, Written(whole.base.n, digest_of(folder / INDEX_FILE)))


def _whole(asked: Asked) -> Steps[WholeShard]:
    """Yield the share done; return a shard with graphs of a configuration to which the rows were added."""
    shard, what = asked.shard, asked.configuration
    builder = yield from scaled(builder_of(shard, asked.proxy, asked.trained), 0.0, 0.1)
    problem, places = builder.problem, shard.places()
    proxy = ProxyCodes(problem.base, asked.proxy).builder
    graphs = yield from scaled(graphs_of(problem, places, builder, what, proxy), 0.1, 1.0)
    whole = replace(problem, base=places.whole)
    codes = Codes(IndexBuilder(whole, builder.graph, builder.trained), what)
    first, second = (codes.under(each) for each in graphs.halves)
    return WholeShard(problem, places, graphs, codes, (first, second))
