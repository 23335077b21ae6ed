"""What the user gains: the index that most people have today, at the same recall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tuner.index import hnswlib_index as hnsw_lib
from tuner.index.assemble import SearchableIndex
from tuner.runtime.steps import scaled
from tuner.runtime.timing import BLOCK, interleave
from tuner.space import USUAL_EF_CONSTRUCTION, USUAL_M, usual_m
from tuner.sweep.ef_search import EfResult, find_min_ef, judged, tune_ef
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.types import (
    Configuration,
    FloatArray,
    Latency,
    Memory,
    OperatingPoint,
    Recall,
    ReferenceComparison,
    Steps,
)

TIMED_QUERIES = 512


@dataclass(frozen=True)
class Reference:
    """The float32 index of M=16 that most people have, tuned to the same recall."""

    configuration: Configuration
    ef_search: int
    recall: Recall
    memory: Memory


def reference_configuration(problem: Problem) -> Configuration:
    """Return float32 with the M of the space that is nearest to 16."""
    space = problem.options.space
    return Configuration(
        M=usual_m(space),
        ef_construction=space.ef_construction,
        codec="fp32",
        dims=problem.base.d,
    )


def reference_at(problem: Problem, searchable: SearchableIndex, guess: int, memory: Memory) -> Reference:
    """Return the reference at the least ef_search that is certified."""
    found = tune_ef(problem, searchable, guess, problem.options.space.ef_search_max)
    return Reference(
        configuration=searchable.configuration,
        ef_search=found.ef_search,
        recall=problem.recall(found.hits),
        memory=memory,
    )


def graph_baseline(
    reference: Reference, latency: Latency, recommended: OperatingPoint, *, native: bool
) -> ReferenceComparison:
    """Return the baseline measured on the graph that is there anyway, or that was built for it natively."""
    what = reference.configuration
    graph = "built for it" if native else "same graph"
    return ReferenceComparison(
        name=f"float32 HNSW M={what.M} (faiss, {graph}, ef tuned to the same recall)",
        ef_search=reference.ef_search,
        recall=reference.recall,
        memory_bytes=reference.memory.resident_bytes,
        latency=latency,
        memory_ratio=reference.memory.resident_bytes / recommended.memory.resident_bytes,
        latency_ratio=latency.mean_s / recommended.seconds,
    )


def hnswlib_baseline(
    problem: Problem, builder: IndexBuilder, recommended: OperatingPoint, guess: int
) -> Steps[ReferenceComparison]:
    """Yield the share done; return a really built hnswlib index, tuned and timed the same way."""
    options, k = problem.options, problem.options.k
    steps = hnsw_lib.build(problem.base, USUAL_M, USUAL_EF_CONSTRUCTION, options.seed, problem.threads)
    built = yield from scaled(steps, 0.0, 0.9)

    def at(ef: int) -> EfResult:
        built.set_ef(ef)
        return judged(problem, ef, problem.hits(built.search(problem.queries, k)), 0.0, 0.0)

    ef_result = find_min_ef(at, k, max(k, guess), options.space.ef_search_max)
    built.set_ef(ef_result.ef_search)

    wide = problem.base.metric == "ip"
    searchable = builder.serve(recommended.configuration)
    searchable.set_ef(recommended.ef_search)

    def search_prepared(query: FloatArray) -> object:
        return built.index.knn_query(np.pad(query, ((0, 0), (0, 1))) if wide else query, k=k, num_threads=1)

    timings = interleave(
        [lambda q: searchable.index.search(q, k), search_prepared],
        # prepared already: a vector is as fast to normalise in C as it is slow in Python
        np.ascontiguousarray(problem.queries[problem.sample(TIMED_QUERIES), : problem.raw.shape[1]]),
        options.seed,
        a_round=BLOCK,
    )
    latency = timings.latency(1, 0).scaled(recommended.seconds / timings.latency(0, 0).mean_s)
    memory = built.serialized_bytes()
    return ReferenceComparison(
        name=f"hnswlib M={USUAL_M} ef_construction={USUAL_EF_CONSTRUCTION} float32, built for this",
        ef_search=ef_result.ef_search,
        recall=problem.recall(ef_result.hits),
        memory_bytes=memory,
        latency=latency,
        memory_ratio=memory / recommended.memory.resident_bytes,
        latency_ratio=latency.mean_s / recommended.seconds,
        build_cpu_s=built.cpu_s,
    )
