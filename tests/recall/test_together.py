"""Bounds that hold together: copies cost nothing, unlike indexes do, and what cannot win does not count."""

import numpy as np
import pytest
from scipy import stats

from tuner.recall import together
from tuner.recall.target import Target, summarize, usual_quantile
from tuner.recall.together import could_be_cheapest, quantile_for_choice, quantile_together

NQ, K, CONFIDENCE = 400, 10, 0.95
TARGET = Target(recall=0.9, k=K, confidence=CONFIDENCE, n_queries=NQ)
N_TRIALS = 150


def drawn(n_indexes: int, seed: int, mean: float = 0.95) -> np.ndarray:
    return np.random.default_rng(seed).binomial(K, mean, (n_indexes, NQ))


def test_copies_of_one_index_are_one() -> None:
    copies = np.repeat(drawn(1, 0), 12, axis=0)
    assert quantile_together(copies, CONFIDENCE, 0) == pytest.approx(usual_quantile(NQ, CONFIDENCE), abs=0.02)


@pytest.mark.parametrize("n_indexes", [2, 5, 12])
def test_independent_indexes_need_the_quantile_of_their_largest(n_indexes: int) -> None:
    """P(all of m below q) = Phi(q)^m."""
    expected = stats.norm.ppf(CONFIDENCE ** (1 / n_indexes))
    found = quantile_together(drawn(n_indexes, 1), CONFIDENCE, 0)
    assert found == pytest.approx(expected, abs=0.06)


def test_perfect_indexes_have_no_luck() -> None:
    perfect = np.full((3, NQ), K)
    assert quantile_together(perfect, CONFIDENCE, 0) == usual_quantile(NQ, CONFIDENCE)
    one = np.vstack([perfect, drawn(1, 2)])
    assert quantile_together(one, CONFIDENCE, 0) == usual_quantile(NQ, CONFIDENCE)


def test_the_same_seed_gives_the_same_quantile() -> None:
    hits = drawn(4, 3)
    assert quantile_together(hits, CONFIDENCE, 7) == quantile_together(hits, CONFIDENCE, 7)


def test_only_what_luck_could_put_first_contends() -> None:
    """Luck is worth about a fifth of the cost here: twice the cost is no luck."""
    shares = drawn(3, 4) / K
    assert could_be_cheapest(shares, np.array([1.0, 1.1, 2.0])).tolist() == [True, True, False]
    same = np.repeat(shares[:1], 2, axis=0)  # they share all luck, so that any difference is one
    assert could_be_cheapest(same, np.array([1.0, 1.01])).tolist() == [True, False]


def test_a_beaten_index_does_not_widen_the_bounds() -> None:
    hits = drawn(3, 5)
    two = quantile_for_choice(hits[:2], [100, 101], [[1.0, 1.0]], TARGET, 0)
    three = quantile_for_choice(hits, [100, 101, 400], [[1.0, 1.0, 3.0]], TARGET, 0)
    assert three == pytest.approx(two, abs=0.01)
    assert quantile_for_choice(hits, [100, 101, 102], [[1.0, 1.0, 1.0]], TARGET, 0) > two + 0.1
    assert quantile_for_choice(hits[:1], [100], [[1.0]], TARGET, 0) == usual_quantile(NQ, CONFIDENCE)


def test_the_luckiest_of_many_is_certified_no_more_often_than_is_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ten indexes, one true recall and cost: the bound of the luckiest holds in 95 %, its own does not."""
    monkeypatch.setattr(together, "DRAWS", 10_000)  # the trials are many
    rng, true, n_broken, n_alone = np.random.default_rng(6), 0.95, 0, 0
    for seed in range(N_TRIALS):
        hits = rng.binomial(K, true, (10, NQ))
        best = hits[int(np.argmax(hits.mean(axis=1)))]
        quantile = quantile_for_choice(hits, [100] * 10, [[1.0] * 10], TARGET, seed)
        n_broken += summarize(best, K, CONFIDENCE, quantile).lower > true
        n_alone += summarize(best, K, CONFIDENCE).lower > true
    assert n_broken / N_TRIALS <= 0.05 + 2 * (0.05 * 0.95 / N_TRIALS) ** 0.5
    assert n_alone / N_TRIALS > 0.15
