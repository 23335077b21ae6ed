"""What was measured, against the baseline: line by line, each with its decision."""

from __future__ import annotations

from math import isinf

from tuner.recall.paired import POWER, Power
from tuner.recall.starvation import IndexUse
from tuner.types import Drop, GateBaseline, Line, Recall


def points(share: float) -> str:
    """Return a share as points of recall.

    Example:
        >>> points(0.0052)
        '0.52'
    """
    return f"{100 * share:.2f}"


def recall_line(drop: Drop, recall: Recall, baseline: GateBaseline, allowed: float) -> Line:
    """Judge recall against the frozen one, query by query."""
    return drop_line("recall", drop, (baseline.measured_recall, recall.mean), baseline.k, allowed)


def drop_line(name: str, drop: Drop, before_and_now: tuple[float, float], k: int, allowed: float) -> Line:
    """Judge how far recall fell, query by query.

    Args:
        before_and_now: mean recall frozen, and measured now.
        allowed: points that may be lost, as a share.
    """
    now = f"recall@{k} {before_and_now[1]:.4f}, frozen {before_and_now[0]:.4f}"
    if drop.n_changed == 0:
        return Line(name, "pass", f"{now}: every one of {drop.n_queries:,} queries finds as many as before")
    fell = f"fell by {points(drop.mean)} points" if drop.mean >= 0 else f"rose by {points(-drop.mean)} points"
    text = (
        f"{now}: it {fell} ({points(drop.lower)} to {points(drop.upper)}), "
        f"{drop.n_changed:,} of {drop.n_queries:,} queries changed; allowed {points(allowed)}"
    )
    return Line(name, "fail" if drop.lower > allowed else "pass", text)


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
    """Judge a cost that may rise by a share.

    Example:
        >>> growth_line("memory", 106, 100, 0.05, "bytes").text
        '106 bytes, frozen 100 (+6.0%); allowed +5%'
    """
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
        f"{text}: too few to judge the {points(power.allowed)} that are allowed; {needed:,} queries would "
        f"see {points(twice)}, twice that, which is enough",
    )


def use_line(use: IndexUse, kind: str) -> Line:
    """Judge whether the graph answered, and not brute force.

    Args:
        kind: faiss's class of the index where it is no HNSW graph, else empty.
    """
    if kind:
        return Line("index used", "fail", f"no HNSW graph answers here: the index is {kind}")
    ndis, starvation, finding = use.ndis or 0.0, use.starvation, use.finding
    looked = f"{ndis:,.0f} of {use.n:,} distances a query ({ndis / use.n:.1%})"
    starved = f"starved, it finds the nearest of {starvation.starved:.1%}, else of {starvation.found:.1%}"
    if finding == "used":
        return Line("index used", "pass", f"{looked}; {starved}")
    if finding == "costly":
        return Line("index used", "warn", f"{looked}: exact search would take as long; {starved}")
    if finding == "nothing compared":
        return Line("index used", "fail", f"{looked}: that is no search through a graph")
    return Line("index used", "fail", f"{looked}, but starving it changes nothing: {starved}")
