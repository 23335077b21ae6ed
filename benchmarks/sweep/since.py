"""Next week's file has more rows: an earlier answer built again, beside a new run on all of them.

python -m benchmarks.sweep.since BASE QUERIES --out FOLDER
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import click
import faiss
import msgspec
import numpy as np

from benchmarks.common import FILE, ROOT, findings, origin, tune_command, write_json, write_lines
from tuner.api.result import read_report
from tuner.data.vectors import open_vectors
from tuner.report.tables import table
from tuner.runtime.process import use_threads
from tuner.runtime.timing import BLOCK, interleave
from tuner.types import FloatArray, Result

SINCE, ANEW = "since", "anew"
FEWEST_ROUNDS, MOST_ROUNDS = 12, 24


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to the answer for all rows.

    Attributes:
        way: ``since``, or ``anew``.
        label: configuration.
        ef_search: candidates kept while searching.
        recall: mean recall.
        recall_lower: its lower bound.
        wall_s: wall seconds of the run.
        cpu_s: CPU seconds of the run.
        memory_bytes: size of the index.
        time_ratio: mean time of a query over that of the new run's index, in turns.
        broken: reason why everything was swept again; empty where the earlier answer held.
    """

    way: str
    label: str
    ef_search: int
    recall: float
    recall_lower: float
    wall_s: float
    cpu_s: float
    memory_bytes: int
    time_ratio: float
    broken: str = ""


def tuned(arguments: list[str], cache: Path) -> None:
    """Run ``tune`` with a cache of its own."""
    environment = os.environ | {"TUNER_CACHE_DIR": str(cache)}
    command = [*tune_command(arguments), "--quiet"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours


def measured(base: Path, queries: Path, share: float, recall: float, seed: int, work: Path) -> list[Row]:
    """Return both ways to an answer for all rows, in random order, after a run on the first of them."""
    vectors = open_vectors(base, "base")
    order = np.random.default_rng(seed).permutation(vectors.n)
    x = vectors.rows(order).astype(vectors.dtype)
    n_before = round(vectors.n / (1 + share))
    np.save(work / "before.npy", x[:n_before])
    np.save(work / "all.npy", x)
    asked, cache = ["--queries", str(queries.resolve())], work / "cache"
    first = [str(work / "before.npy"), "--recall", str(recall), "--out", str(work / "first")]
    tuned([*first, *asked], cache)
    tuned([str(work / "all.npy"), "--since", str(work / "first"), "--out", str(work / SINCE), *asked], cache)
    anew = [str(work / "all.npy"), "--recall", str(recall), "--out", str(work / ANEW)]
    tuned([*anew, *asked], work / "cache-anew")
    found = {way: read_report(work / way) for way in (SINCE, ANEW)}
    asking = open_vectors(queries, "queries")
    ratio = time_ratio(work, asking.read(0, asking.n), found[ANEW].options.k, seed)
    return [row_of(SINCE, found[SINCE], ratio), row_of(ANEW, found[ANEW], 1.0)]


def time_ratio(work: Path, queries: FloatArray, k: int, seed: int) -> float:
    """Return the time of a query of the index built again over that of the new run's, in turns."""
    use_threads(1)

    def searching(way: str) -> Callable[[FloatArray], object]:
        index = faiss.read_index(str(work / way / "index.faiss"))
        return lambda block: index.search(block, k)

    timings = interleave(
        [searching(ANEW), searching(SINCE)],
        queries,
        seed,
        a_round=BLOCK,
        fewest=FEWEST_ROUNDS,
        most=MOST_ROUNDS,
    )
    return timings.ratio(1, 0)


def row_of(way: str, result: Result, ratio: float) -> Row:
    """Return the row of a finished run."""
    best = result.recommendation
    if best is None:
        raise click.ClickException(f"{way}: nothing reached the target")
    return Row(
        way=way,
        label=best.label,
        ef_search=best.ef_search,
        recall=best.recall,
        recall_lower=best.recall_lower,
        wall_s=result.cost.wall_s,
        cpu_s=result.cost.cpu_s,
        memory_bytes=best.memory_bytes,
        time_ratio=ratio,
        broken="" if result.earlier is None else result.earlier.broken,
    )


def lines(rows: list[Row]) -> list[str]:
    """Return the table of both ways, relative to the new run."""
    new = rows[-1]
    head = (
        "way",
        "index",
        "ef",
        "recall",
        "at least",
        "wall s",
        "CPU s",
        "share of time",
        "memory x latency",
    )
    cells = (
        (
            row.way + (" (swept again)" if row.broken else ""),
            row.label,
            str(row.ef_search),
            f"{row.recall:.4f}",
            f"{row.recall_lower:.4f}",
            f"{row.wall_s:.1f}",
            f"{row.cpu_s:.1f}",
            f"{row.wall_s / new.wall_s:.2f}",
            f"{row.memory_bytes / new.memory_bytes * row.time_ratio:.2f}",
        )
        for row in rows
    )
    return [*table(head, cells), "", origin()]


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--share", default=0.1, show_default=True, help="Rows that came since, over those before.")
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--seed", default=0, show_default=True, help="Random seed of the order of the rows.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
def main(base: Path, queries: Path, share: float, recall: float, seed: int, out: Path) -> None:
    """Tune some rows of BASE, then all of them from that answer and anew."""
    with tempfile.TemporaryDirectory(prefix="since-") as folder:
        rows = measured(base, queries, share, recall, seed, Path(folder))
        shutil.rmtree(folder, ignore_errors=True)
    vectors, asking = open_vectors(base, "base"), open_vectors(queries, "queries")
    write_json(findings(base, (vectors.n, vectors.d), asking.n, rows), out / "since.json")
    write_lines(
        [f"# {share:.0%} more rows: {base.resolve().parent.name}", "", *lines(rows)], out / "since.md"
    )
    click.echo("\n".join(lines(rows)))


if __name__ == "__main__":
    main()
