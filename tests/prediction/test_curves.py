"""Curves interpolate what was measured, never the wrong way round, and say None beyond it."""

from collections.abc import Callable
from typing import Any

import faiss
import numpy as np
import pytest
from conftest import M_MAX, K, World, finish

from tuner.index.assemble import Encoded
from tuner.prediction import curves as module
from tuner.prediction.curves import Curve, curves_of, ef_towards, measure_curves, search_counted
from tuner.types import CurvePoint


def curve(*points: tuple[int, float, float]) -> Curve:
    ef_search, recall, ndis = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    return Curve(M=8, ef_search=ef_search, recall=recall, ndis=ndis)


PLANTED = curve((10, 0.5, 100), (20, 0.8, 180), (40, 0.9, 340), (80, 0.9, 500), (160, 0.98, 900))


@pytest.mark.parametrize(
    ("recall", "ef_search"),
    [
        (0.1, 10),
        (0.5, 10),
        (0.8, 20),
        (0.9, 40),  # the first of a plateau
        (0.98, 160),
        (0.9801, None),
        (1.0, None),
        # half way in log(1 - recall) from 20 to 40 is half way in log ef: 28.3, rounded up
        (1 - (0.2 * 0.1) ** 0.5, 29),
    ],
)
def test_the_ef_search_for_a_recall(recall: float, ef_search: int | None) -> None:
    assert PLANTED.ef_for(recall) == ef_search


@pytest.mark.parametrize(
    ("ef_search", "recall"),
    [
        (5, 0.5),
        (10, 0.5),
        (20, 0.8),
        (40, 0.9),
        (60, 0.9),
        (160, 0.98),
        (999, 0.98),
        (800**0.5, 1 - 0.02**0.5),
    ],
)
def test_the_recall_at_an_ef_search(ef_search: float, recall: float) -> None:
    assert PLANTED.recall_at(ef_search) == pytest.approx(recall, abs=1e-12)


def test_one_undoes_the_other_and_both_grow() -> None:
    recalls = np.linspace(0.5, 0.98, 200)
    efs = [ef_search for recall in recalls if (ef_search := PLANTED.ef_for(recall)) is not None]
    assert efs == sorted(efs)
    for recall, ef_search in zip(recalls, efs, strict=True):
        assert PLANTED.recall_at(ef_search) >= recall - 1e-12
        assert ef_search == 10 or PLANTED.recall_at(ef_search - 1) < recall + 1e-9
    found = [PLANTED.recall_at(ef_search) for ef_search in range(5, 300)]
    assert found == sorted(found)


def test_distances_grow_beyond_the_last_point_in_proportion() -> None:
    assert [PLANTED.ndis_at(ef) for ef in (10, 20, 40, 160)] == pytest.approx([100, 180, 340, 900])
    assert PLANTED.ndis_at(320) == pytest.approx(1800)
    assert PLANTED.ndis_at(200**0.5) == pytest.approx((100 * 180) ** 0.5)
    assert PLANTED.ndis_at(3) == pytest.approx(100)


def test_perfect_recall_is_reached_where_it_was_measured() -> None:
    perfect = curve((10, 0.9, 100), (20, 1.0, 200), (40, 1.0, 400))
    assert perfect.ef_for(1.0) == 20
    assert perfect.recall_at(20) == pytest.approx(1, abs=1.1e-4)
    assert curve((10, 1.0, 100)).ef_for(0.99) == 10


def test_points_become_one_monotone_curve_for_each_m() -> None:
    points = [
        CurvePoint(M=M, ef_search=ef, recall=recall, ndis_per_query=ndis)
        for M, ef, recall, ndis in [
            (8, 40, 0.9, 300),
            (4, 10, 0.4, 90),
            (8, 20, 0.92, 310),
            (8, 10, 0.7, 100),
        ]
    ]
    curves = curves_of(tuple(points))
    assert list(curves) == [4, 8]
    assert curves[8].ef_search.tolist() == [10, 20, 40]
    assert curves[8].recall.tolist() == [0.7, 0.92, 0.92]
    assert curves[8].ndis.tolist() == [100, 310, 310]
    assert curves[4].M == 4


def test_counting_is_per_query_and_from_zero() -> None:
    """A graph of few rows is searched whole: 20 rows are 20 distances and hops, and few beside them."""
    x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    index = faiss.IndexHNSWFlat(4, 16)
    index.add(x)
    index.hnsw.efSearch = 50
    index.search(x, 1)
    found = {n: search_counted(index, x[:n], 5) for n in (2, 10)}
    for n, (ids, ndis, hops) in found.items():
        assert ids.shape == (n, 5)
        assert ids[:, 0].tolist() == list(range(n))
        assert 20 <= ndis <= 22
        assert 20 <= hops <= 24


