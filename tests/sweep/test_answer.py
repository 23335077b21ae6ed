"""The answer from planted finalists: the model decides, the clock only strikes out what is clearly slower."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.prediction.choice import GAIN, STRUCK, TIE
from tuner.sweep.answer import answer_of, recommendation_of
from tuner.sweep.finalist_times import batched
from tuner.sweep.finalists import MOST_FINALISTS, SLACK, choose_finalists
from tuner.sweep.shown_costs import with_shown_costs
from tuner.types import Configuration, Latency, Memory, OperatingPoint, Options, Recall

NANO = 1e-9
NAMES = ("smallest", "fastest", "balanced")


def point(
    codec: str,
    M: int,
    memory: int,
    modelled_s: float,
    clock_s: float | None = None,
    **changes: Any,
) -> OperatingPoint:
    latency = None
    if clock_s is not None:
        latency = Latency(mean_s=clock_s, p50_s=clock_s, p95_s=2 * clock_s, p99_s=3 * clock_s, n_rounds=6)
    recall = Recall(mean=0.96, lower=0.951, p5=0.8, share_below_half=0.0, n_queries=500)
    settings: dict[str, Any] = {
        "configuration": Configuration(M=M, ef_construction=100, codec=codec, dims=64),
        "ef_search": 40,
        "recall": recall,
        "ndis_per_query": 600.0,
        "bytes_read_per_query": 1.0,
        "memory": Memory(
            codes_bytes=memory, links_bytes=0, levels_bytes=0, ids_bytes=0, rerank_bytes=0, overhead_bytes=0
        ),
        "predicted_recall": 0.96,
        "modelled_latency_s": modelled_s,
        "latency": latency,
    }
    return OperatingPoint(**{**settings, **changes})


def answered(points: list[OperatingPoint], noise: float = 0.0, max_memory: float = np.inf) -> dict[str, str]:
    """Return the label of each name, once the points have their clock."""
    answer = answer_of(points, tuple(points), max_memory, noise)
    return {name: answer.points[at].configuration.label for name, at in answer.named.items()}


# ---------------------------------------------------------------- the same answer from a noisy clock

# codec, M, memory, ndis, ef_search; products 20.7, 18.1, 21.8 and 26.3, 27.3 mB s
HOP_NS = 200
PRICE_NS = {"SQ8": 40, "SQ4": 90}
CLEAR = (
    ("SQ8", 8, 500, 910, 25),
    ("SQ8", 12, 560, 700, 22),
    ("SQ8", 24, 860, 550, 17),
    ("SQ4", 8, 300, 920, 24),
    ("SQ4", 12, 360, 790, 23),
)


def finalists_of(
    rows: Iterable[tuple[str, int, int, float, int]], seed: int, noise: float = 0.03
) -> list[OperatingPoint]:
    """Return points as the last round leaves them: each timed once, the codecs' costs 10 % off."""
    rng = np.random.default_rng(seed)
    off = {"SQ8": 1.1, "SQ4": 0.9}
    points = []
    for codec, M, memory, ndis, ef in rows:
        true_s = (ndis * PRICE_NS[codec] + ef * HOP_NS) * NANO
        clock_s = true_s * (1 + noise * float(rng.standard_normal()))
        points.append(point(codec, M, memory, true_s * off[codec], clock_s, ef_search=ef))
    return with_shown_costs(points)


@pytest.mark.parametrize("noise_floor", [0.0, 0.03, 0.2])
def test_clear_differences_give_one_answer_in_every_noise(noise_floor: float) -> None:
    """Two codecs, each with planted seconds a distance, a clock that is 3 % off: 200 runs, one answer."""
    expected = answered(finalists_of(CLEAR, 0, noise=0.0), noise_floor)
    assert expected == {"smallest": "HNSW8,SQ4", "fastest": "HNSW24,SQ8", "balanced": "HNSW12,SQ8"}
    for seed in range(200):
        assert answered(finalists_of(CLEAR, seed), noise_floor) == expected


