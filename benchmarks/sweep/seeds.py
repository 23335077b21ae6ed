"""Does the answer hold whatever the seed? The same task with many seeds, each scored on queries it never saw.

python -m benchmarks.sweep.seeds BASE.npy QUERIES.npy --out reports/benchmarks/seeds.md
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import faiss
import numpy as np

import tuner
from benchmarks.sweep.tasks import split_for_scoring
from tuner.data.base import prepare, prepared_queries
from tuner.data.profile import scan
from tuner.data.vectors import open_vectors
from tuner.recall.target import summarize
from tuner.recall.truth import search_exactly
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import use_threads
from tuner.runtime.steps import result_of

K, CONFIDENCE = 10, 0.95


@click.command()
@click.argument("base", type=click.Path(exists=True, path_type=Path))
@click.argument("queries", type=click.Path(exists=True, path_type=Path))
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--runs", default=20, show_default=True, help="Seeds.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The table to write.")
def main(base: Path, queries: Path, recall: float, runs: int, out: Path) -> None:
    """Tune BASE with two thirds of QUERIES under many seeds; score each answer on the others."""
    vectors, asked = open_vectors(base, "base"), open_vectors(queries, "queries")
    tuning, scoring = split_for_scoring(asked.n, 0)
    profile = result_of(scan(vectors, "auto", seed=0))
    raw = asked.rows(scoring)
    lines, met = [], 0
    with tempfile.TemporaryDirectory(prefix="seeds-") as temporary:
        nothing = np.zeros(0, dtype=np.int64)
        path = Path(temporary, "base.f32")
        prepared = result_of(prepare(vectors, profile.metric, nothing, profile.norm_max, path))
        seen = prepared_queries(raw, profile.metric)
        truth = result_of(search_exactly(prepared.x, seen, K, K))
        for seed in range(runs):
            found = tuner.tune(base, recall=recall, queries=asked.rows(tuning), seed=seed, out=temporary)
            if found.recommendation is None:
                lines.append(f"| {seed} | nothing | | | |")
                continue
            use_threads(0)
            ids = faiss.read_index(str(Path(temporary, "index.faiss"))).search(raw, K)[1]
            scored = summarize(truth.hits(prepared.x, seen, ids), K, CONFIDENCE)
            met += scored.mean >= recall
            answer = found.recommendation
            what = f"{answer.label} | {answer.ef_search} | {answer.recall_lower:.4f}"
            lines.append(f"| {seed} | {what} | {scored.mean:.4f} |")
            click.echo(lines[-1], err=True)
    head = [
        f"# {met} of {runs} seeds meet recall@{K} {recall:g} on {len(raw):,} queries that tuned nothing",
        "",
        f"`python -m benchmarks.sweep.seeds {base.name} {queries.name}` on {vectors.n:,} x {vectors.d}.",
        "",
        "| seed | index | ef | lower bound reported | recall scored |",
        "|---|---|---|---|---|",
    ]
    write_atomically(out, "\n".join([*head, *lines, ""]).encode())
    click.echo(head[0])


if __name__ == "__main__":
    main()
