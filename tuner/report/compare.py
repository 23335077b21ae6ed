"""Two runs beside each other: what changed in data, question, configuration, recall, bytes and distances."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tuner.recall.paired import drop_between
from tuner.report.words import asked_for, bytes_text, recommended_point, seconds_text
from tuner.types import OperatingPoint, Result

HEAD = ("what", "before", "after", "change")
SAME = "the same"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Change:
    """One thing that was looked at in both.

    Attributes:
        what: name of it.
        before: what it was.
        after: what it is.
        change: difference in words.
    """

    what: str
    before: str
    after: str
    change: str


def changes(before: Result, after: Result) -> list[Change]:
    """What changed from one run to another, and the figures of both answers, changed or not."""
    return [
        *(each for each in _of_data(before, after) if each.change != SAME),
        *_of_answers(before, after),
    ]


def remarks(before: Result, after: Result) -> list[str]:
    """What must be known before figures of the two are compared."""
    found = [
        f"the {name} run measured {each.extrapolation.n_sample:,} of {each.extrapolation.n:,} rows: its "
        "figures are those of the sample"
        for name, each in (("first", before), ("second", after))
        if each.extrapolation is not None
    ]
    if before.profile.fingerprint != after.profile.fingerprint:
        found.append("the vectors are others, so a difference in recall may be theirs and not the index's")
    if before.queries.fingerprint != after.queries.fingerprint:
        found.append("the queries are others, so recall was not asked the same questions")
    if before.options.k != after.options.k:
        found.append("k is another, so recall is of another number of neighbours")
    if not same_machine(before, after):
        found.append("clock times are of different machines and are not compared: distances a query are")
    return found


def same_machine(before: Result, after: Result) -> bool:
    """Whether both describe the machine that they were timed on, and alike."""
    return bool(before.machine) and before.machine == after.machine


def _of_data(before: Result, after: Result) -> Iterator[Change]:
    one, two = before.profile, after.profile
    yield _named("vectors", one.source, two.source)
    yield _named("rows x columns", f"{one.n:,} x {one.d}", f"{two.n:,} x {two.d}")
    yield _named("type", one.dtype, two.dtype)
    yield _named("metric", one.metric, two.metric)
    yield _named("contents of vectors", one.fingerprint, two.fingerprint)
    yield _named("queries", f"{before.queries.n:,}", f"{after.queries.n:,}")
    yield _named("contents of queries", before.queries.fingerprint, after.queries.fingerprint)
    yield _named("asked", asked_for(before.options), asked_for(after.options))
    yield _named("space", before.options.space.name, after.options.space.name)
    for name in dict.fromkeys((*before.versions, *after.versions)):
        yield _named(f"version of {name}", before.versions.get(name, "-"), after.versions.get(name, "-"))


def _of_answers(before: Result, after: Result) -> Iterator[Change]:
    yield _named("status", before.status.replace("_", " "), after.status.replace("_", " "))
    one, two = before.recommendation, after.recommendation
    if one is None or two is None:
        missing = "neither has one" if one is two else f"the {'first' if one is None else 'second'} has none"
        yield Change("answer", one.label if one else "-", two.label if two else "-", missing)
        return
    yield _named("index", one.label, two.label)
    for name in ("M", "ef_construction", "ef_search"):
        yield _counted(name, getattr(one, name), getattr(two, name))
    yield _named("codec", one.codec, two.codec)
    yield Change("recall", f"{one.recall:.4f}", f"{two.recall:.4f}", f"{two.recall - one.recall:+.4f}")
    yield from _paired(before, after)
    yield Change("at least", f"{one.recall_lower:.4f}", f"{two.recall_lower:.4f}",
                 f"{two.recall_lower - one.recall_lower:+.4f}")  # fmt: skip
    yield Change("memory", bytes_text(one.memory_bytes), bytes_text(two.memory_bytes),
                 _ratio(one.memory_bytes, two.memory_bytes))  # fmt: skip
    yield Change(
        "bytes a vector",
        f"{one.memory_per_vector_bytes:,.1f}",
        f"{two.memory_per_vector_bytes:,.1f}",
        _ratio(one.memory_per_vector_bytes, two.memory_per_vector_bytes),
    )
    yield _counted("distances a query", one.ndis_per_query, two.ndis_per_query)
    yield Change(
        "median time a query",
        seconds_text(one.latency_p50_s),
        seconds_text(two.latency_p50_s),
        _ratio(one.latency_p50_s, two.latency_p50_s) if same_machine(before, after) else "not compared",
    )


def _paired(before: Result, after: Result) -> Iterator[Change]:
    """The difference query by query, where both were asked the same of the same vectors."""
    alike = (
        before.profile.fingerprint == after.profile.fingerprint
        and before.queries.fingerprint == after.queries.fingerprint
        and before.options.k == after.options.k
    )
    one, two = _recommended(before), _recommended(after)
    if not alike or one is None or two is None or len(one.hits) != len(two.hits) or len(one.hits) < 2:
        return
    k, confidence = before.options.k, before.options.confidence
    drop = drop_between(np.array(one.hits), np.array(two.hits), k, confidence)
    surely = "surely fell" if drop.lower > 0 else "surely rose" if drop.upper < 0 else "within chance"
    yield Change(
        "query by query",
        f"{one.recall.mean:.4f}",
        f"{two.recall.mean:.4f}",
        f"{-drop.mean:+.4f}, {surely} ({-drop.upper:+.4f} to {-drop.lower:+.4f})" if drop.n_changed else SAME,
    )


def _recommended(result: Result) -> OperatingPoint | None:
    position = recommended_point(result)
    return None if position is None else result.points[position]


def _named(what: str, one: str, two: str) -> Change:
    return Change(what, one, two, SAME if one == two else "changed")


def _counted(what: str, one: float, two: float) -> Change:
    return Change(what, f"{one:,.0f}", f"{two:,.0f}", SAME if one == two else _ratio(one, two))


def _ratio(one: float, two: float) -> str:
    if one == two:
        return SAME
    return f"{two / one - 1:+.1%}" if one else "changed"
