"""A sweep over shards on raylets of this machine: is its truth that of one process, and what does it take?

python -m benchmarks.cluster BASE QUERIES --shards 8 --workers 1,2,3 --out FOLDER
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path

import click
import msgspec
import numpy as np

from benchmarks.cluster.disturbed import disturbed, driver_of
from benchmarks.cluster.raylets import ENVIRONMENT, Raylets, raylets
from benchmarks.common import FILE, findings, origin, write_json, write_lines
from tuner.api.result import REPORT_NAME, read_report
from tuner.cluster.on_ray import ray_workers
from tuner.cluster.pose import Request, pose_shards
from tuner.data.base import prepare, prepared_queries
from tuner.data.profile import scan
from tuner.data.vectors import open_vectors
from tuner.recall.truth import Truth, search_exactly
from tuner.report.tables import table
from tuner.report.words import bytes_text, seconds_text
from tuner.runtime.steps import result_of
from tuner.types import Options, Result


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One run.

    Attributes:
        workers: number of raylets, of one core each.
        lost: what was lost on the way, in order.
        wall_s: wall seconds of the command, those of its first part included where it was resumed.
        cpu_s: CPU seconds of driver and tasks.
        label: configuration that was recommended.
        ef_search: its ef_search on each shard.
        recall: mean recall of the merged answer.
        recall_lower: lower bound of it.
        memory_bytes: bytes of all shards.
        most_bytes: bytes of the largest shard.
        ndis_per_query: distance computations of all shards.
        latency_p50_s: median seconds of the slowest shard, modelled.
        ef_search_alone: ef_search of the representative shard for its own rows.
    """

    workers: int
    lost: list[str]
    wall_s: float
    cpu_s: float
    label: str
    ef_search: int
    recall: float
    recall_lower: float
    memory_bytes: int
    most_bytes: int
    ndis_per_query: float
    latency_p50_s: float
    ef_search_alone: int


def single_truth(base: Path, queries: Path, k: int, seed: int) -> tuple[Truth, float]:
    """Return the truth that one process finds, and its seconds."""
    vectors = open_vectors(base, "base")
    started_s = time.perf_counter()
    profile = result_of(scan(vectors, "auto", seed=seed))
    with tempfile.TemporaryDirectory() as folder:
        nothing = np.zeros(0, dtype=np.int64)
        prepared = result_of(
            prepare(vectors, profile.metric, nothing, profile.norm_max, Path(folder, "base"))
        )
        asked = open_vectors(queries, "queries")
        wanted = prepared_queries(asked.read(0, asked.n), profile.metric)
        found = result_of(search_exactly(prepared.x, wanted, k, k))
    return found, time.perf_counter() - started_s


def sharded_truth(base: Path, queries: Path, options: Options, n_shards: int, address: str) -> Truth:
    """Return the truth that shards on a cluster find."""
    os.environ.update(ENVIRONMENT)
    with ray_workers(address) as workers, tempfile.TemporaryDirectory() as folder:
        request = Request(str(base), n_shards=n_shards)
        asked = open_vectors(queries, "queries")
        posed = result_of(pose_shards(workers, request, asked, options, Path(folder), resume=False))
    return posed.problem.truth


def same(one: Truth, other: Truth) -> bool:
    """Return whether two truths are the same to the bit."""
    return (
        np.array_equal(one.ids, other.ids)
        and np.array_equal(one.right, other.right)
        and one.kth_distance.tobytes() == other.kth_distance.tobytes()
    )


def run(arguments: list[str], out: Path, cluster: Raylets, workers: int, *, disturb: bool) -> Row:
    """Return what a run took and found."""
    shutil.rmtree(out, ignore_errors=True)
    started_s = time.perf_counter()
    arguments = [*arguments, "--out", str(out), "--work", str(out / "work")]
    lost = disturbed(arguments, out / "work", cluster) if disturb else []
    if not disturb:
        driver = driver_of(arguments, cluster)
        output, _ = driver.communicate()
        if driver.returncode:
            raise click.ClickException(output[-2000:])
    return row_of(read_report(out / REPORT_NAME), workers, lost, time.perf_counter() - started_s)


