"""The point that is chosen in an engine: against brute force, and not slower than the engine's default."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.engine_jobs import settle as settle_job
from tuner.engine_jobs.builds import Builds
from tuner.engine_jobs.candidates import by_preference, without_slow
from tuner.engine_jobs.choice import SAME, best_of
from tuner.engine_jobs.graphs import richer
from tuner.engine_jobs.survey import Surveyed
from tuner.engines import Answers, Deployment, EngineConfig, find_engine
from tuner.runtime.steps import result_of
from tuner.space import default_space
from tuner.types import EnginePoint, FirstBuild, Latency, Options, Preference, Recall, ReportedConfig

N = 1_000
RECALL = Recall(mean=0.97, lower=0.96, p5=0.8, share_below_half=0.0, n_queries=100)


def point(codec: str, size: int, seconds: float, *, reaches: bool = True) -> EnginePoint:
    settings = EngineConfig(
        engine="clickhouse",
        codec=codec,
        d=128,
        metric="cosine",
        k=10,
        M=16,
        ef_construction=128,
        ef_search=64,
    )
    latency = Latency(mean_s=seconds, p50_s=seconds, p95_s=seconds, p99_s=seconds, n_rounds=1)
    return EnginePoint(
        settings=settings,
        recall=RECALL,
        hits=(10, 9),
        index_bytes=size,
        latency=latency,
        applied=ReportedConfig(version="planted"),
        load_s=1.0,
        predicted_recall=None,
        predicted_bytes=None,
        reaches_target=reaches,
    )


def options(prefer: Preference = "balanced", **limits: Any) -> Options:
    return Options(recall=0.95, prefer=prefer, space=default_space(), **limits)


# ---------------------------------------------------------------- among what was measured


def test_five_times_less_memory_does_not_buy_twelve_times_the_latency() -> None:
    b1, bf16 = point("b1", 10, 12.0), point("bf16", 50, 1.0)
    chosen = {
        prefer: best_of([b1, bf16], options(prefer), N) for prefer in ("balanced", "smallest", "fastest")
    }
    assert chosen == {"balanced": bf16, "smallest": b1, "fastest": bf16}


@pytest.mark.parametrize("seed", range(50))
def test_the_choice_equals_brute_force(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = [
        point(
            str(i), int(rng.integers(1, 30)), float(rng.integers(1, 30)) / 8, reaches=bool(rng.random() < 0.8)
        )
        for i in range(int(rng.integers(1, 20)))
    ]
    limit = int(rng.integers(5, 40))
    good = [each for each in points if each.reaches_target and each.index_bytes <= limit]
    found = best_of(points, options(max_memory_bytes=limit), N)
    if not good:
        assert found is None
        return
    near = [each for each in good if all(each.latency.mean_s <= 1.5 * other.latency.mean_s for other in good)]
    costs = [each.index_bytes * each.latency.mean_s for each in near]
    close = [each for each, cost in zip(near, costs, strict=True) if cost <= (1 + SAME) * min(costs)]
    assert found is not None
    assert found in close
    assert found.index_bytes == min(each.index_bytes for each in close)


def surveyed(codec: str, size: float, seconds: float, excluded: str = "") -> Surveyed:
    return Surveyed(
        codec=codec, factor=1, recall=0.96, bytes_per_vector=size, seconds=seconds, excluded=excluded
    )


def test_codecs_far_slower_than_the_fastest_are_built_last() -> None:
    found = [
        surveyed("tiny", 1, 12.0),
        surveyed("small", 5, 1.4),
        surveyed("fast", 9, 1.0),
        surveyed("dead", 0.0, 0.0, excluded="died"),
    ]
    order = [each.codec for each in by_preference(found, "balanced")]
    assert order == ["small", "fast", "tiny", "dead"]
    assert [each.codec for each in by_preference(found, "smallest")] == ["tiny", "small", "fast", "dead"]


def test_codecs_slower_than_the_default_on_a_sample_are_not_built() -> None:
    """But the exact one, which shows what a graph can do; and those that miss the target keep that reason."""
    can = find_engine("clickhouse").capabilities
    found = [
        surveyed("f32", 40, 2.0),
        surveyed("bf16", 20, 1.0),
        surveyed("f16", 20, 1.25),
        surveyed("i8", 10, 1.26),
        surveyed("b1", 1, 3.0, excluded="misses"),
    ]

    def left_out(asked: Options, codecs: list[Surveyed] = found) -> dict[str, str]:
        return {
            each.codec: each.excluded for each in without_slow(codecs, "f32", can, asked) if each.excluded
        }

    assert left_out(options()).keys() == left_out(options("fastest")).keys() == {"i8", "b1"}
    assert "takes 1.3 x as long as with bf16, the default, on a sample" in left_out(options())["i8"]
    misses = {"b1": "misses"}
    assert left_out(options())["b1"] == "misses"
    assert left_out(options("smallest")) == misses
    assert (
        left_out(options(max_memory_bytes=10**9)) == left_out(options(max_memory_per_vector=99.0)) == misses
    )
    default_misses = [replace(each, excluded="no") if each.codec == "bf16" else each for each in found]
    assert left_out(options(), default_misses) == misses | {"bf16": "no"}


# ---------------------------------------------------------------- beside the engine's default, built again


@dataclass(eq=False)
class Index:
    """A running index whose searches take as long as planted for its codec."""

    config: EngineConfig
    seconds: dict[str, float]

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None: ...

    def set_search(self, ef_search: int, oversampling: int) -> None: ...

    def search(self, queries: np.ndarray, k: int) -> Answers:
        ids = np.zeros((len(queries), k), dtype=np.int64)
        return Answers(ids=ids, seconds=np.full(len(queries), self.seconds[self.config.codec]))


@dataclass
class Settled:
    """The answer, the comparison, what was opened in which order, and the warnings."""

    chosen: EnginePoint | None
    comparison: Any
    opened: list[str]
    warnings: list[str]


def settled(
    monkeypatch: pytest.MonkeyPatch,
    points: list[EnginePoint],
    default: EnginePoint,
    seconds: dict[str, float],
    asked: Options,
    fails: tuple[str, ...] = (),
    richer: EnginePoint | None = None,
    unbuilt: tuple[EnginePoint, ...] = (),
) -> Settled:
    """What is chosen; ``seconds`` are those in turns, ``fails`` codecs whose second build misses.

    Args:
        richer: what a codec of a failed second build does with a richer graph.
        unbuilt: what codecs do that were not built at first.
    """
    opened: list[str] = []

    def open_index(config: EngineConfig, deployment: Deployment) -> Index:
        opened.append(config.codec)
        return Index(config, seconds)

    def measure(*_: object) -> Generator[Any, None, EnginePoint]:
        yield from ()
        return default

    def measure_again(
        _: object, first: EnginePoint, name: str, order: object
    ) -> Generator[Any, None, EnginePoint]:
        yield from ()
        # the default was first built with its rows in the other order
        assert (order is None) == (first.settings.codec == "bf16")
        known = FirstBuild(ef_search=first.settings.ef_search, recall=first.recall)
        holds = (first.settings.codec, first.settings.M) not in [(codec, 16) for codec in fails]
        return replace(first, first_build=known, reaches_target=holds)

    def build(config: EngineConfig, factor: int) -> Generator[Any, None, EnginePoint | None]:
        yield from ()
        opened.append(f"{config.codec} M={config.M}")
        return None if richer is None else replace(richer, settings=config)

    monkeypatch.setattr(settle_job, "EngineProcess", open_index)
    problem = SimpleNamespace(options=asked, raw=np.zeros((60, 4)), sample=lambda n: np.arange(60))
    profile = SimpleNamespace(metric="cosine")
    posed = SimpleNamespace(
        problem=problem, n=N, vectors=SimpleNamespace(d=128), profile=profile,
    )  # fmt: skip
    engine = find_engine("clickhouse")
    common = SimpleNamespace(
        engine=engine,
        can=engine.capabilities,
        posed=posed,
        deployment=lambda name: Deployment(folder=Path("unused")),
        other_order=np.arange(N)[::-1],
    )
    # few queries compare, all of them confirm: neither can do what the other is for
    few: Any = SimpleNamespace(**vars(common), measure=measure)
    whole: Any = SimpleNamespace(**vars(common), measure_again=measure_again)
    builds = Builds(whole, points=list(points))
    builds.measurement = few

    def build_next() -> Generator[Any, None, int]:
        yield from ()
        config, _ = builds.unbuilt.pop(0)
        builds.points += [each for each in unbuilt if each.settings == config]
        opened.append(f"{config.codec} besides")
        return 0

    builds.unbuilt = [(each.settings, 1) for each in unbuilt]
    monkeypatch.setattr(builds, "_build_next", build_next)
    monkeypatch.setattr(builds, "build", build)
    monkeypatch.setattr(builds, "hold_together", lambda: None)
    found, comparison = result_of(settle_job.settle(builds))
    return Settled(found, comparison, opened, builds.warnings)


def held(chosen: EnginePoint) -> EnginePoint:
    """The point as its second build confirms it."""
    known = FirstBuild(ef_search=chosen.settings.ef_search, recall=chosen.recall)
    return replace(chosen, first_build=known)


F32, F16, I8 = point("f32", 40, 1.2), point("f16", 20, 1.1), point("i8", 10, 1.3)
BF16 = point("bf16", 21, 1.0)
"""ClickHouse's default."""


