"""Interleaved rounds: who is called when, what the clock's figures become, what is put back afterwards."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import faiss
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from tuner.runtime import timing as module
from tuner.runtime.timing import Search, Timings, call_overhead_s, interleave, one_core, throughput
from tuner.types import FloatArray

# before any test could have lost some
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
QUERIES = np.arange(40, dtype=np.float32).reshape(40, 1)


class Clock:
    """Clocks that only the contestants advance; ``lost`` is what others took on the wall."""

    def __init__(self) -> None:
        self.now = self.lost = 0.0
        self.calls: list[tuple[str, float]] = []

    def contestant(self, name: str, seconds: float, drift: float = 0.0) -> Search:
        """Return a search of ``seconds``, and ``drift`` more at every call."""
        passed = iter(range(10**9))

        def search(query: FloatArray) -> None:
            self.calls.append((name, float(query[0, 0]) if len(query) == 1 else -1))
            self.now += seconds + drift * next(passed)

        return search


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    planted = Clock()
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: planted.now + planted.lost))
    monkeypatch.setattr(module, "processor_clock", lambda: module.Clock(lambda: planted.now, 0.0))
    monkeypatch.setattr(module, "BLOCK", 32)
    monkeypatch.setattr(module, "WARM_UP", 8)
    return planted


# ---------------------------------------------------------------- rounds


def test_every_contestant_is_called_in_every_round(clock: Clock) -> None:
    contestants = [clock.contestant(name, seconds) for name, seconds in (("a", 1.0), ("b", 2.0), ("c", 0.5))]
    timings = interleave(contestants, QUERIES, seed=0, fewest=6, most=9)
    assert timings.seconds.shape == (3, 6, 40)
    np.testing.assert_allclose(timings.seconds, np.broadcast_to([[[1.0]], [[2.0]], [[0.5]]], (3, 6, 40)))
    warm, rounds = clock.calls[:3], clock.calls[3:]
    assert warm == [(name, -1) for name in "abc"]  # the whole batch, untimed
    assert len(rounds) == 6 * 3 * (40 + 2 * 8)
    # each contestant answers a block, and the eight before it that are not timed; then the next does
    blocks = [[*range(32, 40), *range(32)], [*range(24, 32), *range(32, 40)]]
    orders = []
    for _ in range(6):
        for block in blocks:
            turns = [[rounds.pop(0) for _ in block] for _ in contestants]
            assert [[query for _, query in turn] for turn in turns] == [block] * 3
            assert all(len({name for name, _ in turn}) == 1 for turn in turns)
            orders.append("".join(turn[0][0] for turn in turns))
    assert {"".join(sorted(order)) for order in orders} == {"abc"}
    assert len(set(orders)) > 1


def test_a_neighbour_on_the_processor_is_told_and_not_counted(clock: Clock) -> None:
    """A third of the searches wait for twenty of their own seconds: nothing of that is theirs."""
    passed = iter(range(10**9))
    plain = clock.contestant("a", 1.0)

    def disturbed(query: FloatArray) -> None:
        plain(query)
        clock.lost += 20.0 if next(passed) % 3 == 0 else 0.0

    timings = interleave([plain, disturbed], QUERIES, seed=0, fewest=6, most=6)
    assert timings.ratio(1, 0) == pytest.approx(1.0)
    latency = timings.latency(1, 0)
    assert [latency.p50_s, latency.p95_s, latency.mean_s] == pytest.approx([1.0] * 3)
    assert timings.waited == pytest.approx(1 - 2 / (2 + 20 / 3), rel=0.01)
    assert interleave([plain, plain], QUERIES, seed=0, fewest=2, most=2).waited == 0.0


def test_a_clock_too_coarse_for_a_search_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(10**9))
    coarse = lambda: next(ticks) // 50 * 0.01  # noqa: E731
    fine = lambda: next(ticks) * 1e-7  # noqa: E731
    for thread_time, expected in ((coarse, fine), (fine, fine)):
        planted = SimpleNamespace(thread_time=thread_time, perf_counter=fine)
        monkeypatch.setattr(module, "time", planted)
        clock = module.processor_clock.__wrapped__()
        assert clock.read is expected
        assert clock.costs_s == pytest.approx(1e-7)


def test_the_order_is_of_the_seed(clock: Clock) -> None:
    calls = []
    for seed in (3, 3, 4):
        clock.calls = []
        interleave([clock.contestant(name, 1.0) for name in "abc"], QUERIES, seed=seed)
        calls.append(clock.calls)
    assert calls[0] == calls[1]
    assert calls[0] != calls[2]


def test_rounds_go_on_while_the_ratios_are_not_settled(clock: Clock) -> None:
    steady, slower_each_call = clock.contestant("a", 1.0), clock.contestant("b", 1.0, drift=0.05)
    assert interleave([steady, slower_each_call], QUERIES, seed=0, fewest=2, most=7).seconds.shape[1] == 7
    assert interleave([steady, steady], QUERIES, seed=0, fewest=2, most=7).seconds.shape[1] == 2


# ---------------------------------------------------------------- what is computed


def planted(*rounds: list[float], queries: int = 4) -> Timings:
    """Return timings whose contestants' rounds have these means."""
    means = np.array(rounds, dtype=np.float64)
    return Timings(np.repeat(means[:, :, None], queries, axis=2))