@pytest.mark.parametrize("noise_floor", [0.0, 0.03, 0.2])
def test_of_latencies_within_1_percent_the_smaller_index_is_named(noise_floor: float) -> None:
    """M=16 computes .5 % fewer distances than M=12, which the clock cannot show."""
    tied = (*CLEAR[:2], ("SQ8", 16, 600, 696.5, 22), *CLEAR[3:])
    counted = Counter(tuple(answered(finalists_of(tied, seed), noise_floor).items()) for seed in range(200))
    expected = {"smallest": "HNSW8,SQ4", "fastest": "HNSW12,SQ8", "balanced": "HNSW12,SQ8"}
    assert counted[tuple(expected.items())] >= 190


@pytest.mark.parametrize("noise_floor", [0.0, 0.03, 0.2])
def test_of_products_within_1_percent_the_smaller_index_is_named(noise_floor: float) -> None:
    """M=16 takes 10 % more memory and 9 % less time than M=12."""
    tied = (CLEAR[1], ("SQ8", 16, 616, 636.4, 20), CLEAR[3])
    products = [p.memory.resident_bytes * p.modelled_latency_s for p in finalists_of(tied, 0, noise=0.0)]
    assert products[1] / products[0] == pytest.approx(1.0, abs=0.005)
    counted = Counter(answered(finalists_of(tied, seed), noise_floor)["balanced"] for seed in range(200))
    assert counted["HNSW12,SQ8"] >= 190


def test_a_codecs_cost_is_what_the_clock_shows_of_all_its_points() -> None:
    """Ratios 1.21 and 1.0 have the geometric mean 1.1; a store that re-ranks makes a cost of its own."""
    refined = Configuration(
        M=8, ef_construction=100, codec="SQ8", dims=64, rerank="fp16", rerank_factor=4, rerank_at="memory"
    )
    points = [
        point("SQ8", 8, 1, 100.0, 121.0),
        point("SQ4", 8, 1, 100.0, 80.0),
        point("SQ8", 16, 1, 50.0, 50.0),
        point("SQ8", 8, 1, 100.0, 300.0, configuration=refined),
    ]
    assert [p.modelled_latency_s for p in with_shown_costs(points)] == pytest.approx(
        [110.0, 80.0, 55.0, 300.0]
    )
    assert [p.latency for p in with_shown_costs(points)] == [p.latency for p in points]
    assert with_shown_costs([]) == []


# ---------------------------------------------------------------- what the clock may say


@pytest.mark.parametrize(
    ("noise", "excess", "struck"),
    [
        (0.0, 1.110, False),  # the doubt is 10 % at least
        (0.0, 1.112, True),
        (0.2, 1.249, False),  # and the noise floor where that is more
        (0.2, 1.251, True),
    ],
)
def test_the_clock_strikes_out_what_is_slower_by_more_than_the_doubt(
    noise: float, excess: float, struck: bool
) -> None:
    """The model likes the larger index, the clock shows it slower than the smaller one: 1 / (1 - doubt)."""
    liked = point("SQ8", 16, 1100, 80.0, 100.0 * excess)
    points = [point("SQ8", 12, 1000, 100.0, 100.0), liked]
    answer = answer_of(points, tuple(points), np.inf, noise)
    assert (liked in [answer.points[at] for at in answer.front]) == (not struck)
    assert liked in answer.points
    if struck:
        assert answer.named == dict.fromkeys(NAMES, 0)


def test_what_a_struck_point_beat_in_the_model_comes_back() -> None:
    """The clock strikes out the model's favourite; its rival of the same memory is the answer then."""
    liked = point("SQ8", 16, 1000, 80.0, 120.0, ef_search=41)
    rival = point("SQ8", 16, 1000, 100.0, 100.0)
    answer = answer_of([liked, rival], (liked, rival), np.inf, 0.0)
    assert answer.found
    assert [answer.points[at] for at in answer.front] == [rival]


