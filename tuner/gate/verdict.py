"""What was measured, against the baseline: line by line, each with its decision."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isinf
from typing import Any

from tuner.gate.baseline import GateBaseline
from tuner.recall.paired import POWER, Drop, Power
from tuner.types import Line, Recall

STRUCTURE = ("configuration", "graph", "content", "index used")
"""Lines that judge the index itself, not its figures."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What may change before it is a regression.

    Attributes:
        recall: points of recall that may be lost, as a share: .005 is half a point.
        ndis: share by which distance computations a query may rise.
        memory: share by which the bytes of the index may rise.
    """

    recall: float = 0.005
    ndis: float = 0.20
    memory: float = 0.05


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """A finished check.

    Attributes:
        hits: right answers of each held-out query.
        visible_drop: drop that this check sees with 95 % power; infinite if none.
        latency_s: mean seconds a query, or None where it was not timed.
        updated: the decision as it would be frozen now.
    """

    lines: tuple[Line, ...]
    label: str
    recall: Recall
    drop: Drop
    ndis_per_query: float
    index_bytes: int
    visible_drop: float
    hits: tuple[int, ...]
    updated: GateBaseline
    latency_s: float | None = None
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def broken(self) -> str:
        """What is wrong with the index itself, so that its figures are no baseline; empty if nothing."""
        wrong = (line for line in self.lines if line.status == "fail" and line.name in STRUCTURE)
        return next((f"{line.name}: {line.text}" for line in wrong), "")

    @property
    def passed(self) -> bool:
        """Whether nothing that was looked at is a regression."""
        return all(line.status != "fail" for line in self.lines)


def points(share: float) -> str:
    """Return a share as points of recall: ``0.52``."""
    return f"{100 * share:.2f}"


def recall_line(drop: Drop, recall: Recall, baseline: GateBaseline, allowed: float) -> Line:
    """Judge recall against the frozen one, query by query."""
    now = f"recall@{baseline.k} {recall.mean:.4f}, frozen {baseline.measured_recall:.4f}"
    if drop.n_changed == 0:
        return Line(
            "recall", "pass", f"{now}: every one of {drop.n_queries:,} queries finds as many as before"
        )
    fell = f"fell by {points(drop.mean)} points" if drop.mean >= 0 else f"rose by {points(-drop.mean)} points"
    text = (
        f"{now}: it {fell} ({points(drop.lower)} to {points(drop.upper)}), "
        f"{drop.n_changed:,} of {drop.n_queries:,} queries changed; allowed {points(allowed)}"
    )
    return Line("recall", "fail" if drop.lower > allowed else "pass", text)


def target_line(upper: float, recall: Recall, baseline: GateBaseline) -> Line:
    """Judge recall against the target: a failure only if it is surely below."""
    sure = f"{baseline.confidence:.0%}"
    if upper < baseline.recall:
        return Line(
            "target",
            "fail",
            f"recall is below {baseline.recall:g} with {sure} confidence (at most {upper:.4f})",
        )
    met = "the lower bound meets it" if recall.lower >= baseline.recall else "not surely below it"
    return Line(
        "target",
        "pass",
        f"target {baseline.recall:g}: {met} ({recall.lower:.4f} to {upper:.4f}, {sure} each)",
    )


def growth_line(name: str, now: float, before: float, allowed: float, unit: str) -> Line:
    """Judge a cost that may rise by a share."""
    change = now / before - 1
    grew = now > before * (1 + allowed)
    text = f"{now:,.0f} {unit}, frozen {before:,.0f} ({change:+.1%}); allowed {allowed:+.0%}"
    return Line(name, "fail" if grew else "pass", text)


def power_line(power: Power) -> Line:
    """Say what this check can see, and warn where that is not enough."""
    seen, twice = power.visible(), 2 * power.allowed
    what = "no drop surely" if isinf(seen) else f"a drop of {points(seen)} points with {POWER:.0%} power"
    text = f"with {power.n_queries:,} queries this check sees {what}"
    if power.allowed <= 0 or seen <= twice:
        return Line("power", "info", text)
    needed = power.queries_for(twice)
    return Line(
        "power",
        "warn",
        f"{text}: too few for the {points(power.allowed)} that are allowed; {needed:,} held-out queries "
        f"({2 * needed:,} in all) would see {points(twice)}",
    )


@dataclass(frozen=True)
class Use:
    """How the index was searched, and how it does when it is starved (k = 1, ef_search = 1).

    Attributes:
        nearest: share of queries whose nearest neighbour came first.
        starved_nearest: the same when starved.
    """

    n: int
    ndis: float
    starved_ndis: float
    nearest: float
    starved_nearest: float
    kind: str


STARVED = 0.9
"""Share of its distances that a search needs when it is starved, if ef_search steers it at all."""
WELL_BELOW = 0.5
"""Share of the base that a graph looks at where it is worth having."""


def use_line(use: Use) -> Line:
    """Judge whether the graph answered, and not brute force."""
    if use.kind:
        return Line("index used", "fail", f"no HNSW graph answers here: the index is {use.kind}")
    share = use.ndis / use.n
    looked = f"{use.ndis:,.0f} of {use.n:,} distances a query ({share:.1%})"
    if use.ndis <= 0:
        return Line("index used", "fail", f"{looked}: that is no search through a graph")
    starved = f"starved, it finds the nearest of {use.starved_nearest:.1%}, else of {use.nearest:.1%}"
    unmoved = use.starved_ndis > STARVED * use.ndis
    if unmoved and (use.starved_nearest >= use.nearest or share > WELL_BELOW):
        return Line("index used", "fail", f"{looked}, but starving it changes nothing: {starved}")
    if share > WELL_BELOW:
        return Line("index used", "warn", f"{looked}: exact search would take as long; {starved}")
    return Line("index used", "pass", f"{looked}; {starved}")
