"""Proof that an index answered: the engine says so, and recall falls when the search is starved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tuner.engines import Capabilities, EngineConfig, EngineProcess, ReportedConfig
from tuner.recall.metric import exact_distances, is_right
from tuner.sweep.pose import PosedProblem
from tuner.types import IdArray, Line

CHANCE = 0.01
"""A starved search that finds no fewer by more than chance at this level is no search through a graph."""


@dataclass(frozen=True)
class Starved:
    """The nearest neighbour alone, found with the settings' ef_search and with the least there is.

    Attributes:
        found, starved: share of queries whose nearest row was returned.
        n_lost, n_gained: queries that only one of the two answered.
    """

    found: float
    starved: float
    n_lost: int
    n_gained: int

    @property
    def falls(self) -> bool:
        """Whether the starved search lost more than chance would."""
        from scipy.stats import binomtest  # noqa: PLC0415 - 25 MB that only this needs

        total = self.n_lost + self.n_gained
        if not total:
            return False
        return bool(binomtest(self.n_lost, total, alternative="greater").pvalue < CHANCE)


def starve(
    apart: EngineProcess, can: Capabilities, settings: EngineConfig, asked: PosedProblem, half: IdArray
) -> Starved:
    """Return what starving the search does, and leave the engine with its settings again."""
    full, thin = (
        _finds_nearest(apart, ef_search, asked, half) for ef_search in (settings.ef_search, can.starved_ef)
    )
    apart.set_search(settings.ef_search, settings.oversampling)
    return Starved(
        found=float(full.mean()),
        starved=float(thin.mean()),
        n_lost=int((full & ~thin).sum()),
        n_gained=int((thin & ~full).sum()),
    )


def _finds_nearest(
    apart: EngineProcess, ef_search: int, asked: PosedProblem, half: IdArray
) -> NDArray[np.bool_]:
    problem = asked.problem
    apart.set_search(ef_search, 1)
    ids = apart.search(asked.raw(half), 1).ids
    truth, queries = problem.truth.part(half), problem.queries[half]
    near = exact_distances(problem.base.x, queries, truth.ids[:, : truth.right.shape[1]]).min(axis=1)
    return is_right(exact_distances(problem.base.x, queries, ids), near)[:, 0]


def use_line(starved: Starved, applied: ReportedConfig, n: int) -> Line:
    """Judge whether an index answered at all."""
    name = "index used"
    if applied.n_indexed is not None and applied.n_indexed < n:
        return Line(
            name, "fail", f"index not used: the engine has indexed {applied.n_indexed:,} of {n:,} vectors"
        )
    if applied.index_used is False:
        return Line(name, "fail", "index not used: the engine's plan of the search does not name it")
    fell = f"{starved.found:.1%} of the queries find their nearest row, {starved.starved:.1%} when starved"
    says_so = applied.index_used is True or applied.n_indexed == n
    if starved.n_lost > starved.n_gained and not starved.falls:
        few = f"too few queries to be sure ({fell})"
        return Line(name, "pass" if says_so else "warn", f"the engine says so; {few}" if says_so else few)
    if not starved.falls:
        return Line(
            name, "fail", f"index not used, or ef_search ignored: starving it changes nothing ({fell})"
        )
    told = "" if applied.n_indexed is None else f"{applied.n_indexed:,} vectors indexed; "
    return Line(name, "pass", told + fell)


def applied_line(settings: EngineConfig, applied: ReportedConfig) -> Line:
    """Hold what the engine says it did against what it was asked to do."""
    pairs = [
        (name, getattr(settings, name), getattr(applied, name))
        for name in ("codec", "metric", "M", "ef_construction", "ef_search")
    ]
    other = [f"{name} {told}, {asked} was asked" for name, asked, told in pairs if told not in (None, asked)]
    if other:
        return Line("applied", "fail", "the engine says: " + "; ".join(other))
    told = [name for name, _, value in pairs if value is not None]
    silent = [name for name, _, value in pairs if value is None]
    text = f"the engine confirms {', '.join(told)}" if told else "the engine tells nothing of its settings"
    return Line(
        "applied", "pass", text + (f"; it does not tell {', '.join(silent)}" if silent and told else "")
    )
