"""What a run costs as the rows grow: CPU seconds by stage, peak memory, and the answer beside hnswlib's.

python -m benchmarks.sweep.rows BASE QUERIES --rows 10000,30000,100000 --memory-limit 3GB --out FOLDER
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import click
import msgspec
import numpy as np

from benchmarks.common import FILE, ROOT, findings, origin, tune_command, write_json, write_lines
from tuner.api.result import read_report
from tuner.data.vectors import open_vectors
from tuner.report.tables import table
from tuner.report.words import bytes_text
from tuner.types import Result

STAGES = ("graph", "curves", "ceilings", "timing", "deliver")
"""Stages with a column of their own; the others are added up."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A run on so many rows.

    Attributes:
        n: number of rows.
        label: configuration that was recommended.
        ef_search: its ef_search.
        recall_lower: lower bound of its recall.
        stage_cpu_s: CPU seconds by stage.
        stage_peak_bytes: largest resident memory by stage.
        cpu_s: CPU seconds of the run.
        wall_s: wall seconds of the run.
        peak_bytes: largest resident memory of the run.
        ordinary_builds: its CPU seconds over those of an ordinary build.
        product: memory x latency of hnswlib's index over the recommendation's.
    """

    n: int
    label: str
    ef_search: int
    recall_lower: float
    stage_cpu_s: dict[str, float]
    stage_peak_bytes: dict[str, int]
    cpu_s: float
    wall_s: float
    peak_bytes: int
    ordinary_builds: float
    product: float


def measured(base: Path, queries: Path, n: int, recall: float, limit: str, work: Path) -> Row:
    """Return what a run on ``n`` rows of the base, drawn at random, took and found."""
    vectors = open_vectors(base, "base")
    kept = np.sort(np.random.default_rng(0).choice(vectors.n, n, replace=False))
    np.save(work / "base.npy", vectors.rows(kept).astype(vectors.dtype))
    asked = ["--queries", str(queries.resolve()), "--recall", str(recall), "--baseline", "hnswlib"]
    arguments = [str(work / "base.npy"), *asked, "--memory-limit", limit, "--out", str(work / "out")]
    environment = os.environ | {"TUNER_CACHE_DIR": str(work / "cache")}
    subprocess.run(  # noqa: S603 - ours
        [*tune_command(arguments), "--quiet"],
        cwd=ROOT,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return row_of(n, read_report(work / "out"))


def row_of(n: int, result: Result) -> Row:
    """Return the row of a finished run."""
    best, reference, cost = result.recommendation, result.baseline, result.cost
    if best is None or reference is None or cost.ordinary_builds is None:
        raise click.ClickException(f"{n:,} rows: nothing reached the target")
    return Row(
        n=n,
        label=best.label,
        ef_search=best.ef_search,
        recall_lower=best.recall_lower,
        stage_cpu_s={stage.name: stage.cpu_s for stage in cost.stages if stage.name != "baseline"},
        stage_peak_bytes={stage.name: stage.peak_rss_bytes for stage in cost.stages},
        cpu_s=cost.cpu_s,
        wall_s=cost.wall_s,
        peak_bytes=cost.peak_rss_bytes,
        ordinary_builds=cost.ordinary_builds,
        product=reference.memory_ratio * reference.latency_ratio,
    )


def lines(rows: list[Row]) -> list[str]:
    """Return the table, a run a row."""
    head = (
        "rows",
        "index",
        "ef",
        "at least",
        *STAGES,
        "others",
        "CPU s",
        "wall s",
        "peak",
        "ordinary builds",
    )
    cells = (
        (
            f"{row.n:,}",
            row.label,
            str(row.ef_search),
            f"{row.recall_lower:.4f}",
            *(f"{row.stage_cpu_s.get(stage, 0.0):.1f}" for stage in STAGES),
            f"{row.cpu_s - sum(row.stage_cpu_s.get(stage, 0.0) for stage in STAGES):.1f}",
            f"{row.cpu_s:.0f}",
            f"{row.wall_s:.0f}",
            bytes_text(row.peak_bytes),
            f"{row.ordinary_builds:.2f}",
            f"{row.product:.1f}",
        )
        for row in rows
    )
    return [
        "CPU seconds by stage; the last column is memory x latency of hnswlib (M=16, ef_construction=200, "
        "float32, ef tuned to the same recall) over that of the recommendation.",
        "",
        *table((*head, "hnswlib, memory x latency"), cells),
        "",
        origin(),
    ]


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--rows", required=True, metavar="N,...", help="Numbers of rows.")
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--memory-limit", "limit", default="3GB", show_default=True, help="Limit on a run's memory.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
def main(base: Path, queries: Path, rows: str, recall: float, limit: str, out: Path) -> None:
    """Tune so many rows of BASE, drawn at random, each beside a build by hnswlib."""
    vectors, asking = open_vectors(base, "base"), open_vectors(queries, "queries")
    found: list[Row] = []
    for n in map(int, rows.split(",")):
        with tempfile.TemporaryDirectory(prefix="rows-") as folder:
            found.append(measured(base, queries, n, recall, limit, Path(folder)))
        write_json(findings(base, (vectors.n, vectors.d), asking.n, found), out / "rows.json")
        write_lines([f"# Rows: {base.resolve().parent.name}", "", *lines(found)], out / "rows.md")
        click.echo(lines(found)[-3])


if __name__ == "__main__":
    main()
