"""What twice as many queries would buy, said as the prediction that it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tuner.recall.target import Target
from tuner.report import result_from_json
from tuner.sweep.advice import more_queries_hint
from tuner.types import OperatingPoint

ROOT = Path(__file__).parents[2]
TARGET = Target(recall=0.9, k=10, confidence=0.95, n_tune=500, n_validate=500)


def chosen() -> OperatingPoint:
    golden = (ROOT / "tests" / "golden" / "report.json").read_bytes()
    hits = np.random.default_rng(0).binomial(10, 0.93, 500).tolist()
    return replace(result_from_json(golden).points[0], validated_hits=tuple(hits))


def test_the_aim_falls_and_what_that_saves_is_a_prediction() -> None:
    asked = []

    def distances_for(aim: float) -> float:
        asked.append(aim)
        return 100_000 * (aim - 0.85)

    point = chosen()
    hint = more_queries_hint(TARGET, point, distances_for)
    assert hint is not None
    hits = np.array(point.validated_hits)
    assert asked[0] == TARGET.aim_of(hits)
    assert asked[1] == replace(TARGET, n_tune=1000, n_validate=1000).aim_of(hits)
    assert asked[1] < asked[0]
    saved = 1 - (asked[1] - 0.85) / (asked[0] - 0.85)
    assert "twice as many queries (2,000)" in hint
    assert f"aiming at {asked[1]:.4f} instead of {asked[0]:.4f}" in hint
    assert "predicted (not measured)" in hint
    assert f"to need {saved:.0%} fewer distances a query" in hint


def test_enough_is_said_and_what_is_unknown_is_not() -> None:
    assert "so these are enough" in (more_queries_hint(TARGET, chosen(), lambda _: 1000.0) or "")
    assert more_queries_hint(TARGET, chosen(), lambda _: None) is None


def halved(recall: float, n_queries: int) -> Target:
    return Target(recall=recall, k=10, confidence=0.95, n_tune=n_queries // 2, n_validate=n_queries // 2)


@pytest.mark.parametrize(("n_queries", "points"), [(1000, 1.9), (2000, 1.3), (4000, 0.9)])
def test_the_readme_says_how_far_above_the_target_recall_must_lie(n_queries: int, points: float) -> None:
    readme = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert 100 * (halved(0.95, n_queries).usual_aim - 0.95) == pytest.approx(points, abs=0.051)
    assert f"{points} points with {n_queries:,} queries" in readme or f"{points} with {n_queries:,}" in readme


@pytest.mark.parametrize(("recall", "least"), [(0.95, 110), (0.99, 540), (0.999, 5300)])
def test_the_least_queries_for_a_target_are_what_readme_and_help_say(recall: float, least: int) -> None:
    assert halved(recall, least).best_bound >= recall
    assert halved(recall, round(0.95 * least)).best_bound < recall
    for text in ("README.md", "tuner/cli/run.py"):
        assert f"{least:,}" in (ROOT / text).read_text(encoding="utf-8")
