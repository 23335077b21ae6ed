"""The usual shortcut: tune on a tenth of the rows, then build what was found on all of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.sweep.answers import INDEX, Answer, NoAnswerError, Task
from benchmarks.sweep.contestants.native import (
    NativeIndexes,
    answer_from,
    options_of,
    pose,
    remove_scratch,
    write_index,
)
from benchmarks.sweep.contestants.ours import sweep_once
from benchmarks.sweep.spending import spent
from tuner.data.vectors import open_vectors
from tuner.space import default_space
from tuner.sweep.run import finish
from tuner.types import Configuration

SHARE, FEWEST = 0.1, 2_000
"""Share of the rows, and the fewest rows: fewer make the tuner answer with exact search."""


def run(task: Task, out: Path) -> Answer:
    """Return the index that the subsample recommends, built on all rows, with the ef_search found there."""
    vectors = open_vectors(task.base, "base")
    size = min(task.n, max(FEWEST, round(SHARE * task.n)))
    rows = np.sort(np.random.default_rng(task.seed).choice(task.n, size, replace=False))
    part = out / "part.npy"
    np.save(part, vectors.rows(rows))
    space = default_space()
    result = sweep_once(replace(task, base=str(part)), options_of(task, space), out)
    found = result.recommendation
    finish(out / "work")
    part.unlink()
    if found is None:
        raise NoAnswerError("nothing that it measured on the subsample reaches the target")
    point = result.points[result.named["balanced"]]
    what: Configuration = point.configuration
    problem = pose(task, space, out)
    indexes = NativeIndexes(problem)
    searchable, _ = indexes.build(what)
    searchable.set_ef(point.ef_search)
    size_bytes = write_index(problem, searchable, out / INDEX)
    remove_scratch(out)
    return answer_from(
        "ours-subsample",
        what,
        point.ef_search,
        memory_bytes=size_bytes,
        n_builds=result.cost.n_graph_builds + indexes.n_builds,
        own_recall=found.recall,
        reached=True,
        spending=spent(),
        note=f"tuned on {size:,} rows; its own recall is theirs",
    )
