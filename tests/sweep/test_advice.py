"""What more queries would buy, said as the prediction that it is."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tuner.prediction.surface import Candidate
from tuner.recall.target import Target
from tuner.report import result_from_json
from tuner.report.words import seconds_text
from tuner.sweep.advice import more_queries_hint
from tuner.types import Configuration, Memory, OperatingPoint

ROOT = Path(__file__).parents[2]
TARGET = Target(recall=0.9, k=10, confidence=0.95, n_queries=1000)


def chosen() -> OperatingPoint:
    golden = (ROOT / "tests" / "golden" / "report.json").read_bytes()
    hits = np.random.default_rng(0).binomial(10, 0.93, 1000).tolist()
    return replace(result_from_json(golden).points[0], hits=tuple(hits))


def needing(ndis: float) -> Candidate:
    what = Configuration(M=16, ef_construction=100, codec="SQ8", dims=64)
    memory = Memory(
        codes_bytes=1, links_bytes=0, levels_bytes=0, ids_bytes=0, rerank_bytes=0, overhead_bytes=0
    )
    return Candidate(
        configuration=what,
        ef_search=round(ndis / 20),
        ceiling=1.0,
        ndis=ndis,
        latency_s=ndis * 1e-7,
        memory=memory,
    )


def test_the_aim_falls_and_what_that_saves_is_a_prediction() -> None:
    asked = []

    def predict(aim: float) -> Candidate:
        asked.append(aim)
        return needing(100_000 * (aim - 0.85))

    point = chosen()
    hint = more_queries_hint(TARGET, point, predict)
    assert hint is not None
    hits = np.array(point.hits)
    assert asked == [TARGET.of_queries(times * 1000).aim_of(hits) for times in (1, 2, 4)]
    assert asked[0] > asked[1] > asked[2]
    assert "predicted (not measured)" in hint
    assert point.latency is not None
    now = needing(100_000 * (asked[0] - 0.85))
    for word, n, aim in (("twice", "2,000", asked[1]), ("four times", "4,000", asked[2])):
        then = needing(100_000 * (aim - 0.85))
        ef_search = round(point.ef_search * then.ef_search / now.ef_search)
        seconds = point.latency.p50_s * then.latency_s / now.latency_s
        saved = 1 - then.ndis / now.ndis
        expected = f"with {word} as many ({n}) ef_search={ef_search}, {seconds_text(seconds)} a query"
        assert f"{expected} and {saved:.0%} fewer distances" in hint


def test_enough_is_said_and_what_is_unknown_is_not() -> None:
    assert "these are enough" in (more_queries_hint(TARGET, chosen(), lambda _: needing(1000.0)) or "")
    assert more_queries_hint(TARGET, chosen(), lambda _: None) is None


def asked_with(recall: float, n_queries: int) -> Target:
    return Target(recall=recall, k=10, confidence=0.95, n_queries=n_queries)


@pytest.mark.parametrize(("n_queries", "points"), [(1000, 0.6), (2000, 0.4), (4000, 0.3)])
def test_the_page_on_queries_says_how_far_above_the_target_recall_must_lie(
    n_queries: int, points: float
) -> None:
    page = (ROOT / "docs/queries.md").read_text(encoding="utf-8")
    assert 100 * (asked_with(0.95, n_queries).usual_aim - 0.95) == pytest.approx(points, abs=0.051)
    assert f"| {n_queries:,} | {points} points |" in page


@pytest.mark.parametrize(("recall", "least"), [(0.95, 60), (0.99, 300), (0.999, 3000)])
def test_the_least_queries_for_a_target_are_what_readme_and_help_say(recall: float, least: int) -> None:
    assert asked_with(recall, least).best_bound >= recall
    assert asked_with(recall, round(0.95 * least)).best_bound < recall
    for text in ("docs/queries.md", "tuner/cli/run.py"):
        assert f"{least:,}" in (ROOT / text).read_text(encoding="utf-8")
