"""Trials of the paired comparison: how often it cries wolf, and how often it sees a real drop.

Each trial draws 1,000 of a large population of queries, as another user's query set, and judges as
``tune check`` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import faiss
import numpy as np

from benchmarks.gate.faults import inner, rebuilt
from tuner.data.base import Base
from tuner.gate import Limits
from tuner.index import hnswlib_index as hnsw_lib
from tuner.recall.paired import HitArray, Power, churn_beside, drop_between, variance_per_drop
from tuner.recall.truth import Truth, search_exactly
from tuner.runtime.process import use_threads
from tuner.runtime.steps import result_of
from tuner.types import FloatArray, IdArray

K, CONFIDENCE = 10, 0.95
DRAWN = 1_000
"""Queries of a trial."""
FALSE_ALARMS, POWER_TRIALS = 400, 200
BUILDS, BUILD_THREADS = 20, 16
LIMITS = Limits()


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


def read_population(source: Path, n: int, n_queries: int) -> Population:
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


def false_alarms(population: Population, index: faiss.Index, ef_search: int) -> list[Row]:
    """Return the alarms of an unchanged index, and of builds that differ by the order of threads alone."""
    rng = np.random.default_rng(1)
    hits = population.searched(index, ef_search)
    n_alarms = 0
    for _ in range(FALSE_ALARMS):  # really searched again, in another order and company
        drawn = rng.choice(len(hits), DRAWN)
        ids = index.search(population.queries[drawn], K)[1]
        again = population.truth.part(drawn).hits(population.base, population.queries[drawn], ids)
        n_alarms += called(hits[drawn], again)
    rows = [Row("unchanged index, searched again", 0.0, FALSE_ALARMS, n_alarms / FALSE_ALARMS, None)]
    for name, builds in (
        ("faiss", [_faiss_hits(population, index, ef_search) for _ in range(BUILDS + 1)]),
        ("hnswlib", _hnswlib_hits(population)),
    ):
        a_build = FALSE_ALARMS // BUILDS
        n_alarms = sum(alarms(*pair, a_build, rng) for pair in pairwise(builds))
        means = [float(each.mean()) / K for each in builds]
        how = f"built again by {BUILD_THREADS} threads"
        description = f"{name}, {how} (recall {min(means):.4f} to {max(means):.4f})"
        rows.append(Row(description, 0.0, a_build * BUILDS, n_alarms / (a_build * BUILDS), None))
    return rows


def _faiss_hits(population: Population, index: faiss.Index, ef_search: int) -> HitArray:
    """Return the hits of the same codec and M, built natively by many threads."""
    use_threads(BUILD_THREADS)
    fresh = rebuilt(index, population.base)
    use_threads(0)
    return population.searched(fresh, ef_search)


def _hnswlib_hits(population: Population) -> list[HitArray]:
    base = Base(population.base, None, "l2", 0.0)
    found = []
    for _ in range(BUILDS + 1):
        built = result_of(hnsw_lib.build(base, 16, 200, 0, BUILD_THREADS))
        built.set_ef(40)
        found.append(population.hits(built.search(population.queries, K)))
    return found


def power_trials(population: Population, index: faiss.Index, ef_search: int) -> list[Row]:
    """Return how often real drops, made by a lower ef_search, are called, and how often that was promised."""
    before = population.searched(index, ef_search)
    other = population.searched(index, round(ef_search * 2 / 3))
    rows = []
    for wanted in (0.005, 0.0075, 0.01, 0.015):
        ef = _ef_that_loses(population, index, before, ef_search, wanted)
        after = population.searched(index, ef)
        rows.append(_power(f"ef_search {ef_search} to {ef}", before, after, other))
    use_threads(BUILD_THREADS)
    fresh = rebuilt(index, population.base)
    use_threads(0)
    again = population.searched(fresh, ef_search)
    ef = _ef_that_loses(population, fresh, before, ef_search, 0.01)
    after = population.searched(fresh, ef)
    other = population.searched(fresh, round(ef * 2 / 3))
    gained = float((again - before).mean()) / K
    description = f"built natively ({100 * gained:+.2f} points) and ef_search {ef_search} to {ef}"
    return [*rows, _power(description, before, after, other)]


def _ef_that_loses(
    population: Population, index: faiss.Index, before: HitArray, ef_search: int, wanted: float
) -> int:
    """Return the ef_search whose drop is nearest to the one wanted, by halving."""
    low, high = 1, 2 * ef_search
    while high - low > 1:
        middle = (low + high) // 2
        lost = float((before - population.searched(index, middle)).mean()) / K
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
