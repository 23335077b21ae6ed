"""The other way: every configuration built by faiss itself and measured. Slow, and the oracle of the rest.

What no index could reach is not built: codecs whose exhaustive scan, re-ranked as deep as the space
allows, misses the target on the same queries.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from pathlib import Path

import faiss

from tuner.data.base import view_codes
from tuner.index.assemble import SearchableIndex, memory_with, wrap
from tuner.index.codec_view import CodecView
from tuner.index.codecs import quantizer
from tuner.index.graph import DerivableGraph, share_graph
from tuner.index.insertion import copied
from tuner.index.native import build_natively, native_links
from tuner.prediction.curves import Curve
from tuner.prediction.surface import CodecCost
from tuner.runtime.journal import Journal
from tuner.sweep.codecs import CodecEvaluation
from tuner.sweep.ef_search import operating_point, tune_ef
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.types import Ceiling, Configuration, Event, Memory, OperatingPoint, Steps

GUESS = 64
MOST_FACTORS = 2
"""Re-rank factors tried for each store: the least that could reach the target and the next."""


class NativeBuilder(IndexBuilder):
    """Makes indexes as faiss builds them: one graph for each codec and M, on the codec's own distances.

    Each graph is built once: its links lie in the scratch folder, its codes are those of all its indexes.
    """

    def __init__(self, problem: Problem, graph: DerivableGraph, trained: dict[CodecView, bytes]) -> None:
        super().__init__(problem, graph, trained)
        self._kept: dict[tuple[CodecView, int], Path] = {}

    def serve(self, configuration: Configuration) -> SearchableIndex:
        """Return the configuration's index, natively built."""
        what, encoded = configuration, self.encoded(configuration)
        index = encoded.encoder.empty(what.M)
        view_codes(faiss.downcast_index(index.storage), encoded.codes)
        share_graph(self._built(what), index)
        return wrap(what, index, encoded, self.stored(what), self.problem.base)

    def memory_of(self, configuration: Configuration) -> Memory:
        """Return the configuration's bytes by part, from arithmetic."""
        what, base = configuration, self.problem.base
        links = native_links(base.n, what.M)
        return memory_with(what, self.encoder_of(what), self.store_encoder(what), links, base)

    def graph_of(self, configuration: Configuration) -> faiss.HNSW:
        """Return the configuration's own graph."""
        index = self._built(configuration)  # kept: the graph alone does not keep it
        return copied(index.hnsw)

    def large_graph(self, configuration: Configuration) -> faiss.HNSW:
        """Return the configuration's own graph: rows are added to it as faiss would."""
        return self.graph_of(configuration)

    def cut(self, index: faiss.IndexHNSW, configuration: Configuration) -> faiss.HNSW:
        """Return the graph as it is, rows added."""
        return copied(index.hnsw)

    def _built(self, configuration: Configuration) -> faiss.IndexHNSW:
        """Return the configuration's graph without vectors, built the first time that it is asked for."""
        view, M = CodecView.of(configuration), configuration.M
        if (view, M) not in self._kept:
            path = self.problem.links_path.with_name(f"native-{view}-M{M}.partial")
            faiss.write_index(self._build(view, M), str(path), faiss.IO_FLAG_SKIP_STORAGE)
            self._kept[view, M] = path
        # a table of PQ's storage would be computed, and there is none
        return faiss.read_index(str(self._kept[view, M]), faiss.IO_FLAG_PQ_SKIP_SDC_TABLE)

    def _build(self, view: CodecView, M: int) -> faiss.IndexHNSW:
        encoder = self.encoder(view)
        return build_natively(encoder, self.problem.base, M, self.problem.options.space.ef_construction)


def measure_everything(
    journal: Journal,
    problem: Problem,
    builder: NativeBuilder,
    curves: dict[int, Curve],
    evaluation: CodecEvaluation,
) -> Generator[Event, None, list[OperatingPoint]]:
    """Yield events; return every configuration of the space that could reach the target, measured."""
    measured: list[OperatingPoint] = []
    for ceiling in evaluation.ceilings:
        if not ceiling.recall_at or max(ceiling.recall_at.values()) < problem.options.recall:
            continue
        view = CodecView.of(ceiling)
        points = yield from journal.stage(
            f"native-{view}",
            f"build {view} natively",
            tuple[OperatingPoint, ...],
            partial(_measure_codec, problem, builder, curves, ceiling, evaluation.costs),
        )
        measured += points
    return measured


def _measure_codec(
    problem: Problem,
    builder: NativeBuilder,
    curves: dict[int, Curve],
    ceiling: Ceiling,
    costs: dict[CodecView, CodecCost],
) -> Steps[tuple[OperatingPoint, ...]]:
    space = problem.options.space
    cost = costs[CodecView.of(ceiling)]
    points = []
    for number, M in enumerate(space.M):
        for rerank, factor, best in _rerankings(problem, ceiling):
            configuration = Configuration(
                M=M,
                ef_construction=space.ef_construction,
                codec=ceiling.codec,
                dims=ceiling.dims,
                cut=ceiling.cut,
                rerank=rerank,
                rerank_factor=factor,
                rerank_at=problem.options.rerank_store if rerank else "memory",
            )
            searchable = builder.serve(configuration)
            guess = curves[M].ef_for(min(problem.aim / best, 1.0)) or GUESS
            ef_result = tune_ef(problem, searchable, guess, space.ef_search_max)
            predicted = best * curves[M].recall_at(ef_result.ef_search)
            memory = builder.memory_of(configuration)
            points.append(operating_point(problem, searchable, ef_result, memory, predicted, cost))
        yield (number + 1) / len(space.M)
    problem.base.release()
    return tuple(points)


def _rerankings(problem: Problem, ceiling: Ceiling) -> list[tuple[str | None, int, float]]:
    """Return the ways to re-rank whose ceiling meets the target: store, factor, ceiling."""
    target = problem.options.recall
    found: list[tuple[str | None, int, float]] = []
    if ceiling.recall_at[1] >= target and 1 in problem.options.space.rerank_factors:
        found.append((None, 1, ceiling.recall_at[1]))
    for store, by_factor in ceiling.recall_with.items():
        if quantizer(store, problem.base.d).code_bytes <= ceiling.code_bytes:
            continue
        good = [(store, factor, recall) for factor, recall in sorted(by_factor.items()) if recall >= target]
        found += good[:MOST_FACTORS]
    return found