def test_a_larger_point_that_a_struck_one_hid_comes_back() -> None:
    points = [
        point("SQ8", 8, 900, 150.0, 100.0),
        point("SQ8", 12, 1000, 80.0, 120.0),
        point("SQ8", 16, 1100, 90.0, 70.0),
    ]
    answer = answer_of(points, tuple(points), np.inf, 0.0)
    assert [answer.points[at] for at in answer.front] == [points[0], points[2]]


# ---------------------------------------------------------------- what may be an answer


def test_what_is_too_large_or_misses_the_target_gets_no_name() -> None:
    large = point("fp32", 16, 2001, 10.0, 10.0)
    missing = point("SQ4", 16, 500, 20.0, 20.0, reaches_target=False)
    good = point("SQ8", 16, 2000, 50.0, 50.0)
    points = [large, missing, good]
    answer = answer_of(points, tuple(points), 2000.0, 0.0)
    assert answer.points == (good, missing, large)  # the others by memory
    assert answer.front == (0,)
    assert answer.named == dict.fromkeys(NAMES, 0)
    # without the limit the larger one is the fastest
    assert answered(points)["fastest"] == "HNSW16,fp32"
    nothing = answer_of(points, tuple(points), 100.0, 0.0)
    assert (nothing.front, nothing.named, nothing.found) == ((), {}, False)
    assert nothing.points == (missing, good, large)


def front_by_brute_force(points: list[OperatingPoint]) -> list[OperatingPoint]:
    """Return what no other beats, by memory, each at least GAIN faster than the one before."""

    def beats(a: OperatingPoint, b: OperatingPoint) -> bool:
        mine, its = ((p.memory.resident_bytes, p.modelled_latency_s) for p in (a, b))
        return mine[0] <= its[0] and mine[1] <= its[1] and mine != its

    unbeaten = [p for p in points if not any(beats(other, p) for other in points)]
    kept: list[OperatingPoint] = []
    for each in sorted(unbeaten, key=lambda p: p.memory.resident_bytes):
        if not kept or each.modelled_latency_s < kept[-1].modelled_latency_s * (1 - GAIN):
            kept.append(each)
    return kept


