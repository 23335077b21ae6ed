"""Rows that repeat another: nodes of their own beside one node for all of them, recall counted in all rows.

python -m benchmarks.sweep.duplicates BASE QUERIES --out FOLDER
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import click
import msgspec
import numpy as np

from benchmarks.common import FILE, findings, origin, write_json, write_lines
from benchmarks.sweep.since import FEWEST_ROUNDS, MOST_ROUNDS, tuned
from tuner import Result
from tuner.data.vectors import open_vectors
from tuner.recall.truth import search_exactly
from tuner.report.tables import table
from tuner.runtime.process import use_threads
from tuner.runtime.steps import result_of
from tuner.runtime.timing import BLOCK, interleave
from tuner.types import Duplicates, FloatArray, OperatingPoint

KEEP, COLLAPSE = get_args(Duplicates)
FOUND_AGAIN = 1_000
"""Queries whose hits are counted again by brute force over every row of the file."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to treat rows that repeat another.

    Attributes:
        way: ``keep`` or ``collapse``.
        label: configuration.
        ef_search: candidates kept while searching.
        n_nodes: vectors of the index.
        recall: mean recall, in rows.
        recall_lower: its lower bound.
        recall_again: recall of what the files give, counted by brute force over every row.
        memory_bytes: size of the index and of the list of copies.
        ndis_per_query: distances a query.
        time_ratio: mean time of a search over that of the index that keeps all rows, in turns.
        cpu_s: CPU seconds of the run.
        peak_bytes: largest resident memory of the run.
    """

    way: str
    label: str
    ef_search: int
    n_nodes: int
    recall: float
    recall_lower: float
    recall_again: float
    memory_bytes: int
    ndis_per_query: float
    time_ratio: float
    cpu_s: float
    peak_bytes: int


class Both(msgspec.Struct, frozen=True, kw_only=True):
    """One configuration that both runs measured, at the least ef_search that reaches the target in each."""

    label: str
    ef_search: list[int]
    recall: list[float]
    memory_bytes: list[int]
    ndis_per_query: list[float]


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Both ways on one set."""

    ways: list[Row]
    both: list[Both]


def measured(base: Path, queries: Path, recall: float, seed: int, work: Path) -> Measured:
    """Return both ways, each a run of its own with nothing in its cache."""
    for way in (KEEP, COLLAPSE):
        asked = [str(base.resolve()), "--queries", str(queries.resolve()), "--recall", str(recall)]
        options = ["--duplicates", way, "--seed", str(seed), "--out", str(work / way)]
        tuned([*asked, *options], work / f"cache-{way}")
    found = [Result.load(work / way) for way in (KEEP, COLLAPSE)]
    asking = open_vectors(queries, "queries")
    x = asking.read(0, asking.n)
    ratio = time_ratio(found, x, seed)
    again = [recall_again(result, base, x[:FOUND_AGAIN]) for result in found]
    ways = zip((KEEP, COLLAPSE), found, (1.0, ratio), again, strict=True)
    return Measured(ways=[row_of(*each) for each in ways], both=in_both(found))


def recall_again(result: Result, base: Path, queries: FloatArray) -> float:
    """Return the recall of what index and list give, by exact distances (cosine) to every row of the file."""
    vectors, k = open_vectors(base, "base"), result.options.k
    x = vectors.read(0, vectors.n)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    asked = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    truth = result_of(search_exactly(x, asked, k, k))
    rows = result.search(queries)[1]
    return float(truth.hits(x, asked, rows).mean()) / k


def time_ratio(found: list[Result], queries: FloatArray, seed: int) -> float:
    """Return the time of a search of the collapsed index over that of the one with all rows, in turns."""
    use_threads(1)

    def searching(result: Result) -> Callable[[FloatArray], object]:
        index, k = result.index(), result.options.k
        return lambda block: index.search(block, k)

    searches = [searching(each) for each in found]
    timings = interleave(searches, queries, seed, a_round=BLOCK, fewest=FEWEST_ROUNDS, most=MOST_ROUNDS)
    return timings.ratio(1, 0)