def test_what_is_not_slower_than_the_default_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, [F32, F16, I8], BF16, {"i8": 1.0, "bf16": 1.0}, options())
    assert found.chosen == held(I8)
    assert (found.comparison.memory_ratio, found.comparison.latency_ratio) == (2.1, 1.0)
    assert found.opened == ["bf16", "i8"]
    assert found.warnings == []


def test_a_slower_one_gives_way_to_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """i8 takes 1.3 x the default's time in turns, f16 1.02 x, which no clock tells from the same."""
    quick = replace(F16, latency=replace(F16.latency, mean_s=1.04))
    seconds = {"i8": 1.3, "bf16": 1.0, "f16": 1.02}
    found = settled(monkeypatch, [F32, quick, I8], BF16, seconds, options())
    assert found.chosen == held(quick)
    assert found.comparison.latency_ratio == pytest.approx(1 / 1.02)
    assert found.comparison.memory_ratio == 21 / 20
    assert found.opened == ["bf16", "i8", "f16"]


def test_where_all_are_slower_it_is_the_default_itself_built_again(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, [F32, F16, I8], BF16, {"i8": 1.3, "bf16": 1.0}, options())
    assert found.chosen == held(BF16)
    assert (found.comparison.memory_ratio, found.comparison.latency_ratio) == (1.0, 1.0)
    assert found.opened == ["bf16", "i8", "bf16"]