def row_of(result: Result, workers: int, lost: list[str], wall_s: float) -> Row:
    """Return a run of a report."""
    best, sharded = result.recommendation, result.sharded
    if best is None or sharded is None:
        raise click.ClickException("nothing reached the target")
    return Row(
        workers=workers,
        lost=lost,
        wall_s=wall_s,
        cpu_s=result.cost.cpu_s,
        label=best.label,
        ef_search=best.ef_search,
        recall=best.recall,
        recall_lower=best.recall_lower,
        memory_bytes=best.memory_bytes,
        most_bytes=max(sharded.memory_bytes),
        ndis_per_query=best.ndis_per_query,
        latency_p50_s=best.latency_p50_s,
        ef_search_alone=sharded.ef_search_alone,
    )


def lines(row: Row) -> tuple[str, ...]:
    """Return the cells of a run."""
    return (
        f"{row.workers}",
        ", ".join(each.split()[0] for each in row.lost) or "-",
        seconds_text(row.wall_s),
        seconds_text(row.cpu_s),
        f"{row.label}, ef {row.ef_search} (alone {row.ef_search_alone})",
        f"{row.recall:.4f} ({row.recall_lower:.4f})",
        f"{bytes_text(row.memory_bytes)} ({bytes_text(row.most_bytes)})",
        f"{row.ndis_per_query:,.0f}",
        seconds_text(row.latency_p50_s),
    )


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--shards", type=int, default=8, show_default=True)
@click.option("--workers", default="3", show_default=True, help="Numbers of raylets, one run each.")
@click.option("--recall", type=float, default=0.95, show_default=True)
@click.option("--space", default="default", show_default=True)
@click.option("--disturb", is_flag=True, help="Lose a worker, a raylet and the driver in the last run.")
@click.option("--hosts", is_flag=True, help="Give each raylet a network namespace of its own (Linux, root).")
@click.option("--truth-only", is_flag=True, help="Compare truths, and sweep nothing.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    base: Path,
    queries: Path,
    shards: int,
    workers: str,
    recall: float,
    space: str,
    disturb: bool,
    hosts: bool,
    truth_only: bool,
    out: Path,
) -> None:
    """Sweep BASE in shards on raylets of one core each, and compare its truth with that of one process."""
    out.mkdir(parents=True, exist_ok=True)
    counts = [int(each) for each in workers.split(",")]
    options = Options(recall=recall)
    truth, truth_s = single_truth(base, queries, options.k, options.seed)
    arguments = [str(base), "--queries", str(queries), "--recall", str(recall), "--shards", str(shards)]
    if space != "default":
        arguments += ["--space", space]
    rows, equal = list[Row](), None
    for number, count in enumerate(counts):
        with raylets(count, as_hosts=hosts) as cluster:
            if number == 0 and not hosts:
                equal = same(truth, sharded_truth(base, queries, options, shards, cluster.address))
                click.echo(f"the truth of {shards} shards is that of one process: {equal}")
            if truth_only:
                continue
            last = number == len(counts) - 1
            rows.append(run(arguments, out / f"run-{number}", cluster, count, disturb=disturb and last))
            click.echo(rows[-1])
    vectors, asked = open_vectors(base, "base"), open_vectors(queries, "queries")
    found = findings(base, (vectors.n, vectors.d), asked.n, rows)
    write_json(found, out / "cluster.json")
    heads = ("raylets", "lost", "wall", "CPU", "index", "recall", "memory (a shard)", "distances", "p50")
    text = [
        f"# {shards} shards of {vectors.n:,} x {vectors.d}",
        "",
        "The truth of all shards was not compared."
        if equal is None
        else f"The truth of all shards is that of one process to the bit: {'yes' if equal else 'NO'} "
        f"({seconds_text(truth_s)} in one process).",
        "",
        *table(heads, [lines(row) for row in rows]),
        "",
        origin(),
    ]
    write_lines(text, out / "README.md")


if __name__ == "__main__":
    main()