def row_of(way: str, result: Result, ratio: float, again: float) -> Row:
    """Return the row of a finished run."""
    best = result.best
    if best is None:
        raise click.ClickException(f"{way}: nothing reached the target")
    n = result.profile.n_indexed if result.collapsed is None else result.collapsed.n_distinct
    return Row(
        way=way,
        label=best.label,
        ef_search=best.ef_search,
        n_nodes=n,
        recall=best.recall,
        recall_lower=best.recall_lower,
        recall_again=again,
        memory_bytes=best.memory_bytes,
        ndis_per_query=best.ndis_per_query,
        time_ratio=ratio,
        cpu_s=result.cost.cpu_s,
        peak_bytes=result.cost.peak_rss_bytes,
    )


def in_both(found: list[Result]) -> list[Both]:
    """Return configurations that both runs measured and that reach the target in both."""
    points: list[dict[str, OperatingPoint]] = [
        {each.configuration.label: each for each in result.points if each.reaches_target} for result in found
    ]
    pairs = [(label, [each[label] for each in points]) for label in points[0] if label in points[1]]
    return [
        Both(
            label=label,
            ef_search=[each.ef_search for each in pair],
            recall=[each.recall.mean for each in pair],
            memory_bytes=[each.memory.resident_bytes for each in pair],
            ndis_per_query=[each.ndis_per_query for each in pair],
        )
        for label, pair in pairs
    ]


def lines(found: Measured, n: int) -> list[str]:
    """Return the tables of both ways."""
    head = ("way", "index", "ef", "nodes", "recall", "at least", "again", "MB", "B/row", "ndis", "time")
    cells = (
        (
            row.way,
            row.label,
            str(row.ef_search),
            f"{row.n_nodes:,}",
            f"{row.recall:.4f}",
            f"{row.recall_lower:.4f}",
            f"{row.recall_again:.4f}",
            f"{row.memory_bytes / 1e6:.1f}",
            f"{row.memory_bytes / n:.1f}",
            f"{row.ndis_per_query:,.0f}",
            f"{row.time_ratio:.2f}",
            f"{row.cpu_s:,.0f}",
            f"{row.peak_bytes / 1e6:,.0f}",
        )
        for row in found.ways
    )
    both = (
        (
            each.label,
            " / ".join(map(str, each.ef_search)),
            " / ".join(f"{recall:.4f}" for recall in each.recall),
            _beside(each.memory_bytes, 1e6),
            _beside(each.ndis_per_query, 1.0),
        )
        for each in found.both
    )
    return [
        *table((*head, "CPU s", "peak MB"), cells),
        "",
        "Recall counts rows; `again` is that of what index.faiss and copies.npy give, by brute force over "
        f"every row, on {FOUND_AGAIN:,} queries. MB are of both files. Times: searches alone, in turns.",
        "",
        *table(("keep / collapse", "ef", "recall", "MB", "ndis"), both),
        "",
        origin(),
    ]


def _beside(pair: list[int] | list[float], unit: float) -> str:
    kept, collapsed = pair
    return f"{kept / unit:,.1f} / {collapsed / unit:,.1f} ({collapsed / kept - 1:+.0%})"


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--seed", default=0, show_default=True, help="Random seed.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
def main(base: Path, queries: Path, recall: float, seed: int, out: Path) -> None:
    """Tune BASE, whose rows are compared by cosine, with and without rows that repeat another."""
    with tempfile.TemporaryDirectory(prefix="duplicates-") as folder:
        found = measured(base, queries, recall, seed, Path(folder))
    vectors, asking = open_vectors(base, "base"), open_vectors(queries, "queries")
    name = base.resolve().parent.name
    write_json(findings(base, (vectors.n, vectors.d), asking.n, [found]), out / f"{name}.json")
    write_lines(
        [f"# Duplicates kept and collapsed: {name}", "", *lines(found, vectors.n)], out / f"{name}.md"
    )
    click.echo("\n".join(lines(found, vectors.n)))


if __name__ == "__main__":
    main()
