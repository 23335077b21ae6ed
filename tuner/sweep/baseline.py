"""What the user gains: the index that most people have today, at the same recall."""

from __future__ import annotations

from dataclasses import dataclass

from tuner.backends import hnsw_lib
from tuner.backends.faiss_hnsw import Served
from tuner.data.base import prepared_queries
from tuner.sweep.measure import Tuned, bisect, tune_ef
from tuner.sweep.problem import Problem
from tuner.sweep.workbench import Workbench
from tuner.timing import interleave
from tuner.types import Baseline, Configuration, FloatArray, Latency, OperatingPoint, Recall, Steps

USUAL_M = 16
USUAL_EF_CONSTRUCTION = 200
TIMED_QUERIES = 300


@dataclass(frozen=True)
class Reference:
    """The float32 index that every latency is a ratio to, tuned to the same recall.

    Attributes:
        reached: whether it meets the target.
    """

    configuration: Configuration
    ef_search: int
    validated: Recall
    memory_bytes: int
    reached: bool


def reference_configuration(problem: Problem) -> Configuration:
    """Return float32 with the M of the space that is nearest to 16."""
    space = problem.options.space
    return Configuration(
        M=min(space.M, key=lambda M: (abs(M - USUAL_M), M)),
        ef_construction=space.ef_construction,
        codec="fp32",
        dims=problem.base.d,
    )


def tune_reference(problem: Problem, bench: Workbench, guess: int) -> Steps[Reference]:
    """Return the reference with its ef_search."""
    configuration = reference_configuration(problem)
    served = bench.serve(configuration)
    tuned = tune_ef(problem, served, guess, problem.options.space.ef_search_max)
    served.set_ef(tuned.ef_search)
    ids = served.index.search(problem.raw[problem.validate], problem.options.k)[1]
    yield 1.0
    return Reference(
        configuration=configuration,
        ef_search=tuned.ef_search,
        validated=problem.recall(problem.hits(ids, problem.validate)),
        memory_bytes=bench.memory_of(configuration).resident_bytes,
        reached=tuned.passes,
    )


def graph_baseline(reference: Reference, latency: Latency, recommended: OperatingPoint) -> Baseline:
    """Return the baseline measured on the graph that is there anyway."""
    what = reference.configuration
    return Baseline(
        name=f"float32 HNSW M={what.M} (faiss, same graph, ef tuned to the same recall)",
        ef_search=reference.ef_search,
        recall=reference.validated,
        memory_bytes=reference.memory_bytes,
        latency=latency,
        memory_ratio=reference.memory_bytes / recommended.memory.resident_bytes,
        latency_ratio=latency.mean_s / _mean(recommended),
    )


def hnswlib_baseline(
    problem: Problem, reference: Served, recommended: OperatingPoint, reference_latency: Latency, guess: int
) -> Steps[Baseline]:
    """Yield the share done; return a really built hnswlib index, tuned and timed the same way."""
    options, k = problem.options, problem.options.k
    steps = hnsw_lib.build(problem.base, USUAL_M, USUAL_EF_CONSTRUCTION, options.seed, problem.threads)
    while True:
        try:
            yield 0.9 * next(steps)
        except StopIteration as stop:
            built: hnsw_lib.Built = stop.value
            break
    tune = problem.queries[problem.tune]

    def at(ef: int) -> Tuned:
        built.set_ef(ef)
        hits = problem.hits(built.search(tune, k), problem.tune)
        return Tuned(ef, hits, 0.0, 0.0, problem.passes(hits))

    tuned = bisect(at, k, max(k, guess), options.space.ef_search_max)
    built.set_ef(tuned.ef_search)
    validated = problem.recall(
        problem.hits(built.search(problem.queries[problem.validate], k), problem.validate)
    )
    def search_prepared(query: FloatArray) -> object:
        return built.index.knn_query(prepared_queries(query, problem.base.metric), k=k, num_threads=1)

    timings = interleave(
        [lambda q: reference.index.search(q, k), search_prepared],
        problem.raw[problem.tune[:TIMED_QUERIES]],
        options.seed,
    )
    ratio = timings.ratio(1, 0)
    own = timings.latency(1, 0)
    scale = ratio * reference_latency.mean_s / own.mean_s
    latency = Latency(
        mean_s=own.mean_s * scale,
        p50_s=own.p50_s * scale,
        p95_s=own.p95_s * scale,
        p99_s=own.p99_s * scale,
        n_rounds=own.n_rounds,
    )
    memory = built.serialized_bytes()
    return Baseline(
        name=f"hnswlib M={USUAL_M} ef_construction={USUAL_EF_CONSTRUCTION} float32, built for this",
        ef_search=tuned.ef_search,
        recall=validated,
        memory_bytes=memory,
        latency=latency,
        memory_ratio=memory / recommended.memory.resident_bytes,
        latency_ratio=latency.mean_s / _mean(recommended),
        build_cpu_s=built.cpu_s,
    )


def _mean(point: OperatingPoint) -> float:
    return point.latency.mean_s if point.latency is not None else point.modelled_latency_s
