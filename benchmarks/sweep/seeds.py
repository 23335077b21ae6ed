"""Does the answer hold whatever the seed? The same task with many seeds, each scored on unseen queries.

python -m benchmarks.sweep.seeds BASE.npy QUERIES.npy --out reports/benchmarks/seeds.md
python -m benchmarks.sweep.seeds BASE.npy --rows 10000 --out reports/benchmarks/seeds-held-out.md
python -m benchmarks.sweep.seeds BASE.npy QUERIES.npy --shards 4 --out reports/benchmarks/seeds-shards.md

Without QUERIES a run holds its own queries out and puts them back; each seed is scored on 1,000 rows that
were taken out of the file before, so that neither the tuner nor its index ever saw them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import faiss
import numpy as np

import tuner
from benchmarks.common import FILE, origin, write_lines
from benchmarks.sweep.score import ScoringQueries, scoring_queries
from benchmarks.sweep.tasks import prepared_base, split_for_scoring
from tuner.data.vectors import open_vectors
from tuner.recall.target import summarize
from tuner.report.tables import table
from tuner.runtime.process import use_threads
from tuner.search import ShardedIndex
from tuner.types import FloatArray, Recall

K, CONFIDENCE = 10, 0.95
FRESH = 1_000
"""Rows that are taken out of the file to score a run that holds its own queries out."""
HEAD = ("seed", "index", "ef", "lower bound reported", "recall scored", "its lower bound", "meets the target")


def scored_recall(index: Any, raw: FloatArray, asked: ScoringQueries) -> Recall:
    """Return recall of a delivered index, of faiss or in shards, on queries that tuned nothing."""
    use_threads(0)
    ids = index.search(raw, K)[1]
    return summarize(asked.truth.hits(asked.base.x, asked.queries, ids), K, CONFIDENCE)


@dataclass(frozen=True)
class Row:
    """What one seed answered.

    Attributes:
        label: recommended index.
        ef_search: recommended ef_search.
        reported_lower: lower bound of recall that the run reported.
        scored: recall on queries that tuned nothing.
    """

    label: str
    ef_search: int
    reported_lower: float
    scored: Recall


def lines(rows: list[Row | None], recall: float) -> Iterator[str]:
    """Yield the report: a row for each seed, and how many lower bounds meet the target.

    Args:
        rows: answers of seeds 0, 1, ..., None where nothing reached the target.
        recall: target recall@10.
    """
    scored = [row.scored for row in rows if row is not None]
    n_met = sum(each.lower >= recall for each in scored)
    n_means = sum(each.mean >= recall for each in scored)
    n_covered = sum(row.scored.mean >= row.reported_lower for row in rows if row is not None)
    n_queries = scored[0].n_queries if scored else 0
    yield (
        f"# {n_met} of {len(rows)} seeds meet recall@{K} {recall:g} by the lower bound on {n_queries:,} "
        f"queries that tuned nothing; {n_means} do by the mean; recall scored is at least the lower bound "
        f"reported in {n_covered}"
    )
    yield ""
    yield from table(HEAD, (_cells(seed, row, recall) for seed, row in enumerate(rows)))
    yield ""


def _cells(seed: int, row: Row | None, recall: float) -> list[str]:
    if row is None:
        return [str(seed), "nothing", *("" for _ in HEAD[2:])]
    scored = row.scored
    return [
        *(str(seed), row.label, str(row.ef_search), f"{row.reported_lower:.4f}"),
        *(f"{scored.mean:.4f}", f"{scored.lower:.4f}", "yes" if scored.lower >= recall else "**no**"),
    ]


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE, required=False)
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--runs", default=20, show_default=True, help="Seeds.")
@click.option("--rows", default=0, help="Rows of BASE to take at random.  [default: all]")
@click.option("--space", default="default", show_default=True, help="Preset of the space that is tuned.")
@click.option("--shards", default=0, help="Number of shards, for which QUERIES are needed.  [default: none]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The table to write.")
def main(
    base: Path, queries: Path | None, recall: float, runs: int, rows: int, space: str, shards: int, out: Path
) -> None:
    """Tune BASE under many seeds with two thirds of QUERIES, or with rows that each run holds out.

    Each answer is scored on the other queries, or on rows that were taken out of BASE before.
    """
    if shards and queries is None:
        raise click.UsageError("shards are measured with queries: give QUERIES too")
    vectors = open_vectors(base, "base")
    x = vectors.read(0, vectors.n)
    if rows:
        x = x[np.sort(np.random.default_rng(0).choice(vectors.n, rows, replace=False))]
    found: list[Row | None] = []
    for seed in range(runs):
        with tempfile.TemporaryDirectory(prefix="seeds-") as temporary:
            task = _with_queries(x, queries) if queries is not None else _without_queries(x, seed)
            found.append(_run(*task, recall, seed, space, Path(temporary), shards))
        click.echo(" ".join(_cells(seed, found[-1], recall)), err=True)
    write_lines([*lines(found, recall), f"{origin()}; {len(x):,} x {vectors.d}"], out)
    click.echo(next(lines(found, recall)))


def _with_queries(x: FloatArray, queries: Path) -> tuple[FloatArray, FloatArray | None, FloatArray]:
    """Return the base, the queries to tune with and those to score on."""
    asked = open_vectors(queries, "queries")
    tuning, scoring = split_for_scoring(asked.n, 0)
    return x, asked.rows(tuning), asked.rows(scoring)


def _without_queries(x: FloatArray, seed: int) -> tuple[FloatArray, FloatArray | None, FloatArray]:
    """Return the base without some rows, no queries, and these rows to score on."""
    taken = np.sort(np.random.default_rng([seed, 7]).choice(len(x), FRESH, replace=False))
    return np.delete(x, taken, axis=0), None, x[taken]


def _run(
    x: FloatArray,
    tuning: FloatArray | None,
    scoring: FloatArray,
    recall: float,
    seed: int,
    space: str,
    folder: Path,
    shards: int,
) -> Row | None:
    if shards and tuning is not None:
        np.save(folder / "base.npy", x)
        result = tuner.tune_shards(
            folder / "base.npy", tuning, recall=recall, seed=seed, space=space, out=folder, shards=shards
        )
    else:
        result = tuner.tune(x, recall=recall, queries=tuning, seed=seed, space=space, out=folder)
    answer = result.recommendation
    if answer is None:
        return None
    prepared = prepared_base(open_vectors(x, "base"), "auto", 0, folder / "base.f32")
    unseen = scoring_queries(prepared, scoring, K)
    index = ShardedIndex.load(folder) if shards else faiss.read_index(str(folder / "index.faiss"))
    if index.ntotal != len(x):
        raise AssertionError(f"the index holds {index.ntotal:,} of {len(x):,} rows")
    scored = scored_recall(index, scoring, unseen)
    return Row(answer.label, answer.ef_search, answer.recall_lower, scored)


if __name__ == "__main__":
    main()
