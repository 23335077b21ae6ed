"""Is the recall that is promised kept, and what does the promise cost? Decisions from stored hits.

python -m benchmarks.coverage BASE.npy --rows 20000 --out reports/coverage/NAME.md
python -m benchmarks.coverage BASE.npy QUERIES.npy --rows 20000 --out reports/coverage/NAME.md

A dozen native indexes are searched once with thousands of queries; their recall over all of these is the
truth. Then some of the queries are drawn, again and again, and each rule decides from these alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import FILE, origin, write_lines
from benchmarks.coverage.pool import Pool, make_pool
from benchmarks.coverage.rules import CONFIDENCE, RULES, Costs, Decision, Sample, first_from_the_top
from tuner.data.vectors import open_vectors
from tuner.report.tables import table

SIZES = (200, 500, 1_000, 2_000)
DRAWS = 200
HELD_OUT = 8_000
HEAD = (
    *("queries", "rule", "below the target", "promise kept", "bound covers", "mean less truth"),
    *("distances", "cost", "same index", "no answer"),
)
COSTS = {"smallest x fastest": "memory x distances", "smallest": "memory", "fastest": "distances"}


@dataclass(frozen=True)
class Outcome:
    """What became of one rule's decisions.

    Attributes:
        n_draws: number of draws.
        n_answers: draws in which something was recommended.
        below: share of recommendations whose recall is below the target.
        covered: share of recommendations whose recall is at least the bound.
        flattered: mean difference of the printed mean from the true one.
        distances: mean ratio of distances to those of the smallest sufficient ef_search of that index.
        cost: mean ratio of cost to that of the decision that full knowledge would take.
        same: share of recommendations that name the index that full knowledge would.
    """

    n_draws: int
    n_answers: int
    below: float
    covered: float
    flattered: float
    distances: float
    cost: float
    same: float

    @property
    def kept(self) -> bool:
        """Whether no more fall below than the confidence level allows, two standard errors aside."""
        allowed = 1 - CONFIDENCE
        return self.below <= allowed + 2 * float(np.sqrt(allowed * (1 - allowed) / max(1, self.n_answers)))


def costs_of(pool: Pool, what: str) -> Costs:
    """Return the cost of each index at each ef_search."""
    if what == "memory":
        # of the same bytes, fewer distances
        return pool.bytes[:, None] * (1 + 1e-9 * pool.ndis)
    return pool.ndis * (pool.bytes[:, None] if what == "memory x distances" else 1.0)


def decided(pool: Pool, target: float, n: int, seed: int = 0) -> dict[tuple[str, str], list[Decision]]:
    """Return decisions by what is minimised and by rule, on draws of ``n`` queries, with replacement.

    Every rule sees the same draws.
    """
    rng = np.random.default_rng([seed, n])
    costs = {what: costs_of(pool, what) for what in COSTS.values()}
    made: dict[tuple[str, str], list[Decision]] = {(what, name): [] for what in costs for name in RULES}
    for _ in range(DRAWS):
        drawn = rng.integers(pool.hits.shape[2], size=n)
        share = pool.hits[:, :, drawn].astype(np.float32)
        share /= pool.k
        sample = Sample(share, pool.bytes, pool.ndis, target, pool.k)
        for (what, name), decisions in made.items():
            if (decision := RULES[name](sample, costs[what])) is not None:
                decisions.append(decision)
    return made


def outcome(pool: Pool, costs: Costs, target: float, made: list[Decision]) -> Outcome:
    """Return what became of a rule's decisions."""
    truth = pool.recall
    sufficient = first_from_the_top(truth >= target)
    known = np.flatnonzero(sufficient < truth.shape[1])
    best = known[np.argmin(costs[known, sufficient[known]])]
    if not made:
        return Outcome(DRAWS, 0, 0.0, 1.0, 0.0, float("nan"), float("nan"), 0.0)
    index, ef = (np.array([getattr(each, name) for each in made]) for name in ("index", "ef"))
    lower, mean = (np.array([getattr(each, name) for each in made]) for name in ("lower", "mean"))
    enough = np.minimum(sufficient[index], truth.shape[1] - 1)
    return Outcome(
        n_draws=DRAWS,
        n_answers=len(made),
        below=float((truth[index, ef] < target).mean()),
        covered=float((truth[index, ef] >= lower).mean()),
        flattered=float((mean - truth[index, ef]).mean()),
        distances=float((pool.ndis[index, ef] / pool.ndis[index, enough]).mean()),
        cost=float((costs[index, ef] / costs[best, sufficient[best]]).mean()),
        same=float((index == best).mean()),
    )


def cells(n: int, name: str, found: Outcome) -> list[str]:
    """Return one row of the table."""
    return [
        *(f"{n:,}", name, f"{found.below:.1%}", "yes" if found.kept else "**no**", f"{found.covered:.1%}"),
        f"{found.flattered:+.4f}",
        *(f"{found.distances:.2f} x", f"{found.cost:.2f} x", f"{found.same:.0%}"),
        f"{found.n_draws - found.n_answers}",
    ]


def lines(pool: Pool, target: float) -> Iterator[str]:
    """Yield the report: for each thing that is minimised, a table of rules and numbers of queries."""
    n_queries = pool.hits.shape[2]
    yield f"# Recall@{pool.k} {target:g}: is the promise kept, and what does it cost?"
    yield ""
    yield (
        f"{len(pool.names)} native indexes, {n_queries:,} queries whose mean is taken for the truth; {DRAWS} "
        "draws of some of them for each row. Distances are over those of the smallest sufficient ef_search "
        "of the index that was named; cost is over that of what full knowledge would name."
    )
    made = {n: decided(pool, target, n) for n in SIZES}
    for title, what in COSTS.items():
        costs = costs_of(pool, what)
        rows = [
            cells(n, name, outcome(pool, costs, target, made[n][what, name])) for n in SIZES for name in RULES
        ]
        yield ""
        yield f"## {title}: the least {what}"
        yield ""
        yield from table(HEAD, rows)
    yield ""


def drawn_apart(x: NDArray[np.float32], n_queries: int, rows: int) -> tuple[NDArray[np.float32], ...]:
    """Return rows to index and rows to ask, at random and none in both."""
    order = np.random.default_rng(0).permutation(len(x))
    return x[np.sort(order[n_queries : n_queries + rows])], x[order[:n_queries]]


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE, required=False)
@click.option("--rows", default=20_000, show_default=True, help="Rows to index, at random.")
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option(
    "--pool", type=click.Path(path_type=Path), help="Where the hits are kept, or read if they are there."
)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The table to write.")
def main(base: Path, queries: Path | None, rows: int, recall: float, pool: Path | None, out: Path) -> None:
    """Decide many times about BASE; without QUERIES, some of its rows are asked and not indexed."""
    vectors = open_vectors(base, "base")
    x = vectors.read(0, vectors.n)
    if queries is None:
        x, asked = drawn_apart(x, min(HELD_OUT, vectors.n // 3), rows)
    else:
        x, _ = drawn_apart(x, 0, rows)
        asked = open_vectors(queries, "queries").read(0, open_vectors(queries, "queries").n)
    if pool is not None and pool.exists():
        known = Pool.load(pool)
    else:
        known = make_pool(x, asked, recall)
        if pool is not None:
            known.save(pool)
    write_lines([*lines(known, recall), f"{origin()}; {len(x):,} x {vectors.d}"], out)
    click.echo(out.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
