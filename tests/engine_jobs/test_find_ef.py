"""ef_search in an engine: looked for with few queries, certified by all of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.engine_jobs.find_ef import FEW_QUERIES, find, find_again
from tuner.engines import Answers, EngineConfig, find_engine
from tuner.engines.translate import factors_of
from tuner.recall.target import Target
from tuner.runtime.steps import result_of
from tuner.sweep.ef_search import FINENESS
from tuner.types import FloatArray

K, RECALL = 10, 0.95
DUCKDB = find_engine("duckdb").capabilities


class PlantedProcess:
    """An engine whose recall is known: a query misses its tenth answer more rarely as ef_search grows.

    A query is its own number, of which ``hard`` says how much ef_search it asks for.
    """

    def __init__(self, hard: FloatArray) -> None:
        self.hard, self.ef_search, self.factor = hard, 0, 1
        self.searched: list[tuple[int, int]] = []

    def set_search(self, ef_search: int, oversampling: int) -> None:
        self.ef_search, self.factor = ef_search, oversampling

    def search(self, queries: FloatArray, k: int) -> Answers:
        self.searched.append((len(queries), self.ef_search))
        found = np.minimum(k, k * self.ef_search / self.hard[queries[:, 0].astype(int)])
        ids = np.where(np.arange(k) < found[:, None], 1, -1)
        return Answers(ids=ids, seconds=np.full(len(queries), 1e-3))


def posed(nq: int) -> Any:
    """Return a problem whose hits are the ids that are not -1."""
    raw = np.arange(nq, dtype=np.float32)[:, None]
    problem = SimpleNamespace(
        raw=raw,
        options=SimpleNamespace(k=K, recall=RECALL),
        target=Target(recall=RECALL, k=K, confidence=0.95, n_queries=nq),
        sample=lambda count: np.arange(nq)[:: max(1, nq // count)][:count],
        hits=lambda ids, some=None: (ids >= 0).sum(axis=1),
    )
    return SimpleNamespace(problem=problem, raw=lambda some: raw[some], n=10_000)


def config(ef_search: int) -> EngineConfig:
    return EngineConfig(
        engine="duckdb",
        codec="FLOAT",
        d=1,
        metric="cosine",
        k=K,
        M=16,
        ef_construction=128,
        ef_search=ef_search,
    )


def hard(nq: int) -> FloatArray:
    return np.random.default_rng(0).uniform(20, 200, nq).astype(np.float32)


@pytest.mark.parametrize("guess", [10, 64, 1_000])
def test_few_queries_say_where_to_look_and_all_of_them_certify(guess: int) -> None:
    nq = 2_000
    process: Any = PlantedProcess(hard(nq))
    found = result_of(find(process, DUCKDB, config(guess), posed(nq), guess, 4_096, 1))
    of_all = [ef for count, ef in process.searched if count == nq]
    assert {count for count, _ in process.searched} == {FEW_QUERIES, nq}
    assert len(of_all) <= 4, "few queries left too much to all of them"
    assert len(found.tuned.hits) == len(found.seconds) == nq
    assert found.tuned.passes
    target, planted = posed(nq).problem.target, PlantedProcess(hard(nq))
    planted.set_search(found.config.ef_search * (FINENESS - 2) // FINENESS - 1, 1)
    below = (planted.search(posed(nq).problem.raw, K).ids >= 0).sum(axis=1)
    assert below.mean() / K < target.needed(below), "a smaller ef_search would do"


class CodedProcess(PlantedProcess):
    """Coarse codes: the less is re-scored, the fewer answers there are, and a re-scored one takes 10 us."""

    def __init__(self, hard: FloatArray, lucky: int = 0, unlucky: bool = False) -> None:
        super().__init__(hard)
        self.lucky, self.unlucky = lucky, unlucky
        self.factors: list[tuple[int, int]] = []

    def search(self, queries: FloatArray, k: int) -> Answers:
        self.factors.append((len(queries), self.factor))
        found = super().search(queries, k)
        lost = 1 if self.factor < 4 else 0
        if self.factor == self.lucky and len(queries) == FEW_QUERIES:
            lost = 0
        if self.unlucky and len(queries) == FEW_QUERIES:
            lost = 1
        found.ids[:, k - lost :] = -1
        return Answers(ids=found.ids, seconds=found.seconds + 1e-5 * self.factor * k + 1e-6 * self.ef_search)


CODED = find_engine("pgvector").capabilities


def coded() -> EngineConfig:
    return replace(config(100), engine="pgvector", codec="bit")


def test_few_queries_compare_the_re_scoring_factors_and_all_certify_one() -> None:
    process: Any = CodedProcess(hard(2_000))
    found = result_of(find(process, CODED, coded(), posed(2_000), 100, 1_000, 1))
    assert found.tuned.passes
    assert found.config.oversampling == 4
    assert {factor for count, factor in process.factors if count == 2_000} == {4}
    assert {factor for count, factor in process.factors if count == FEW_QUERIES} == {1, 2, 3, 4, 6}


def test_a_factor_that_only_lucky_queries_reach_the_target_with_gives_way_to_the_next() -> None:
    process: Any = CodedProcess(hard(2_000), lucky=2)
    found = result_of(find(process, CODED, coded(), posed(2_000), 100, 1_000, 1))
    assert found.tuned.passes
    assert found.config.oversampling == 4
    assert list(dict.fromkeys(factor for count, factor in process.factors if count == 2_000)) == [2, 4]


def test_where_few_queries_reach_the_target_with_no_factor_all_are_asked_with_the_largest() -> None:
    process: Any = CodedProcess(hard(2_000), unlucky=True)
    found = result_of(find(process, CODED, coded(), posed(2_000), 100, 1_000, 1))
    assert found.tuned.passes
    largest = max(factors_of(CODED, K))
    assert {factor for count, factor in process.factors if count == 2_000} == {largest}
    far = [factor for count, factor in process.factors if count == FEW_QUERIES]
    assert far.count(1) == 1, "what few have said is asked again"


def test_where_few_are_a_large_part_all_are_asked_at_once() -> None:
    nq = 2 * FEW_QUERIES - 1
    process: Any = PlantedProcess(hard(nq))
    assert result_of(find(process, DUCKDB, config(64), posed(nq), 64, 4_096, 1)).tuned.passes
    assert {count for count, _ in process.searched} == {nq}


def test_few_lucky_queries_certify_nothing() -> None:
    """Those that are looked at first are easy: the others ask for ten times the ef_search."""
    nq = 2_000
    asked = np.full(nq, 300, np.float32)
    asked[posed(nq).problem.sample(FEW_QUERIES)] = 30
    process: Any = PlantedProcess(asked)
    found = result_of(find(process, DUCKDB, config(30), posed(nq), 30, 4_096, 1))
    assert found.tuned.passes
    assert found.config.ef_search > 250


def test_a_second_build_is_asked_once_where_it_holds() -> None:
    nq = 2_000
    process: Any = PlantedProcess(hard(nq))
    assert result_of(find_again(process, config(500), posed(nq), 4_096)).tuned.passes
    assert process.searched == [(nq, 500)]
