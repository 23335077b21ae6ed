"""Trials of the recall gate: how often it cries wolf, what it sees, which planted faults it catches.

    python -m benchmarks.gate BASE.npy --out reports/gate

Some rows of BASE become the base and others a large population of queries. Each trial draws 1,000 of them,
as another user's query set, and judges as `tune check` does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import click
import faiss
import numpy as np

import tuner
from benchmarks.gate.faults import FAULTS, inner, rebuilt
from tuner.data.base import Base
from tuner.data.vectors import open_vectors
from tuner.gate import CheckOptions, CheckResult, GateBaseline, Limits, check, save_baseline
from tuner.index import hnswlib_index as hnsw_lib
from tuner.recall.paired import HitArray, Power, churn_beside, drop_between, variance_per_drop
from tuner.recall.truth import Truth, search_exactly
from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import describe_machine, describe_versions, now, use_threads
from tuner.runtime.steps import result_of
from tuner.types import FloatArray, IdArray

K, RECALL, CONFIDENCE = 10, 0.95, 0.95
DRAWN, TUNED = 1_000, 2_000
FALSE_ALARMS, POWER_TRIALS = 400, 200
BUILDS, BUILD_THREADS, CHECKS = 20, 16, 10
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
    return Population(base, queries, result_of(search_exactly(base, queries, K, K)))


def called(before: HitArray, after: HitArray) -> bool:
    """Return whether the gate's paired comparison calls it a regression."""
    return drop_between(before, after, K, CONFIDENCE).lower > LIMITS.recall


def alarms(before: HitArray, after: HitArray, n_trials: int, rng: np.random.Generator) -> int:
    """Return how many of so many resampled query sets call a regression."""
    draws = (rng.choice(len(before), min(DRAWN, len(before))) for _ in range(n_trials))
    return sum(called(before[drawn], after[drawn]) for drawn in draws)


def false_alarms(people: Population, index: faiss.Index, ef_search: int) -> list[Row]:
    """Return the alarms of an unchanged index, and of builds that differ by the order of threads alone."""
    rng = np.random.default_rng(1)
    hits = people.searched(index, ef_search)
    n_alarms = 0
    for _ in range(FALSE_ALARMS):  # really searched again, in another order and company
        drawn = rng.choice(len(hits), DRAWN)
        ids = index.search(people.queries[drawn], K)[1]
        again = people.truth.part(drawn).hits(people.base, people.queries[drawn], ids)
        n_alarms += called(hits[drawn], again)
    rows = [Row("unchanged index, searched again", 0.0, FALSE_ALARMS, n_alarms / FALSE_ALARMS, None)]
    for name, builds in (
        ("faiss", [_faiss_hits(people, index, ef_search) for _ in range(BUILDS + 1)]),
        ("hnswlib", _hnswlib_hits(people)),
    ):
        a_build = FALSE_ALARMS // BUILDS
        n_alarms = sum(alarms(*pair, a_build, rng) for pair in pairwise(builds))
        means = [float(each.mean()) / K for each in builds]
        how = f"built again by {BUILD_THREADS} threads"
        told = f"{name}, {how} (recall {min(means):.4f} to {max(means):.4f})"
        rows.append(Row(told, 0.0, a_build * BUILDS, n_alarms / (a_build * BUILDS), None))
    return rows


