"""The last rounds: finalists and reference, certified together at the ef_search they need, timed in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tuner.index.assemble import SearchableIndex, metric_transform
from tuner.index.codec_view import CodecView
from tuner.index.projections import behind
from tuner.prediction.kernel_costs import small_graph
from tuner.prediction.surface import CodecCost
from tuner.runtime.process import return_freed_memory
from tuner.runtime.timing import BLOCK, ROUNDS, Search, Timings, interleave, queries_a_turn, throughput
from tuner.sweep.baseline import Reference, reference_at, reference_configuration
from tuner.sweep.ef_search import judged, operating_point, tune_ef
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.sweep.shown_costs import typical_ratio, with_shown_costs
from tuner.sweep.tried import with_tries_of, with_wider_bounds
from tuner.types import Configuration, Latency, Memory, OperatingPoint, Steps

TIMED_QUERIES = 512
ANCHOR_EF = 64
RESIDENT_SHARE = 1.2
"""Finalists timed together take at most this many times the float32 base."""
BATCH_S = 0.2
"""Seconds of queries that throughput is measured with."""


@dataclass(frozen=True)
class Timed:
    """Finalists with their latencies.

    Attributes:
        points: the finalists, at the least ef_search at which all of them hold together.
        quantile: standard errors between mean and bound of each of them.
        noise_floor: deviation from 1 of the ratio between two entries of the same index, or the standard
            error of that ratio where it is more.
        reference: the float32 reference, certified as the finalists are.
        reference_latency: its latency.
        slower: what the clock shows over what was modelled, of all finalists together: the machine is
            faster in one minute than in the next.
        waited: share of the time that others had the processor.
    """

    points: tuple[OperatingPoint, ...]
    quantile: float
    noise_floor: float
    reference: Reference
    reference_latency: Latency
    slower: float = 1.0
    waited: float = 0.0


@dataclass
class BatchClock:
    """Batches of searches timed on one clock: a small index has its turn in each.

    Attributes:
        anchor: search of that index.
        rounds: fewest and most rounds of a batch.
        noise: relative difference in time of the first search from itself.
        waited: share of the time that others had the processor.
        first_s: mean seconds of the small index in the first batch, 0 before it.
    """

    problem: Problem
    anchor: Search
    rounds: tuple[int, int]
    noise: float = 0.0
    waited: float = 0.0
    first_s: float = 0.0

    def timings(self, batch: list[Search]) -> tuple[Timings, float]:
        """Return timings of searches in turns, the first at place 1, and the factor to the first batch."""
        problem, searches, twins = self.problem, [self.anchor, *batch], None
        queries = problem.raw[problem.sample(TIMED_QUERIES)]
        if not self.first_s:
            twins = (1, len(searches))
            searches.append(searches[1])
        timings = interleave(
            searches,
            queries,
            problem.options.seed,
            a_round=queries_a_turn(problem.base.d),
            twins=twins,
            fewest=self.rounds[0],
            most=self.rounds[1],
        )
        if twins is not None:  # one draw can be small by luck: it is never less than its own error
            self.noise = max(abs(timings.ratio(twins[1], twins[0]) - 1), timings.error(twins[1], twins[0]))
        self.waited = max(self.waited, timings.waited)
        self.first_s = self.first_s or timings.latency(0, 0).mean_s
        return timings, self.first_s / timings.latency(0, 0).mean_s

    def latencies(self, batch: list[Search]) -> list[Latency]:
        """Return the latency of each search, in turns."""
        problem, (timings, drift) = self.problem, self.timings(batch)
        queries = problem.raw[problem.sample(TIMED_QUERIES)]
        found = []
        for place, search in enumerate(batch, start=1):
            alone_s = timings.latency(place, 0).mean_s
            few = max(BLOCK, round(BATCH_S * problem.threads / alone_s))
            batch_rate = throughput(search, queries[:few], problem.threads)
            found.append(timings.latency(place, 0, batch_rate).scaled(drift))
        return found


def time_finalists(
    problem: Problem,
    builder: IndexBuilder,
    finalists: list[OperatingPoint],
    guess: int,
    costs: dict[CodecView, CodecCost],
    rounds: tuple[int, int] = ROUNDS,
) -> Steps[Timed]:
    """Yield the share done; return the finalists with latencies from interleaved rounds.

    Each is first searched with as much more ef_search as the bounds of all of them together ask for, and the
    float32 index that people have today is tuned by the same rule.

    Args:
        problem: the problem with the quantile of these bounds.
        guess: where ef_search of the reference is looked for first.
        costs: what a search costs, by codec.
        rounds: fewest and most rounds of a batch.

    Batches are as large as memory allows. A small graph has its turn in all of them, so that they can be
    compared. The first finalist has two turns: what it differs from itself by is the noise floor.
    """
    usual = reference_configuration(problem)
    contestants = [(p.configuration, p.memory) for p in finalists] + [(usual, builder.memory_of(usual))]
    limit = RESIDENT_SHARE * 4 * problem.base.n * problem.base.d
    clock = BatchClock(problem, anchor_of(problem), rounds)
    latencies, points = list[Latency](), list[OperatingPoint]()
    for batch in batched(_sizes(contestants), limit):
        builder.keep_codecs(len(batch))
        searchables = [builder.serve(contestants[number][0]) for number in batch]
        for number, searchable in zip(batch, searchables, strict=True):
            if number < len(finalists):
                points.append(_certified(problem, searchable, finalists[number], costs))
                searchable.set_ef(points[-1].ef_search)
            else:
                reference = reference_at(problem, searchable, guess, contestants[number][1])
                searchable.set_ef(reference.ef_search)
        latencies += clock.latencies([_search_of(each, problem.options.k) for each in searchables])
        del searchables, searchable
        builder.keep_codecs(1)
        problem.base.release()
        return_freed_memory()
        yield len(latencies) / len(contestants)
    modelled_s = [p.modelled_latency_s for p in points]
    slower = typical_ratio([each.mean_s for each in latencies[:-1]], modelled_s) if points else 1.0
    shown = with_shown_costs(with_latencies(points, latencies[:-1], problem.options.max_latency_s))
    return Timed(
        points=tuple(shown),
        quantile=problem.target.width_in_errors,
        noise_floor=clock.noise,
        reference=reference,
        reference_latency=latencies[-1],
        slower=slower,
        waited=clock.waited,
    )


def with_latencies(
    finalists: list[OperatingPoint], latencies: list[Latency], most_s: float | None
) -> list[OperatingPoint]:
    """Return the points with their latencies; one whose p95 is above the limit does not reach the target."""
    return [
        replace(
            point,
            latency=latency,
            reaches_target=point.reaches_target and (most_s is None or latency.p95_s <= most_s),
        )
        for point, latency in zip(finalists, latencies, strict=True)
    ]


def anchor_of(problem: Problem) -> Search:
    """Return the search of a small float32 graph, which takes the user's raw queries."""
    base, k = problem.base, problem.options.k
    graph = small_graph(base, problem.queries[:1], problem.options.seed).index
    graph.hnsw.efSearch = max(ANCHOR_EF, k)
    step = metric_transform(base.metric, base.d - (base.metric == "ip"))
    index = graph if step is None else behind([step], graph)
    kept = (graph, step)
    return lambda queries: (index.search(queries, k), kept)


