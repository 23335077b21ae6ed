"""faiss's own tuner on the index that people start with: ``ParameterSpace.explore`` on HNSW32, float32."""

from __future__ import annotations

import re
from pathlib import Path

import faiss
import numpy as np

from benchmarks.sweep.answers import INDEX, Answer, Task
from benchmarks.sweep.contestants.folklore import FAISS_EF_CONSTRUCTION
from benchmarks.sweep.contestants.native import NativeIndexes, answer_from, pose, remove_scratch, write_index
from benchmarks.sweep.spending import spent
from tuner.runtime.process import use_threads
from tuner.space import default_space
from tuner.sweep.ef_search import measure_at
from tuner.types import Configuration

EF_SEARCH = re.compile(r"efSearch=(\d+)")


def run(task: Task, out: Path) -> Answer:
    """Return the fastest operating point that passes by the rule that all contestants keep.

    The criterion is the share of the true neighbours that are found (``IntersectionCriterion``). faiss
    explores the search parameters of an index that is there: M and the codec stay as they are.
    """
    problem = pose(task, default_space(), out)
    what = Configuration(M=32, ef_construction=FAISS_EF_CONSTRUCTION, codec="fp32", dims=problem.base.d)
    indexes = NativeIndexes(problem)
    searchable, memory = indexes.build(what)
    criterion = faiss.IntersectionCriterion(problem.n_queries, task.k)
    criterion.set_groundtruth(None, np.ascontiguousarray(problem.truth.ids[:, : task.k]))
    space = faiss.ParameterSpace()
    space.verbose = 0
    space.initialize(searchable.index)
    use_threads(1)  # its points are seconds of the batch: one thread, as everyone's latency
    explored = space.explore(searchable.index, np.ascontiguousarray(problem.raw), criterion)
    use_threads(task.threads)
    points = explored.optimal_pts
    found = [(point.t, EF_SEARCH.search(point.key)) for point in map(points.at, range(points.size()))]
    tried = [(seconds, int(match[1])) for seconds, match in found if match is not None]
    best, recall, reached = max(ef for _, ef in tried), 0.0, False
    for _, ef in sorted(tried):
        if ef >= task.k and (result := measure_at(problem, searchable, ef)).passes:
            best, recall, reached = ef, result.recall, True
            break
    searchable.set_ef(best)
    write_index(problem, searchable, out / INDEX)
    remove_scratch(out)
    return answer_from(
        "parameter-space",
        what,
        best,
        memory_bytes=memory.resident_bytes,
        n_builds=indexes.n_builds,
        own_recall=recall,
        reached=reached,
        spending=spent(),
        note=f"points that it kept: ef_search {', '.join(str(ef) for ef in sorted({ef for _, ef in tried}))}",
    )
