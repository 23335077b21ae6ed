"""What people take without tuning: hnswlib's and faiss's usual parameters, ef_search fitted to the target."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.sweep.answers import INDEX, Answer, Task
from benchmarks.sweep.contestants.native import (
    NativeIndexes,
    answer_from,
    certified_ef,
    find_certified_ef,
    pose,
    remove_scratch,
    write_index,
)
from benchmarks.sweep.spending import spent
from tuner.index import hnswlib_index as hnsw_lib
from tuner.runtime.steps import result_of
from tuner.space import default_space
from tuner.sweep.ef_search import EfResult, judged
from tuner.sweep.problem import Problem
from tuner.types import Configuration

FAISS_EF_CONSTRUCTION = 40
"""faiss's own default for ``HNSW32``."""
HNSWLIB_M, HNSWLIB_EF_CONSTRUCTION = 16, 200
"""hnswlib's own defaults."""
HNSWLIB_INDEX = "index.hnswlib"


def run(task: Task, out: Path, *, index: str) -> Answer:
    """Return the answer of one of the usual indexes."""
    problem = pose(task, default_space(), out)
    answer = _hnswlib(task, problem, out) if index == "hnswlib16" else _faiss(index, problem, out)
    remove_scratch(out)
    return answer


def _faiss(name: str, problem: Problem, out: Path) -> Answer:
    codec = "SQ8" if name.endswith("SQ8") else "fp32"
    what = Configuration(M=32, ef_construction=FAISS_EF_CONSTRUCTION, codec=codec, dims=problem.base.d)
    indexes = NativeIndexes(problem)
    searchable, _ = indexes.build(what)
    found = find_certified_ef(problem, searchable)
    size = write_index(problem, searchable, out / INDEX)
    return answer_from(
        name,
        what,
        found.ef_search,
        memory_bytes=size,
        n_builds=indexes.n_builds,
        own_recall=found.recall,
        reached=found.passes,
        spending=spent(),
        note=f"ef_construction={FAISS_EF_CONSTRUCTION}",
    )


def _hnswlib(task: Task, problem: Problem, out: Path) -> Answer:
    """Return the answer of hnswlib; its file holds no ef_search and takes prepared queries."""
    k, d = task.k, problem.base.d
    built = result_of(
        hnsw_lib.build(problem.base, HNSWLIB_M, HNSWLIB_EF_CONSTRUCTION, task.seed, problem.threads)
    )

    def at(ef: int) -> EfResult:
        built.set_ef(ef)
        return judged(problem, ef, problem.hits(built.search(problem.queries, k)), 0.0, 0.0)

    found = certified_ef(problem, at, k)
    built.index.save_index(str(out / HNSWLIB_INDEX))
    what = Configuration(M=HNSWLIB_M, ef_construction=HNSWLIB_EF_CONSTRUCTION, codec="fp32", dims=d)
    answer = answer_from(
        "hnswlib16",
        what,
        found.ef_search,
        memory_bytes=(out / HNSWLIB_INDEX).stat().st_size,
        n_builds=1,
        own_recall=found.recall,
        reached=found.passes,
        spending=spent(),
        label=f"hnswlib M={HNSWLIB_M},fp32",
        note=f"ef_construction={HNSWLIB_EF_CONSTRUCTION}",
        index=HNSWLIB_INDEX,
    )
    return replace(answer, engine="hnswlib")
