"""The last rounds on planted clocks: the noise floor, batches that can be compared, the limit on latency."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import finish

from tuner.runtime.timing import Timings
from tuner.sweep import finalist_times as module
from tuner.sweep.baseline import Reference
from tuner.types import Configuration, Memory, OperatingPoint, Options, Recall

RECALL = Recall(mean=0.96, lower=0.951, p5=0.8, share_below_half=0.0, n_queries=500)


def configuration(codec: str) -> Configuration:
    return Configuration(M=16, ef_construction=100, codec=codec, dims=8)


def finalist(codec: str) -> OperatingPoint:
    return OperatingPoint(
        configuration=configuration(codec),
        ef_search=40,
        recall=RECALL,
        ndis_per_query=600.0,
        bytes_read_per_query=1.0,
        memory=memory_of(configuration(codec)),
        predicted_recall=0.96,
        modelled_latency_s=1.0,
        reaches_target=True,
    )


def memory_of(_: Configuration) -> Memory:
    return Memory(
        codes_bytes=100, links_bytes=0, levels_bytes=0, ids_bytes=0, rerank_bytes=0, overhead_bytes=0
    )


class PlantedBuilder:
    """Serves a name for an index; nothing is built."""

    def keep_codecs(self, count: int) -> None:
        pass

    def memory_of(self, what: Configuration) -> Memory:
        return memory_of(what)

    def serve(self, what: Configuration) -> Any:
        return SimpleNamespace(index=SimpleNamespace(name=what.codec), set_ef=lambda _: None)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., module.Timed]:
    """Return what times finalists whose seconds are planted, a machine half as fast in the second batch."""

    def run(
        seconds: dict[str, float],
        twin: float,
        n: int,
        max_latency_s: float | None = None,
        wall: float = 1.0,
    ) -> module.Timed:
        batches = 0

        def interleave(searches: list[Any], *_: Any, twins: tuple[int, int] | None, **__: Any) -> Timings:
            nonlocal batches
            batches += 1
            names = ["anchor", *(search.name for search in searches[1:])]
            means = [seconds[name] for name in names]
            if twins is not None:
                assert names[twins[0]] == names[twins[1]]
                means[twins[1]] *= twin
            took = np.array(means)[:, None, None] * batches * np.ones((len(means), 6, 16))
            return Timings(took, wall=took * wall)

        monkeypatch.setattr(module, "interleave", interleave)
        monkeypatch.setattr(module, "throughput", lambda *_: 77.0)
        monkeypatch.setattr(module, "anchor_of", lambda _: SimpleNamespace(name="anchor"))
        monkeypatch.setattr(module, "_certified", lambda problem, searchable, known, costs: known)
        monkeypatch.setattr(module, "_search_of", lambda searchable, _: searchable.index)
        problem: Any = SimpleNamespace(
            options=Options(recall=0.95, max_latency_s=max_latency_s),
            raw=np.zeros((10, 8), np.float32),
            sample=lambda n: np.arange(min(n, 10)),
            target=SimpleNamespace(width_in_errors=1.65),
            base=SimpleNamespace(n=n, d=8, release=lambda: None),
            threads=1,
        )
        reference = Reference(configuration("fp32"), 50, RECALL, memory_of(configuration("fp32")))
        monkeypatch.setattr(module, "reference_at", lambda *_: reference)
        monkeypatch.setattr(module, "reference_configuration", lambda _: configuration("fp32"))
        builder: Any = PlantedBuilder()
        points = [finalist(name) for name in seconds if name not in ("anchor", "fp32")]
        return finish(module.time_finalists(problem, builder, points, 50, {}))

    return run


SECONDS = {"anchor": 1.0, "SQ8": 2.0, "SQ4": 3.0, "fp32": 4.0}


def means(found: module.Timed) -> list[float]:
    return [p.latency.mean_s for p in found.points if p.latency is not None]


def test_the_noise_floor_is_what_an_index_differs_from_itself(timed: Callable[..., module.Timed]) -> None:
    for twin in (1.0, 1.07, 0.9):
        found = timed(SECONDS, twin, n=10_000)
        assert found.noise_floor == pytest.approx(abs(twin - 1))
        assert means(found) == pytest.approx([2.0, 3.0])
        assert found.reference_latency.mean_s == pytest.approx(4.0)
        assert found.reference_latency.queries_per_second == 77.0


def test_batches_are_put_on_one_clock_by_the_anchor(timed: Callable[..., module.Timed]) -> None:
    """Memory for one index at a time: the second batch takes twice as long, the third three times."""
    found = timed(SECONDS, 1.05, n=1)
    assert means(found) == pytest.approx([2.0, 3.0])
    assert found.reference_latency.mean_s == pytest.approx(4.0)
    assert found.noise_floor == pytest.approx(0.05)  # of the first batch, where there is a twin


def test_points_above_the_limit_on_p95_do_not_reach_the_target(timed: Callable[..., module.Timed]) -> None:
    found = timed(SECONDS, 1.0, n=10_000, max_latency_s=2.5)
    assert [p.reaches_target for p in found.points] == [True, False]


def test_untimed_points_are_told_how_much_slower_the_machine_was(timed: Callable[..., module.Timed]) -> None:
    """Modelled 1 s each, measured 2 and 3: the geometric mean."""
    assert timed(SECONDS, 1.0, n=10_000).slower == pytest.approx(6**0.5)


def test_without_finalists_the_reference_is_still_timed(timed: Callable[..., module.Timed]) -> None:
    found = timed({"anchor": 1.0, "fp32": 4.0}, 1.02, n=10_000)
    assert found.points == ()
    assert found.reference_latency.mean_s == pytest.approx(4.0)
    assert found.noise_floor == pytest.approx(0.02)
    assert found.slower == 1.0


def test_what_others_took_of_the_processor_is_kept(timed: Callable[..., module.Timed]) -> None:
    assert timed(SECONDS, 1.0, n=10_000).waited == 0.0
    assert timed(SECONDS, 1.0, n=1, wall=4.0).waited == pytest.approx(0.75)
