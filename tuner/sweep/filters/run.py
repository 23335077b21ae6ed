"""Stage 4b: how queries with filters are answered, and which point of the front does it best."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil

import numpy as np

from tuner.prediction.choice import TIE
from tuner.prediction.pareto import name_points
from tuner.recall.allowed import Filters
from tuner.runtime.steps import scaled
from tuner.search import FilteredIndex
from tuner.sweep.answer import Answer
from tuner.sweep.filters.bands import Banded, given_bands, made_up_bands
from tuner.sweep.filters.costs import answer_of_policy, graph_search, seconds_of, time_costs
from tuner.sweep.filters.policy import (
    PricedIndex,
    Settled,
    refined,
    scan_threshold,
    settle,
    settle_again,
    with_scans,
)
from tuner.sweep.filters.stratum import Stratum
from tuner.sweep.index_builder import IndexBuilder
from tuner.sweep.measure import Measured
from tuner.sweep.prepare import Prepared
from tuner.sweep.problem import Problem
from tuner.types import (
    BandMeasured,
    Event,
    FilterBand,
    FilterPolicy,
    IdArray,
    OperatingPoint,
    Steps,
)

MOST_CANDIDATES = 3
"""Points of the front that are measured under filters."""
RIVAL = 1.25
"""Times the cost of the best without filters at which another point may still be the best with them."""
FEW_QUERIES = 200
"""Queries of each band that candidates are compared with."""
TIMED_FILTERS = 32


@dataclass(frozen=True)
class Filtered:
    """The policy of the point that is best under filters.

    Attributes:
        position: position of the point among those of the answer.
        policy: its policy.
    """

    position: int
    policy: FilterPolicy


def under_filters(
    prepared: Prepared, measured: Measured, answer: Answer
) -> Generator[Event, None, tuple[Answer, FilterPolicy | None]]:
    """Yield events; return the answer that filters make best, and its policy; None without filters."""
    problem, filters = measured.problem, prepared.filters
    if not answer.found or (filters is None and not problem.options.selectivity):
        return answer, None
    found = yield from prepared.journal.stage(
        "filters",
        "tune for filtered search, band by band",
        Filtered,
        partial(_tuned, problem, measured.builder, answer, filters),
    )
    named = {**answer.named, problem.options.prefer: found.position}
    return replace(answer, named=named), found.policy


def _tuned(
    problem: Problem, builder: IndexBuilder, answer: Answer, filters: Filters | None
) -> Steps[Filtered]:
    posing = made_up_bands(problem) if filters is None else given_bands(problem, filters)
    banded = yield from scaled(posing, 0.0, 0.2)
    candidates = _candidates(problem, answer)
    found: list[tuple[PricedIndex, tuple[Settled, ...]]] = []
    for number, position in enumerate(candidates):
        low, high = (0.2 + 0.4 * each / len(candidates) for each in (number, number + 1))
        point = answer.points[position]
        found.append((yield from scaled(_expected_bands(problem, builder, point, banded), low, high)))
    memory = [float(answer.points[position].memory.resident_bytes) for position in candidates]
    chosen, bands = yield from scaled(_certified(problem, found, memory, banded), 0.6, 0.9)
    source = "made up" if filters is None else filters.source
    policy = policy_of(problem, source, found[chosen][0], bands, n_left_out=banded.n_left_out)
    fingerprint = "" if filters is None else filters.fingerprint
    return Filtered(candidates[chosen], replace(policy, fingerprint=fingerprint))


def _certified(
    problem: Problem,
    found: Sequence[tuple[PricedIndex, tuple[Settled, ...]]],
    memory: Sequence[float],
    banded: Banded,
) -> Steps[tuple[int, tuple[Settled, ...]]]:
    """Yield the share done; return the best whose bands all queries certify, by its number; else the first.

    A few queries may promise what all of them do not certify: then the next one is tried.

    Args:
        found: indexes with their bands as a few queries settle them.
        memory: bytes of each.
    """
    seconds = [_mean_s(priced, bands) for priced, bands in found]
    left = [i for i, (_, bands) in enumerate(found) if all(band.passes for band in bands)] or [0]
    tried: list[tuple[int, tuple[Settled, ...]]] = []
    n = len(left)
    while left:
        names = name_points([memory[i] for i in left], [seconds[i] for i in left], TIE)
        chosen = left.pop(names[problem.options.prefer])
        steps = _bands_of(problem, *found[chosen], banded)
        bands = yield from scaled(steps, len(tried) / n, (len(tried) + 1) / n)
        if all(band.passes for band in bands):
            return chosen, bands
        tried.append((chosen, bands))
    return tried[0]


def _candidates(problem: Problem, answer: Answer) -> list[int]:
    """Return positions of the preferred point, and of those of the front that come near to it."""
    first = answer.named[problem.options.prefer]

    def cost(position: int) -> float:
        point, prefer = answer.points[position], problem.options.prefer
        memory = point.memory.resident_bytes if prefer != "fastest" else 1.0
        return memory * (point.seconds if prefer != "smallest" else 1.0)

    near = [i for i in answer.front if i != first and cost(i) <= RIVAL * cost(first)]
    return [first, *sorted(near, key=cost)][:MOST_CANDIDATES]


def _expected_bands(
    problem: Problem, builder: IndexBuilder, point: OperatingPoint, banded: Banded
) -> Steps[tuple[PricedIndex, tuple[Settled, ...]]]:
    """Yield the share done; return how an index answers each band, as a few queries of each settle it."""
    what, k = point.configuration, problem.options.k
    builder.keep_codecs(1)
    searchable = builder.serve(what)
    index = FilteredIndex(searchable.index, (), 0, kept=searchable)
    costs = time_costs(problem, index, point.ef_search)
    priced = PricedIndex(
        index=index,
        costs=costs,
        ef_search=point.ef_search,
        least=k * what.rerank_factor,
        most=problem.options.space.ef_search_max,
        k=k,
    )
    few = [(least_share, _first(strata)) for least_share, strata in banded.groups]
    bands = yield from scaled(settle(priced, few), 0.0, 0.7)
    maker = banded.maker
    if banded.made_up or all(band.ef_search is None for band in bands):

        def make(share: float) -> Steps[tuple[Stratum, ...]]:
            return _first((yield from maker.make(share)))

        bands = yield from scaled(refined(priced, bands, problem.base.n, make), 0.7, 1.0)
    problem.base.release()
    return priced, bands


def _first(strata: tuple[Stratum, ...]) -> tuple[Stratum, ...]:
    return tuple(stratum.first(FEW_QUERIES) for stratum in strata)


def _bands_of(
    problem: Problem, priced: PricedIndex, expected: tuple[Settled, ...], banded: Banded
) -> Steps[tuple[Settled, ...]]:
    """Yield the share done; return how an index answers each band, as all queries certify it."""
    groups = []
    known = dict(banded.groups)
    for number, band in enumerate(expected):
        low, high = (0.2 * each / len(expected) for each in (number, number + 1))
        strata = known.get(band.least_share)
        if strata is None:
            strata = yield from scaled(banded.maker.make(band.least_share), low, high)
        groups.append((band.least_share, strata))
    bands = yield from scaled(settle_again(priced, groups, expected), 0.2, 1.0)
    if not banded.made_up:
        below = scan_threshold(priced, bands, problem.base.n)
        bands = tuple(with_scans(priced, b, below) if b.ef_search is not None else b for b in bands)
    problem.base.release()
    return bands


def _mean_s(priced: PricedIndex, bands: tuple[Settled, ...]) -> float:
    """Return the modelled seconds of a query, all queries of all bands together."""
    weights = [sum(_weights(band, bands)) for band in bands]
    return float(np.average([priced.seconds(band) for band in bands], weights=weights))


def _weights(band: Settled, bands: Sequence[Settled]) -> list[int]:
    """Return the queries of each stratum of a band; where the user gave filters, none that are made up."""
    any_given = any(stratum.kind == "given" for each in bands for stratum in each.strata)
    return [len(each.raw) if each.kind == "given" or not any_given else 0 for each in band.strata]


def policy_as_delivered(
    policy: FilterPolicy | None, before: OperatingPoint, after: OperatingPoint
) -> FilterPolicy | None:
    """Return the policy of the index as it is handed over; None where that is another index.

    Rows that had been held out went into it: what its ef_search without filters was raised by, the others
    are raised by.

    Args:
        before: the point that the policy was made for.
        after: the point that was handed over.
    """
    if policy is None or before.configuration != after.configuration:
        return None
    more = after.ef_search / before.ef_search
    bands = tuple(
        replace(band, ef_search=None if band.ef_search is None else ceil(band.ef_search * more))
        for band in policy.bands
    )
    return replace(policy, bands=bands)


def policy_of(
    problem: Problem, source: str, priced: PricedIndex, bands: tuple[Settled, ...], *, n_left_out: int
) -> FilterPolicy:
    """Return the policy, its bands timed against the ef_search of the recommendation without filters."""
    found, seconds, weights = [], [], []
    for band in bands:
        measured = tuple(_measured(problem, priced, band, number) for number in range(len(band.strata)))
        seconds += [each.latency_s for each in measured]
        weights += _weights(band, bands)
        found.append(
            FilterBand(
                least_share=band.least_share,
                ef_search=band.ef_search,
                measured=measured,
                reaches_target=band.passes,
                least_rows=round(band.least_share * problem.base.n),
            )
        )
    return FilterPolicy(
        source=source,
        bands=tuple(found),
        scan_below_rows=scan_threshold(priced, bands, problem.base.n),
        n=problem.base.n,
        latency_s=float(np.average(seconds, weights=weights)),
        scan_s=priced.costs.scan_s,
        graph_s=priced.costs.graph_s,
        n_left_out=n_left_out,
    )


def _measured(problem: Problem, priced: PricedIndex, band: Settled, number: int) -> BandMeasured:
    """Return what was measured of one kind of filter in a band, beside what no policy would have found."""
    stratum, result = band.strata[number], band.results[number]
    plain = stratum.searched(priced.index, priced.ef_search)
    of_policy, of_plain = _times(problem, priced, band, stratum)
    return BandMeasured(
        kind=stratum.kind,
        n_queries=len(stratum.raw),
        share=stratum.share,
        recall=stratum.target.summarize(result.hits),
        ndis_per_query=result.ndis,
        latency_s=of_policy,
        unfiltered_recall=stratum.target.summarize(plain.hits),
        unfiltered_ndis_per_query=plain.ndis,
        unfiltered_latency_s=of_plain,
        hits=tuple(int(count) for count in result.hits),
    )


def _times(problem: Problem, priced: PricedIndex, band: Settled, stratum: Stratum) -> tuple[float, float]:
    """Return seconds of a query under the policy, and at the ef_search without filters, timed in turns."""
    some: IdArray = np.unique(stratum.filters.of_query)[:TIMED_FILTERS]
    filters = [stratum.allowed(int(number)) for number in some]
    plain = graph_search(priced.index, priced.k, filters, priced.ef_search)
    bands = () if band.ef_search is None else ((0.0, band.ef_search),)
    answering = replace(priced.index, bands=bands, scan_below=band.scan_below)
    seconds = seconds_of([answer_of_policy(answering, priced.k, filters), plain], problem)
    return seconds[0], seconds[1]