def test_where_all_are_slower_others_are_built_before_it_is_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the three that were left two are built; the one that is not slower is the answer."""
    left = (point("i4", 8, 1.4), point("i6", 9, 1.0), point("i2", 5, 0.5))
    seconds = {"i8": 1.3, "bf16": 1.0, "i6": 1.0}
    found = settled(monkeypatch, [F32, I8], BF16, seconds, options(), unbuilt=left)
    assert found.chosen == held(left[1])
    assert found.comparison.memory_ratio == 21 / 9
    assert found.opened == ["bf16", "i8", "i4 besides", "i6 besides", "i6"]
    again = settled(monkeypatch, [F32, I8], BF16, seconds, options(), unbuilt=left[:1])
    assert again.chosen == held(BF16)
    assert again.opened == ["bf16", "i8", "i4 besides", "bf16"]


def test_where_one_holds_no_other_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"i8": 1.0, "bf16": 1.0}
    assert settled(monkeypatch, [F32, I8], BF16, seconds, options(), unbuilt=(F16,)).opened == ["bf16", "i8"]


def test_one_that_proves_slower_in_turns_gives_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(F16, latency=replace(F16.latency, mean_s=1.0))
    found = settled(monkeypatch, [quick, I8], BF16, {"i8": 1.3, "bf16": 1.0, "f16": 1.2}, options())
    assert found.chosen == held(BF16)
    assert found.opened == ["bf16", "i8", "f16", "bf16"]


def test_a_default_that_misses_the_target_or_the_limit_beats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"i8": 1.3, "bf16": 1.0}
    missed = replace(BF16, reaches_target=False)
    assert settled(monkeypatch, [I8], missed, seconds, options()).chosen == held(I8)
    assert settled(monkeypatch, [I8], BF16, seconds, options(max_memory_bytes=15)).chosen == held(I8)


def test_who_asks_for_the_smallest_gets_it_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    found = settled(monkeypatch, [F32, I8], BF16, {"i8": 1.3, "bf16": 1.0}, options("smallest"))
    assert found.chosen == held(I8)
    assert found.comparison.latency_ratio == pytest.approx(1 / 1.3)


def test_where_nothing_else_reaches_the_target_the_default_may(monkeypatch: pytest.MonkeyPatch) -> None:
    missed = replace(I8, reaches_target=False)
    found = settled(monkeypatch, [missed], BF16, {"bf16": 1.0}, options())
    assert found.chosen == held(BF16)
    assert settled(monkeypatch, [missed], replace(BF16, reaches_target=False), {}, options()).chosen is None


def test_what_does_not_hold_when_it_is_built_again_gives_way_to_a_richer_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Points of the same graph are not believed either; i8 with the next M holds."""
    seconds = {"i8": 1.0, "bf16": 1.0}
    found = settled(monkeypatch, [F16, I8], BF16, seconds, options(), fails=("i8",), richer=I8)
    assert found.chosen is not None
    assert found.chosen.settings.M == 24
    assert found.chosen.settings.ef_construction == 256
    assert found.opened == ["bf16", "i8", "i8 M=24", "i8"]
    assert len(found.warnings) == 1
    assert "does not hold: a second build, its rows in another order, finds 0.9700" in found.warnings[0]


