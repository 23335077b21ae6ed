"""The point that is chosen in an engine: against brute force, and not slower than the engine's default."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.engine_jobs import default as default_job
from tuner.engine_jobs.candidates import by_preference
from tuner.engine_jobs.choice import SAME, best_of
from tuner.engine_jobs.survey import Surveyed
from tuner.engines import Answers, Deployment, EngineConfig, find_engine
from tuner.runtime.steps import result_of
from tuner.space import default_space
from tuner.types import EnginePoint, Latency, Options, Preference, Recall, ReportedConfig

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
        validated=RECALL,
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


# ---------------------------------------------------------------- beside the engine's default


@dataclass(eq=False)
class Index:
    """A running index whose searches take as long as planted for its codec."""

    config: EngineConfig
    seconds: dict[str, float]
    opened: list[str]

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def load(self, vectors: object, rows: object) -> Generator[float, None, float]:
        yield 1.0
        return 2.0

    def set_search(self, ef_search: int, oversampling: int) -> None: ...

    def search(self, queries: np.ndarray, k: int) -> Answers:
        ids = np.zeros((len(queries), k), dtype=np.int64)
        return Answers(ids=ids, seconds=np.full(len(queries), self.seconds[self.config.codec]))

    def close(self) -> None: ...


def beside_default(
    monkeypatch: pytest.MonkeyPatch,
    points: list[EnginePoint],
    default: EnginePoint,
    seconds: dict[str, float],
    asked: Options,
) -> tuple[EnginePoint, Any, list[str]]:
    """What is chosen, the comparison, and the codecs that were opened; ``seconds`` are those in turns."""
    opened: list[str] = []

    def open_index(config: EngineConfig, deployment: Deployment) -> Index:
        opened.append(config.codec)
        return Index(config, seconds, opened)

    def measure(*_: object) -> Generator[Any, None, EnginePoint]:
        yield from ()
        return default

    monkeypatch.setattr(default_job, "EngineProcess", open_index)
    problem = SimpleNamespace(options=asked, validate=np.arange(60))
    posed = SimpleNamespace(
        problem=problem, n=N, vectors=None, rows=None, raw=lambda rows: np.zeros((len(rows), 4))
    )
    engine = find_engine("clickhouse")
    measurement: Any = SimpleNamespace(
        engine=engine,
        can=engine.capabilities,
        posed=posed,
        deployment=lambda name: Deployment(folder=Path("unused")),
        measure=measure,
    )
    chosen = best_of(points, asked, N)
    assert chosen is not None
    mine: Any = Index(chosen.settings, seconds, opened)
    found, comparison = result_of(default_job.choose_beside_default(measurement, mine, points, chosen))
    return found, comparison, opened


F32, F16, I8 = point("f32", 40, 1.2), point("f16", 20, 1.1), point("i8", 10, 1.3)
BF16 = point("bf16", 21, 1.0)
"""ClickHouse's default."""


def test_what_is_not_slower_than_the_default_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"i8": 1.0, "bf16": 1.0}
    found, comparison, opened = beside_default(monkeypatch, [F32, F16, I8], BF16, seconds, options())
    assert found == I8
    assert (comparison.memory_ratio, comparison.latency_ratio) == (2.1, 1.0)
    assert opened == ["bf16"]


def test_a_slower_one_gives_way_to_one_that_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """i8 takes 1.3 x the default's time in turns, f16 1.02 x, which no clock tells from the same."""
    quick = replace(F16, latency=replace(F16.latency, mean_s=1.04))
    seconds = {"i8": 1.3, "bf16": 1.0, "f16": 1.02}
    found, comparison, opened = beside_default(monkeypatch, [F32, quick, I8], BF16, seconds, options())
    assert found == quick
    assert comparison.latency_ratio == pytest.approx(1 / 1.02)
    assert comparison.memory_ratio == 21 / 20
    assert opened == ["bf16", "f16"]


def test_where_all_are_slower_it_is_the_default_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"i8": 1.3, "bf16": 1.0}
    found, comparison, _ = beside_default(monkeypatch, [F32, F16, I8], BF16, seconds, options())
    assert found == BF16
    assert (comparison.memory_ratio, comparison.latency_ratio) == (1.0, 1.0)


def test_one_that_proves_slower_in_turns_gives_way_too(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = replace(F16, latency=replace(F16.latency, mean_s=1.0))
    seconds = {"i8": 1.3, "bf16": 1.0, "f16": 1.2}
    found, _, opened = beside_default(monkeypatch, [quick, I8], BF16, seconds, options())
    assert found == BF16
    assert opened == ["bf16", "f16"]


def test_a_default_that_misses_the_target_or_the_limit_beats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"i8": 1.3, "bf16": 1.0}
    missed = replace(BF16, reaches_target=False)
    assert beside_default(monkeypatch, [I8], missed, seconds, options())[0] == I8
    assert beside_default(monkeypatch, [I8], BF16, seconds, options(max_memory_bytes=15))[0] == I8


def test_who_asks_for_the_smallest_gets_it_however_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = {"i8": 1.3, "bf16": 1.0}
    found, comparison, _ = beside_default(monkeypatch, [F32, I8], BF16, seconds, options("smallest"))
    assert found == I8
    assert comparison.latency_ratio == pytest.approx(1 / 1.3)
