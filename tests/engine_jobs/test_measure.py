"""How many queries a comparison in an engine is given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.engine_jobs.measure import FEWEST_QUERIES, SEARCH_S, EngineMeasurement
from tuner.engines import find_engine
from tuner.recall.truth import Truth
from tuner.sweep.pose import PosedProblem
from tuner.sweep.problem import Problem
from tuner.types import Options

NQ, D, K = 2_000, 3, 2
NOTHING: Any = None


@pytest.fixture
def measurement() -> EngineMeasurement:
    """All queries of a problem; each is its own position, and so is its truth."""
    of_each = np.arange(NQ, dtype=np.float32)
    problem = Problem(
        options=Options(recall=0.9, k=K),
        base=NOTHING,
        raw=np.repeat(of_each[:, None], D, axis=1),
        queries=np.repeat(-of_each[:, None], D, axis=1),
        truth=Truth(
            ids=np.repeat(np.arange(NQ)[:, None], K, axis=1),
            right=np.full(NQ, K),
            kth_distance=of_each.astype(np.float64),
            k=K,
        ),
        order=np.random.default_rng(0).permutation(NQ),
        links_path=Path("links"),
        threads=1,
        own=np.arange(NQ),
    )
    posed = PosedProblem(problem, NOTHING, NOTHING, NOTHING)
    return EngineMeasurement(find_engine("lancedb"), posed, NOTHING, Path("work"), 1)


@pytest.mark.parametrize(
    ("search_s", "n"),
    [(SEARCH_S / 1_000, 1_000), (SEARCH_S / 10, FEWEST_QUERIES), (SEARCH_S / NQ / 2, NQ)],
)
def test_a_comparison_takes_no_more_queries_than_a_few_seconds_search(
    measurement: EngineMeasurement, search_s: float, n: int
) -> None:
    fewer = measurement.with_fewer_queries(search_s).posed.problem
    assert fewer.n_queries == fewer.target.n_queries == n
    asked = measurement.posed.problem.order[:n] if n < NQ else np.arange(NQ)
    np.testing.assert_array_equal(fewer.raw[:, 0], asked)
    np.testing.assert_array_equal(fewer.queries[:, 0], -asked)
    np.testing.assert_array_equal(fewer.truth.ids[:, 0], asked)
    np.testing.assert_array_equal(fewer.truth.kth_distance, asked)
    np.testing.assert_array_equal(fewer.own, asked)
    assert set(fewer.sample(10)) <= set(range(n))


def test_a_bound_is_of_the_queries_that_were_asked(measurement: EngineMeasurement) -> None:
    """The same share of hits: the fewer queries, the lower the bound."""
    wide = measurement.with_fewer_queries(1.0).with_quantile(2.5).posed.problem
    whole = measurement.with_quantile(2.5).posed.problem
    assert (wide.quantile, whole.quantile, measurement.posed.problem.quantile) == (2.5, 2.5, None)
    hits = np.resize([2, 2, 2, 1], NQ)
    assert wide.recall(hits[: wide.n_queries]).lower < whole.recall(hits).lower
    assert replace(whole, quantile=None) == measurement.posed.problem
