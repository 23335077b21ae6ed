"""A run that memory limits to a sample, and its recommendation built on all rows: does the error bar hold?

python -m benchmarks.sweep.sampled BASE QUERIES --memory-limit 400MB --out FOLDER
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import click
import msgspec

from benchmarks.common import FILE, ROOT, findings, origin, tune_command, write_json, write_lines
from tuner.api.result import REPORT_NAME, read_report
from tuner.data.vectors import open_vectors
from tuner.report.tables import table
from tuner.report.words import bytes_text
from tuner.types import Result

SAMPLE, BUILT = "sample", "built"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """What was extrapolated, and what all rows needed.

    Attributes:
        n: number of vectors of the whole file.
        n_sample: number of vectors of the sample.
        limit: limit on the memory of the run.
        peak_bytes: largest resident memory of the run on the sample.
        cpu_s: CPU seconds of the run on the sample.
        label: configuration that was recommended.
        ef_search: expected ef_search, low and high end of its error bar.
        ndis_per_query: expected distance computations per query, low and high.
        found_ef_search: ef_search that all rows needed.
        found_ndis_per_query: distance computations per query there.
        recall_lower: lower bound of recall of the index of all rows.
        build_cpu_s: CPU seconds of ``tune build``.
        inside: whether the ef_search that all rows needed lies within the error bar.
    """

    n: int
    n_sample: int
    limit: str
    peak_bytes: int
    cpu_s: float
    label: str
    ef_search: tuple[int, int, int]
    ndis_per_query: tuple[float, float, float]
    found_ef_search: int
    found_ndis_per_query: float
    recall_lower: float
    build_cpu_s: float
    inside: bool


def tuned(arguments: list[str], out: Path) -> Result:
    """Return the result of a command, read from its folder where an earlier run of it has ended."""
    if not (out / REPORT_NAME).exists():
        command = tune_command([*arguments, "--out", str(out)])
        subprocess.run([*command, "--quiet"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    return read_report(out)


def row_of(sample: Result, built: Result, limit: str) -> Row:
    """Return what the run on a sample said of all rows, and what they needed."""
    of_all, best = sample.extrapolation, built.recommendation
    if of_all is None or best is None:
        raise click.ClickException("nothing was extrapolated, or all rows do not reach the target")
    return Row(
        n=of_all.n,
        n_sample=of_all.n_sample,
        limit=limit,
        peak_bytes=sample.cost.peak_rss_bytes,
        cpu_s=sample.cost.cpu_s,
        label=best.label,
        ef_search=(of_all.ef_search, of_all.ef_search_low, of_all.ef_search_high),
        ndis_per_query=(of_all.ndis_per_query, of_all.ndis_per_query_low, of_all.ndis_per_query_high),
        found_ef_search=best.ef_search,
        found_ndis_per_query=best.ndis_per_query,
        recall_lower=best.recall_lower,
        build_cpu_s=built.cost.cpu_s,
        inside=of_all.ef_search_low <= best.ef_search <= of_all.ef_search_high,
    )


def lines(row: Row) -> list[str]:
    """Return the table."""
    head = ("rows", "sample", "limit", "peak", "CPU s", "index", "ef expected", "ef needed", "inside")
    ef, ndis = row.ef_search, row.ndis_per_query
    cells = (
        f"{row.n:,}",
        f"{row.n_sample:,}",
        row.limit,
        bytes_text(row.peak_bytes),
        f"{row.cpu_s:.0f}",
        row.label,
        f"{ef[0]} ({ef[1]} to {ef[2]})",
        str(row.found_ef_search),
        "yes" if row.inside else "no",
        f"{ndis[0]:,.0f} ({ndis[1]:,.0f} to {ndis[2]:,.0f})",
        f"{row.found_ndis_per_query:,.0f}",
        f"{row.recall_lower:.4f}",
        f"{row.build_cpu_s:.0f}",
    )
    more = ("distances expected", "distances needed", "recall at least", "CPU s of `tune build`")
    return [*table((*head, *more), [cells]), "", origin()]


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--recall", default=0.95, show_default=True, help="Target recall@10.")
@click.option("--memory-limit", "limit", required=True, help="Limit on the memory of the run on a sample.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the results.")
def main(base: Path, queries: Path, recall: float, limit: str, out: Path) -> None:
    """Tune BASE within a limit on memory, and build what was recommended on all its rows."""
    out = out.resolve()
    asking = ["--queries", str(queries.resolve())]
    run = [str(base.resolve()), *asking, "--recall", str(recall), "--memory-limit", limit]
    sample = tuned(run, out / SAMPLE)
    built = tuned(["build", str(out / SAMPLE), str(base.resolve()), *asking], out / BUILT)
    row = row_of(sample, built, limit)
    vectors, asked = open_vectors(base, "base"), open_vectors(queries, "queries")
    write_json(findings(base, (vectors.n, vectors.d), asked.n, [row]), out / "sampled.json")
    write_lines(
        [f"# A sample, then all rows: {base.resolve().parent.name}", "", *lines(row)], out / "sampled.md"
    )
    click.echo(lines(row)[2])


if __name__ == "__main__":
    main()
