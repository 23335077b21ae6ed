"""Reports come from anywhere: figures that no run can have are told before anything is made of them."""

from __future__ import annotations

from collections.abc import Iterator

from tuner.errors import InputError
from tuner.space import RERANK_STORES, is_codec
from tuner.types import Configuration, OperatingPoint, Result

MOST, MOST_WIDE, MOST_LINKS, MOST_EF = 2**31, 2**20, 1024, 10**6
"""Rows, columns, links a node and ef_search beyond which a figure is damage."""
LEAST_S = 1e-12
"""Seconds that no search takes less than."""


def refuse_unsound(result: Result, source: str) -> None:
    """Raise InputError if a report holds what no run could have written.

    Args:
        source: name of the file in messages.
    """
    fault = next(_faults(result), None)
    if fault is not None:
        raise InputError(f"{source}: is damaged, {fault}: give the report.json as tune wrote it")


def names_known_codecs(what: Configuration) -> bool:
    """Return whether codec and re-ranking store are in the grammar of codecs."""
    return is_codec(what.codec) and what.rerank in (None, *RERANK_STORES)


def _faults(result: Result) -> Iterator[str]:
    for name, figure, least, most in _figures(result):
        if not least <= figure <= most:
            yield f"{name} is {figure:,} and not from {least:,} to {most:,}"
    for position, point in enumerate(result.points):
        if not names_known_codecs(point.configuration):
            yield f"points[{position}] names an unknown codec"
    named = result.recommendation is not None and result.options.prefer in result.named
    if result.status in ("reached", "sharded") and not named:
        yield "it reached the target and names no point"


def _figures(result: Result) -> Iterator[tuple[str, float, float, float]]:
    """Yield each figure with its name, the least and the most that it can be."""
    profile, queries, options = result.profile, result.queries, result.options
    yield "profile.n", profile.n, 1, MOST
    yield "profile.d", profile.d, 1, MOST_WIDE
    yield "profile.n_zero_rows", profile.n_zero_rows, 0, profile.n
    yield "queries.n", queries.n, 0, MOST
    for row in queries.held_out_rows:
        yield "a row of queries.held_out_rows", row, 0, profile.n - 1
    yield "options.k", options.k, 1, profile.n
    yield "options.recall", options.recall, 0, 1
    yield "options.confidence", options.confidence, 0.5, 1
    if result.collapsed is not None:
        yield "collapsed.n_distinct", result.collapsed.n_distinct, 1, profile.n
        yield "collapsed.n_copies", result.collapsed.n_copies, 0, profile.n - result.collapsed.n_distinct
        yield "collapsed.n_measured_on", result.collapsed.n_measured_on, 1, result.collapsed.n_distinct
    last = len(result.points) - 1
    for name, position in result.named.items():
        yield f"named.{name}", position, 0, last
    for position in result.front:
        yield "a position of front", position, 0, last
    for position, point in enumerate(result.points):
        for name, figure, least, most in _figures_of(point, result):
            yield f"points[{position}].{name}", figure, least, most
    if result.recommendation is not None:
        yield "recommendation.recall", result.recommendation.recall, 0, 1
        yield "recommendation.memory_bytes", result.recommendation.memory_bytes, 1, MOST * MOST_WIDE


def _figures_of(point: OperatingPoint, result: Result) -> Iterator[tuple[str, float, float, float]]:
    what, n_hits = point.configuration, len(point.hits)
    yield "M", what.M, 1, MOST_LINKS
    yield "ef_construction", what.ef_construction, 1, MOST_EF
    yield "dims", what.dims, 1, result.profile.d + 1  # inner product has one more column
    yield "rerank_factor", what.rerank_factor, 1, MOST_EF
    yield "ef_search", point.ef_search, 1, MOST_EF
    yield "recall.mean", point.recall.mean, 0, 1
    yield "recall.lower", point.recall.lower, -10, 1  # a bound far below a mean of few queries
    yield "ndis_per_query", point.ndis_per_query, 0, MOST
    yield "modelled_latency_s", point.modelled_latency_s, LEAST_S, MOST
    if point.latency is not None:
        yield "latency.mean_s", point.latency.mean_s, LEAST_S, MOST
    for each in point.tried:
        yield "ef_search of tried", each.ef_search, 1, MOST_EF
        yield "recall of tried", each.recall, 0, 1
        yield "lower of tried", each.lower, 0, 1
        yield "time_ratio of tried", each.time_ratio, LEAST_S, MOST
    for name, size in vars(point.memory).items():
        yield f"memory.{name}", size, 0, MOST * MOST_WIDE
    yield "the number of hits", n_hits, result.queries.n if n_hits else 0, result.queries.n
    for hits in (min(point.hits, default=0), max(point.hits, default=0)):
        yield "hits", hits, 0, result.options.k
