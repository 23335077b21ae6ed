"""From the user's files to a task: some rows, queries to tune with, queries to score on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TypeVar

import numpy as np

from benchmarks.sweep.answers import Task, read_task, write
from tuner.data.base import Base, prepare
from tuner.data.kind import MetricChoice
from tuner.data.profile import scan
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError
from tuner.runtime.machine import available_cores, describe_versions
from tuner.runtime.steps import result_of
from tuner.types import FloatArray, IdArray, Metric

T = TypeVar("T")

TASK, BASE, TUNING, SCORING = "task.json", "base.npy", "tuning.npy", "scoring.npy"
SCORING_SHARE = 1 / 3
"""Share of the queries that no contestant sees."""
ROWS_SEED = 0
"""Which rows are taken does not depend on the seed of a run: that is for what contestants may vary."""


def split_for_scoring(nq: int, seed: int) -> tuple[IdArray, IdArray]:
    """Return positions of the queries to tune with and of those to score on: random, disjoint, ascending."""
    order = np.random.default_rng([seed, 2]).permutation(nq).astype(np.int64)
    n_scoring = round(SCORING_SHARE * nq)
    return np.sort(order[n_scoring:]), np.sort(order[:n_scoring])


def make_task(
    base: Path,
    queries: Path,
    work: Path,
    *,
    name: str,
    rows: int | None = None,
    recall: float = 0.95,
    k: int = 10,
    seed: int = 0,
    threads: int = 0,
) -> Task:
    """Write the task, its queries and, if it has only some rows, its base to ``work``; return it.

    Raises:
        InputError: ``work`` holds another task, or the data cannot be used.
    """
    work.mkdir(parents=True, exist_ok=True)
    (work / ".gitignore").write_text("*\n", encoding="ascii")
    vectors, asked = open_vectors(base, "base"), open_vectors(queries, "queries")
    if rows is not None and rows < vectors.n:
        base = write_some_rows(base, rows, work / BASE)
        vectors = open_vectors(base, "base")
    tuning, scoring = (asked.rows(half) for half in split_for_scoring(asked.n, seed))
    _write_rows(tuning, work / TUNING)
    _write_rows(scoring, work / SCORING)
    metric: Metric = result_of(scan(vectors, "auto", seed=seed)).metric
    digest = hashlib.blake2b(vectors.fingerprint.encode(), digest_size=16)
    for part in (tuning, scoring):
        digest.update(part.tobytes())
    task = Task(
        name=name,
        base=str(base.resolve()),
        tuning=str((work / TUNING).resolve()),
        n=vectors.n,
        d=vectors.d,
        metric=metric,
        recall=recall,
        k=k,
        confidence=0.95,
        seed=seed,
        threads=threads or available_cores(),
        data=digest.hexdigest(),
        versions=describe_versions(),
    )
    path = work / TASK
    if path.exists() and read_task(path) != task:
        raise InputError(f"{work}: holds the answers to another task: choose another --out or remove it")
    write(task, path)
    return task


def prepared_base(vectors: Vectors, metric: MetricChoice, seed: int, path: Path) -> Base:
    """Return all rows of a base in the space that is searched, written to the file ``path``."""
    profile = result_of(scan(vectors, metric, seed=seed))
    nothing = np.zeros(0, dtype=np.int64)
    return result_of(prepare(vectors, profile.metric, nothing, profile.norm_max, path))


def write_some_rows(base: Path, rows: int, path: Path) -> Path:
    """Write random rows of a base to a .npy file; return its path, or ``base`` where it has no more rows.

    Which rows are drawn does not depend on anything but their number.
    """
    vectors = open_vectors(base, "base")
    if rows >= vectors.n:
        return base
    chosen = np.sort(np.random.default_rng(ROWS_SEED).choice(vectors.n, rows, replace=False))
    _write_rows(vectors.rows(chosen), path)
    return path


def _write_rows(rows: FloatArray, path: Path) -> None:
    """Write float32 rows, unless the file already holds them: contestants may have it mapped."""
    if path.exists() and np.array_equal(np.load(path, mmap_mode="r"), rows):
        return
    np.save(path, rows)
