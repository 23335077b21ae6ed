"""Trials of the recall gate: how often it cries wolf, what it sees, which planted faults it catches.

    python -m benchmarks.gate BASE.npy --out reports/gate

Some rows of BASE become the base and others a large population of queries.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import faiss
import numpy as np

import tuner
from benchmarks.common import FILE, origin, write_lines
from benchmarks.gate.faults import FAULTS
from benchmarks.gate.trials import (
    BUILD_THREADS,
    CONFIDENCE,
    DRAWN,
    FALSE_ALARMS,
    LIMITS,
    K,
    Population,
    Row,
    alarms,
    false_alarms,
    power_trials,
    read_population,
)
from tuner.data.vectors import open_vectors
from tuner.gate import CheckOptions, CheckResult, GateBaseline, check, save_baseline
from tuner.report.tables import table
from tuner.runtime.process import use_threads
from tuner.runtime.steps import result_of

RECALL, TUNED, CHECKS = 0.95, 2_000, 10
HEAD = ("trial", "drop planted, points", "trials", "called a regression", "promised by the power line")


def whole_checks(baseline: GateBaseline, rebuilt_check: Callable[[], CheckResult]) -> list[Row]:
    """Return the alarms of the whole command, which builds the baseline configuration again each time."""
    rng = np.random.default_rng(3)
    found = [rebuilt_check() for _ in range(CHECKS)]
    n_failed = sum(not each.passed for each in found)
    means = [each.recall.mean for each in found]
    description = (
        f"`tune check` without --index, {BUILD_THREADS} threads (recall {min(means):.4f} to {max(means):.4f})"
    )
    resampled = sum(
        alarms(baseline.hit_array, np.array(each.hits), FALSE_ALARMS // CHECKS, rng) for each in found
    )
    return [
        Row(description, 0.0, CHECKS, n_failed / CHECKS, None),
        Row("the same, queries resampled", 0.0, FALSE_ALARMS, resampled / FALSE_ALARMS, None),
    ]


def planted_faults(
    population: Population, baseline: GateBaseline, folder: Path, checked: Callable[[Path], CheckResult]
) -> list[str]:
    """Return a line for each fault: caught or not, and by what."""
    lines = []
    for name, plant in FAULTS.items():
        damaged = folder / "damaged.faiss"
        plant(folder / "index.faiss", population.base, damaged)
        found = checked(damaged)
        failed = ", ".join(line.name for line in found.lines if line.status == "fail")
        verdict = "**missed**" if found.passed else "caught"
        lines.append(f"| {name} | {verdict} | {failed} | {found.recall.mean:.4f} |")
    return lines


@click.command()
@click.argument("base", type=FILE)
@click.option("--rows", default=20_000, show_default=True, help="Rows of the base.")
@click.option("--population", "n_queries", default=6_000, show_default=True, help="Queries to draw from.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the table.")
def main(base: Path, rows: int, n_queries: int, out: Path) -> None:
    """Try the recall gate on vectors of BASE and write the table of trials."""
    use_threads(0)
    population = read_population(base, rows, n_queries)
    with tempfile.TemporaryDirectory(prefix="gate-") as temporary:
        folder = Path(temporary)
        np.save(folder / "base.npy", population.base)
        np.save(folder / "queries.npy", population.queries[:TUNED])
        result = tuner.tune(folder / "base.npy", recall=RECALL, queries=folder / "queries.npy", out=folder)
        baseline = save_baseline(result)
        index = faiss.read_index(str(folder / "index.faiss"))

        def checked(path: Path | None, threads: int = 0) -> CheckResult:
            vectors = open_vectors(folder / "base.npy", "base")
            queries = open_vectors(folder / "queries.npy", "queries")
            asked = CheckOptions(index=path, threads=threads)
            return result_of(check(baseline, vectors, queries, asked, folder / "work"))

        faults = planted_faults(population, baseline, folder, checked)
        trials = whole_checks(baseline, lambda: checked(None, BUILD_THREADS))
        use_threads(0)
        for kind in (false_alarms, power_trials):
            trials += kind(population, index, baseline.ef_search)
    lines = [*report(base, population, baseline, trials), *faults, "", origin()]
    write_lines(lines, out / "trials.md")
    click.echo("\n".join(lines))


def report(source: Path, population: Population, baseline: GateBaseline, trials: list[Row]) -> Iterator[str]:
    """Yield the report as far as the rows of the faults."""
    n, d = population.base.shape
    yield f"# The recall gate on {n:,} x {d} of {source.name}"
    yield ""
    yield (
        f"{baseline.label} with ef_search={baseline.ef_search}, recall {baseline.measured_recall:.4f}. A "
        f"regression is a drop of recall@{K} of more than {100 * LIMITS.recall:g} points with "
        f"{CONFIDENCE:.0%} confidence, judged query by query on {DRAWN:,} queries drawn from "
        f"{len(population.queries):,}."
    )
    yield ""
    yield from table(HEAD, map(cells, trials))
    yield ""
    yield "Faults planted in the delivered index, each checked by `tune check --index`:"
    yield ""
    yield "| fault | | lines that fail | recall |"
    yield "|---|---|---|---|"


def cells(row: Row) -> tuple[str, ...]:
    """Return a row of the table in Markdown."""
    promised = "-" if row.promised is None else f"{row.promised:.1%}"
    return row.trial, f"{100 * row.planted:.2f}", str(row.n_trials), f"{row.called:.1%}", promised


if __name__ == "__main__":
    main()
