"""Which codec is measured next, by hand: planted candidates, planted points."""

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from tuner.prediction.surface import Candidate
from tuner.runtime.steps import result_of
from tuner.sweep import frontier
from tuner.sweep.frontier import (
    RERANKED_SLACK,
    SLACK,
    Group,
    codec_key,
    measure_group,
    next_group,
    out_of_time,
    prediction_error,
    unbeaten,
)
from tuner.types import Configuration, Memory, OperatingPoint, Recall


def memory_of(resident: int) -> Memory:
    return Memory(
        codes_bytes=resident, links_bytes=0, levels_bytes=0, ids_bytes=0, rerank_bytes=0, overhead_bytes=0
    )


def planned(
    codec: str, memory: int, latency: float, *, M: int = 16, rerank: str | None = None, dims: int = 64
) -> Candidate:
    configuration = Configuration(
        M=M,
        ef_construction=100,
        codec=codec,
        dims=dims,
        cut="none" if dims == 64 else "pca",
        rerank=rerank,
        rerank_factor=4 if rerank else 1,
    )
    return Candidate(configuration, 50, 0.99, 500.0, latency, memory_of(memory))


def measured(memory: int, latency: float, *, reaches: bool = True, **known: Any) -> OperatingPoint:
    mean, predicted = known.get("mean", 0.96), known.get("predicted")
    return OperatingPoint(
        configuration=Configuration(M=16, ef_construction=100, codec="SQ8", dims=64),
        ef_search=50,
        recall=Recall(mean=mean, lower=0.95, p5=0.8, share_below_half=0.0, n_queries=100),
        ndis_per_query=500.0,
        bytes_read_per_query=1.0,
        memory=memory_of(memory),
        predicted_recall=predicted,
        modelled_latency_s=latency,
        reaches_target=reaches,
    )


# ---------------------------------------------------------------- unbeaten


@pytest.mark.parametrize("slack", [SLACK, RERANKED_SLACK, 0.0])
@pytest.mark.parametrize("by_a_point", [True, False])
def test_a_candidate_falls_to_what_beats_it_by_more_than_the_slack(slack: float, by_a_point: bool) -> None:
    limit = 10.0 / (1 - slack)  # what a rival of 10 just does not beat
    inside, outside = planned("fp32", 100, limit * 0.999), planned("SQ6", 100, limit * 1.001)
    smaller = planned("SQ4", 99, limit * 5)
    rivals = [] if by_a_point else [planned("SQ8", 100, 10.0)]
    points = [measured(100, 10.0)] if by_a_point else []
    assert unbeaten([inside, outside, smaller], rivals, points, slack) == [inside, smaller]


def test_a_point_that_misses_the_target_beats_nothing() -> None:
    slow = planned("fp32", 100, 50.0)
    assert unbeaten([slow], [], [measured(10, 1.0, reaches=False)], SLACK) == [slow]
    assert unbeaten([slow], [], [measured(10, 1.0, reaches=False), measured(10, 1.0)], SLACK) == []


def test_a_candidate_does_not_beat_itself() -> None:
    one = planned("fp32", 100, 10.0)
    assert unbeaten([one], [one], [], 0.0) == [one]
    assert unbeaten([], [one], [measured(1, 1.0)], 0.0) == []


# ---------------------------------------------------------------- the next codec


def key(candidate: Candidate) -> str:
    return codec_key(candidate.configuration)


def test_groups_share_codes_and_store() -> None:
    assert key(planned("SQ8", 1, 1)) == key(planned("SQ8", 2, 2, M=8))
    other = [
        planned("SQ8", 1, 1, dims=32),
        planned("SQ8", 1, 1, rerank="fp16"),
        planned("SQ8", 1, 1, rerank="fp32"),
        planned("SQ6", 1, 1),
    ]
    assert len({key(each) for each in (planned("SQ8", 1, 1), *other)}) == 5


def test_plain_codecs_come_before_re_ranked_ones() -> None:
    """Products 1,000, 320, and with re-ranking 250 and 205."""
    float32, sq8 = planned("fp32", 100, 10.0), planned("SQ8", 40, 8.0)
    refined, smaller = planned("SQ4", 50, 5.0, rerank="fp16"), planned("RaBitQ1", 41, 4.99, rerank="SQ8")
    everything = [float32, refined, smaller, sq8]
    assert next_group(everything, [], set()) == Group(key(sq8), (sq8,))
    # of the candidates that are left, sq8 as measured beats float32, and the smaller one beats the other
    points, left = [measured(40, 8.0)], [float32, refined, smaller]
    assert next_group(left, points, {key(sq8)}) == Group(key(smaller), (smaller,))
    assert next_group([float32], points, {key(sq8)}) is None
    assert next_group([], points, {key(sq8)}) is None


@pytest.mark.parametrize(("reaches", "comes"), [(True, None), (False, "fp32@none64+None")])
def test_only_a_point_that_reaches_the_target_strikes_out(reaches: bool, comes: str | None) -> None:
    found = next_group(
        [planned("fp32", 100, 10.0)], [measured(40, 8.0, reaches=reaches)], {"SQ8@none64+None"}
    )
    assert (found.key if found else None) == comes


@pytest.mark.parametrize(
    ("codec", "latency", "comes"),
    [("SQ8", 10.3, True), ("SQ8", 10.32, False), ("fp32", 10.0, True), ("fp32", 10.01, False)],
)
def test_a_plain_candidate_is_given_slack_beside_its_own_codes_only(
    codec: str, latency: float, comes: bool
) -> None:
    """10 / .97 = 10.309 beside a point of SQ8; another codec of no less memory must not be slower."""
    found = next_group([planned(codec, 100, latency, M=24)], [measured(100, 10.0)], set())
    assert (found is not None) == comes


