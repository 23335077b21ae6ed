"""What each stage of a sweep over shards will take: a rough guess, made of that of a sweep of one shard."""

from __future__ import annotations

from tuner.runtime.machine import available_cores
from tuner.sweep.forecast import expected_stages, on_this_machine
from tuner.sweep.nested import BUILDS
from tuner.types import Estimated, ExpectedStage, Options

OF_ONE = ("stand-in", "graph", "curves", "ceilings", "frontier")
"""Stages that are made on one shard alone."""
SEARCHED_AGAIN = 0.25
"""Share of the searches on all shards that certifying all finalists together takes."""
HALVES = 0.5
"""Share of handing over an index to which rows are added that goes by before it is written, about."""
START_S = 1.0
"""Seconds until a process of a cluster has loaded what it needs."""


def expected(stages: tuple[ExpectedStage, ...]) -> Estimated:
    """Return the expected seconds of stages that follow the count of the rows, on machines like this one."""
    here = on_this_machine(stages)
    return Estimated(sum(stage.wall_s for stage in here), here)


def stages_of_shards(
    n: int,
    d: int,
    n_queries: int,
    options: Options,
    n_shards: int,
    n_nodes: int,
    *,
    held_out: bool = False,
) -> tuple[ExpectedStage, ...]:
    """Return the stages with their seconds, were all machines like that of ``reports/``.

    Args:
        n: number of rows of all shards.
        n_nodes: number of machines, alike.
        held_out: whether the queries are rows of the file, which go back into the indexes.
    """
    threads = options.threads or available_cores()
    found = expected_stages(n // n_shards, d, n_queries, options, threads=threads, held_out=held_out)
    one = {stage.name: stage.wall_s for stage in found}
    rounds = -(-n_shards // n_nodes)

    def on_all(name: str, seconds: float) -> ExpectedStage:
        return ExpectedStage(name, rounds * seconds + START_S * (n_nodes > 1))

    return (
        on_all("look", one["profile"] + one["prepare"]),
        on_all("prepare", one["prepare"]),
        on_all("truth", one["truth"]),
        *([on_all("pool-near", one["pool"])] if n_shards > 1 else []),
        *(ExpectedStage(name, one[name], steady=name != "ceilings") for name in OF_ONE),
        ExpectedStage("parts", BUILDS * one["graph"]),
        on_all("graphs", one["graph"] + one["profile"]),
        on_all("merged", one["frontier"]),
        on_all("together", SEARCHED_AGAIN * one["frontier"]),
        on_all("timing", one["timing"]),
        *([on_all("halves", HALVES * one["deliver"] + one["prepare-whole"])] if held_out else []),
        on_all("deliver", (1 - HALVES * held_out) * one["deliver"]),
    )
