"""Proof that an index answered: the engine says so, and recall falls when the search is starved."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tuner.engines import Capabilities, EngineConfig, EngineProcess, ReportedConfig
from tuner.recall.starvation import Finding, IndexUse, Starvation, finds_nearest
from tuner.sweep.pose import PosedProblem
from tuner.types import IdArray, Line, Status

SOME_QUERIES = 64
"""Queries that tell whether searches end before they have their candidates."""


def starve(
    process: EngineProcess, can: Capabilities, config: EngineConfig, posed: PosedProblem, some: IdArray
) -> Starvation:
    """Return what starving the search does, and leave the engine with its config again."""
    problem = posed.problem
    truth, queries = problem.truth.part(some), problem.queries[some]

    def found(ef_search: int) -> NDArray[np.bool_]:
        process.set_search(ef_search, 1)
        return finds_nearest(truth, problem.base.x, queries, process.search(posed.raw(some), 1).ids)

    fed, thin = found(config.ef_search), found(can.starved_ef)
    process.set_search(config.ef_search, config.oversampling)
    return Starvation.between(fed, thin)


def index_use(
    starvation: Starvation, applied: ReportedConfig, n: int, control: Starvation | None = None
) -> IndexUse:
    """Return everything that is known of whether an index of n vectors answered."""
    return IndexUse(
        n=n,
        starvation=starvation,
        n_indexed=applied.n_indexed,
        named=applied.index_used,
        control=control,
    )


def use_line(use: IndexUse, applied: ReportedConfig) -> Line:
    """Judge whether an index answered at all."""
    starvation, n = use.starvation, use.n
    fell = (
        f"{starvation.found:.1%} of the queries find their nearest row, {starvation.starved:.1%} when starved"
    )
    indexed = "" if applied.n_indexed is None else f"{applied.n_indexed:,} vectors indexed; "
    few = f"too few queries to be sure ({fell})"
    lines: dict[Finding, tuple[Status, str]] = {
        "partly indexed": (
            "fail",
            f"index not used: the engine has indexed {applied.n_indexed or 0:,} of {n:,} vectors",
        ),
        "not named": ("fail", "index not used: the engine's plan of the search does not name it"),
        "doubtful": ("pass", f"the engine says so; {few}") if use.says_so else ("warn", few),
        "too easy": (
            "warn",
            f"{indexed}whether ef_search steers its search cannot be told: these rows are so easy, or the "
            "queries so few, that starving does nothing to a graph of faiss with the same M either",
        ),
        "unmoved": (
            "fail",
            f"index not used, or ef_search ignored: starving it changes nothing ({fell})",
        ),
    }
    return Line("index used", *lines.get(use.finding, ("pass", indexed + fell)))


def pieces_line(process: EngineProcess, config: EngineConfig, posed: PosedProblem) -> Line | None:
    """Return that searches end before they have their candidates, in a graph of pieces; None if not.

    The engine is left with its config.
    """
    wanted, some = min(config.ef_search, posed.n), posed.everyone[:SOME_QUERIES]
    process.set_search(config.ef_search, 1)
    counts = (process.search(posed.raw(some), wanted).ids >= 0).sum(axis=1)
    process.set_search(config.ef_search, config.oversampling)
    short = counts < wanted
    if not short.any():
        return None
    text = (
        f"{short.mean():.0%} of {len(some)} searches for {wanted} neighbours end with fewer, one with "
        f"{counts.min()}: the graph is in pieces, and a search stays in the one that it enters"
    )
    copies, n = posed.profile.n_duplicate_rows, posed.profile.n
    if copies and posed.groups is None:
        text += (
            f"; {copies:,} of {n:,} rows repeat another, and equal rows link to each other first: index "
            "each distinct row once, and keep the list of its ids beside it"
        )
    return Line("graph", "warn", text)


def applied_line(config: EngineConfig, applied: ReportedConfig) -> Line:
    """Hold what the engine says it did against what it was asked to do."""
    pairs = [
        (name, getattr(config, name), getattr(applied, name))
        for name in ("codec", "metric", "M", "ef_construction", "ef_search")
    ]
    other = [
        f"{name} {reported}, {asked} was asked"
        for name, asked, reported in pairs
        if reported not in (None, asked)
    ]
    if other:
        return Line("applied", "fail", "the engine says: " + "; ".join(other))
    confirmed = [name for name, _, value in pairs if value is not None]
    silent = [name for name, _, value in pairs if value is None]
    text = (
        f"the engine confirms {', '.join(confirmed)}"
        if confirmed
        else "the engine tells nothing of its settings"
    )
    return Line(
        "applied", "pass", text + (f"; it does not tell {', '.join(silent)}" if silent and confirmed else "")
    )
