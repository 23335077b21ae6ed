"""No test asserts a second that was really measured: two rounds of a few queries are enough.

What rounds there are, how they end and what is made of them is tested on planted clocks, which do not pass
through here: ``runtime/test_timing.py``, ``sweep/test_codec_costs.py``, ``sweep/test_finalist_times.py``.
"""

import time
from collections.abc import Iterator
from typing import Any

import faiss
import pytest

from tuner.gate import measure
from tuner.prediction import kernel_costs
from tuner.runtime import timing
from tuner.runtime.timing import Clock, Timings, interleave
from tuner.sweep import baseline, codec_costs, ef_table, exact, finalist_times, whole_index
from tuner.sweep.filters import costs as filter_costs

ROUNDS, A_ROUND = 2, 32
TABLE_DISTANCES = 2e5
"""What the table of ef_search may cost; ``sweep/test_ef_table.py`` has the whole of it."""
TIMED = (baseline, codec_costs, exact, filter_costs, finalist_times, whole_index, measure)
PROGRAM = "import pytest, hurried; hurried.hurry(pytest.MonkeyPatch())\n"
"""What a program of a child process begins with, to be as fast; ``tests/`` is on its path then."""


def few_rounds(*searched: Any, **asked: Any) -> Timings:
    """Time as ``interleave`` does, for two rounds of a few queries."""
    return interleave(*searched, **(asked | {"fewest": ROUNDS, "most": ROUNDS, "a_round": A_ROUND}))


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Give every module that times searches two rounds, and the table of ef_search a few cells."""
    for module in TIMED:
        patch.setattr(module, "interleave", few_rounds)
    patch.setattr(ef_table, "LEAST_DISTANCES", TABLE_DISTANCES)


def plant_clock(patch: pytest.MonkeyPatch) -> None:
    """Let a distance computation take 100 ns of every clock that decides, and nothing else any time."""
    planted = Clock(lambda: 1e-7 * faiss.cvar.hnsw_stats.ndis, 0.0)
    for module in (timing, kernel_costs):
        patch.setattr(module, "processor_clock", lambda: planted)
    patch.setattr(time, "process_time", lambda: 0.0)


@pytest.fixture(autouse=True, scope="session")
def hurried() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        hurry(patch)
        yield
