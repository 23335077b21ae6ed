"""What contestants other than ours share: the problem posed as ours poses it, and natively built indexes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.sweep.answers import INDEX, Answer, Task
from benchmarks.sweep.spending import Spending
from tuner.data.vectors import open_vectors
from tuner.index.assemble import Encoded, SearchableIndex, delivered, memory_with, wrap, write
from tuner.index.codecs import Cut, quantizer
from tuner.index.encoders import Encoder, train
from tuner.index.native import build_natively
from tuner.index.projections import Projection, Rotation, fit_rotation
from tuner.prediction.ceilings import encode_rows
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.sweep.ef_search import EfResult, find_min_ef, measure_at
from tuner.sweep.pose import pose as pose_problem
from tuner.sweep.problem import Problem
from tuner.sweep.proxy_graph import TRAIN_SAMPLE
from tuner.sweep.run import finish
from tuner.types import Configuration, FloatArray, Memory, Options, Space

WORK = "work"
"""Scratch folder of a contestant, in its own."""
GUESS = 64
"""Where the search for ef_search begins."""


def options_of(task: Task, space: Space, *, exhaustive: bool = False) -> Options:
    """Return what the task asks for, as options of the tuner."""
    return Options(
        recall=task.recall,
        k=task.k,
        metric=task.metric,
        confidence=task.confidence,
        seed=task.seed,
        threads=task.threads,
        exhaustive=exhaustive,
        space=space,
    )


def pose(task: Task, space: Space, folder: Path) -> Problem:
    """Return the problem of a task: prepared base, exact neighbours, the tuning queries."""
    vectors, asked = open_vectors(task.base, "base"), open_vectors(task.tuning, "queries")
    work = folder / WORK
    journal = Journal(work, {}, resume=False)
    return result_of(pose_problem(journal, vectors, asked, options_of(task, space), work)).problem


def remove_scratch(folder: Path) -> None:
    """Remove the scratch files of a problem."""
    finish(folder / WORK)


class NativeIndexes:
    """Builds indexes of one problem natively; codecs are trained once."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.n_builds = 0
        self._sample: FloatArray = problem.base.sample(TRAIN_SAMPLE, problem.options.seed)
        self._rotation: Rotation | None = None
        self._encoders: dict[tuple[str, Cut, int], Encoder] = {}
        self._stores: dict[str, Encoded] = {}

    def encoder(self, codec: str, cut: Cut, dims: int) -> Encoder:
        """Return the trained encoder."""
        key = (codec, cut, dims)
        if key not in self._encoders:
            metric, seed = self.problem.base.metric, self.problem.options.seed
            if cut == "pca" and self._rotation is None:
                self._rotation = fit_rotation(self._sample, metric)
            view = Projection(cut, dims)
            self._encoders[key] = train(
                quantizer(codec, dims), view, self._rotation, metric, self._sample, seed
            )
        return self._encoders[key]

    def build(self, what: Configuration) -> tuple[SearchableIndex, Memory]:
        """Return the natively built index and its bytes."""
        base = self.problem.base
        encoder = self.encoder(what.codec, what.cut, what.dims)
        graph = build_natively(encoder, base, what.M, what.ef_construction)
        self.n_builds += 1
        store = None if what.rerank is None else self._store(what.rerank)
        no_codes = np.zeros((0, encoder.codec.code_bytes), dtype=np.uint8)
        searchable = wrap(what, graph, Encoded(encoder, no_codes), store, base)
        stored = store.encoder if store is not None else None
        memory = memory_with(what, encoder, stored, graph.hnsw.neighbors.size(), base)
        base.release()
        return searchable, memory

    def _store(self, name: str) -> Encoded:
        if name not in self._stores:
            encoder = self.encoder(name, "none", self.problem.base.d)
            self._stores = {name: Encoded(encoder, encode_rows(self.problem.base, encoder))}
        return self._stores[name]


def certified_ef(problem: Problem, at: Callable[[int], EfResult], least: int) -> EfResult:
    """Return the smallest ef_search that the tuning queries certify, or the nearest to that: ours' rule.

    Args:
        at: what the queries say of an ef_search.
        least: the smallest that makes sense.
    """
    return find_min_ef(at, least, max(least, GUESS), problem.options.space.ef_search_max)


def find_certified_ef(problem: Problem, searchable: SearchableIndex) -> EfResult:
    """Return the ef_search of a faiss index, which is set to it."""
    least = problem.options.k * searchable.configuration.rerank_factor
    found = certified_ef(problem, lambda ef: measure_at(problem, searchable, ef), least)
    searchable.set_ef(found.ef_search)
    return found


def write_index(problem: Problem, searchable: SearchableIndex, path: Path) -> int:
    """Write the index as a user would get it; return its bytes."""
    index, _, kept = delivered(searchable, problem.base.rows)
    size = write(index, path)
    del kept
    return size


def answer_from(
    name: str,
    what: Configuration,
    ef_search: int,
    *,
    memory_bytes: int,
    n_builds: int,
    own_recall: float,
    reached: bool,
    spending: Spending,
    label: str | None = None,
    note: str = "",
    index: str = INDEX,
) -> Answer:
    """Return the answer that a configuration with its ef_search is."""
    return Answer(
        contestant=name,
        label=label or what.label,
        codec=what.codec,
        M=what.M,
        ef_construction=what.ef_construction,
        ef_search=ef_search,
        memory_bytes=memory_bytes,
        cpu_s=spending.cpu_s,
        wall_s=spending.wall_s,
        peak_rss_bytes=spending.peak_rss_bytes,
        n_builds=n_builds,
        index=index,
        reached=reached,
        own_recall=own_recall,
        note=note,
    )
