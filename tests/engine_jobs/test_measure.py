"""How many queries a comparison in an engine is given."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.engine_jobs import builds as builds_job
from tuner.engine_jobs import candidates
from tuner.engine_jobs.builds import Builds
from tuner.engine_jobs.measure import FEWEST_QUERIES, SEARCH_S, EngineMeasurement
from tuner.engine_jobs.survey import SURVEYED_FROM, Surveyed
from tuner.engines import EngineCodec, find_engine
from tuner.recall.truth import Truth
from tuner.runtime.steps import result_of
from tuner.sweep.pose import PosedProblem
from tuner.sweep.problem import Problem
from tuner.types import Options

NQ, D, K = 2_000, 3, 2
NOTHING: Any = None


class StoppedError(Exception):
    """A build was about to begin."""


def stopped(_: Builds) -> None:
    raise StoppedError


def surveyed(codec: str, seconds: float, excluded: str = "") -> Surveyed:
    return Surveyed(
        codec=codec, factor=1, recall=1.0, bytes_per_vector=1.0, seconds=seconds, excluded=excluded
    )


def is_product(codec: EngineCodec) -> bool:
    return codec.name.startswith("HnswPq")


@pytest.fixture
def measurement() -> EngineMeasurement:
    """All queries of a problem; each is its own position, and so is its truth."""
    base: Any = SimpleNamespace(n=SURVEYED_FROM)
    of_each = np.arange(NQ, dtype=np.float32)
    problem = Problem(
        options=Options(recall=0.9, k=K),
        base=base,
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


@pytest.mark.parametrize(
    ("seconds", "n"),
    [([0.5, 1.0, 3.0, -9.0], 1_000), ([0.0, 0.0], NQ)],
    ids=["the slowest is left out", "none was looked at"],
)
def test_codecs_are_compared_with_as_many_queries_as_their_median_search_allows(
    measurement: EngineMeasurement, seconds: list[float], n: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In units of what lets 1,000 be searched; below 0 stands for a codec that is left out."""
    ms = SEARCH_S / 1_000
    order = [
        surveyed(codec.name, ms * abs(each), "slow" if each < 0 else "")
        for codec, each in zip(measurement.can.codecs, seconds, strict=False)
    ]
    nothing_built: list[Any] = []

    def found(*_: object) -> Generator[Any, None, list[Surveyed]]:
        yield from nothing_built
        return order

    monkeypatch.setattr(builds_job, "build_order", found)
    monkeypatch.setattr(builds_job, "first_config", lambda *_: None)
    monkeypatch.setattr(Builds, "_build_next", stopped)
    builds = Builds(measurement)
    with pytest.raises(StoppedError):
        result_of(builds.build_codecs(measurement.can.codecs))
    assert builds.measurement.posed.problem.n_queries == n
    assert builds.whole is measurement


def test_bounds_hold_together_for_few_and_for_all(
    measurement: EngineMeasurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = Builds(measurement)
    builds.measurement = measurement.with_fewer_queries(1.0)
    monkeypatch.setattr(builds_job, "quantile_for_choice", lambda *_: 2.25)
    builds.hold_together()
    found = [each.posed.problem for each in (builds.measurement, builds.whole)]
    assert [each.quantile for each in found] == [2.25, 2.25]
    assert [each.n_queries for each in found] == [FEWEST_QUERIES, NQ]


def test_what_the_sample_shows_to_be_slow_is_left_out_of_the_order(
    measurement: EngineMeasurement, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on_a_sample(can: Any, codecs: Any, *_: object) -> Generator[float, None, tuple[Surveyed, ...]]:
        yield 1.0
        return tuple(surveyed(codec.name, 9.0 if is_product(codec) else 1.0) for codec in codecs)

    monkeypatch.setattr(candidates, "survey", on_a_sample)
    start: Any = None
    order = result_of(candidates.build_order(measurement, measurement.can.codecs, start))
    assert order[0].codec == measurement.can.codecs[0].name
    left_out = {each.codec for each in order if each.excluded}
    assert left_out == {codec.name for codec in measurement.can.codecs if is_product(codec)} != set()


def test_a_bound_is_of_the_queries_that_were_asked(measurement: EngineMeasurement) -> None:
    """The same share of hits: the fewer queries, the lower the bound."""
    wide = measurement.with_fewer_queries(1.0).with_quantile(2.5).posed.problem
    whole = measurement.with_quantile(2.5).posed.problem
    assert (wide.quantile, whole.quantile, measurement.posed.problem.quantile) == (2.5, 2.5, None)
    hits = np.resize([2, 2, 2, 1], NQ)
    assert wide.recall(hits[: wide.n_queries]).lower < whole.recall(hits).lower
    assert replace(whole, quantile=None) == measurement.posed.problem
