"""Frozen bands of filters measured again, as the index answers them by its policy, and judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tuner.errors import InputError
from tuner.gate.measure import USUAL_SPREAD
from tuner.gate.verdict import drop_line, points
from tuner.index.opened import IndexUnderTest
from tuner.recall.allowed import Filters, GivenFilters
from tuner.recall.paired import POWER, Power, churn_beside, drop_between
from tuner.runtime.steps import scaled
from tuner.search import RECOMMENDED, read_policy
from tuner.sweep.filters.bands import MOST_QUERIES, asked_of, nearest_of_all
from tuner.sweep.filters.made_up import FilterMaker
from tuner.sweep.filters.opened import filtered_index
from tuner.sweep.filters.stratum import Stratum, stratum_of
from tuner.sweep.pose import PosedProblem
from tuner.sweep.problem import Problem
from tuner.text import counted
from tuner.types import (
    CheckOptions,
    FrozenBand,
    FrozenFilters,
    GateBaseline,
    IdArray,
    Limits,
    Line,
    Steps,
)

ROUNDED = 1e-6
"""What a share in ``recommended.yaml`` is rounded by."""
Policy = tuple[tuple[tuple[float, int], ...], int]
"""Smallest share and ef_search of each band, and the number of rows below which is scanned."""


def check_filters_given(
    baseline: GateBaseline, filters: GivenFilters | None, *, no_filters: bool
) -> FrozenFilters | None:
    """Return the bands that are checked, None for none.

    Raises:
        InputError: filters are missing, or nothing is frozen that they are of.
    """
    frozen = baseline.filters
    if no_filters or frozen is None:
        if filters is not None:
            why = "--no-filters is given" if no_filters else "the baseline has no bands of filters"
            raise InputError(f"{why}: leave {filters.source} out")
        return None
    if filters is None and frozen.fingerprint:
        raise InputError(
            f"the baseline was frozen with filters ({frozen.source}), whose bands are measured again: give "
            "the same with --labels and --query-labels, --filters or --where, or leave the bands out with "
            "--no-filters"
        )
    if filters is not None and not frozen.fingerprint:
        raise InputError(f"the filters of the baseline are made up: leave {filters.source} out")
    return frozen


def checked_bands(
    posed: PosedProblem,
    opened: IndexUnderTest,
    baseline: GateBaseline,
    frozen: FrozenFilters,
    given: GivenFilters | None,
    request: CheckOptions,
) -> Steps[tuple[tuple[Line, ...], FrozenFilters]]:
    """Yield the share done; return a line for the policy and each band, and the bands as they are now.

    Args:
        given: the user's filters; None where they are made up.

    Raises:
        InputError: these are other filters, or other queries in a band, or no policy is beside the index.
    """
    filters = _same_filters(posed, frozen, given, new_data=request.new_data)
    if opened.graph is None:
        return (), frozen
    policy, policy_line = _policy(request.index, frozen)
    searched = filtered_index(opened, posed.problem.base, *policy)
    lines, now = [policy_line], []
    maker = _StratumMaker.of(posed.problem, filters)
    deep = yield from scaled(nearest_of_all(posed.problem, maker.some), 0.0, 0.3)
    for number, band in enumerate(frozen.bands):
        low, high = (0.3 + 0.7 * each / len(frozen.bands) for each in (number, number + 1))
        stratum = yield from scaled(maker.stratum(frozen, number, deep), low, high)
        hits = stratum.answered(searched)
        found = replace(
            band,
            least_rows=round(band.least_rows * posed.n / frozen.n),
            recall=float(hits.mean()) / baseline.k,
            hits=tuple(int(count) for count in hits),
        )
        lines.append(_band_line(band, found, frozen, baseline, request.limits))
        now.append(found)
    posed.problem.base.release()
    fingerprint = "" if filters is None else filters.fingerprint
    return tuple(lines), replace(frozen, fingerprint=fingerprint, n=posed.n, bands=tuple(now))


def _same_filters(
    posed: PosedProblem, frozen: FrozenFilters, given: GivenFilters | None, *, new_data: bool
) -> Filters | None:
    """Return the filters over the prepared rows, None where they are made up."""
    if given is None:
        return None
    filters = given.filters(np.array(posed.query_set.held_out_rows, dtype=np.int64)).among(posed.rows)
    if filters.fingerprint != frozen.fingerprint and not new_data:
        raise InputError(
            f"{given.source}: other filters than the baseline's ({frozen.source}): give the same, or "
            "--new-data if rows and filters changed on purpose"
        )
    return filters


def _policy(index: Path | None, frozen: FrozenFilters) -> tuple[Policy, Line]:
    """Return the policy that is served, and whether it is the frozen one."""
    as_frozen: Policy = frozen.searched, frozen.scan_below_rows
    path = None if index is None else index.with_name(RECOMMENDED)
    if path is None or not path.is_file():
        return as_frozen, Line("filter policy", "info", "the frozen one")
    bands, below = read_policy(path)
    same = below == frozen.scan_below_rows and len(bands) == len(frozen.searched)
    pairs, near = zip(bands, frozen.searched, strict=False), ROUNDED + 0.5 / frozen.n  # frozen in whole rows
    if same and all(abs(now[0] - then[0]) <= near and now[1] == then[1] for now, then in pairs):
        return as_frozen, Line("filter policy", "pass", f"{RECOMMENDED} beside the index, as frozen")
    text = f"{RECOMMENDED} has {_in_words(bands, below)}; frozen: {_in_words(*as_frozen)}"
    return (bands, below), Line("filter policy", "fail", text)


def _in_words(bands: tuple[tuple[float, int], ...], below: int) -> str:
    efs = ", ".join(f"{ef} from {100 * share:.3g}%" for share, ef in bands)
    return f"scans below {below:,} rows, ef_search {efs or 'of none'}"


def _band_line(
    before: FrozenBand, now: FrozenBand, frozen: FrozenFilters, baseline: GateBaseline, limits: Limits
) -> Line:
    """Judge the recall of a band, at a confidence that holds for all of them together (Sidak)."""
    k, confidence = baseline.k, baseline.confidence ** (1 / len(frozen.bands))
    drop = drop_between(before.hit_array, now.hit_array, k, confidence)
    name = f"recall from {100 * before.least_rows / frozen.n:.3g}% ({before.kind})"
    per_drop = USUAL_SPREAD / k
    churn = churn_beside(drop, per_drop)
    seen = Power(len(now.hits), limits.recall, confidence, churn=churn, per_drop=per_drop).visible()
    line = drop_line(name, drop, (before.recall, now.recall), k, limits.recall)
    of = "no drop surely" if np.isinf(seen) else f"a drop of about {points(seen)} points"
    return replace(line, text=f"{line.text}; it sees {of} with {POWER:.0%} power")


@dataclass(frozen=True, eq=False)
class _StratumMaker:
    """Poses the queries of a frozen band as the run did.

    Attributes:
        some: positions of the queries that bands are measured with.
        filters: the user's filters of all queries; None where they are made up.
    """

    problem: Problem
    some: IdArray
    filters: Filters | None

    @classmethod
    def of(cls, problem: Problem, filters: Filters | None) -> _StratumMaker:
        some = problem.sample(MOST_QUERIES)
        if filters is not None:
            enough = filters.counts[filters.of_query] >= problem.options.k
            some = asked_of(problem, np.flatnonzero(enough))
        return cls(problem, some, filters)

    @cached_property
    def made(self) -> FilterMaker:
        return FilterMaker(self.problem.base.x, len(self.some), self.problem.options.seed)

    def stratum(self, frozen: FrozenFilters, number: int, deep: IdArray) -> Steps[Stratum]:
        """Yield the share done; return the queries of a band, by its number.

        Raises:
            InputError: they are others than were frozen.
        """
        band, problem = frozen.bands[number], self.problem
        if band.kind != "given" or self.filters is None:
            mine = np.arange(len(self.some))
            filters = self.made.make(band.kind, band.least_rows / frozen.n)
        else:
            edges = [each.least_rows for each in frozen.bands[:number] if each.kind == "given"]
            shares = self.filters.shares[self.some]
            least, below = (rows / frozen.n for rows in (band.least_rows, min(edges, default=2 * frozen.n)))
            mine = np.flatnonzero((shares >= least) & (shares < below))
            filters = self.filters.part(self.some[mine])
        if len(mine) != len(band.hits):
            raise InputError(
                f"{counted(len(mine), 'query', 'queries')} fall into the band from "
                f"{100 * band.least_rows / frozen.n:.3g}% of the rows, and {len(band.hits):,} were frozen: "
                "run tune again, and freeze it with tune baseline"
            )
        return (
            yield from stratum_of(problem, band.kind, self.some[mine], filters, problem.target, deep[mine])
        )