def test_a_ratio_is_of_the_same_moment() -> None:
    """The machine was ten times slower in one round, for both: the ratio does not notice."""
    timings = planted([1.0, 10.0, 1.2], [2.0, 20.0, 2.4])
    assert timings.ratio(1, 0) == pytest.approx(2.0)
    assert timings.ratio(0, 1) == pytest.approx(0.5)
    assert timings.ratio(0, 0) == pytest.approx(1.0)
    # 15 over 5: neither the mean of the ratios 1, 3 and 4 nor the ratio of medians
    assert planted([1.0, 2.0, 2.0], [1.0, 6.0, 8.0]).ratio(1, 0) == pytest.approx(3.0)


def test_a_disturbed_block_does_not_move_the_ratio() -> None:
    """One of 40 blocks took twenty times as long, for one contestant or the other: a few percent at most."""
    rng = np.random.default_rng(0)
    seconds = rng.normal([[[1.0]], [[1.5]]], 0.02, size=(2, 40, 16))
    assert Timings(seconds).ratio(1, 0) == pytest.approx(1.5, rel=0.01)
    for disturbed in (0, 1):
        again = seconds.copy()
        again[disturbed, 7] *= 20
        assert Timings(again).ratio(1, 0) == pytest.approx(1.5, rel=0.01)


@pytest.mark.parametrize(
    ("spread", "expected"),
    [(0.0, True), (0.9, True), (1.1, False)],
)
def test_settled_is_a_small_standard_error_of_every_ratio(spread: float, expected: bool) -> None:
    """Nine ratios of mean 1, the median absolute deviation d: the error is 1.4826 d / 3."""
    d = spread * module.SETTLED * 3 / 1.4826
    ratios = 1 + d * np.array([-2, -1.5, -1, -1, 0, 1, 1, 1.5, 2])
    steady, wavering = [1.0] * 9, ratios.tolist()
    assert planted(steady, wavering).settled(0) == expected
    assert planted(steady, steady, wavering).settled(0) == expected
    assert planted([5 * r for r in wavering], [7 * r for r in wavering]).settled(0)


def test_rounds_take_other_queries_until_all_were_asked(clock: Clock) -> None:
    search = clock.contestant("a", 1.0)
    timings = interleave([search], QUERIES, seed=0, a_round=10, fewest=5, most=5)
    assert timings.seconds.shape == (1, 5, 10)
    assert timings.n_slices == 4
    timed = [clock.calls[at : at + 18][-10:] for at in range(1, len(clock.calls), 18)]
    asked = [query for round_ in timed for _, query in round_]
    assert asked == [*range(40), *range(10)]  # the fifth round begins again


def test_percentiles_are_of_the_least_of_each_querys_visits() -> None:
    """Two slices of two queries, three visits each; two of them were disturbed."""
    own = np.array([[1.0, 9.0], [9.0, 4.0], [9.0, 2.0], [3.0, 9.0], [9.0, 9.0], [9.0, 9.0]])
    timings = Timings(np.stack([np.ones((6, 2)), own]), n_slices=2)
    latency = timings.latency(1, 0)
    assert latency.p50_s / latency.mean_s == pytest.approx(1.0)
    assert latency.p99_s / latency.mean_s == pytest.approx(np.percentile([1, 2, 3, 4], 99) / 2.5)


