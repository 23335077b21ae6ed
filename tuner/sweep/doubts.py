"""Doubts about a run's figures: each says what was seen and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from tuner.report.words import bytes_text, seconds_text
from tuner.types import Latency, Warned

MOST_NOISE = 0.05
"""A noise floor above this is worth a warning."""
MOST_TAIL = 4.0
"""Ratio of p95 to the median that queries of one index do not reach by being harder: measured 1.2 to 1.7."""
MOST_WAITED = 0.10
"""Share of the time that others may have the processor."""

MOST_COLUMNS_A_ROW = 8
"""Columns a row from which on a file is rather a transposed one."""


class Doubt(Enum):
    """A doubt that the user should act on; its value is the sentence, facts in braces.

    >>> Doubt.QUERIES_IN_BASE.about(n_in_base=3, n_queries=10).text[:38]
    '3 of 10 queries equal a row of the bas'
    """

    ZERO_ROWS = (
        "{n_left_out:,} of {n:,} rows are zero vectors, which have no direction: they are in no index and no "
        "answer; empty documents are often embedded so"
    )
    ON_ITS_SIDE = (
        "{n:,} rows of {d:,} columns: if they are {d:,} vectors of {n:,} numbers, the file lies on its side, "
        "so save x.T and run again"
    )
    QUERIES_IN_BASE = (
        "{n_in_base} of {n_queries} queries equal a row of the base: they find themselves, "
        "which makes recall look better than new queries will see"
    )
    OTHER_METRIC = (
        "{source} says that its distance is {distance}, and {metric} is searched by: leave --metric out to "
        "search by the file's"
    )
    UNKNOWN_DISTANCE = (
        "{source} says that its distance is {distance}, which no index here searches by, and {metric} was "
        "taken: neighbours by {distance} are others"
    )
    WRONG_NEIGHBOURS = (
        "{share:.1%} of the neighbours listed for {source} are not among the {k} nearest by {metric}: recall "
        "is counted by exact neighbours found here, so do not compare it with figures counted by those listed"
    )
    OUT_OF_TIME = (
        "the time budget of {budget} ended the measurements early, {spent} after the beginning: the front "
        "may lack a point, and what every run needs is not cut short"
    )
    MEMORY_PASSED = (
        "the run took {peak} of memory at its peak, more than its limit of {limit}: its plan said less, "
        "so raise the limit or give fewer rows"
    )
    BUSY_MACHINE = (
        "the machine was busy: the same index entered twice differed by {noise:.0%} in "
        "time, so latencies are that uncertain; recall, memory and ndis are not: run again when it is "
        "quiet"
    )

    LONG_TAIL = (
        "the machine was busy: p95 of {label} is {p95}, {ratio:.0f} x its median, and queries of one index "
        "differ less: do not rely on that p95, nor on a limit that it was held against, and run again when "
        "the machine is quiet"
    )
    SHARED_PROCESSOR = (
        "the machine was busy: others had the processor for {waited:.0%} of the time in which searches were "
        "timed; latencies count the processor's seconds of a search alone, but others slow those too, as "
        "caches and memory are shared: run again when it is quiet"
    )

    def about(self, **facts: object) -> Warned:
        """Return the event with the facts in its sentence."""
        return Warned(self.value.format(**facts))


def memory_doubts(peak_bytes: int, limit: int | None) -> tuple[Warned, ...]:
    """Return what speaks against the limit on the memory of a run: that it was not kept."""
    if limit is None or peak_bytes <= limit:
        return ()
    return (Doubt.MEMORY_PASSED.about(peak=bytes_text(peak_bytes), limit=bytes_text(limit)),)


def timing_doubts(latencies: Mapping[str, Latency], noise: float, waited: float) -> tuple[Warned, ...]:
    """Return what speaks against latencies, each kind once.

    Args:
        latencies: latencies of indexes by their labels.
        noise: relative difference in time of one index from itself.
        waited: share of the time that others had the processor.
    """
    found = []
    if noise > MOST_NOISE:
        found.append(Doubt.BUSY_MACHINE.about(noise=noise))
    tails = {label: one.p95_s / one.p50_s for label, one in latencies.items() if one.p50_s > 0}
    label = max(tails, key=lambda each: tails[each], default="")
    if label and tails[label] > MOST_TAIL:
        p95 = seconds_text(latencies[label].p95_s)
        found.append(Doubt.LONG_TAIL.about(label=label, p95=p95, ratio=tails[label]))
    if waited > MOST_WAITED:
        found.append(Doubt.SHARED_PROCESSOR.about(waited=waited))
    return tuple(found)
