"""The one graph, from the cache where an earlier run built it, with the rows that came since inserted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tuner.index.encoders import Encoder
from tuner.index.graph import INSERTED, DerivableGraph, links_of
from tuner.index.insertion import drawn_levels, insert, over_codes
from tuner.runtime.journal import cpu_seconds
from tuner.sweep.added_rows import blocks_of
from tuner.sweep.graph_cache import Kept, keep, kept, name_of
from tuner.sweep.problem import Problem
from tuner.types import IdArray, Profile, Steps

INSERTING = 3
"""Stream of random numbers beside those of the draws of queries."""


@dataclass(frozen=True)
class OneGraph:
    """The one graph and where it came from.

    Attributes:
        build_cpu_s: CPU seconds that building all of it took, in this run or in earlier ones.
        n_kept: number of its nodes that came from the cache.
    """

    graph: DerivableGraph
    build_cpu_s: float
    n_kept: int = 0


def one_graph(
    profile: Profile, problem: Problem, proxy: Encoder, build: Callable[[], Steps[DerivableGraph]]
) -> Steps[OneGraph]:
    """Yield the share done; return the graph that the cache has, that it has of fewer rows, or a new one.

    Args:
        profile: what is known of the vectors that the problem was made of.
        proxy: codec that rows are inserted by.
        build: the build from nothing.
    """
    name = _name(problem, profile.fingerprint, profile.n)
    found = kept(name, problem.links_path)
    if found is not None and found.graph.n == problem.base.n:
        yield 1.0
        return OneGraph(found.graph, found.build_cpu_s, found.graph.n)
    found, started_s = _of_fewer_rows(problem), cpu_seconds()
    if found is None:
        graph = yield from build()
        made = OneGraph(graph, cpu_seconds() - started_s)
    else:
        graph = yield from grown(problem, proxy, found.graph)
        made = OneGraph(graph, found.build_cpu_s + cpu_seconds() - started_s, found.graph.n)
    keep(name, Kept(graph, made.build_cpu_s), problem.links_path)
    return made


def _name(problem: Problem, fingerprint: str, n: int) -> str:
    """Return the name in the cache of the graph of the first ``n`` rows of the file, whose digest this is."""
    rows = problem.base.rows
    left_out: IdArray = np.empty(0, np.int64)
    if rows is not None:
        left_out = np.setdiff1d(np.arange(n), rows[rows < n], assume_unique=True)
    return name_of(fingerprint, problem.base.metric, left_out, problem.options)


def _of_fewer_rows(problem: Problem) -> Kept | None:
    """Return the graph of the file as it was when it was tuned before, if the cache has it."""
    for before in reversed(problem.options.earlier):
        found = kept(_name(problem, before.fingerprint, before.n), problem.links_path)
        if found is not None and found.graph.n < problem.base.n:
            return found
    return None


def grown(problem: Problem, proxy: Encoder, graph: DerivableGraph) -> Steps[DerivableGraph]:
    """Yield the share done; return the graph with every row of the base from its own number of nodes on.

    Args:
        proxy: codec that rows are inserted by.
        graph: graph of the first rows, whose lists lie at the problem's path.
    """
    base, seed, path = problem.base, problem.options.seed, problem.links_path
    index = over_codes(proxy, graph.M, graph.n, blocks_of(base, graph.n))
    graph.derive(graph.M, path, index.hnsw)
    levels = drawn_levels(base.n - graph.n, graph.M, np.random.default_rng([seed, INSERTING, graph.n]))
    yield 0.2
    for start in range(graph.n, base.n, INSERTED):
        stop = min(base.n, start + INSERTED)
        block = np.array(base.x[start:stop])
        base.release()
        insert(index, proxy, block, levels[start - graph.n : stop - graph.n])
        yield 0.2 + 0.7 * (stop - graph.n) / (base.n - graph.n)
    return links_of(index, graph.M, base, np.arange(base.n, dtype=np.int32), path)
