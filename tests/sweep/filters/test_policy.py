"""The switch to scanning, the bands and their bounds, on searches whose recall and seconds are planted."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from conftest import finish

from tuner.recall.target import Target
from tuner.sweep.ef_search import EfResult
from tuner.sweep.filters import run as filters_run
from tuner.sweep.filters.bands import band_edges, fewest_queries
from tuner.sweep.filters.costs import FilterCosts
from tuner.sweep.filters.policy import (
    PricedIndex,
    Settled,
    refined,
    scan_threshold,
    settle,
    settle_again,
    switch_share,
)
from tuner.sweep.filters.stratum import Stratum
from tuner.types import FilterPolicy, Steps

N, K, NQ = 100_000, 10, 400
COSTS = FilterCosts(graph_s=(20e-6, 1e-6), scan_s=(10e-6, 40e-9))
NOTHING = FilterPolicy(
    source="", bands=(), scan_below_rows=0, n=N, latency_s=0.0, scan_s=COSTS.scan_s, graph_s=COSTS.graph_s
)
TARGET = Target(recall=0.95, k=K, confidence=0.95, n_queries=NQ)


@dataclass
class Planted:
    """Queries that need an ef_search of ``need`` for the target; a scan finds ``scan`` of 10."""

    share: float
    need: float
    scan: float = 9.9
    asked: list[int] = field(default_factory=list)
    raw: tuple[int, ...] = (0,) * NQ
    kind: str = "given"

    @property
    def rows(self) -> float:
        return self.share * N

    def searched(self, index: object, ef_search: int) -> EfResult:
        self.asked.append(ef_search)
        recall = 1 - 0.045 * (self.need / ef_search)  # .955 where it is needed
        return self._result(ef_search, recall)

    def scanned(self, index: object) -> EfResult:
        self.asked.append(-1)
        return self._result(0, self.scan / K)

    def _result(self, ef_search: int, recall: float) -> EfResult:
        hits = np.full(NQ, K)
        hits[: round((1 - recall) * K * NQ)] -= 1
        found = float(hits.mean()) / K
        return EfResult(ef_search, hits, 0.0, 0.0, found, 0.955)


def priced(ef_search: int = 60) -> PricedIndex:
    return PricedIndex(cast(Any, None), COSTS, ef_search, K, 4096, K)


def needs(share: float) -> float:
    """Return the ef_search that a share needs: the crossing with the scan is at .04."""
    return float(60 * (0.9 / share) ** 0.3 if share > 0.5 else 75 * (0.5 / share) ** 0.28)


def strata(share: float) -> tuple[Stratum, ...]:
    return cast("tuple[Stratum, ...]", (Planted(share, 0.8 * needs(share)), Planted(share, needs(share))))


def crossing() -> float:
    shares = np.geomspace(1e-3, 1, 20_000)
    dearer = [COSTS.search_s(needs(share)) > COSTS.rows_s(share * N) for share in shares]
    return float(shares[np.flatnonzero(dearer)[-1]])


def make(share: float) -> Steps[tuple[Stratum, ...]]:
    yield 1.0
    return strata(share)


def test_the_switch_is_where_a_search_that_holds_takes_as_long_as_the_scan() -> None:
    groups = [(share, strata(share)) for share in (0.5, 0.1, 0.02, 0.005)]
    bands = finish(settle(priced(), groups))
    assert [band.ef_search is None for band in bands] == [False, False, True, True]
    bands = finish(refined(priced(), bands, N, make))
    below = scan_threshold(priced(), bands, N)
    assert below / N == pytest.approx(crossing(), rel=0.2)
    for band in bands:
        assert band.passes
        if band.ef_search is not None:
            assert band.ef_search == pytest.approx(needs(band.share), rel=0.06)


@pytest.mark.parametrize("shares", [(0.5, 0.2), (0.001, 0.0005)])
def test_the_switch_is_found_outside_of_the_shares_asked_for(shares: tuple[float, ...]) -> None:
    bands = finish(settle(priced(), [(share, strata(share)) for share in shares]))
    bands = finish(refined(priced(), bands, N, make))
    assert scan_threshold(priced(), bands, N) / N == pytest.approx(crossing(), rel=0.25)


def test_without_a_search_that_holds_everything_is_scanned() -> None:
    hard = cast(Any, (Planted(0.5, 10**6),))
    bands = finish(settle(priced(), [(0.5, hard)]))
    assert bands[0].ef_search is None
    assert scan_threshold(priced(), bands, N) == N + 1


def test_a_band_that_misses_says_so() -> None:
    poor = cast(Any, (Planted(0.01, 10**6, scan=9.4), Planted(0.01, 10**6)))
    (band,) = finish(settle(priced(), [(0.01, poor)]))
    assert not band.passes


def test_the_hardest_decides_and_the_others_are_asked_once() -> None:
    easy, hard = Planted(0.5, 40), Planted(0.5, 80)
    (band,) = finish(settle(priced(), [(0.5, cast(Any, (easy, hard)))]))
    assert band.ef_search == pytest.approx(80, rel=0.06)
    assert easy.asked == [band.ef_search]


def test_all_queries_begin_with_what_a_few_have_shown() -> None:
    groups = [(share, strata(share)) for share in (0.5, 0.02)]
    expected = (
        Settled(0.5, strata(0.5), 76, ()),
        Settled(0.02, strata(0.02), None, ()),
    )
    bands = finish(settle_again(priced(), groups, expected))
    assert [band.ef_search is None for band in bands] == [False, True]
    assert cast(Any, groups[0][1][1]).asked[0] == 76
    assert cast(Any, groups[1][1][0]).asked == [-1]


def test_more_is_expected_of_smaller_shares() -> None:
    bands = finish(settle(priced(), [(0.5, strata(0.5))]))
    assert 0.5 > switch_share(priced(), bands, N) > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_bands_hold_all_queries_and_enough_of_them(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shares = np.round(np.exp(rng.uniform(np.log(1e-3), 0, 700)), 4).astype(np.float64)
    fewest = fewest_queries(TARGET)
    edges = band_edges(shares, fewest)
    assert edges == sorted(edges, reverse=True)
    assert edges[-1] == shares.min()
    counts = np.bincount(np.searchsorted(-np.array(edges), -shares), minlength=len(edges))
    assert (counts >= fewest).all()
    assert counts.sum() == len(shares)


@pytest.mark.parametrize(
    ("certified", "chosen"), [((True, True), 0), ((False, True), 1), ((False, False), 0)]
)
def test_what_all_queries_do_not_certify_gives_way_to_the_next(
    certified: tuple[bool, bool], chosen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both points promise to hold on a few queries; the first is the cheaper one."""

    def bands(number: int, *, holds: bool) -> tuple[Settled, ...]:
        poor = cast(Any, (Planted(0.01 * (number + 1), 10**6, scan=9.9 if holds else 9.0),))
        return finish(settle(priced(), [(0.01, poor)]))

    def steps(found: Any) -> Steps[Any]:
        yield 1.0
        return found

    points = [SimpleNamespace(number=i, memory=SimpleNamespace(resident_bytes=100 + i)) for i in range(2)]
    monkeypatch.setattr(filters_run, "made_up_bands", lambda _: steps(SimpleNamespace(n_left_out=0)))
    monkeypatch.setattr(filters_run, "_candidates", lambda *_: [0, 1])
    monkeypatch.setattr(
        filters_run, "_expected_bands", lambda *args: steps((priced(), bands(args[2].number, holds=True)))
    )
    asked = iter(certified)
    monkeypatch.setattr(filters_run, "_bands_of", lambda *_: steps(bands(0, holds=next(asked))))
    monkeypatch.setattr(filters_run, "policy_of", lambda *_, **__: NOTHING)
    problem = SimpleNamespace(options=SimpleNamespace(prefer="balanced"))
    found = finish(filters_run._tuned(*cast(Any, (problem, None, SimpleNamespace(points=points), None))))
    assert found.position == chosen
