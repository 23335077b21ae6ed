"""What each stage of a run will take on this machine: rough, made before anything is read.

The constants are wall seconds on two threads, fitted to the runs in ``reports/``: 18,500 to 1,000,000 rows of
50 to 384 dimensions.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cache

import faiss
import numpy as np

from tuner.runtime.process import kept_threads
from tuner.sweep.filters.bands import MOST_QUERIES
from tuner.types import ExpectedStage, Options

TRIED_ROWS, TRIED_DIMS, TRIED_LINKS, TRIED_EF = 2_000, 64, 16, 40
TRIED_S = 0.09
"""Seconds that the graph of ``slowness`` takes on a core of the machine of ``reports/``, when it is quiet."""
NATIVE_OVER_DERIVED = 0.7
"""Seconds of a native graph over those of the one that others are derived from: its M is smaller."""
HANDED_OVER = ("truth-within", "prepare-whole", "deliver", "baseline")
"""Stages of the index handed over."""
FILTERED_S = 1.2e-6
"""Seconds of a band of filters for each query and row to the power of .8: searches grow with the rows."""
GIVEN_BANDS = 3
"""Bands that filters of the user are taken to make, before they are read."""
DEFAULT_CODECS = 17
"""Codecs of the space that the constants are fitted to."""


@cache
def slowness() -> float:
    """Return how much longer this machine takes now than that of ``reports/``: a small graph is built."""
    x = np.random.default_rng(0).standard_normal((TRIED_ROWS, TRIED_DIMS), dtype=np.float32)
    index = faiss.IndexHNSWFlat(TRIED_DIMS, TRIED_LINKS)
    index.hnsw.efConstruction = TRIED_EF
    with kept_threads():
        faiss.omp_set_num_threads(1)
        started = time.perf_counter()
        index.add(x)
    return (time.perf_counter() - started) / TRIED_S


def expected_stages(
    n: int,
    d: int,
    n_queries: int,
    options: Options,
    *,
    threads: int,
    held_out: bool,
    exact: bool = False,
    filtered: bool = False,
) -> tuple[ExpectedStage, ...]:
    """Return the stages of a sweep with their wall seconds, were the machine that of ``reports/``.

    Args:
        n: rows that are indexed.
        d: dimensions of a row.
        n_queries: number of the queries.
        threads: threads that build.
        held_out: whether the queries are rows of the file, which go back into the index.
        exact: whether exact search is the answer, and nothing is built.
        filtered: whether queries have filters of the user.
    """
    share = 2 / max(1, threads)  # of what threads share; the rest takes as long on any number
    values, asked = n * d, n * d * n_queries
    climbs = n * math.log2(max(2, n))
    codecs = min(1.0, len(options.space.codecs) / DEFAULT_CODECS)
    deep = options.space.ef_construction / 100
    stages = [
        ExpectedStage("profile", 0.1 + 24e-9 * values, n, "rows"),
        ExpectedStage("prepare", 0.05 + 20e-9 * values, n, "rows"),
        ExpectedStage("truth", 0.1 + 30e-12 * asked * share, n_queries, "queries"),
    ]
    if exact:
        return tuple(stages)
    stages += [
        ExpectedStage("pool", 0.2 + 15e-12 * asked * share),
        ExpectedStage("stand-in", 0.35),
        ExpectedStage("graph", 16e-6 * climbs * deep * share, n, "rows"),
        ExpectedStage("curves", (0.8 + 32e-6 * n) * share),
        ExpectedStage("ceilings", (6.0 + 0.03 * d + 20e-6 * n) * codecs, steady=False),
        _measuring(climbs * share, codecs * share * (4.0 + 70e-6 * n), options),
        ExpectedStage("timing", 6.0 + 60e-6 * n),
        ExpectedStage("deliver", 1.8 + 28e-6 * n, steady=False),
    ]
    if filtered or options.selectivity:
        stages.insert(-1, _filtering(n, d, n_queries, len(options.selectivity) or GIVEN_BANDS))
    if held_out:
        stages[-1:] = [
            ExpectedStage("truth-within", 0.1 + 30e-12 * asked * share),
            ExpectedStage("prepare-whole", 0.05 + 20e-9 * values),
            ExpectedStage("deliver", 3.0 + 60e-6 * n, steady=False),
        ]
    if options.baseline == "hnswlib":
        stages.append(ExpectedStage("baseline", 33e-6 * climbs * min(1.0, 0.5 + d / 512) * share))
    return tuple(stages)


def _filtering(n: int, d: int, n_queries: int, n_bands: int) -> ExpectedStage:
    """The stage that finds how queries with filters are answered."""
    asked = min(n_queries, MOST_QUERIES) * (0.5 + d / 512)
    return ExpectedStage("filters", 3.0 + FILTERED_S * n_bands * asked * n**0.8, steady=False)


def _measuring(climbs: float, frontier_s: float, options: Options) -> ExpectedStage:
    """The stages that measure the front, or all of the space natively."""
    if not options.exhaustive:
        return ExpectedStage("frontier", frontier_s)
    n_graphs = len(options.space.M) * len(options.space.codecs) * len(options.space.cuts)
    return ExpectedStage("native", NATIVE_OVER_DERIVED * 16e-6 * climbs * n_graphs + frontier_s)


def stages_of_sample(
    stages: tuple[ExpectedStage, ...], n_builds: float, n_times: float
) -> tuple[ExpectedStage, ...]:
    """Return the stages of a sweep of a sample: no index is handed over, and how graphs grow is measured.

    Args:
        stages: stages of a sweep of a file of that size.
        n_builds: builds of the sample's graph that the graphs of its parts take.
        n_times: rows of the whole file over those of the sample.
    """
    found = {each.name: each for each in stages}
    profile, graph = found["profile"], found.get("graph")
    found["profile"] = replace(profile, wall_s=n_times * profile.wall_s)
    kept = [each for each in found.values() if each.name not in HANDED_OVER]
    if graph is None:
        return tuple(kept)
    return (
        *kept,
        ExpectedStage("pool-whole", n_times * found["pool"].wall_s, steady=False),
        ExpectedStage("parts", n_builds * graph.wall_s),
    )


def on_this_machine(stages: tuple[ExpectedStage, ...]) -> tuple[ExpectedStage, ...]:
    """Return the stages with the seconds that they take here and now."""
    slow = slowness()
    return tuple(replace(each, wall_s=each.wall_s * slow) for each in stages)