def whole_checks(frozen: GateBaseline, rebuilt_check: Callable[[], CheckResult]) -> list[Row]:
    """Return the alarms of the whole command, which builds the frozen configuration again each time."""
    rng = np.random.default_rng(3)
    found = [rebuilt_check() for _ in range(CHECKS)]
    n_failed = sum(not each.passed for each in found)
    means = [each.recall.mean for each in found]
    told = (
        f"`tune check` without --index, {BUILD_THREADS} threads (recall {min(means):.4f} to {max(means):.4f})"
    )
    resampled = sum(
        alarms(frozen.hit_array, np.array(each.hits), FALSE_ALARMS // CHECKS, rng) for each in found
    )
    return [
        Row(told, 0.0, CHECKS, n_failed / CHECKS, None),
        Row("the same, queries resampled", 0.0, FALSE_ALARMS, resampled / FALSE_ALARMS, None),
    ]


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
        built = result_of(hnsw_lib.build(base, 16, 200, 0, BUILD_THREADS))
        built.set_ef(40)
        found.append(people.hits(built.search(people.queries, K)))
    return found


def power_trials(people: Population, index: faiss.Index, ef_search: int) -> list[Row]:
    """Return how often real drops, made by a lower ef_search, are called, and how often that was promised."""
    before = people.searched(index, ef_search)
    other = people.searched(index, round(ef_search * 2 / 3))
    rows = []
    for wanted in (0.005, 0.0075, 0.01, 0.015):
        ef = _ef_that_loses(people, index, before, ef_search, wanted)
        after = people.searched(index, ef)
        rows.append(_power(f"ef_search {ef_search} to {ef}", before, after, other))
    use_threads(BUILD_THREADS)
    fresh = rebuilt(index, people.base)
    use_threads(0)
    again = people.searched(fresh, ef_search)
    ef = _ef_that_loses(people, fresh, before, ef_search, 0.01)
    after = people.searched(fresh, ef)
    other = people.searched(fresh, round(ef * 2 / 3))
    gained = float((again - before).mean()) / K
    told = f"built natively ({100 * gained:+.2f} points) and ef_search {ef_search} to {ef}"
    return [*rows, _power(told, before, after, other)]


def _ef_that_loses(
    people: Population, index: faiss.Index, before: HitArray, ef_search: int, wanted: float
) -> int:
    """Return the ef_search whose drop is nearest to the one wanted, by halving."""
    low, high = 1, 2 * ef_search
    while high - low > 1:
        middle = (low + high) // 2
        lost = float((before - people.searched(index, middle)).mean()) / K
        low, high = (middle, high) if lost > wanted else (low, middle)
    return high


def _power(trial: str, before: HitArray, after: HitArray, other: HitArray) -> Row:
    """Return how often a drop is called in trials, and how often each trial's own power line promised.

    Args:
        other: hits of the index that is checked, at a lower ef_search.
    """
    rng = np.random.default_rng(2)
    drop = float((before - after).mean()) / K
    n_called, promised = 0, []
    for _ in range(POWER_TRIALS):
        drawn = rng.choice(len(before), DRAWN)
        found = drop_between(before[drawn], after[drawn], K, CONFIDENCE)
        n_called += found.lower > LIMITS.recall
        per_drop = variance_per_drop(after[drawn], other[drawn], K) or 0.0
        churn = churn_beside(found, per_drop)
        promised.append(Power(DRAWN, LIMITS.recall, CONFIDENCE, churn, per_drop).chance(drop))
    return Row(trial, drop, POWER_TRIALS, n_called / POWER_TRIALS, float(np.mean(promised)))


def planted_faults(
    people: Population, frozen: GateBaseline, folder: Path, checked: Callable[[Path], CheckResult]
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
        frozen = save_baseline(result)
        index = faiss.read_index(str(folder / "index.faiss"))

        def checked(path: Path | None, threads: int = 0) -> CheckResult:
            vectors = open_vectors(folder / "base.npy", "base")
            queries = open_vectors(folder / "queries.npy", "queries")
            asked = CheckOptions(index=path, threads=threads)
            return result_of(check(frozen, vectors, queries, asked, folder / "work"))

        faults = planted_faults(people, frozen, folder, checked)
        trials = whole_checks(frozen, lambda: checked(None, BUILD_THREADS))
        use_threads(0)
        for kind in (false_alarms, power_trials):
            trials += kind(people, index, frozen.ef_search)
    arguments = f"{base.name} --rows {rows} --population {n_queries} --out {out.name}"
    text = _written(arguments, base, people, frozen, trials, faults)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "trials.md", text.encode())
    click.echo(text)


def _written(
    arguments: str,
    source: Path,
    people: Population,
    frozen: GateBaseline,
    trials: list[Row],
    faults: list[str],
) -> str:
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
        f"`python -m benchmarks.gate {arguments}`, {now()}, {machine['processor']}, "
        f"{machine['cores']} cores; " + ", ".join(f"{name} {found}" for name, found in versions.items()),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
