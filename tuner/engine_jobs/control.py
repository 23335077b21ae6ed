"""A graph of the same rows that surely answers, starved as the engine's was: what starving can show."""

from __future__ import annotations

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.recall.starvation import Starvation, finds_nearest
from tuner.sweep.pose import PosedProblem
from tuner.types import EngineConfig, Steps

BLOCK_ROWS = 2_000


def starve_control(config: EngineConfig, starved_ef: int, posed: PosedProblem) -> Steps[Starvation]:
    """Yield the share done; return what starving does to faiss's graph of the config's M and ef_construction.

    Args:
        config: config of the engine's index.
        starved_ef: ef_search that the engine's search was starved to.
        posed: rows, and queries that are all asked.
    """
    problem = posed.problem
    rows, truth, queries = problem.base.x, problem.truth, problem.queries
    index = faiss.IndexHNSWFlat(rows.shape[1], config.M)
    index.hnsw.efConstruction = config.ef_construction
    for first in range(0, len(rows), BLOCK_ROWS):
        index.add(np.ascontiguousarray(rows[first : first + BLOCK_ROWS]))
        yield min(1.0, (first + BLOCK_ROWS) / len(rows))

    def found(ef_search: int) -> NDArray[np.bool_]:
        index.hnsw.efSearch = ef_search
        return finds_nearest(truth, rows, queries, index.search(queries, 1)[1])

    return Starvation.between(found(config.ef_search), found(starved_ef))