@pytest.mark.parametrize("codec", ["fp32", "SQ8"])
def test_measured_curves_are_real_and_bracket_the_target(
    world: Callable[..., World], encoded: Callable[..., Encoded], codec: str
) -> None:
    one = world("l2")
    Ms = (4, 8, M_MAX)
    points, hits = finish(
        measure_curves(
            one.base,
            one.links,
            one.links_path,
            encoded("l2", codec),
            ceiling=1.0,
            Ms=Ms,
            queries=one.queries,
            truth=one.truth,
            target=0.9,
            ef_max=400,
        )
    )
    for M in Ms:
        mine = [point for point in points if point.M == M]
        efs = [point.ef_search for point in mine]
        assert efs == sorted(set(efs))
        assert all(np.diff([point.ndis_per_query for point in mine]) > 0)
        assert max(point.recall for point in mine) >= 1 - 0.35 * 0.1 or efs[-1] == 400
        assert min(point.recall for point in mine) <= 0.9 or efs[0] == K
        assert len(mine) <= 6
    curves = curves_of(points)
    needed = {M: curves[M].ndis_at(curves[M].ef_for(0.9) or 0) for M in Ms}
    assert needed[4] < 1.1 * needed[M_MAX]
    # the hits that tell the spread are those of a point near the target
    assert hits.shape == (len(one.queries),)
    nearest = min(abs(point.recall - 0.9) for point in points)
    assert abs(hits.mean() / K - 0.9) == pytest.approx(nearest)
    assert one.recall(faiss.knn(one.queries, np.array(one.base.x), K)[1]) == 1.0


def _ladder_of(
    world: World,
    codec: Encoded,
    monkeypatch: pytest.MonkeyPatch,
    recall: Callable[[int], float],
    **options: Any,
) -> list[CurvePoint]:
    """Return the points of one M whose recall at an ef_search is planted."""
    seen: list[int] = []
    search = module.search_counted

    def spied(index: faiss.IndexHNSW, *rest: Any) -> Any:
        seen.append(index.hnsw.efSearch)
        return search(index, *rest)

    monkeypatch.setattr(module, "search_counted", spied)
    monkeypatch.setattr(
        type(world.truth), "hits", lambda *_: np.full(60, round(1000 * recall(seen[-1])) / 100)
    )
    points, _ = finish(
        measure_curves(
            world.base,
            world.links,
            world.links_path,
            codec,
            Ms=(8,),
            queries=world.queries,
            truth=world.truth,
            **{"ceiling": 1.0, "target": 0.95, "ef_max": 10**5, **options},
        )
    )
    return list(points)


@pytest.mark.parametrize("scale", [2.0, 8.0, 40.0])
def test_few_points_below_near_and_above_the_target(
    world: Callable[..., World],
    encoded: Callable[..., Encoded],
    monkeypatch: pytest.MonkeyPatch,
    scale: float,
) -> None:
    """Misses in proportion to 1 / ef_search: recall .95 at 20 scale, and enough at 57 scale."""
    points = _ladder_of(world("l2"), encoded("l2", "fp32"), monkeypatch, lambda ef: max(0.0, 1 - scale / ef))
    recalls = [point.recall for point in points]
    assert recalls == sorted(recalls)
    assert recalls[0] <= 0.95
    assert recalls[-1] >= 1 - 0.35 * 0.05
    assert min(abs(np.log((1 - recall) / 0.05)) for recall in recalls) < 0.5
    assert len(points) <= 6


def test_a_plateau_ends_the_ladder(
    world: Callable[..., World], encoded: Callable[..., Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where recall stops growing below the target, the ladder does too."""
    points = _ladder_of(world("l2"), encoded("l2", "fp32"), monkeypatch, lambda ef: min(0.9, ef / 100))
    assert points[-1].recall == 0.9
    assert 90 <= points[-1].ef_search < 1000


def test_the_ladder_ends_at_the_largest_ef_search(
    world: Callable[..., World], encoded: Callable[..., Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    points = _ladder_of(
        world("l2"), encoded("l2", "fp32"), monkeypatch, lambda ef: 1 - 20 / (ef + 20), ef_max=130
    )
    assert points[-1].ef_search == 130


def test_curves_are_divided_by_the_ceiling_of_the_codes(
    world: Callable[..., World], encoded: Callable[..., Encoded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes that lose a tenth at every ef_search stand for distances that lose nothing."""
    points = _ladder_of(
        world("l2"), encoded("l2", "fp32"), monkeypatch, lambda ef: 0.9 * (1 - 10 / ef), ceiling=0.9
    )
    assert [point.recall for point in points] == pytest.approx(
        [1 - 10 / point.ef_search for point in points], abs=2e-3
    )


def test_the_next_ef_search_lies_on_the_line() -> None:
    line = [(10, 1.0), (40, 3.0)]
    assert ef_towards(line, 2.0) == pytest.approx(20)
    assert ef_towards([*line, (1000, 99.0)], 2.0) == pytest.approx(20)  # the two nearest make it
    assert ef_towards([(10, 1.0)], 2.0) == pytest.approx(10 * np.e)  # one point: slope 1
    assert ef_towards([(10, 1.0), (20, 1.0)], 2.0) == pytest.approx(10 * np.exp(1 / 0.2))  # no slope: bounded
