"""Trials of the recall gate: how often it cries wolf, what it sees, which planted faults it catches.

    python -m benchmarks.gate BASE.npy --out reports/gate

Some rows of BASE become the base and others a large population of queries. Each trial draws 1,000 of them,
as another user's query set, and judges as `tune check` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import faiss
import numpy as np

import tuner
from benchmarks.gate.faults import FAULTS, inner, rebuilt
from benchmarks.tasks import done
from tuner.backends import hnsw_lib
from tuner.check import CheckOptions, CheckResult, Frozen, Limits, check, freeze, now
from tuner.data.base import Base
from tuner.data.vectors import open_vectors
from tuner.journal import write_atomically
from tuner.machine import describe_machine, describe_versions, use_threads
from tuner.paired import HitArray, Power, drop_between, variance_per_drop
from tuner.truth import Truth, search_exactly
from tuner.types import FloatArray, IdArray

K, RECALL, CONFIDENCE = 10, 0.95, 0.95
DRAWN, TUNED = 1_000, 2_000
FALSE_ALARMS, POWER_TRIALS = 400, 200
BUILDS, BUILD_THREADS = 20, 16
LIMITS = Limits()
HEAD = "| trial | drop planted, points | trials | called a regression | promised by the power line |"


@dataclass(frozen=True)
class Population:
    """A base and many queries, normalised, with exact neighbours."""

    base: FloatArray
    queries: FloatArray
    truth: Truth

    def hits(self, ids: IdArray) -> HitArray:
        """Return right answers of each query."""
        return self.truth.hits(self.base, self.queries, ids)

    def searched(self, index: faiss.Index, ef_search: int) -> HitArray:
        """Return right answers of each query at an ef_search, which is set back afterwards."""
        graph = inner(index)
        usual = graph.hnsw.efSearch
        graph.hnsw.efSearch = ef_search
        ids = index.search(self.queries, K)[1]
        graph.hnsw.efSearch = usual
        return self.hits(ids)


@dataclass(frozen=True)
class Row:
    """One line of the table; ``promised`` is the mean of the power lines of its trials."""

    trial: str
    planted: float
    n_trials: int
    called: float
    promised: float | None


def population(source: Path, n: int, n_queries: int) -> Population:
    """Return disjoint random rows of a file, none of them twice."""
    x = np.load(source).astype(np.float32)
    x = x[np.random.default_rng(0).permutation(len(x))]
    x = x[np.sort(np.unique(x, axis=0, return_index=True)[1])]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    base, queries = np.ascontiguousarray(x[:n]), np.ascontiguousarray(x[n : n + n_queries])
    return Population(base, queries, done(search_exactly(base, queries, K, K)))


def alarms(before: HitArray, after: HitArray, n_trials: int, rng: np.random.Generator) -> int:
    """Return how many of so many resampled query sets call a regression."""
    called = 0
    for _ in range(n_trials):
        drawn = rng.choice(len(before), DRAWN)
        called += drop_between(before[drawn], after[drawn], K, CONFIDENCE).lower > LIMITS.recall
    return called


def false_alarms(people: Population, index: faiss.Index, ef_search: int) -> list[Row]:
    """Return the alarms of an unchanged index, and of builds that differ by the order of threads alone."""
    rng = np.random.default_rng(1)
    hits = people.searched(index, ef_search)
    called = alarms(hits, hits, FALSE_ALARMS, rng)
    rows = [Row("unchanged index", 0.0, FALSE_ALARMS, called / FALSE_ALARMS, None)]
    for name, builds in (
        ("faiss", [_faiss_hits(people, index, ef_search) for _ in range(BUILDS + 1)]),
        ("hnswlib", _hnswlib_hits(people)),
    ):
        a_build = FALSE_ALARMS // BUILDS
        called = sum(alarms(builds[0], each, a_build, rng) for each in builds[1:])
        means = [float(each.mean()) / K for each in builds]
        how = f"built again by {BUILD_THREADS} threads"
        told = f"{name}, {how} (recall {min(means):.4f} to {max(means):.4f})"
        rows.append(Row(told, 0.0, a_build * BUILDS, called / (a_build * BUILDS), None))
    return rows


def _faiss_hits(people: Population, index: faiss.Index, ef_search: int) -> HitArray:
    """Return the hits of the same codec and M, built natively by many threads."""
    use_threads(BUILD_THREADS)
    fresh = rebuilt(index, people.base)
    use_threads(0)
    return people.searched(fresh, ef_search)


def _hnswlib_hits(people: Population) -> list[HitArray]:
    base = Base(people.base, None, "l2", 0.0)
    found = []
    for _ in range(BUILDS + 1):
        built = done(hnsw_lib.build(base, 16, 200, 0, BUILD_THREADS))
        built.set_ef(40)
        found.append(people.hits(built.search(people.queries, K)))
    return found


def power_trials(people: Population, index: faiss.Index, ef_search: int) -> list[Row]:
    """Return how often real drops, made by a lower ef_search, are called, and how often that was promised."""
    rng = np.random.default_rng(2)
    before = people.searched(index, ef_search)
    tried = {ef: people.searched(index, ef) for ef in range(max(1, ef_search // 4), ef_search + 1)}
    other = people.searched(index, round(ef_search * 2 / 3))
    rows = []
    for wanted in (0.005, 0.0075, 0.01, 0.015):
        ef, after = min(tried.items(), key=lambda each: abs((before - each[1]).mean() / K - wanted))
        called, promised = [], []
        drop = float((before - after).mean()) / K
        for _ in range(POWER_TRIALS):
            drawn = rng.choice(len(before), DRAWN, replace=False)
            found = drop_between(before[drawn], after[drawn], K, CONFIDENCE)
            called.append(found.lower > LIMITS.recall)
            spread = variance_per_drop(before[drawn], other[drawn], K) or 0.0
            power = Power(DRAWN, LIMITS.recall, CONFIDENCE, churn=0.0, per_drop=spread)
            promised.append(power.chance(drop))
        told = f"ef_search {ef_search} to {ef}"
        rows.append(Row(told, drop, POWER_TRIALS, float(np.mean(called)), float(np.mean(promised))))
    return rows


def planted_faults(
    people: Population, frozen: Frozen, folder: Path, checked: Callable[[Path], CheckResult]
) -> list[str]:
    """Return a line for each fault: caught or not, and by what."""
    lines = []
    for name, plant in FAULTS.items():
        damaged = folder / "damaged.faiss"
        plant(folder / "index.faiss", people.base, damaged)
        found = checked(damaged)
        failed = ", ".join(line.name for line in found.lines if line.status == "fail")
        verdict = "**missed**" if found.passed else "caught"
        lines.append(f"| {name} | {verdict} | {failed} | {found.recall.mean:.4f} |")
    return lines


@click.command()
@click.argument("base", type=click.Path(exists=True, path_type=Path))
@click.option("--rows", default=20_000, show_default=True, help="Of the base.")
@click.option("--population", "n_queries", default=6_000, show_default=True, help="Queries to draw from.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the table.")
def main(base: Path, rows: int, n_queries: int, out: Path) -> None:
    """Try the recall gate on vectors of BASE and write the table of trials."""
    use_threads(0)
    people = population(base, rows, n_queries)
    with tempfile.TemporaryDirectory(prefix="gate-") as temporary:
        folder = Path(temporary)
        np.save(folder / "base.npy", people.base)
        np.save(folder / "queries.npy", people.queries[:TUNED])
        result = tuner.tune(folder / "base.npy", recall=RECALL, queries=folder / "queries.npy", out=folder)
        frozen = freeze(result)
        index = faiss.read_index(str(folder / "index.faiss"))

        def checked(path: Path) -> CheckResult:
            vectors = open_vectors(folder / "base.npy", "base")
            queries = open_vectors(folder / "queries.npy", "queries")
            return done(check(frozen, vectors, queries, CheckOptions(index=path), folder / "work"))

        faults = planted_faults(people, frozen, folder, checked)
        ef_search = frozen.ef_search
        trials = [*false_alarms(people, index, ef_search), *power_trials(people, index, ef_search)]
    text = _written(base, people, frozen, trials, faults)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "trials.md", text.encode())
    click.echo(text)


def _written(source: Path, people: Population, frozen: Frozen, trials: list[Row], faults: list[str]) -> str:
    n, d = people.base.shape
    machine, versions = describe_machine(), describe_versions()
    lines = [
        f"# The recall gate on {n:,} x {d} of {source.name}",
        "",
        f"{frozen.label} with ef_search={frozen.ef_search}, recall {frozen.measured_recall:.4f}. A "
        f"regression is a drop of recall@{K} of more than {100 * LIMITS.recall:g} points with "
        f"{CONFIDENCE:.0%} confidence, judged query by query on {DRAWN:,} queries drawn from "
        f"{len(people.queries):,}.",
        "",
        HEAD,
        "|---|---|---|---|---|",
        *(
            f"| {row.trial} | {100 * row.planted:.2f} | {row.n_trials} | {row.called:.1%} | "
            f"{'-' if row.promised is None else f'{row.promised:.1%}'} |"
            for row in trials
        ),
        "",
        "Faults planted in the delivered index, each checked by `tune check --index`:",
        "",
        "| fault | | lines that fail | recall |",
        "|---|---|---|---|",
        *faults,
        "",
        f"`python -m benchmarks.gate {source.name} --out reports/gate`, {now()}, {machine['processor']}, "
        f"{machine['cores']} cores; " + ", ".join(f"{name} {found}" for name, found in versions.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
