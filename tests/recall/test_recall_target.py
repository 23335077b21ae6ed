"""The bound is Student's t over queries; what is needed and the aim follow from it, by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tuner.recall.target import Target, least_queries, spread_over_queries, standard_error, summarize

K = 10


def target(recall: float = 0.9, n_queries: int = 400, confidence: float = 0.95) -> Target:
    return Target(recall=recall, k=K, confidence=confidence, n_queries=n_queries)


# ---------------------------------------------------------------- the bound


def test_the_lower_bound_is_students_t_with_half_a_query_that_finds_nothing() -> None:
    """5 queries and half of one have weight 5.5, mean 4.1 / 5.5 and squares 3.61 - 4.1^2 / 5.5 over 5."""
    hits = np.array([10, 9, 8, 10, 4])
    recall = summarize(hits, 10, 0.95)
    error = ((3.61 - 4.1**2 / 5.5) / 5 / 5.5) ** 0.5
    assert recall.mean == pytest.approx(0.82, abs=1e-12)
    assert recall.lower == pytest.approx(1 + np.log(0.05) / 5)  # the rule of three is less
    assert standard_error(hits, 10) == pytest.approx(error, abs=1e-12)
    many = np.tile(hits, 40)
    error = ((40 * 3.61 - 164**2 / 200.5) / 200 / 200.5) ** 0.5
    assert summarize(many, 10, 0.95).lower == pytest.approx(
        164 / 200.5 - stats.t.ppf(0.95, 200) * error, abs=1e-12
    )
    assert recall.p5 == pytest.approx(0.48, abs=1e-12)
    assert recall.share_below_half == pytest.approx(0.2, abs=1e-12)
    assert recall.n_queries == 5
    assert summarize(many, 10, 0.99).lower < summarize(many, 10, 0.95).lower
    assert summarize(many, 10, 0.95, quantile=2.0).lower == pytest.approx(164 / 200.5 - 2 * error, abs=1e-12)


def test_where_all_queries_are_equal_the_imaginary_one_bounds() -> None:
    """100 queries of .7 and half of one with 0: mean 70 / 100.5, squares 49 - 70^2 / 100.5 over 100."""
    recall = summarize(np.full(100, 7), 10, 0.95)
    error = ((49 - 70**2 / 100.5) / 100 / 100.5) ** 0.5
    assert recall.mean == pytest.approx(0.7, abs=1e-12)
    assert recall.lower == pytest.approx(70 / 100.5 - 1.66023433 * error, abs=1e-9)


@pytest.mark.parametrize("nq", [10, 100, 1_000, 10_000])
def test_perfect_recall_is_bounded_by_the_rule_of_three(nq: int) -> None:
    """-log(.05) = 2.9957."""
    assert summarize(np.full(nq, 10), 10, 0.95).lower == pytest.approx(1 - 2.995732 / nq, abs=1e-6 / nq)


def test_the_bound_is_never_below_zero_and_one_query_bounds_nothing() -> None:
    assert summarize(np.array([0, 0, 0, 10]), 10, 0.95).lower == 0.0
    assert summarize(np.array([10]), 10, 0.95).lower == 0.0


def test_the_bound_holds_as_often_as_it_says() -> None:
    """2,000 sets of 1,000 queries, the hits of a query correlated, with a known mean of .95."""
    rng = np.random.default_rng(1)
    hits = rng.binomial(10, rng.beta(9.5, 0.5, (2_000, 1_000)))
    held = np.mean([summarize(one, 10, 0.95).lower <= 0.95 for one in hits])
    assert 0.94 <= held <= 0.985  # the imaginary query costs a little
    # the unit is the query: neighbours taken one by one would hold far less often
    share = hits.mean(axis=1) / 10
    naive = np.mean(share - 1.645 * np.sqrt(share * (1 - share) / 10_000) <= 0.95)
    assert naive < 0.9


@pytest.mark.parametrize("nq", [50, 100, 200, 500])
def test_the_bound_holds_on_skewed_data_with_few_queries(nq: int) -> None:
    rng = np.random.default_rng(2)
    hits = rng.binomial(10, rng.beta(9.5, 0.5, (2_000, nq)))
    assert np.mean([summarize(one, 10, 0.95).lower <= 0.95 for one in hits]) >= 0.94


@pytest.mark.parametrize(("nq", "share"), [(200, 0.005), (500, 0.005), (1_000, 0.005)])
def test_the_bound_holds_where_few_queries_fail_wholly(nq: int, share: float) -> None:
    """A sample often holds none or few of the failures: Student's t alone holds too seldom."""
    rng = np.random.default_rng(3)
    hits = 10 * (rng.random((2_000, nq)) >= share)
    true = 1 - share
    assert np.mean([summarize(one, 10, 0.95).lower <= true for one in hits]) >= 0.94
    found = hits / 10
    width = stats.t.ppf(0.95, nq - 1) * found.std(axis=1, ddof=1) / nq**0.5
    assert np.mean(found.mean(axis=1) - width <= true) < 0.94


