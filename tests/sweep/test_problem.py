"""What a problem is asked for, and its limits."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tuner.recall.target import Target
from tuner.sweep.problem import Problem
from tuner.types import Options, Recall

K = 10


def problem(recall: float = 0.9, n_queries: int = 400, **changes: Any) -> Problem:
    base: Any = SimpleNamespace(n=900, n_delivered=1000, n_answers=1000, d=32)
    nothing: Any = np.zeros((n_queries, 32), dtype=np.float32)
    truth: Any = None
    return Problem(
        options=Options(recall=recall, k=K, **changes),
        base=base,
        raw=nothing,
        queries=nothing,
        truth=truth,
        order=np.arange(n_queries),
        links_path=Path("links"),
        threads=1,
    )


def test_the_aim_is_the_usual_one_until_it_is_measured() -> None:
    one = problem(0.8, 500, confidence=0.99)
    assert one.target == Target(recall=0.8, k=K, confidence=0.99, n_queries=500)
    assert one.aim == one.target.usual_aim
    assert replace(one, measured_aim=0.93).aim == 0.93


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({}, float("inf")),
        ({"max_memory_bytes": 5000}, 5000.0),
        ({"max_memory_per_vector": 4.5}, 4500.0),
        ({"max_memory_bytes": 5000, "max_memory_per_vector": 4.5}, 4500.0),
        ({"max_memory_bytes": 4000, "max_memory_per_vector": 4.5}, 4000.0),
    ],
)
def test_the_stricter_memory_limit_counts(limits: dict[str, Any], most: float) -> None:
    assert problem(**limits).max_memory_bytes() == most


@pytest.mark.parametrize(("lower", "holds"), [(0.9, True), (0.8999, False)])
def test_the_lower_bound_certifies(lower: float, holds: bool) -> None:
    recall = Recall(mean=0.99, lower=lower, p5=0.8, share_below_half=0.0, n_queries=400)
    assert problem().certified(recall) == holds
