"""Costs at full size: whatever is planted as the seconds of a search is found again, through real graphs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pytest
from conftest import NQ, K, World

from tuner.index.assemble import Encoded
from tuner.index.codecs import quantizer
from tuner.index.encoders import train
from tuner.index.graph import transplant
from tuner.index.projections import Projection
from tuner.prediction.curves import search_counted
from tuner.prediction.kernel_costs import KernelCost, Reranking, small_graph
from tuner.prediction.surface import CodecCost
from tuner.runtime.timing import Timings
from tuner.sweep.codec_costs import LEAST_SHARE, Contestant, FullSize, codec_cost_of, exact_codes
from tuner.sweep.problem import Problem
from tuner.types import Metric, Options, Space

NANO = 1e-9
CALL_S = 3_000 * NANO
SMALL_ROWS = 400
KERNEL = KernelCost(distance_s=40 * NANO, query_s=5_000 * NANO, lines=1, ndis=300)
FEW, MANY = 6, 16


@dataclass
class Machine:
    """Seconds of a search, planted; ``speed`` is another in every call, as on a shared machine."""

    own_s: float = 70 * NANO
    hop_s: float = 250 * NANO
    of_width: dict[int, float] = field(default_factory=dict)
    candidate_s: float = 0.0
    speed: Iterator[float] = field(default_factory=lambda: iter([1.0, 1.7, 0.6, 2.5]))
    asked: list[list[Contestant]] = field(default_factory=list)

    def seconds(self, contestant: Contestant) -> float:
        if contestant.hnsw.ntotal == SMALL_ROWS:
            return CALL_S + contestant.ndis * KERNEL.distance_s
        code = faiss.downcast_index(contestant.hnsw.storage).code_size
        distance_s = self.of_width.get(code, self.own_s)
        seconds = CALL_S + contestant.ndis * distance_s + contestant.ef_search * self.hop_s
        if isinstance(contestant.index, faiss.IndexRefine):
            seconds += contestant.index.k_factor * contestant.k * self.candidate_s
        return seconds

    def interleave(self, searches: list[Any], numbers: Any, seed: int, **_: Any) -> Timings:
        contestants = [search.__self__ for search in searches]
        self.asked.append(contestants)
        speed = next(self.speed)
        seconds = np.array([speed * self.seconds(each) for each in contestants])
        return Timings(np.tile(seconds[:, None, None], (1, 2, len(numbers))))


def problem_of(one: World, k: int = K, Ms: tuple[int, ...] = (FEW, 8, 14, MANY, 24)) -> Problem:
    return Problem(
        options=Options(recall=0.9, k=k, space=Space(M=Ms)),
        base=one.base,
        raw=one.raw,
        queries=one.queries,
        truth=one.truth,
        order=np.arange(NQ),
        links_path=one.links_path,
        threads=1,
    )


@pytest.fixture
def full_size(
    world: Callable[..., World], encoded: Callable[..., Encoded], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., FullSize]:
    monkeypatch.setattr("tuner.prediction.kernel_costs.ROWS", SMALL_ROWS)
    monkeypatch.setattr("tuner.sweep.codec_costs.call_overhead_s", lambda d: CALL_S)

    def make(machine: Machine, metric: Metric = "cosine", own: str = "fp32", **changes: Any) -> FullSize:
        one = world(metric)
        problem = problem_of(one, **changes)
        monkeypatch.setattr("tuner.sweep.codec_costs.interleave", machine.interleave)
        graph = small_graph(one.base, problem.queries[problem.order], 0)
        return FullSize(problem, one.links, graph, encoded(metric, own), KERNEL)

    return make


# ---------------------------------------------------------------- the fit


@pytest.mark.parametrize(("own_s", "hop_s"), [(70, 250), (35, 900), (400, 0)])
@pytest.mark.parametrize(("metric", "own"), [("cosine", "fp32"), ("ip", "SQ8"), ("l2", "RaBitQ2")])
def test_the_fit_finds_the_planted_distance_and_hop(
    full_size: Callable[..., FullSize], metric: Metric, own: str, own_s: float, hop_s: float
) -> None:
    machine = Machine(own_s=own_s * NANO, hop_s=hop_s * NANO)
    full = full_size(machine, metric, own)
    assert full.own_s == pytest.approx(own_s * NANO, rel=1e-9)
    assert full.hop_s == pytest.approx(hop_s * NANO, rel=1e-9, abs=1e-18)


@pytest.mark.parametrize(("k", "efs"), [(K, (32, 96)), (50, (50, 96))])
def test_the_fewest_links_and_about_16_are_timed_at_two_ef_search(
    full_size: Callable[..., FullSize], world: Callable[..., World], k: int, efs: tuple[int, int]
) -> None:
    machine = Machine()
    full = full_size(machine, k=k)
    (contestants,) = machine.asked
    small, *asked = contestants
    assert small.hnsw.ntotal == SMALL_ROWS
    links = [(each.hnsw.hnsw.nb_neighbors(1), each.ef_search) for each in asked]
    assert links == [(M, ef) for M in (FEW, MANY) for ef in efs]
    assert {each.hnsw.ntotal for each in asked} == {world("cosine").base.n}
    assert full.own_s == pytest.approx(70 * NANO, rel=1e-9)
    assert (full.reference.hnsw.hnsw.nb_neighbors(1), full.reference.ef_search) == (FEW, 96)


def test_one_number_of_links_is_enough_for_the_fit(full_size: Callable[..., FullSize]) -> None:
    machine = Machine(own_s=55 * NANO, hop_s=310 * NANO)
    full = full_size(machine, Ms=(12,))
    assert len(machine.asked[0]) == 3
    assert (full.own_s, full.hop_s) == pytest.approx((55 * NANO, 310 * NANO), rel=1e-6)


def test_seconds_are_those_of_the_rounds_that_kernels_were_timed_in(
    full_size: Callable[..., FullSize],
) -> None:
    """A machine that is 1.7 times as slow as it was then changes no cost."""
    full = full_size(Machine(speed=iter([1.7])))
    assert full.own_s == pytest.approx(70 * NANO, rel=1e-9)
    assert full.reference_s == pytest.approx(CALL_S + full.reference.ndis * 70 * NANO + 96 * 250 * NANO)


# ---------------------------------------------------------------- other codecs


@pytest.mark.parametrize("codec", ["SQ4", "RaBitQ4", "fp16"])
@pytest.mark.parametrize(("metric", "own"), [("cosine", "fp32"), ("ip", "SQ8")])
def test_a_rivals_seconds_a_distance_are_found(
    full_size: Callable[..., FullSize],
    world: Callable[..., World],
    encoded: Callable[..., Encoded],
    metric: Metric,
    own: str,
    codec: str,
) -> None:
    one, rival = world(metric), encoded(metric, codec)
    machine = Machine(of_width={rival.encoder.codec.code_bytes: 123 * NANO})
    full = full_size(machine, metric, own)
    distance_s, distances = full.time(rival)
    assert distance_s == pytest.approx(123 * NANO, rel=1e-9)

    def counted(codes: Encoded) -> float:
        empty = codes.encoder.empty(FEW)
        index = transplant(one.links, FEW, one.links_path, empty, codes.codes)
        index.hnsw.efSearch = 96
        asked = codes.encoder.transform(one.queries)
        return search_counted(index, asked, K)[1]

    assert distances == pytest.approx(counted(rival) / counted(encoded(metric, own)), rel=1e-12)
    if codec == "RaBitQ4":
        assert distances > 1.1  # rough ones, and some of them again


def test_distances_of_a_rival_as_fast_as_its_hops_take_a_share_of_its_time_and_never_none(
    full_size: Callable[..., FullSize], encoded: Callable[..., Encoded]
) -> None:
    """A codec that costs nothing would beat every other, and be judged on every cut."""
    rival = encoded("cosine", "SQ4")
    machine = Machine(of_width={rival.encoder.codec.code_bytes: -5 * NANO})
    found = full_size(machine).time(rival)[0]
    asked = machine.asked[-1][1]
    took = asked.ndis * -5 * NANO + asked.ef_search * machine.hop_s
    assert found == pytest.approx(LEAST_SHARE * took / asked.ndis)


@pytest.mark.parametrize("k", [K, 20])
@pytest.mark.parametrize(
    ("metric", "own"), [("cosine", "fp32"), ("l2", "SQ8"), ("ip", "SQ8"), ("ip", "fp32")]
)
def test_what_fetching_adds_to_a_candidate_is_found(
    full_size: Callable[..., FullSize], world: Callable[..., World], metric: Metric, own: str, k: int
) -> None:
    """200 ns a candidate, of which 60 were seen in the small graph already."""
    machine = Machine(candidate_s=200 * NANO)
    full = full_size(machine, metric, own, k=k)
    base = world(metric).base
    assert full.own.encoder.codec.width == (base.d if own == "fp32" else 32) >= base.d
    fp32 = train(quantizer("fp32", base.d), Projection("none", base.d), None, metric, base.sample(500, 0), 0)
    store = exact_codes(fp32, full.problem)
    small = Reranking(query_s=0.0, candidate_s=60 * NANO)
    assert full.fetch_s(store, small) == pytest.approx(140 * NANO, rel=1e-6)
    (reference, outer), (again, refined) = machine.asked[1:]
    assert reference is again is full.reference
    assert outer.ef_search == refined.ef_search == max(96, 8 * k)
    # the two differ by the re-ranking alone
    assert refined.ndis == outer.ndis
    assert refined.index.k_factor == 8.0


def test_fetching_that_costs_less_than_in_the_small_graph_adds_nothing(
    full_size: Callable[..., FullSize], world: Callable[..., World]
) -> None:
    full = full_size(Machine(candidate_s=200 * NANO))
    base = world("cosine").base
    fp32 = train(
        quantizer("fp32", base.d), Projection("none", base.d), None, "cosine", base.sample(500, 0), 0
    )
    small = Reranking(query_s=0.0, candidate_s=300 * NANO)
    assert full.fetch_s(exact_codes(fp32, full.problem), small) == 0.0


def planted_guess(own_s: float, hop_s: float, kernel: KernelCost) -> FullSize:
    full = object.__new__(FullSize)
    full.own_s, full.hop_s, full.kernel = own_s * NANO, hop_s * NANO, kernel
    return full


@pytest.mark.parametrize(
    ("own_s", "kernel_s", "lines", "guess_s"),
    [
        # own: 60 in the small graph, 50 without hops, 90 at full size: 40 for 4 lines
        (90, 60, 4, 90),
        (90, 35, 1, 25 + 25),  # the first line half of it, and a quarter of the rest
        (90, 35, 8, 25 + 40),  # lines beyond the fourth come free
        (90, 12, 1, 3.6 + 25),  # at least .3 of a kernel are distances
        (45, 35, 1, 25),  # full size was not slower: nothing to add
    ],
)
def test_guesses_by_hand(own_s: float, kernel_s: float, lines: int, guess_s: float) -> None:
    """A hop of 200 ns, half of it in the cache, a tenth of that a distance: 10 ns of every kernel."""
    full = planted_guess(own_s, 200, KernelCost(60 * NANO, 0.0, 4, 300))
    assert full.guess_s(KernelCost(kernel_s * NANO, 0.0, lines, 300)) == pytest.approx(guess_s * NANO)


def test_costs_by_hand() -> None:
    rerankings = {"fp32": Reranking(3e-6, 2e-7), "SQ8": Reranking(4e-6, 5e-8)}
    # 2e-7 + 1e-7 and 5e-8 + 1e-7
    rerank_s: Any = {"fp32": pytest.approx(3e-7), "SQ8": pytest.approx(1.5e-7)}
    found = codec_cost_of(KernelCost(1e-8, 9e-6, 2, 300), 7e-8, 1.25, 4e-7, rerankings, 1e-7)
    assert found == CodecCost(
        distance_s=7e-8,
        hop_s=4e-7,
        query_s=9e-6,
        rerank_s=rerank_s,
        rerank_query_s={"fp32": 3e-6, "SQ8": 4e-6},
        distances=1.25,
    )
    # 2,000 distances were counted with the codec's own: 140 us, 50 hops 20, the call 9, 40 fetched 6 + 4
    assert found.latency_s(2000, 50, "SQ8", 40) == pytest.approx(179e-6)


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_exact_codes_are_the_mapped_base(world: Callable[..., World], metric: Metric) -> None:
    one = world(metric)
    base = one.base
    fp32 = train(quantizer("fp32", base.d), Projection("none", base.d), None, metric, base.sample(10, 0), 0)
    codes = exact_codes(fp32, problem_of(one)).codes
    assert codes.shape == (base.n, fp32.codec.code_bytes) == (base.n, 4 * base.d)
    assert np.shares_memory(codes, base.x)


# ---------------------------------------------------------------- contestants


def test_a_contestant_searches_its_own_queries_at_its_own_ef_search() -> None:
    """Two share a graph: the second was made last, and the first searches as if it were alone."""
    seen: list[tuple[int, list[float], int]] = []
    graph: Any = SimpleNamespace(hnsw=SimpleNamespace(efSearch=0))

    def search(queries: Any, k: int) -> tuple[None, Any]:
        seen.append((graph.hnsw.efSearch, queries[:, 0].tolist(), k))
        return None, np.zeros((len(queries), k), dtype=np.int64)

    index: Any = SimpleNamespace(search=search)
    rows = np.arange(5, dtype=np.float32)[:, None]
    first, second = Contestant(index, rows, 10, graph, 32), Contestant(index, rows + 100, 10, graph, 4)
    assert [entry[0] for entry in seen] == [32, 4]
    seen.clear()
    first.search(np.array([[3.0]], dtype=np.float32))
    second.search(np.array([[3.0], [4.0]], dtype=np.float32))
    first.search(np.array([[0.0], [1.0], [2.0]], dtype=np.float32))
    assert seen == [(32, [3.0], 10), (10, [103.0, 104.0], 10), (32, [0.0, 1.0, 2.0], 10)]
