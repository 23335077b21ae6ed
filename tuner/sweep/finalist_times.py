"""The last rounds: finalists and reference, certified together at the ef_search they need, timed in turns."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tuner.index.assemble import SearchableIndex, metric_transform
from tuner.index.codec_view import CodecView
from tuner.index.projections import behind
from tuner.prediction.kernel_costs import small_graph
from tuner.prediction.surface import CodecCost
from tuner.runtime.process import return_freed_memory
from tuner.runtime.timing import BLOCK, Search, interleave, queries_a_turn, throughput
from tuner.sweep.baseline import Reference, reference_at
from tuner.sweep.ef_search import operating_point, tune_ef
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.problem import Problem
from tuner.sweep.shown_costs import typical_ratio, with_shown_costs
from tuner.types import Latency, OperatingPoint, Steps

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
class _Clock:
    """Batches of searches timed on one clock: a small index has its turn in each.

    Attributes:
        anchor: search of that index.
        noise: relative difference in time of the first search from itself.
        waited: share of the time that others had the processor.
    """

    problem: Problem
    anchor: Search
    noise: float = 0.0
    waited: float = 0.0
    first_s: float = 0.0

    def latencies(self, batch: list[Search]) -> list[Latency]:
        """Return the latency of each search, in turns."""
        problem, searches, twins = self.problem, [self.anchor, *batch], None
        queries = problem.raw[problem.sample(TIMED_QUERIES)]
        if not self.first_s:
            twins = (1, len(searches))
            searches.append(searches[1])
        timings = interleave(
            searches, queries, problem.options.seed, a_round=queries_a_turn(problem.base.d), twins=twins
        )
        if twins is not None:  # one draw can be small by luck: it is never less than its own error
            self.noise = max(abs(timings.ratio(twins[1], twins[0]) - 1), timings.error(twins[1], twins[0]))
        self.waited = max(self.waited, timings.waited)
        self.first_s = self.first_s or timings.latency(0, 0).mean_s
        drift = self.first_s / timings.latency(0, 0).mean_s
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
    reference: Reference,
    costs: dict[CodecView, CodecCost],
) -> Steps[Timed]:
    """Yield the share done; return the finalists with latencies from interleaved rounds.

    Each is first searched with as much more ef_search as the bounds of all of them together ask for.

    Args:
        problem: the problem with the quantile of these bounds.
        reference: the float32 index that people have today.
        costs: what a search costs, by codec.

    Batches are as large as memory allows. A small graph has its turn in all of them, so that they can be
    compared. The first finalist has two turns: what it differs from itself by is the noise floor.
    """
    contestants: list[OperatingPoint | Reference] = [*finalists, reference]
    certified: list[OperatingPoint | Reference] = []
    # codes are shared by the finalists of a codec, which stand side by side
    sizes = [
        float(
            each.memory.resident_bytes
            - (each.memory.codes_bytes if _shares_codes(contestants, number) else 0)
        )
        for number, each in enumerate(contestants)
    ]
    limit = RESIDENT_SHARE * 4 * problem.base.n * problem.base.d
    clock, latencies = _Clock(problem, _anchor(problem)), list[Latency]()
    for batch in batched(sizes, limit):
        builder.keep_codecs(len(batch))
        searchables = [builder.serve(contestants[number].configuration) for number in batch]
        for number, searchable in zip(batch, searchables, strict=True):
            certified.append(_certified(problem, searchable, contestants[number], costs))
            searchable.set_ef(certified[-1].ef_search)
        latencies += clock.latencies([_search_of(each, problem.options.k) for each in searchables])
        del searchables, searchable
        builder.keep_codecs(1)
        problem.base.release()
        return_freed_memory()
        yield len(latencies) / len(contestants)
    points = [each for each in certified if isinstance(each, OperatingPoint)]
    modelled_s = [p.modelled_latency_s for p in points]
    slower = typical_ratio([each.mean_s for each in latencies[:-1]], modelled_s) if points else 1.0
    points = with_shown_costs(with_latencies(points, latencies[:-1], problem.options.max_latency_s))
    return Timed(
        points=tuple(points),
        quantile=problem.target.width_in_errors,
        noise_floor=clock.noise,
        reference=next(each for each in certified if isinstance(each, Reference)),
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


def _anchor(problem: Problem) -> Search:
    """Return the search of a small float32 graph, which takes the user's raw queries."""
    base, k = problem.base, problem.options.k
    graph = small_graph(base, problem.queries[:1], problem.options.seed).index
    graph.hnsw.efSearch = max(ANCHOR_EF, k)
    step = metric_transform(base.metric, base.d - (base.metric == "ip"))
    index = graph if step is None else behind([step], graph)
    kept = (graph, step)
    return lambda queries: (index.search(queries, k), kept)


def _shares_codes(contestants: list[OperatingPoint | Reference], number: int) -> bool:
    """Return whether the contestant before has the same codes, so that another needs none of its own."""
    if number == 0:
        return False
    before, this = (CodecView.of(each.configuration) for each in contestants[number - 1 : number + 1])
    return before == this


def _certified(
    problem: Problem,
    searchable: SearchableIndex,
    known: OperatingPoint | Reference,
    costs: dict[CodecView, CodecCost],
) -> OperatingPoint | Reference:
    """Return a contestant at the least ef_search that the bounds of all together certify."""
    most = problem.options.space.ef_search_max
    if isinstance(known, Reference):
        return reference_at(problem, searchable, known.ef_search, known.memory)
    found = tune_ef(problem, searchable, known.ef_search, most)
    cost = costs[CodecView.of(known.configuration)]
    return operating_point(problem, searchable, found, known.memory, known.predicted_recall, cost)


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
