"""Put the index of a sweep beside the index that the exhaustive run picked, in the same rounds.

    python -m benchmarks.sweep.oracle OURS ORACLE QUERIES

OURS and ORACLE are ``--out`` folders of two runs on the same base and queries, ORACLE's with
``--exhaustive``. Prints one Markdown row each, and the ratio of memory x latency.
"""

from __future__ import annotations

from pathlib import Path

import click
import faiss
import numpy as np

from tuner.data.vectors import open_vectors
from tuner.report import result_from_json
from tuner.runtime.timing import interleave
from tuner.types import Recommendation, Result

TIMED = 400
ROUNDS = 21


def recommended(folder: Path) -> tuple[Result, Recommendation, faiss.Index]:
    """Return the report of a run, its recommendation and the index it delivered."""
    result = result_from_json((folder / "report.json").read_bytes())
    if result.recommendation is None:
        raise click.UsageError(f"{folder}: the run has no recommendation")
    return result, result.recommendation, faiss.read_index(str(folder / "index.faiss"))


@click.command()
@click.argument("ours", type=click.Path(path_type=Path))
@click.argument("oracle", type=click.Path(path_type=Path))
@click.argument("queries", type=click.Path(path_type=Path))
def main(ours: Path, oracle: Path, queries: Path) -> None:
    """Compare the recommendation in OURS with that of the exhaustive run in ORACLE."""
    runs = [recommended(folder) for folder in (ours, oracle)]
    asked = open_vectors(queries, "queries").read(0, TIMED)
    k = runs[0][0].options.k
    searches = [lambda q, index=index: index.search(q, k) for _, _, index in runs]
    timings = interleave([*searches, searches[0]], asked, seed=0, fewest=ROUNDS, most=ROUNDS)
    click.echo("| run | index | ef | recall | lower | B/vector | us | graphs built | CPU s |")
    click.echo("|---|---|---|---|---|---|---|---|---|")
    products = []
    for number, (result, answer, _) in enumerate(runs):
        mean_s = timings.latency(number, 0).mean_s
        products.append(answer.memory_bytes * mean_s)
        click.echo(
            f"| {('ours', 'oracle')[number]} | {answer.label} | {answer.ef_search} | {answer.recall:.4f} "
            f"| {answer.recall_lower:.4f} | {answer.memory_per_vector_bytes:.0f} | {1e6 * mean_s:.1f} "
            f"| {result.cost.n_graph_builds} | {result.cost.cpu_s:.0f} |"
        )
    ndis = [a.memory_bytes * a.ndis_per_query for _, a, _ in runs]
    click.echo(f"\nmemory x latency, ours over the oracle's: {products[0] / products[1]:.3f}")
    click.echo(f"memory x distance computations, likewise: {ndis[0] / ndis[1]:.3f}")
    click.echo(f"A/A: ours against itself {timings.ratio(2, 0):.3f}")
    click.echo(f"numpy {np.__version__}, faiss {faiss.__version__}")


if __name__ == "__main__":
    main()