def test_one_wild_round_does_not_unsettle() -> None:
    assert planted([1.0] * 9, [1.0] * 8 + [50.0]).settled(0)


def test_blocks_weigh_what_the_reference_takes_for_them(clock: Clock) -> None:
    """A hard block of 32 queries and an easy one: the ratio is that of the means, not of the blocks."""
    seconds = np.empty((2, 3, 64))
    seconds[0, :, :32], seconds[0, :, 32:] = 3.0, 1.0
    seconds[1, :, :32], seconds[1, :, 32:] = 3.0, 2.0
    assert Timings(seconds).ratio(1, 0) == pytest.approx(5 / 4)


def test_latency_is_the_ratio_times_the_references_typical_round() -> None:
    reference = np.tile(np.full(100, 2.0), (3, 1)) * np.array([[1], [4], [1]])
    mine = np.tile(np.arange(1, 101) / 50.5, (3, 1)) * np.array([[1], [4], [1]])
    latency = Timings(np.stack([reference, mine])).latency(1, 0, queries_per_second=77.0)
    mean = latency.mean_s
    assert mean == pytest.approx(1.0, rel=0.01)  # its easy and its hard blocks are a little clipped
    assert latency.p50_s == pytest.approx(mean * 50.5 / 50.5)
    assert latency.p95_s == pytest.approx(mean * 95.05 / 50.5)
    assert latency.p99_s == pytest.approx(mean * 99.01 / 50.5)
    assert (latency.n_rounds, latency.queries_per_second) == (3, 77.0)


def test_percentiles_are_scaled_to_the_same_typical_round() -> None:
    """The contestant's median round was slow, the reference's was not: percentiles follow the mean."""
    by_query = np.array([1.0, 1.0, 1.0, 5.0])
    mine = np.stack([by_query * 3, by_query * 3, by_query])
    reference = np.stack([np.full(4, 3.0), np.full(4, 1.5), np.full(4, 1.0)])
    latency = Timings(np.stack([reference, mine])).latency(1, 0)
    # ratios 2, 4, 2; the reference's typical round is 1.5
    assert latency.mean_s == pytest.approx(3.0)
    assert latency.p50_s == pytest.approx(1.5)
    assert latency.queries_per_second is None


# ---------------------------------------------------------------- one core, and back


def _threads() -> list[tuple[str, int]]:
    pools = [
        (pool["filepath"], pool["num_threads"])
        for pool in threadpool_info()
        # others' own BLAS and OpenMP are loaded late, by other tests too; nothing that is timed calls them
        if {"numpy.libs", "faiss_cpu.libs"} & set(Path(pool["filepath"]).parts)
    ]
    return [*sorted(pools), ("faiss", faiss.omp_get_max_threads())]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_inside_there_is_one_core(threads: Callable[[int], None]) -> None:
    threads(2)
    before = _threads()
    with one_core():
        assert len(os.sched_getaffinity(0)) == 1
        assert os.sched_getaffinity(0) <= CORES
        assert {count for _, count in _threads()} == {1}
    assert os.sched_getaffinity(0) == CORES
    assert _threads() == before


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
@pytest.mark.parametrize("n_threads", [1, 2, 0])
def test_cores_and_threads_are_put_back_when_a_contestant_fails(
    threads: Callable[[int], None], n_threads: int
) -> None:
    threads(n_threads)
    before = _threads()

    def fails(query: FloatArray) -> None:
        assert len(os.sched_getaffinity(0)) == 1
        if len(query) == 1 and query[0, 0] == 17:  # past the warm-up
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interleave([fails], QUERIES, seed=0)
    assert os.sched_getaffinity(0) == CORES
    assert _threads() == before


def test_throughput_is_the_better_of_two_batches(clock: Clock, threads: Callable[[int], None]) -> None:
    threads(1)
    seconds = iter([4.0, 2.0])
    seen = []

    def search(queries: FloatArray) -> None:
        seen.append((len(queries), faiss.omp_get_max_threads()))
        clock.now += next(seconds)

    assert throughput(search, QUERIES, 2) == 20.0
    assert seen == [(40, 2)] * 2


def test_the_call_overhead_is_positive_and_less_than_a_search() -> None:
    assert 0 < call_overhead_s(8) < 0.01
