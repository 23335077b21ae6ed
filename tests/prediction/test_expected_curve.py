"""What a graph is expected to need at a size that was not measured."""

from __future__ import annotations

import numpy as np
import pytest

from tuner.prediction.expected_curve import expected_curve
from tuner.prediction.recall_trend import recall_of
from tuner.types import CurvePoint

SIZES = [8_000, 4_000, 4_000, 2_000, 2_000, 1_000, 1_000]
EFS = [20, 28, 40, 56, 80, 112, 160]


def height(n: float, ef: float) -> float:
    return float(0.25 - 0.05 * np.log2(ef / 20) + 0.02 * np.log2(n / 8_000))


def graph(n: int) -> tuple[int, list[CurvePoint]]:
    return n, [
        CurvePoint(M=8, ef_search=ef, recall=recall_of(max(0.01, height(n, ef))), ndis_per_query=ef * n**0.25)
        for ef in EFS
    ]


def test_ef_search_and_distances_are_those_of_the_law_that_was_planted() -> None:
    curve = expected_curve(32_000, [graph(n) for n in SIZES])
    found = curve.ef_for(recall_of(0.2))
    assert found is not None
    # the height falls by .05 a doubling of ef_search and rises by .02 a doubling of n
    assert found.value == pytest.approx(20 * 2 ** ((0.25 + 0.04 - 0.2) / 0.05), rel=0.02)
    assert found.low < found.value < found.high
    assert curve.ndis_at(found.value) == pytest.approx(found.value * 32_000**0.25, rel=0.01)


def test_what_no_ef_search_reaches_that_was_tried_is_not_extrapolated() -> None:
    curve = expected_curve(32_000, [graph(n) for n in SIZES])
    assert curve.ef_for(recall_of(0.05)) is None
    assert curve.ef_for(1.0) is None


def test_the_upper_end_may_lie_beyond_what_was_tried() -> None:
    curve = expected_curve(512_000, [graph(n) for n in SIZES])
    found = curve.ef_for(recall_of(height(512_000, 150)))
    assert found is not None
    assert found.high > EFS[-1] > found.value
    assert curve.ndis_at(2 * EFS[-1]) == pytest.approx(2 * curve.ndis_at(EFS[-1]))


def test_more_vectors_never_need_less() -> None:
    """Graphs that differ by chance, so that the error bar alone would allow recall to rise with the rows."""
    chance = [1, -1, 1, -1, 1, -1, 1]
    graphs = [
        (
            n,
            [
                CurvePoint(
                    M=8, ef_search=p.ef_search, recall=min(0.999, p.recall + 0.01 * sign), ndis_per_query=1.0
                )
                for p in ps
            ],
        )
        for (n, ps), sign in zip(map(graph, SIZES), chance, strict=True)
    ]
    wanted = recall_of(0.2)
    found = expected_curve(256_000, graphs).ef_for(wanted)
    now = expected_curve(8_001, graphs).ef_for(wanted)
    assert found is not None
    assert now is not None
    assert found.low >= 0.9 * now.value  # two graphs of the same rows may differ by a twentieth
