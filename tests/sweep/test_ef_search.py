"""Bisection finds the smallest ef_search that passes, wherever it starts, and stays within its bounds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import M_MAX, NQ, K, World

from tuner.index.assemble import Encoded, predict_memory, serve
from tuner.prediction.surface import CodecCost
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
        tune=np.arange(0, NQ, 2),
        validate=np.arange(1, NQ, 2),
        links_path=Path(one.links_path),
        threads=1,
    )


def test_the_smallest_ef_search_of_an_index(
    world: Callable[..., World], encoded: Callable[..., Encoded], problem: Problem
) -> None:
    one, codec = world("cosine"), encoded("cosine", "SQ8")
    configuration = Configuration(M=8, ef_construction=100, codec="SQ8", dims=one.base.d)
    searchable = serve(configuration, one.links, one.links_path, codec, None, one.base)
    ef_result = tune_ef(problem, searchable, 30, 500)
    assert ef_result.passes
    assert ef_result.ef_search == K or not measure_at(problem, searchable, ef_result.ef_search - 1).passes
    assert tune_ef(problem, searchable, 200, 500).ef_search == ef_result.ef_search
    # the hits are those of the tune half, by brute force
    searchable.set_ef(ef_result.ef_search)
    ids = searchable.index.search(one.raw[problem.tune], K)[1].tolist()
    right = [
        len(set(mine) & set(true)) for mine, true in zip(ids, one.nearest[problem.tune].tolist(), strict=True)
    ]
    assert ef_result.hits.tolist() == right


def test_an_operating_point_reports_both_halves(
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
    searchable.set_ef(ef_result.ef_search)
    ids = searchable.index.search(one.raw[problem.validate], K)[1].tolist()
    true = one.nearest[problem.validate].tolist()
    shares = [len(set(mine) & set(others)) / K for mine, others in zip(ids, true, strict=True)]
    assert point.validated is not None
    assert point.validated.mean == pytest.approx(np.mean(shares))
    assert point.reaches_target == (ef_result.passes and point.validated.lower >= 0.8)
    assert (point.reads_per_query, point.ndis_per_query) == (40, ef_result.ndis)
    code, stored = codec.codes.shape[1], store.codes.shape[1]
    links = ef_result.hops * 2 * M_MAX * 4
    assert point.bytes_read_per_query == pytest.approx(ef_result.ndis * code + links + 40 * stored)
    assert point.predicted_recall == 0.9
    modelled = 1e-5 + ef_result.ndis * 1e-7 + ef_result.ef_search * 1e-6 + 2e-6 + 40 * 1e-6
    assert point.modelled_latency_s == pytest.approx(modelled)


def test_passing_needs_a_margin_above_the_target(problem: Problem) -> None:
    """30 queries with 8 hits of 10, and one that finds nothing, have standard error .8 / 31."""
    at_target = np.full(30, 8)
    width = 1.6448536 + 1.282 * 2**0.5
    assert problem.target.margin(at_target) == pytest.approx(1 / 31 + width * 0.8 / 31, abs=1e-8)
    fewer = replace(problem, validate=problem.validate[:10])
    width = 1.6448536 * 3**0.5 + 1.282 * 2
    assert fewer.target.margin(at_target) == pytest.approx(1 / 11 + width * 0.8 / 31, abs=1e-8)
    assert problem.needed(at_target) > 0.8
    assert problem.needed(np.full(30, 9)) > 0.9
    # 14 perfect queries and 16 with 9 hits have mean .9467 and need .9423; 12 have .94 and need .9414
    for perfect, needed, passes in ((12, 0.9414349, False), (13, 0.9418898, True), (14, 0.9423051, True)):
        hits = np.repeat([10, 9], [perfect, 30 - perfect])
        assert 0.8 + problem.target.margin(hits) == pytest.approx(needed, abs=1e-7)
        assert judged(problem, 50, hits, 1.0, 1.0).passes == passes


def test_perfect_hits_pass_where_the_margin_lies_beyond_1(problem: Problem) -> None:
    strict = replace(problem, options=replace(problem.options, recall=0.9))
    perfect = np.full(30, 10)
    assert 0.9 + strict.target.margin(perfect) > 1
    assert judged(strict, 50, perfect, 1.0, 1.0).passes
    assert not judged(strict, 50, np.repeat([10, 9], [29, 1]), 1.0, 1.0).passes


def test_the_best_bound_is_that_of_perfect_recall_on_the_held_out_half(problem: Problem) -> None:
    """30 queries: (30 - t) / 31, where t is the .95 quantile of 30 degrees of freedom."""
    assert problem.target.best_bound == pytest.approx((30 - 1.6972609) / 31, abs=1e-8)


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
