"""Bisection finds the smallest ef_search that passes, wherever it starts, and stays within its bounds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import M_MAX, NQ, K, World

from tuner.index.assemble import Encoded, SearchableIndex, predict_memory, serve
from tuner.prediction.surface import CodecCost
from tuner.sweep import ef_search
from tuner.sweep.ef_search import (
    FINENESS,
    NEAR_ENOUGH,
    EfResult,
    find_min_ef,
    judged,
    measure_at,
    operating_point,
    tune_ef,
)
from tuner.sweep.problem import Problem
from tuner.types import Configuration, Options


class Planted:
    """Recall that grows with ef, and a test that passes from ``smallest`` on: what it asks for is known."""

    def __init__(
        self,
        smallest: int,
        hits: Callable[[int], float] = lambda ef: 10 * ef / (ef + 10),
        needed: float | None = None,
    ) -> None:
        self.hits = hits
        self.needed = needed or (hits(smallest) + hits(smallest - 1)) / 20
        self.tried: list[int] = []

    def __call__(self, ef_search: int) -> EfResult:
        self.tried.append(ef_search)
        hits = np.array([self.hits(ef_search)] * 2)
        recall = float(hits.mean()) / 10
        return EfResult(ef_search, hits, 10.0 * ef_search, 1.0, recall, self.needed)


@pytest.mark.parametrize("guess", [10, 11, 40, 97, 500, 1000])
@pytest.mark.parametrize("smallest", [1, 10, 11, 12, 39, 40, 41, 96, 97, 98, 499, 999, 1000])
def test_it_finds_the_smallest_that_passes(smallest: int, guess: int) -> None:
    planted = Planted(smallest)
    found = find_min_ef(planted, 10, guess, 1000)
    # to the integer below 2 x FINENESS, to 3 % above
    least = max(smallest, 10)
    assert least <= found.ef_search <= least + max(1, found.ef_search // FINENESS) - 1
    assert found.passes
    assert found.ndis == 10.0 * found.ef_search
    assert 10 <= min(planted.tried) <= max(planted.tried) <= 1000
    assert len(planted.tried) == len(set(planted.tried)), "an ef_search measured twice"
    assert len(planted.tried) <= 8


@pytest.mark.parametrize("guess", [10, 300, 1000])
def test_where_nothing_passes_the_limit_is_the_last(guess: int) -> None:
    planted = Planted(10**9)
    found = find_min_ef(planted, 10, guess, 1000)
    assert (found.ef_search, found.passes) == (1000, False)
    assert max(planted.tried) == 1000


def test_on_a_plateau_it_gives_up_and_returns_the_last_tried() -> None:
    planted = Planted(10**9, hits=lambda ef: min(ef, 64) / 8, needed=0.9)
    found = find_min_ef(planted, 10, 16, 10**6)
    assert not found.passes
    assert found.ef_search == planted.tried[-1] == max(planted.tried) < 1000
    assert found.hits.tolist() == [8.0, 8.0]


@pytest.mark.parametrize(
    ("guess", "smallest"), [*((10, ef) for ef in (42, 43, 60, 72)), *((16, ef) for ef in (80, 81, 90, 99))]
)
def test_a_plateau_above_the_target_is_searched_for_its_smallest(guess: int, smallest: int) -> None:
    """The last step up gains less than PLATEAU, but passes: what it jumped over is still looked at."""
    planted = Planted(smallest, hits=lambda ef: 7.999 if ef < smallest else 8.0)
    found = find_min_ef(planted, 10, guess, 10**6)
    assert smallest <= found.ef_search <= NEAR_ENOUGH * smallest
    assert found.passes


def test_a_plateau_below_the_first_guess_is_not_the_end() -> None:
    """Recall stands still for one step and passes at the next: near the guess, it goes on."""
    planted = Planted(24, hits=lambda ef: 7.0 if ef < 24 else 9.0)
    assert find_min_ef(planted, 10, 16, 10**6).ef_search == 24


def test_one_value_to_choose_from() -> None:
    for smallest in (5, 50):
        planted = Planted(smallest)
        assert find_min_ef(planted, 10, 10, 10).ef_search == 10
        assert planted.tried == [10]


# ---------------------------------------------------------------- on a real index


@pytest.fixture(scope="module")
def problem(world: Callable[..., World]) -> Problem:
    one = world("cosine")
    return Problem(
        options=Options(recall=0.8, k=K),
        base=one.base,
        raw=one.raw,
        queries=one.queries,
        truth=one.truth,
        order=np.arange(NQ),
        links_path=Path(one.links_path),
        threads=1,
    )


def test_the_smallest_ef_search_of_an_index(
    world: Callable[..., World],
    encoded: Callable[..., Encoded],
    problem: Problem,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, codec = world("cosine"), encoded("cosine", "SQ8")
    configuration = Configuration(M=8, ef_construction=100, codec="SQ8", dims=one.base.d)
    searchable = serve(configuration, one.links, one.links_path, codec, None, one.base)
    ef_result = tune_ef(problem, searchable, 30, 500)
    assert ef_result.passes
    assert ef_result.ef_search == K or not measure_at(problem, searchable, ef_result.ef_search - 1).passes
    assert tune_ef(problem, searchable, 200, 500).ef_search == ef_result.ef_search
    # what was measured before is taken for it, and that index is not asked at that ef_search again
    asked: list[int] = []

    def noted(problem: Problem, searchable: SearchableIndex, ef: int) -> EfResult:
        asked.append(ef)
        return measure_at(problem, searchable, ef)

    monkeypatch.setattr(ef_search, "measure_at", noted)
    stricter = replace(problem, quantile=2.5)
    known = judged(stricter, ef_result.ef_search, ef_result.hits, ef_result.ndis, 0.0)
    again = tune_ef(stricter, searchable, known.ef_search, 500, known=known)
    assert again.ef_search >= known.ef_search
    assert asked
    assert known.ef_search not in asked
    assert again.ef_search == tune_ef(stricter, searchable, known.ef_search, 500).ef_search
    assert known.ef_search in asked
    # the hits are those of brute force
    searchable.set_ef(ef_result.ef_search)
    ids = searchable.index.search(one.raw, K)[1].tolist()
    right = [len(set(mine) & set(true)) for mine, true in zip(ids, one.nearest.tolist(), strict=True)]
    assert ef_result.hits.tolist() == right


def test_an_operating_point_reports_what_certifies_it(
    world: Callable[..., World], encoded: Callable[..., Encoded], problem: Problem
) -> None:
    one, codec, store = world("cosine"), encoded("cosine", "SQ4"), encoded("cosine", "fp16")
    configuration = Configuration(
        M=M_MAX,
        ef_construction=100,
        codec="SQ4",
        dims=one.base.d,
        rerank="fp16",
        rerank_factor=4,
        rerank_at="disk",
    )
    searchable = serve(configuration, one.links, one.links_path, codec, store, one.base)
    ef_result = tune_ef(problem, searchable, 10, 500)
    assert ef_result.ef_search >= 4 * K  # what is re-ranked must have been found
    costs = CodecCost(1e-7, 1e-6, 1e-5, {"fp16": 1e-6}, {"fp16": 2e-6})
    memory = predict_memory(configuration, codec.encoder, store.encoder, one.links, one.base)
    point = operating_point(problem, searchable, ef_result, memory, 0.9, costs)
    assert point.ef_search == ef_result.ef_search
    assert point.recall.mean == pytest.approx(ef_result.hits.mean() / K)
    assert point.hits == tuple(ef_result.hits.tolist())
    assert point.reaches_target == ef_result.passes == (point.recall.lower >= 0.8)
    assert (point.reads_per_query, point.ndis_per_query) == (40, ef_result.ndis)
    code, stored = codec.codes.shape[1], store.codes.shape[1]
    links = ef_result.hops * 2 * M_MAX * 4
    assert point.bytes_read_per_query == pytest.approx(ef_result.ndis * code + links + 40 * stored)
    assert point.predicted_recall == 0.9
    modelled = 1e-5 + ef_result.ndis * 1e-7 + ef_result.ef_search * 1e-6 + 2e-6 + 40 * 1e-6
    assert point.modelled_latency_s == pytest.approx(modelled)


def test_passing_is_a_lower_bound_that_meets_the_target(problem: Problem) -> None:
    for perfect in range(NQ + 1):
        hits = np.repeat([10, 8], [perfect, NQ - perfect])
        found = judged(problem, 50, hits, 1.0, 1.0)
        assert found.passes == (problem.recall(hits).lower >= 0.8)
    assert not judged(problem, 50, np.full(NQ, 8), 1.0, 1.0).passes  # the mean alone is not enough


def test_bounds_that_hold_together_ask_for_more(problem: Problem) -> None:
    hits = np.repeat([10, 8], [NQ // 3, NQ - NQ // 3])
    together = replace(problem, quantile=2.5)
    assert judged(together, 50, hits, 1.0, 1.0).needed > judged(problem, 50, hits, 1.0, 1.0).needed


def test_where_all_is_needed_and_nothing_missed_it_does_not_creep() -> None:
    """So many queries that perfect hits just show the target: 1 is needed, and found from 40 on."""
    tried: list[int] = []

    def at(ef_search: int) -> EfResult:
        tried.append(ef_search)
        recall = 1.0 if ef_search >= 40 else 0.8
        return EfResult(ef_search, np.full(NQ, round(10 * recall)), 1.0, 1.0, recall, 1.0)

    found = find_min_ef(at, 10, 4_096, 4_096)
    assert found.passes
    assert found.ef_search <= 1.1 * 40
    assert len(tried) < 30


@pytest.mark.parametrize("smallest", [12, 35, 80, 110, 250, 700, 2000])
@pytest.mark.parametrize("off", [0.7, 0.85, 1.0, 1.2, 1.5])
def test_a_curve_like_a_graphs_takes_few_searches(smallest: int, off: float) -> None:
    """Misses fall a little faster than in proportion to ef_search."""
    tried: list[int] = []

    def recall(ef_search: float) -> float:
        return float(1 - np.exp(-0.9 * np.log(ef_search) - 0.02 * np.log(ef_search) ** 2))

    def at(ef_search: int) -> EfResult:
        tried.append(ef_search)
        return EfResult(ef_search, np.zeros(2, dtype=np.int64), 1.0, 1.0, recall(ef_search), recall(smallest))

    found = find_min_ef(at, 10, max(10, round(off * smallest)), 4096)
    assert smallest <= found.ef_search <= smallest + max(1, found.ef_search // FINENESS)
    assert len(tried) <= 5