def test_nothing_is_called_reached_that_no_second_build_confirms(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"i8": 1.0, "bf16": 1.0}
    found = settled(monkeypatch, [F16, I8], BF16, seconds, options(), fails=("i8", "bf16"))
    assert (found.chosen, found.comparison) == (None, None)


def test_a_default_that_does_not_hold_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """i8 is slower than the default, which its own second build does not confirm."""
    found = settled(monkeypatch, [I8], BF16, {"i8": 1.3, "bf16": 1.0}, options(), fails=("bf16",))
    assert found.chosen == held(I8)
    assert not found.comparison.point.reaches_target


# ---------------------------------------------------------------- which graph is built


def built(
    monkeypatch: pytest.MonkeyPatch, does: Any, codecs: tuple[str, ...] = ("f32", "b1", "i8")
) -> list[tuple[str, int, int]]:
    """Codec, M and ef_construction of everything that is built; ``does`` says what a config reaches."""
    order: list[tuple[str, int, int]] = []
    engine = find_engine("clickhouse")
    space = replace(default_space(), M=(8, 12, 16, 24, 32))
    problem = SimpleNamespace(options=Options(recall=0.95, space=space), aim=0.96)
    posed = SimpleNamespace(
        problem=problem, n=N, vectors=SimpleNamespace(d=128), profile=SimpleNamespace(metric="cosine")
    )
    native = SimpleNamespace(
        configuration=SimpleNamespace(M=8, cut="none", rerank=None),
        reaches_target=True,
        seconds=1.0,
        ef_search=60,
    )
    measurement: Any = SimpleNamespace(
        engine=engine, can=engine.capabilities, posed=posed, result=SimpleNamespace(points=[native])
    )
    builds = Builds(measurement)

    def build(config: EngineConfig, factor: int) -> Generator[Any, None, EnginePoint | None]:
        yield from ()
        order.append((config.codec, config.M, config.ef_construction))
        reaches, ef_search = does(config)
        found = replace(
            point(config.codec, 1, 1.0, reaches=reaches), settings=replace(config, ef_search=ef_search)
        )
        builds.points.append(found)
        return found

    monkeypatch.setattr(builds, "build", build)
    monkeypatch.setattr(builds, "hold_together", lambda: None)
    by_name = {codec.name: codec for codec in engine.capabilities.codecs}
    result_of(builds.build_codecs(tuple(by_name[name] for name in codecs)))
    return order


def test_a_graph_that_reaches_the_target_serves_every_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    order = built(monkeypatch, lambda config: (config.codec != "b1", 60))
    # 1 bit misses with a graph that others reach it with: its codes are to blame
    assert order == [("f32", 8, 100), ("b1", 8, 100), ("i8", 8, 100)]


def test_a_graph_whose_recall_levels_off_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    order = built(monkeypatch, lambda config: (config.M >= 16, 60))
    assert order == [("f32", 8, 100), ("f32", 12, 200), ("f32", 16, 400), ("b1", 16, 400), ("i8", 16, 400)]


def test_a_graph_that_needs_far_more_than_the_native_one_has_a_richer_one_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Native ef_search 60: up to 240 is as expected."""
    order = built(monkeypatch, lambda config: (True, 241 if config.M == 8 else 80), ("f32", "i8"))
    assert order == [("f32", 8, 100), ("f32", 12, 200), ("i8", 12, 200)]
    assert built(monkeypatch, lambda config: (True, 240), ("f32",)) == [("f32", 8, 100)]


def test_where_no_graph_is_good_enough_the_richest_is_tried_once_with_other_codecs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = built(monkeypatch, lambda config: (False, 1000), ("f32", "i8"))
    assert order == [
        *(("f32", M, efc) for M, efc in ((8, 100), (12, 200), (16, 400), (24, 400))),
        ("i8", 24, 400),
    ]


def test_the_graph_grows_within_what_the_engine_takes() -> None:
    can = find_engine("pgvector").capabilities
    space = replace(default_space(), M=(8, 100, 200), ef_construction=40)
    start = replace(point("vector", 1, 1.0).settings, M=8, ef_construction=40)
    first = richer(start, can, space)
    assert first is not None
    assert (first.M, first.ef_construction) == (100, 200)  # pgvector takes no M above 100, and 2 M at least
    assert richer(first, can, space) is None
