"""What a codec needs on a sample: the least re-scoring factor, found in few searches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.engine_jobs.survey import _looked_at
from tuner.engines import Answers, EngineConfig, find_engine
from tuner.engines.translate import factors_of

K, TARGET = 10, 0.95
CAN = find_engine("lancedb").capabilities
FACTORS = factors_of(CAN, K)


@pytest.mark.parametrize("needed", [*FACTORS, 1_000])
@pytest.mark.parametrize("factors", [FACTORS, FACTORS[:1]])
def test_the_least_factor_that_reaches_the_target(needed: int, factors: tuple[int, ...]) -> None:
    """With the planted factor and beyond all is found, before it .9; a search takes 1 ms a factor."""
    asked: list[int] = []

    def search(queries: Any, k: int) -> Answers:
        found = np.full((len(queries), k), asked[-1] >= needed)
        return Answers(ids=found.astype(np.int64), seconds=np.full(len(queries), 1e-3 * asked[-1]))

    process: Any = SimpleNamespace(
        n=100,
        index_bytes=lambda: 500,
        search=search,
        set_search=lambda ef_search, factor: asked.append(factor),
    )
    config = EngineConfig(
        engine="lancedb", codec="HnswSq", d=4, metric="l2", k=K, M=12, ef_construction=100, ef_search=64
    )
    found = _looked_at(
        process,
        CAN,
        config,
        factors,
        np.zeros((20, 4), np.float32),
        TARGET,
        lambda ids: 1.0 if ids.all() else 0.9,
    )
    reached = needed <= factors[-1]
    assert found.factor == (needed if reached else factors[-1])
    assert found.recall == (1.0 if reached else 0.9)
    assert found.seconds == 1e-3 * found.factor
    assert found.bytes_per_vector == 5
    assert bool(found.excluded) == (not reached)
    assert len(asked) == len(set(asked)) <= 6 < len(FACTORS)