@pytest.mark.parametrize(("latency", "comes"), [(9.08, True), (9.1, False)])
def test_a_re_ranked_candidate_must_promise_a_gain(latency: float, comes: bool) -> None:
    """10 / 1.1 = 9.091, over a point as over a plain candidate."""
    refined = planned("SQ4", 100, latency, rerank="fp16")
    found = next_group([refined], [measured(100, 10.0)], set())
    assert (found is not None) == comes
    # the plain one does not fall to a promise of re-ranking: it is measured first
    plain = planned("fp32", 100, 10.0)
    found = next_group([plain, refined], [], set())
    assert found is not None
    assert found.key == key(plain)


def test_among_re_ranked_candidates_the_faster_wins_without_slack() -> None:
    fast, slow = planned("SQ4", 100, 5.0, rerank="fp16"), planned("SQ6", 100, 5.01, rerank="fp16")
    assert next_group([slow, fast], [], set()) == Group(key(fast), (fast,))
    assert next_group([slow], [], {key(fast)}) == Group(key(slow), (slow,))


def test_a_group_holds_every_candidate_of_its_codec_that_stands() -> None:
    """M=24 buys time, M=8 memory; M=12 loses to M=8 by 4 % in the same codes, M=16 by 2 %."""
    kept = [
        planned("SQ8", memory, at, M=M) for M, memory, at in ((8, 40, 8.0), (16, 45, 8.15), (24, 50, 6.0))
    ]
    lost = planned("SQ8", 42, 8.33, M=12)
    other = planned("SQ4", 30, 20.0)
    found = next_group([kept[2], lost, other, kept[1], kept[0]], [], set())
    assert found is not None
    assert found.key == "SQ8@none64+None"
    assert sorted(found.candidates, key=lambda c: c.configuration.M) == kept


def test_re_ranking_falls_to_the_same_codes_without_it() -> None:
    """No other codec is there to compare with: the cost of SQ8 cancels out."""
    plain, refined = planned("SQ8", 40, 8.0), planned("SQ8", 60, 8.3, rerank="fp16")
    found = next_group([refined, plain], [], set())
    assert found == Group(key(plain), (plain,))
    assert next_group([refined, plain], [], {key(plain)}) == Group(key(refined), (refined,))


def test_what_is_done_is_not_offered_again() -> None:
    several = [planned(codec, 100 - at, 10.0 + at) for at, codec in enumerate(("fp32", "SQ8", "SQ6", "SQ4"))]
    done: set[str] = set()
    order = []
    while (group := next_group(several, [], done)) is not None:
        order.append(group.key.split("@")[0])
        done.add(group.key)
    # products 1,000, 1,089, 1,176, 1,261
    assert order == ["fp32", "SQ8", "SQ6", "SQ4"]


@pytest.mark.parametrize("turned", [True, False])
def test_equal_products_are_taken_by_label(turned: bool) -> None:
    several = [planned("SQ4", 40, 10.0), planned("SQ8", 100, 4.0), planned("SQ6", 80, 5.0)]
    found = next_group(several[::-1] if turned else several, [], set())
    assert found is not None
    assert found.key == "SQ4@none64+None"


# ---------------------------------------------------------------- small things


def test_the_error_of_predictions_is_their_mean_distance_from_what_was_measured() -> None:
    points = [
        measured(1, 1.0, mean=0.96, predicted=0.97),
        measured(1, 1.0, mean=0.95, predicted=0.92),
        measured(1, 1.0, mean=0.5, predicted=None),
    ]
    assert prediction_error(points) == pytest.approx(0.02)
    assert prediction_error(points[2:]) is None
    assert prediction_error([]) is None


@pytest.mark.parametrize(
    ("reaches", "order"),
    [
        ({6}, [6]),
        ({12, 16}, [6, 8, 12]),  # 6 and 8 level off below the target: the next that they were to beat
        ({16}, [6, 8, 12, 16]),
        (set(), [6, 8, 12, 16]),
    ],
)
def test_an_m_that_misses_the_target_beats_none(
    reaches: set[int], order: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each M is predicted to beat the next in memory and in time."""
    found = [planned("fp32", 100 + M, 10.0 + M, M=M) for M in (16, 6, 12, 8)]

    def planted_point(_: object, searchable: Configuration, *rest: object) -> OperatingPoint:
        return replace(measured(1, 1.0, reaches=searchable.M in reaches), configuration=searchable)

    monkeypatch.setattr(frontier, "tune_ef", lambda *_: SimpleNamespace(ef_search=50))
    monkeypatch.setattr(frontier, "operating_point", planted_point)
    builder: Any = SimpleNamespace(keep_codecs=lambda count: None, serve=lambda configuration: configuration)
    options = SimpleNamespace(space=SimpleNamespace(ef_search_max=1000))
    problem: Any = SimpleNamespace(options=options, base=SimpleNamespace(release=lambda: None))
    curve: Any = SimpleNamespace(recall_at=lambda ef_search: 0.97)
    group = next_group(found, [], set())
    assert group is not None
    known: Any = defaultdict(lambda: curve)
    points = result_of(measure_group(problem, builder, group, known, known, []))
    assert [point.configuration.M for point in points] == order


@pytest.mark.parametrize(
    ("spent_s", "budget_s", "out"),
    [(70.0, 100.0, False), (70.1, 100.0, True), (1e9, None, False), (0.1, 0.1, True)],
)
def test_a_share_of_the_budget_is_spent(spent_s: float, budget_s: float | None, out: bool) -> None:
    assert out_of_time(spent_s, budget_s, 0.7) == out