def _sizes(contestants: list[tuple[Configuration, Memory]]) -> list[float]:
    """Return the bytes of each; codes are shared by those of one codec, which stand side by side."""
    sizes, before = [], None
    for configuration, memory in contestants:
        view = CodecView.of(configuration)
        sizes.append(float(memory.resident_bytes - (memory.codes_bytes if view == before else 0)))
        before = view
    return sizes


def _certified(
    problem: Problem, searchable: SearchableIndex, known: OperatingPoint, costs: dict[CodecView, CodecCost]
) -> OperatingPoint:
    """Return a finalist at the least ef_search that the bounds of all together certify."""
    if problem.quantile is None:  # it is the only one, and certified
        return known
    seen = judged(problem, known.ef_search, np.array(known.hits), known.ndis_per_query, hops=0.0)
    most = problem.options.space.ef_search_max
    found = tune_ef(problem, searchable, seen.ef_search, most, known=seen)
    if found is seen:
        tried = with_wider_bounds(problem, known.tried)
        return replace(known, recall=problem.recall(seen.hits), reaches_target=seen.passes, tried=tried)
    cost = costs[CodecView.of(known.configuration)]
    point = operating_point(problem, searchable, found, known.memory, known.predicted_recall, cost)
    return with_tries_of(problem, point, known)


def _search_of(searchable: SearchableIndex, k: int) -> Search:
    index = searchable.index
    return lambda queries: index.search(queries, k)


def batched(sizes: list[float], limit: float) -> list[list[int]]:
    """Return positions in batches of at most ``limit`` together (one at least), in order."""
    batches: list[list[int]] = []
    filled = 0.0
    for number, size in enumerate(sizes):
        if not batches or filled + size > limit:
            batches.append([])
            filled = 0.0
        batches[-1].append(number)
        filled += size
    return batches
