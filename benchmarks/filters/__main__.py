"""Filtered search, seed by seed, scored on queries and filters that tuned nothing.

python -m benchmarks.filters BASE.npy QUERIES.npy --seeds 20 --out reports/benchmarks/filters/NAME.md
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np

import tuner
from benchmarks.common import FILE, origin, write_lines
from benchmarks.filters.fresh import FreshMaker, K, recall_of, seconds_of_ways, way_of
from benchmarks.sweep.score import scoring_queries
from benchmarks.sweep.tasks import prepared_base, split_for_scoring
from tuner.data.vectors import open_vectors
from tuner.report.filters import share_text
from tuner.report.tables import table
from tuner.report.words import seconds_text
from tuner.search import FilteredIndex
from tuner.sweep.ef_search import EfResult, find_min_ef
from tuner.sweep.filters.made_up import MADE_UP
from tuner.sweep.filters.stratum import Stratum
from tuner.types import FilterPolicy, FloatArray

SPACE = str(Path(__file__).with_name("one-codec.yaml"))
SHARES = (0.5, 0.1, 0.02, 0.005)
GRID, REACH = 7, 3.0
"""Shares around the switch at which every ef_search and the scan are measured, and how far they reach."""
FRESH_SEED = 1_000


@dataclass(frozen=True)
class Seed:
    """What one seed answered.

    Attributes:
        label: recommended index.
        scan_below: share below which rows are scanned.
        recalls: recall of each share and kind on fresh queries and filters.
        filters_cpu_s: CPU seconds of the filters' stage.
        other_cpu_s: CPU seconds of all other stages.
    """

    label: str
    scan_below: float
    recalls: tuple[float, ...]
    filters_cpu_s: float
    other_cpu_s: float


@dataclass(frozen=True)
class Compared:
    """The policy against one ef_search for all, and against every ef_search.

    Attributes:
        fixed_ef: least ef_search whose mean recall reaches the target in the hardest of all.
        policy_s: mean seconds of a query, all shares and kinds alike.
        fixed_s: the same with ``fixed_ef``.
        switch: share at which the policy begins to scan.
        best_switch: share at which the least ef_search that holds takes as long as the scan.
    """

    fixed_ef: int
    policy_s: float
    fixed_s: float
    switch: float
    best_switch: float


def _least_ef(fresh: list[Stratum], index: FilteredIndex, needed: float, guess: int, most: int) -> EfResult:
    """Return the least ef_search at which the mean recall of all is ``needed``."""

    def at(ef_search: int) -> EfResult:
        recall = min(each.searched(index, ef_search).recall for each in fresh)
        return EfResult(ef_search, np.zeros(1, dtype=np.int64), 0.0, 0.0, recall, needed)

    return find_min_ef(at, K, guess, most)


def compared(
    index: FilteredIndex, policy: FilterPolicy, maker: FreshMaker, recall: float, seed: int
) -> Compared:
    """Return the policy against the best that could be found by measuring everything."""
    n = maker.asked.base.n
    hardest = [maker.make("correlated", SHARES[-1])]
    fixed = _least_ef(hardest, index, recall, 1_000, n).ef_search
    of_policy, of_fixed = list[float](), list[float]()
    for share in SHARES:
        for kind in MADE_UP:
            fresh = maker.make(kind, share)
            mine, theirs = seconds_of_ways(fresh, index, [way_of(fresh, index), fixed], seed)
            of_policy.append(mine)
            of_fixed.append(theirs)
    margin = float(np.mean([m.recall.mean - m.recall.lower for b in policy.bands for m in b.measured]))
    switch = index.scan_below / n
    shares = np.geomspace(min(0.9, REACH * switch), switch / REACH, GRID)
    dearer = []
    guess = max(ef for _, ef in index.bands) if index.bands else 100
    for share in shares:
        both = [maker.make(kind, float(share)) for kind in MADE_UP]
        guess = _least_ef(both, index, recall + margin, guess, n).ef_search
        search_s, scan_s = seconds_of_ways(both[0], index, [guess, None], seed)
        dearer.append(np.log(search_s / scan_s))
    best = float(np.exp(np.interp(0.0, dearer, np.log(shares))))
    return Compared(fixed, float(np.mean(of_policy)), float(np.mean(of_fixed)), switch, best)


def _seed(
    x: FloatArray, queries: Path, recall: float, seed: int, space: str, folder: Path, *, compare: bool
) -> tuple[Seed, Compared | None, FilterPolicy]:
    asked = open_vectors(queries, "queries")
    tuning, scoring = split_for_scoring(asked.n, seed)
    result = tuner.tune(
        x, recall=recall, queries=asked.rows(tuning), seed=seed, space=space, selectivity=SHARES, out=folder
    )
    result.save(folder)
    if result.filters is None or result.recommendation is None:
        raise click.ClickException(f"seed {seed}: nothing reaches the target")
    index = FilteredIndex.load(folder)
    prepared = prepared_base(open_vectors(x, "base"), "auto", 0, folder / "base.f32")
    raw = asked.rows(scoring)
    maker = FreshMaker(raw, scoring_queries(prepared, raw, K), recall, FRESH_SEED + seed)
    recalls = tuple(recall_of(maker.make(kind, share), index) for share in SHARES for kind in MADE_UP)
    stages = {cost.name: cost.cpu_s for cost in result.cost.stages}
    spent = stages.pop("filters")
    found = Seed(
        result.recommendation.label, index.scan_below / prepared.n, recalls, spent, sum(stages.values())
    )
    comparison = compared(index, result.filters, maker, recall, seed) if compare else None
    return found, comparison, result.filters


def lines(found: list[Seed], recall: float) -> Iterator[str]:
    """Yield a row for each seed, and in how many every band reaches the target."""
    met = sum(min(each.recalls) >= recall for each in found)
    share = sum(each.filters_cpu_s for each in found) / sum(each.other_cpu_s for each in found)
    yield (
        f"# In {met} of {len(found)} seeds, recall@{K} on fresh queries and filters is {recall:g} or more in "
        f"every band; filters take {share:.0%} of what the rest of the run does (CPU seconds)"
    )
    yield ""
    bands = [f"{share_text(share)} {kind[:5]}." for share in SHARES for kind in MADE_UP]
    yield from table(
        ("seed", "index", "scan below", *bands), (_cells(i, each) for i, each in enumerate(found))
    )


def _cells(seed: int, each: Seed) -> list[str]:
    return [str(seed), each.label, share_text(each.scan_below), *(f"{recall:.4f}" for recall in each.recalls)]


def policy_lines(policy: FilterPolicy) -> Iterator[str]:
    """Yield the first seed's policy beside what no policy finds."""
    head = ("rows allowed", "filters", "policy", "recall", "time", "recall without", "time without")
    rows = [
        (
            *(share_text(m.share), m.kind, "scan" if b.ef_search is None else f"ef_search={b.ef_search}"),
            *(f"{m.recall.mean:.4f}", seconds_text(m.latency_s)),
            *(f"{m.unfiltered_recall.mean:.4f}", seconds_text(m.unfiltered_latency_s)),
        )
        for b in policy.bands
        for m in b.measured
    ]
    yield from table(head, rows)


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--seeds", default=20, show_default=True, help="Seeds.")
@click.option("--rows", default=0, help="Rows of BASE to take at random.  [default: all]")
@click.option("--space", default=SPACE, help="Space that is tuned, a preset or a file.  [default: one codec]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The table to write.")
def main(base: Path, queries: Path, recall: float, seeds: int, rows: int, space: str, out: Path) -> None:
    """Tune BASE for filters under many seeds with two thirds of QUERIES, and score on the others."""
    vectors = open_vectors(base, "base")
    x = vectors.read(0, vectors.n)
    if rows:
        x = x[np.sort(np.random.default_rng(0).choice(vectors.n, rows, replace=False))]
    found: list[Seed] = []
    more: list[str] = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory(prefix="filters-") as temporary:
            one, comparison, policy = _seed(
                x, queries, recall, seed, space, Path(temporary), compare=seed == 0
            )
        found.append(one)
        click.echo(" ".join(_cells(seed, one)), err=True)
        if comparison is not None:
            more = ["", "Seed 0, the policy and what its ef_search without filters finds:", ""]
            more += [*policy_lines(policy), "", _sentence(comparison)]
            click.echo(_sentence(comparison), err=True)
    write_lines([*lines(found, recall), *more, "", f"{origin()}; {len(x):,} x {vectors.d}"], out)
    click.echo(next(lines(found, recall)))


def _sentence(found: Compared) -> str:
    return (
        f"One ef_search for all would have to be {found.fixed_ef:,}: {seconds_text(found.fixed_s)} a query, "
        f"{seconds_text(found.policy_s)} with the policy ({found.policy_s / found.fixed_s:.2f} x). The "
        f"policy scans below {share_text(found.switch)}; measuring every ef_search and the scan, they take "
        f"as long at {share_text(found.best_switch)} ({found.switch / found.best_switch:.2f} x)."
    )


if __name__ == "__main__":
    main()
