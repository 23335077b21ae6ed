"""A small problem in shards, which the tests of shards and of clusters share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.cluster.pose import PosedShards, Request, pose_shards, remove_scratch
from tuner.cluster.run import sweep_shards
from tuner.data.vectors import open_vectors
from tuner.report import write_report
from tuner.runtime.steps import result_of
from tuner.runtime.workers import LocalWorkers, Workers
from tuner.sweep.run import finish
from tuner.types import Options, Result, Space

N, D, K = 6_000, 24, 10
SPACE = Space(M=(6, 12), codecs=("SQ8", "SQ4"), cuts=(1.0,), rerank_stores=("SQ8",), rerank_factors=(1, 2))
ASKED = Options(recall=0.9, metric="l2", space=SPACE, seed=1)


def rows(n: int, seed: int = 0) -> NDArray[Any]:
    """Return rows around some centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((30, D))
    return (centres[rng.integers(30, size=n)] + 0.6 * rng.standard_normal((n, D))).astype(np.float32)


X, QUERIES = rows(N), rows(400, seed=1)


def shards_of(
    file: Path,
    folder: Path,
    n_shards: int,
    queries: NDArray[Any] | None = QUERIES,
    options: Options = ASKED,
) -> PosedShards:
    """Return the shards of a file with the exact neighbours of queries, or of rows that are held out."""
    request = Request(str(file), n_shards=n_shards)
    asked = None if queries is None else open_vectors(queries, "queries")
    return result_of(pose_shards(LocalWorkers(1), request, asked, options, folder / "work", resume=False))


def swept(
    out: Path,
    n_shards: int,
    *,
    workers: Workers | None = None,
    options: Options = ASKED,
    ids: str | None = None,
    resume: bool = False,
) -> Result:
    """Return the result of a sweep over shards, its report and shards in a folder."""
    out.mkdir(exist_ok=True)
    file = out / "x.npy"
    if not file.exists():
        np.save(file, X)
    work = out / "work"
    request = Request(str(file), n_shards=n_shards, ids=ids)
    queries = open_vectors(QUERIES, "queries")
    events = sweep_shards(workers or LocalWorkers(1), request, queries, options, out, work, resume=resume)
    result = result_of(events)
    write_report(result, out)
    finish(work)
    remove_scratch(work)
    return result
