"""Does the answer hold whatever the seed? The same task with many seeds, each scored on queries it never saw.

python -m benchmarks.sweep.seeds BASE.npy QUERIES.npy --out reports/benchmarks/seeds.md
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import faiss

import tuner
from benchmarks.common import FILE, origin, write_lines
from benchmarks.sweep.score import ScoringQueries, scoring_queries
from benchmarks.sweep.tasks import prepared_base, split_for_scoring
from tuner.data.vectors import open_vectors
from tuner.recall.target import summarize
from tuner.report.tables import table
from tuner.runtime.process import use_threads
from tuner.types import FloatArray, Recall

K, CONFIDENCE = 10, 0.95
HEAD = ("seed", "index", "ef", "lower bound reported", "recall scored", "its lower bound", "meets the target")


def scored_recall(index: Path, raw: FloatArray, asked: ScoringQueries) -> Recall:
    """Return recall of a delivered index on queries that tuned nothing."""
    use_threads(0)
    ids = faiss.read_index(str(index)).search(raw, K)[1]
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
    n_queries = scored[0].n_queries if scored else 0
    yield (
        f"# {n_met} of {len(rows)} seeds meet recall@{K} {recall:g} by the lower bound on {n_queries:,} "
        f"queries that tuned nothing; {n_means} do by the mean"
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
@click.argument("queries", type=FILE)
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--runs", default=20, show_default=True, help="Seeds.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The table to write.")
def main(base: Path, queries: Path, recall: float, runs: int, out: Path) -> None:
    """Tune BASE with two thirds of QUERIES under many seeds; score each answer on the others."""
    vectors, asked = open_vectors(base, "base"), open_vectors(queries, "queries")
    tuning, scoring = split_for_scoring(asked.n, 0)
    raw = asked.rows(scoring)
    rows: list[Row | None] = []
    with tempfile.TemporaryDirectory(prefix="seeds-") as temporary:
        unseen = scoring_queries(prepared_base(vectors, "auto", 0, Path(temporary, "base.f32")), raw, K)
        for seed in range(runs):
            found = tuner.tune(base, recall=recall, queries=asked.rows(tuning), seed=seed, out=temporary)
            answer = found.recommendation
            if answer is None:
                rows.append(None)
            else:
                scored = scored_recall(Path(temporary, "index.faiss"), raw, unseen)
                rows.append(Row(answer.label, answer.ef_search, answer.recall_lower, scored))
            click.echo(" ".join(_cells(seed, rows[-1], recall)), err=True)
    write_lines([*lines(rows, recall), f"{origin()}; {vectors.n:,} x {vectors.d}"], out)
    click.echo(next(lines(rows, recall)))


if __name__ == "__main__":
    main()