# ---------------------------------------------------------------- what a measured point needs


def test_what_a_point_needs_is_the_target_and_the_width_of_its_bound() -> None:
    hits = np.tile([8, 9, 10, 10], 100)
    seen = summarize(hits, K, 0.95)
    assert target(0.9).needed(hits) == pytest.approx(0.9 + seen.mean - seen.lower, abs=1e-12)
    barely = target(seen.lower)
    assert barely.needed(hits) == pytest.approx(seen.mean, abs=1e-12)


def test_more_confidence_and_a_larger_quantile_ask_for_more() -> None:
    hits = np.tile([8, 9, 10, 10], 100)
    usual, sure = target(), target(confidence=0.99)
    together = replace(usual, quantile=2.0)
    assert sure.needed(hits) > usual.needed(hits)
    assert together.needed(hits) - usual.needed(hits) == pytest.approx(
        (2.0 - stats.t.ppf(0.95, 400)) * standard_error(hits, K), abs=1e-12
    )


# ---------------------------------------------------------------- what predictions aim at


def test_the_aim_by_hand() -> None:
    """Hits 8 and 10 of 10 in turn: .1 from their mean; half a query adds .5 / 400 to the variance."""
    hits = np.tile([8, 10], 200)
    error = np.hypot(0.1 * (400 / 399) ** 0.5, (0.5 / 400) ** 0.5) / 20
    expected = 0.9 + stats.t.ppf(0.95, 400) * error + 0.5 / 400.5
    assert expected == pytest.approx(0.91, abs=2e-3)
    assert target().aim_of(hits) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("wanted", "most"), [(0.95, 0.985), (0.99, 0.997), (1.0, 1.0)])
def test_the_aim_leaves_three_tenths_of_the_misses(wanted: float, most: float) -> None:
    wild = np.tile([0, 10], 20)
    assert target(wanted, 40).aim_of(wild) == pytest.approx(most, rel=1e-12)


def test_until_it_is_measured_the_aim_supposes_the_usual_spread() -> None:
    """1.5 times that of independent hits: sqrt(.9 x .1 / 10) x 1.5 = .1423."""
    error = np.hypot(1.5 * (0.9 * 0.1 / 10) ** 0.5, (0.5 / 400) ** 0.5) / 20
    expected = 0.9 + stats.t.ppf(0.95, 400) * error + 0.5 / 400.5
    assert target().usual_aim == pytest.approx(expected, rel=1e-9)


def test_the_aim_is_what_hits_of_that_spread_need() -> None:
    """Prediction and judgement agree to a thousandth: the imaginary query is modelled, not counted."""
    one = target(0.9)
    hits = np.tile([8, 9, 10, 10], 100)
    assert one.aim_of(hits) == pytest.approx(one.needed(hits), abs=0.001)


# ---------------------------------------------------------------- how many queries would do


@pytest.mark.parametrize("n", [30, 200, 5_000])
def test_the_spread_over_queries_is_read_back_from_the_bound(n: int) -> None:
    hits = np.random.default_rng(4).binomial(10, 0.9, n)
    assert spread_over_queries(summarize(hits, 10, 0.95), 0.95) == pytest.approx((hits / 10).std(), rel=1e-6)
    assert spread_over_queries(summarize(np.full(n, 10), 10, 0.99), 0.99) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("enough", [2, 7, 64, 1_000, 54_321])
def test_the_least_number_that_is_enough_is_found_within_a_hundredth(enough: int) -> None:
    found = least_queries(lambda n: n >= enough, 1)
    assert enough <= found <= max(enough + 1, 1.01 * enough)


def test_a_recall_above_the_target_that_too_few_queries_show_names_how_many_would() -> None:
    """50 queries: not even .998 shows a target of .95."""
    hits = np.array([9] + [10] * 49)
    few, seen = target(0.95, 50), summarize(hits, 10, 0.95)
    assert few.needed(hits) > 0.998
    enough = few.queries_to_show(seen)
    assert enough is not None
    assert 50 < enough < 200
    more, fewer = np.resize(hits, 12 * enough // 10), np.resize(hits, 7 * enough // 10)
    assert more.mean() / 10 >= few.of_queries(len(more)).needed(more)
    assert fewer.mean() / 10 < few.of_queries(len(fewer)).needed(fewer)


def test_no_number_of_queries_is_named_where_none_helps() -> None:
    below, plenty = summarize(np.tile([9, 9, 10], 100), 10, 0.95), summarize(np.full(400, 10), 10, 0.95)
    assert target(0.95).queries_to_show(below) is None
    assert target(0.95).queries_to_show(plenty) is None  # these are enough: it misses for another reason