@pytest.mark.parametrize("seed", range(60))
def test_the_front_equals_brute_force(seed: int) -> None:
    """The clock agrees with the model to a constant, so it strikes out only what is off the front anyway."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 30))
    memory = rng.choice(np.arange(100, 160), n, replace=False)
    seconds = np.exp(rng.uniform(0, 1.5, n))
    points = [
        point("SQ8", M, int(size), float(s), 3 * float(s))
        for M, (size, s) in enumerate(zip(memory, seconds, strict=True), start=2)
    ]
    answer = answer_of(points, tuple(points), np.inf, 0.0)
    expected = front_by_brute_force(points)
    assert [answer.points[at] for at in answer.front] == expected
    assert answer.front == tuple(range(len(expected)))
    assert answer.named["smallest"] == 0
    assert sorted(answer.points, key=id) == sorted(points, key=id)


def test_what_was_not_timed_is_reported_but_never_on_the_front() -> None:
    timed = [point("SQ8", 16, 1000, 100.0, 100.0), point("SQ4", 16, 700, 150.0, 150.0)]
    untimed = [point("SQ6", 16, 800, 1.0), point("RaBitQ4", 16, 10, 0.5)]
    # a finalist is there twice: as it was measured first, and with its latency
    before = [replace(p, latency=None, modelled_latency_s=1.0) for p in timed]
    answer = answer_of([*untimed, *before], tuple(timed), np.inf, 0.0)
    assert answer.points == (timed[1], timed[0], untimed[1], untimed[0])
    assert answer.front == (0, 1)
    assert answer.named == {"smallest": 0, "fastest": 1, "balanced": 1}
    alone = answer_of(untimed, (), np.inf, 0.0)
    assert (alone.front, alone.found) == ((), False)


def test_the_recommendation_is_the_point_of_the_name_that_is_preferred() -> None:
    finalists = [point("SQ8", 16, 64_000, 100e-6, 90e-6), point("SQ4", 8, 32_000, 150e-6, 150e-6)]
    answer = answer_of(finalists, tuple(finalists), np.inf, 0.0)
    base = SimpleNamespace(n=900, n_delivered=1000, n_answers=1000)
    for prefer, label, a_vector in (("smallest", "HNSW8,SQ4", 32.0), ("fastest", "HNSW16,SQ8", 64.0)):
        settings: Any = {"recall": 0.95, "prefer": prefer}
        problem: Any = SimpleNamespace(options=Options(**settings), base=base)
        found = recommendation_of(problem, answer, luck=0.002)
        assert (found.label, found.memory_per_vector_bytes) == (label, a_vector)
        assert found.latency_p95_s == 2 * found.latency_mean_s
        assert found.recall == pytest.approx(0.96 - 0.002)
        assert "finds 0.9580 of the true 10 nearest (at least 0.9510 with 95 % confidence)" in found.sentence


# ---------------------------------------------------------------- who is timed


def test_finalists_are_what_nothing_clearly_beats() -> None:
    """10 / .92 = 10.87."""
    best = point("SQ8", 16, 1000, 10.0)
    close, beaten = point("SQ6", 16, 1000, 10.86), point("fp32", 16, 1000, 10.88)
    missing = point("SQ4", 16, 100, 1.0, reaches_target=False)
    large = point("fp16", 16, 3001, 1.0)
    assert choose_finalists([beaten, missing, best, large, close], 3000.0) == [close, best]
    assert choose_finalists([beaten, missing, best, large, close], 3001.0) == [close, best, large]
    assert choose_finalists([missing], np.inf) == []


def test_six_of_the_least_products_are_timed_and_the_two_ends() -> None:
    """Each takes 1.3 times the memory of the one before; products grow with the distance from 5.9."""
    memories = [round(1000 * 1.3**M) for M in range(13)]
    products = [1e6 * (1 + 0.02 * (M - 5.9) ** 2) for M in range(13)]
    several = [
        point("SQ8", M, memory, product / memory)
        for M, (memory, product) in enumerate(zip(memories, products, strict=True))
    ]
    chosen = choose_finalists(several[::-1], np.inf)
    assert sorted(p.configuration.M for p in chosen) == [0, 3, 4, 5, 6, 7, 8, 12]
    assert len(chosen) == MOST_FINALISTS + 2


def test_finalists_of_one_codec_stand_side_by_side() -> None:
    rows = (("SQ8", 16, 80, 4.0), ("SQ4", 8, 50, 9.0), ("SQ8", 8, 70, 5.0), ("SQ4", 16, 60, 7.0))
    several = [point(*row) for row in rows]
    assert [p.configuration.label for p in choose_finalists(several, np.inf)] == [
        *("HNSW16,SQ4", "HNSW8,SQ4", "HNSW16,SQ8", "HNSW8,SQ8")
    ]


@pytest.mark.parametrize(
    ("sizes", "limit", "batches"),
    [
        ([], 10, []),
        ([4, 6], 10, [[0, 1]]),
        ([4, 6.5, 3], 10, [[0], [1, 2]]),
        ([20, 1, 9, 30, 1], 10, [[0], [1, 2], [3], [4]]),  # one at least, however large
        ([1, 1], -5, [[0], [1]]),
    ],
)
def test_batches_by_hand(sizes: list[float], limit: float, batches: list[list[int]]) -> None:
    assert batched(sizes, limit) == batches


def test_the_numbers_that_these_tests_were_written_for() -> None:
    assert (TIE, GAIN, STRUCK, SLACK, MOST_FINALISTS) == (0.04, 0.03, 0.1, 0.08, 6)
