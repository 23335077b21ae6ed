"""What is said of more vectors, and how close the call is."""

import faiss
import numpy as np
import pytest
from conftest import trained_by_faiss
from diagnosed import real

import tuner
from tuner.diagnosis.growth import fresh
from tuner.diagnosis.sensitivity import grown_from
from tuner.index.opened import open_object
from tuner.prediction.recall_trend import fit_trend
from tuner.report.diagnosis import describe_sensitivity
from tuner.types import Lasts, Recall, Sensitivity

pytestmark = pytest.mark.usefixtures("few_rounds", "one_rebuilt_graph")

N, NQ, K = 6_000, 300, 10
KINDS = ("HNSW8", "HNSW8,SQ4", "PCA48,HNSW8,SQ8", "HNSW8_PQ48x8", "HNSW8,SQ4,RFlat", "HNSW8,RaBitQ")


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return real("base", N)


@pytest.fixture(scope="module")
def q() -> np.ndarray:
    return real("queries", NQ)


def law(n: np.ndarray, slope: float = 0.03) -> np.ndarray:
    """Recall that falls as the loss is believed to grow."""
    return 1 - np.sin(0.1 + slope * np.log2(n / 1_000)) ** 2


def recall(mean: float, lower: float) -> Recall:
    return Recall(mean=mean, lower=lower, p5=0, share_below_half=0, n_queries=100)


def test_a_straight_line_is_found_again() -> None:
    sizes = [4_000, 2_000, 2_000, 1_000, 1_000, 1_000, 1_000]
    trend = fit_trend(sizes, law(np.array(sizes)).tolist())
    far = trend.at(20_000)
    assert far.recall == pytest.approx(law(np.array(20_000)), abs=1e-6)
    assert far.low < far.recall < far.high
    now = trend.beyond(10_000, float(law(np.array(10_000))), 20_000)
    assert now.recall == pytest.approx(far.recall, abs=1e-6)


def test_the_bar_holds_the_next_graph_nineteen_times_in_twenty() -> None:
    rng, sizes = np.random.default_rng(0), np.array([4_000, 2_000, 2_000, 1_000, 1_000, 1_000, 1_000])
    inside = 0
    for _ in range(400):
        height = np.arcsin(np.sqrt(1 - law(sizes))) + rng.normal(0, 0.02, len(sizes))
        trend = fit_trend(sizes.tolist(), (1 - np.sin(height) ** 2).tolist())
        seen = 1 - np.sin(np.arcsin(np.sqrt(1 - law(np.array(10_000)))) + rng.normal(0, 0.02)) ** 2
        expected = trend.at(10_000)
        inside += bool(expected.low <= seen <= expected.high)
    assert 0.92 <= inside / 400 <= 0.995


def test_farther_is_less_certain() -> None:
    sizes = [4_000, 2_000, 2_000, 1_000, 1_000, 1_000, 1_000]
    trend = fit_trend(sizes, (law(np.array(sizes)) + np.array([1, -1, 1, -1, 1, -1, 1]) * 0.003).tolist())
    widths = [trend.beyond(10_000, 0.95, times * 10_000) for times in (2, 10)]
    assert widths[0].high - widths[0].low < widths[1].high - widths[1].low
    assert widths[1].recall < widths[0].recall < 0.95


def test_the_target_is_missed_from_some_number_of_vectors_on() -> None:
    sizes = [4_000, 2_000, 2_000, 1_000, 1_000, 1_000, 1_000]
    trend = fit_trend(sizes, law(np.array(sizes)).tolist())
    grown, lasts = grown_from(trend, recall(float(law(np.array(10_000))), 0.955), 10_000, 0.95)
    assert [each.n for each in grown] == [20_000, 100_000]
    assert lasts is not None
    assert lasts.n is not None
    assert lasts.low is not None
    assert 10_000 <= lasts.low <= lasts.n
    assert grown_from(trend, recall(0.94, 0.93), 10_000, 0.95)[1] is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_fresh_index_is_built_as_the_old_one(kind: str, x: np.ndarray) -> None:
    index = trained_by_faiss(kind, x)
    index.add(x[:2_000])
    empty, _kept = fresh(open_object(index, x.shape[1], 40))
    assert empty.ntotal == 0
    empty.add(x[:2_000])
    assert (empty.search(x[:200], 5)[1] == index.search(x[:200], 5)[1]).mean() > 0.97


def test_the_diagnosis_says_how_close_the_call_is(x: np.ndarray, q: np.ndarray) -> None:
    index = faiss.IndexHNSWFlat(x.shape[1], 16)
    index.add(x)
    index.hnsw.efSearch = 150
    found = tuner.diagnose(index, x, q)
    close = found.sensitivity
    assert close.target == found.recall.lower
    assert [each.k for each in close.by_k] == [1, 5, 10, 20, 50]
    assert close.by_k[0].recall.mean > close.by_k[-1].recall.mean
    assert [each.n for each in close.grown] == [2 * N, 10 * N]
    assert all(each.low <= each.recall <= each.high for each in close.grown)
    assert close.grown[0].recall < found.recall.mean
    text = describe_sensitivity(close, found.target)
    assert "extrapolated" in text
    assert f"{close.target:.4f}" in text


def test_bytes_and_time_add_up(x: np.ndarray, q: np.ndarray) -> None:
    index = faiss.index_factory(x.shape[1], "L2norm,HNSW16,SQ4")
    index.train(x)
    index.add(x)
    found = tuner.diagnose(index, x, q)
    assert sum(found.costs.bytes.values()) == found.index_bytes
    assert sum(found.costs.time.parts.values()) == pytest.approx(found.costs.time.total_s)
    assert all(seconds >= 0 for seconds in found.costs.time.parts.values())
    assert found.needed is not None
    assert sum(found.needed.bytes.values()) == found.prescriptions[0].index_bytes
    assert found.costs.time.ndis_per_query > found.costs.time.hops_per_query > 0


def test_too_few_rows_are_not_extrapolated_from(q: np.ndarray, x: np.ndarray) -> None:
    index = faiss.IndexHNSWFlat(x.shape[1], 16)
    index.add(x[:1_000])
    index.hnsw.efSearch = 60
    found = tuner.diagnose(index, x[:1_000], q)
    assert found.sensitivity.grown == ()
    assert "extrapolated" not in describe_sensitivity(found.sensitivity, found.target)


def test_what_outlasts_a_hundredfold_is_said_so() -> None:
    found = Sensitivity(
        subject="the index as it is",
        target=0.99,
        by_k=(),
        n=1_000,
        grown=(fit_trend([4, 2, 2, 1, 1], [0.99, 0.99, 0.98, 0.99, 0.99]).at(8),),
        lasts=Lasts(n=None, low=50_000, high=None),
    )
    assert "more than 100,000 vectors (50,000 to more than 100,000)" in describe_sensitivity(found, 0.95)
