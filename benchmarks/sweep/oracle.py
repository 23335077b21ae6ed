"""The index of a sweep beside the one that the exhaustive run picks, in the same rounds.

    python -m benchmarks.sweep.oracle BASE.npy QUERIES.npy --out reports/oracle/NAME.md --work FOLDER

Runs ``tune`` twice on the same rows, the second time with ``--exhaustive`` on the preset "oracle", which
builds every combination natively. A run whose report is in FOLDER is not run again; an interrupted one
goes on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import faiss

from benchmarks.common import FILE, origin, run_tune, write_lines
from benchmarks.sweep.tasks import BASE, write_some_rows
from tuner.data.vectors import open_vectors
from tuner.report import result_from_json
from tuner.report.tables import table
from tuner.runtime.timing import interleave
from tuner.types import FloatArray, Recommendation, Result

RUNS = {"ours": (), "oracle": ("--exhaustive", "--space", "oracle")}
TIMED, ROUNDS, TIMINGS = 400, 21, 2
HEAD = (
    *("run", "index", "ef", "recall", "lower", "B/vector", "us/query", "ndis"),
    *("graphs built", "CPU s"),
)


@dataclass(frozen=True)
class Run:
    """A finished run: its report, its recommendation and the index it delivered."""

    result: Result
    answer: Recommendation
    index: faiss.Index


@dataclass(frozen=True)
class Ratios:
    """One timing of both indexes.

    Attributes:
        latency_s: seconds a query of ours and of the oracle's.
        product: memory x latency of ours over the oracle's.
        noise: time of ours over its own, entered a second time (A/A).
    """

    latency_s: tuple[float, float]
    product: float
    noise: float


def finished(base: Path, queries: Path, recall: float, out: Path, extra: tuple[str, ...]) -> Run:
    """Return a run of ``tune`` in the folder ``out``, which is not run again where its report is there."""
    report = out / "report.json"
    if not report.exists():
        resume = ["--resume"] if out.exists() else []
        words = ["--recall", str(recall), "--queries", str(queries), "--out", str(out), "--quiet", *resume]
        done = run_tune([*words, *extra, str(base)])
        if done.returncode != 0:
            raise click.UsageError(done.stderr.strip() or f"tune ended with status {done.returncode}")
    result = result_from_json(report.read_bytes())
    if result.recommendation is None:
        raise click.UsageError(f"{out}: the run has no recommendation")
    return Run(result, result.recommendation, faiss.read_index(str(out / "index.faiss")))


def timed(runs: list[Run], queries: FloatArray, seed: int) -> Ratios:
    """Return the times of both indexes, taking turns; ours is entered twice."""
    k = runs[0].result.options.k
    searches = [lambda q, run=run: run.index.search(q, k) for run in runs]
    timings = interleave([*searches, searches[0]], queries, seed=seed, fewest=ROUNDS, most=ROUNDS)
    ours_s, oracle_s = (timings.latency(number, 0).mean_s for number in (0, 1))
    memory = runs[0].answer.memory_bytes / runs[1].answer.memory_bytes
    return Ratios((ours_s, oracle_s), memory * ours_s / oracle_s, timings.ratio(2, 0))


def lines(runs: list[Run], timings: list[Ratios]) -> Iterator[str]:
    """Yield the report: a row for each run, ratios, and where they come from."""
    profile, options = runs[0].result.profile, runs[0].result.options
    what = f"{profile.n:,} x {profile.d}, {profile.metric}, recall@{options.k} >= {options.recall}"
    yield f"# The index of one build beside the oracle's: {what}"
    yield ""
    yield from table(HEAD, (_cells(name, number, runs, timings) for number, name in enumerate(RUNS)))
    yield ""
    work = [run.answer.memory_bytes * run.answer.ndis_per_query for run in runs]
    yield f"- memory x distance computations, ours over the oracle's: {work[0] / work[1]:.3f}"
    products = " and ".join(f"{each.product:.3f}" for each in timings)
    noise = max(abs(each.noise - 1) for each in timings)
    yield (
        f"- memory x latency, ours over the oracle's: {products} in {len(timings)} timings (A/A {noise:.1%}: "
        "ours beside itself)"
    )
    yield (
        "- recall, bytes and distance computations repeat with the same seed and versions; times and CPU "
        "seconds are those of the machine and of what else ran on it: ratios nearer to 1 than A/A say nothing"
    )
    yield f"- {origin()}"


def _cells(name: str, number: int, runs: list[Run], timings: list[Ratios]) -> list[str]:
    result, answer = runs[number].result, runs[number].answer
    times = " and ".join(f"{1e6 * each.latency_s[number]:.0f}" for each in timings)
    return [
        *(name, f"`{answer.label}`", str(answer.ef_search), f"{answer.recall:.4f}"),
        *(f"{answer.recall_lower:.4f}", f"{answer.memory_per_vector_bytes:.0f}", times),
        *(
            f"{answer.ndis_per_query:.0f}",
            str(result.cost.n_graph_builds),
            f"{result.cost.cpu_s:.0f}",
        ),
    ]


@click.command()
@click.argument("base", type=FILE)
@click.argument("queries", type=FILE)
@click.option("--rows", type=click.IntRange(min=1), help="Rows of BASE, at random.  [default: all]")
@click.option("--recall", default=0.95, show_default=True, help="Target recall@k.")
@click.option("--work", required=True, type=click.Path(path_type=Path), help="Folder of the two runs.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Markdown file of the table.")
def main(base: Path, queries: Path, rows: int | None, recall: float, work: Path, out: Path) -> None:
    """Compare what tune recommends for BASE with what building every combination finds."""
    work.mkdir(parents=True, exist_ok=True)
    if rows is not None:
        base = write_some_rows(base, rows, work / BASE)
    runs = [
        finished(base.resolve(), queries.resolve(), recall, work.resolve() / name, extra)
        for name, extra in RUNS.items()
    ]
    asked = open_vectors(queries, "queries").read(0, TIMED)
    found = list(lines(runs, [timed(runs, asked, seed) for seed in range(TIMINGS)]))
    write_lines(found, out)
    click.echo("\n".join(found))


if __name__ == "__main__":
    main()
