"""Planted tasks and answers for the tests of the benchmarks."""

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
from conftest import planted_rows

from benchmarks.sweep.answers import (
    INDEX,
    Answer,
    Task,
)
from benchmarks.sweep.tasks import make_task
from tuner.types import FloatArray

N, NQ, D, K = 600, 90, 16, 10


def planted_files(folder: Path, n: int = N, nq: int = NQ) -> tuple[Path, Path]:
    rows = planted_rows(n + nq, D, seed=5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    base, queries = folder / "base.npy", folder / "queries.npy"
    np.save(base, rows[:n])
    np.save(queries, rows[n:])
    return base, queries


def posed(folder: Path) -> tuple[Task, Path]:
    work = folder / "work"
    return make_task(*planted_files(folder), work, name="planted", k=K, threads=1), work


def planted_answer(name: str, **changes: object) -> Answer:
    answer = Answer(
        contestant=name,
        label="Flat",
        codec="fp32",
        M=0,
        ef_construction=0,
        ef_search=K,
        memory_bytes=1,
        cpu_s=6.0,
        wall_s=3.0,
        peak_rss_bytes=10**8,
        n_builds=1,
    )
    return replace(answer, **changes)  # type: ignore[arg-type]


def deliver_flat(rows: FloatArray, folder: Path, name: str = INDEX) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    flat = faiss.IndexFlatL2(D)
    flat.add(rows)
    faiss.write_index(flat, str(folder / name))
