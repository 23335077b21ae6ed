"""Hits of thousands of queries on a dozen indexes at many ef_search: searched once, decided on many times."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.sweep.contestants.native import NativeIndexes
from tuner.data.vectors import open_vectors
from tuner.index.assemble import SearchableIndex
from tuner.prediction.curves import search_counted
from tuner.runtime.journal import Journal
from tuner.runtime.steps import result_of
from tuner.sweep.pose import pose
from tuner.sweep.problem import Problem
from tuner.types import Configuration, FloatArray, Options

LINKS, CODECS = (8, 12, 16, 24), ("SQ8", "SQ6", "fp16")
EF_CONSTRUCTION = 200
STEP, NEAR = 1.02, (0.75, 1.6)
"""Ratio of one ef_search to the next, as fine as a price of a few percent, and how far from the one that
reaches the target."""
FAR_STEP, ALL = 1.06, (0.55, 3.5)
"""The same beyond, where few decisions fall."""
COARSE, FEW, FAR = 1.3, 500, 0.1
"""Steps and queries that look for it first, and share of the rows beyond which an index does not reach it."""


@dataclass(frozen=True)
class Pool:
    """What is known of indexes and queries when everything is known.

    Attributes:
        names: (indexes,) short name of each.
        bytes: (indexes,) bytes of each.
        ef_search: (indexes, efs) ef_search tried on each, ascending.
        ndis: (indexes, efs) mean distance computations per query.
        hits: (indexes, efs, nq) right answers of each query.
        k: neighbours asked for.
    """

    names: tuple[str, ...]
    bytes: NDArray[np.float64]
    ef_search: NDArray[np.int64]
    ndis: NDArray[np.float64]
    hits: NDArray[np.uint8]
    k: int

    @property
    def recall(self) -> NDArray[np.float64]:
        """(indexes, efs) recall over all queries, which stands for the truth."""
        means: NDArray[np.float64] = self.hits.mean(axis=2, dtype=np.float64) / self.k
        return means

    def save(self, path: Path) -> None:
        """Write it as ``.npz``."""
        np.savez_compressed(
            path,
            names=np.array(self.names),
            bytes=self.bytes,
            ef_search=self.ef_search,
            ndis=self.ndis,
            hits=self.hits,
            k=self.k,
        )

    @classmethod
    def load(cls, path: Path) -> Pool:
        """Read what ``save`` wrote."""
        with np.load(path, allow_pickle=False) as found:
            parts = {name: found[name] for name in ("bytes", "ef_search", "ndis", "hits")}
            return cls(names=tuple(found["names"].tolist()), k=int(found["k"]), **parts)


def make_pool(x: FloatArray, queries: FloatArray, recall: float, k: int = 10) -> Pool:
    """Return the pool of native indexes, each searched around the ef_search that reaches the target.

    Args:
        x: (n, d) float32 rows to index.
        queries: (nq, d) float32.
        recall: target recall@k.
    """
    options = Options(recall=recall, k=k)
    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        work = Path(folder)
        journal = Journal(work, {}, resume=False)
        vectors, asked = open_vectors(x, "base"), open_vectors(queries, "queries")
        problem = result_of(pose(journal, vectors, asked, options, work)).problem
        indexes = NativeIndexes(problem)
        tried = [_searched(problem, indexes, M, codec) for codec in CODECS for M in LINKS]
    parts = [each for each in tried if each is not None]
    if not parts:
        raise click.ClickException(f"none of {len(tried)} indexes reaches recall {recall:g}")
    names, sizes, efs, ndis, hits = zip(*parts, strict=True)
    return Pool(names, np.array(sizes, float), np.array(efs), np.array(ndis), np.array(hits), k)


def _searched(
    problem: Problem, indexes: NativeIndexes, M: int, codec: str
) -> tuple[str, int, NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]] | None:
    """Return what an index did, None where it does not reach the target: it is no rival."""
    what = Configuration(M=M, ef_construction=EF_CONSTRUCTION, codec=codec, dims=problem.base.d)
    searchable, memory = indexes.build(what)
    if (middle := _sufficient(problem, searchable)) is None:
        return None
    efs = _grid(middle, problem.options.k)
    everyone, ndis, hits = np.arange(len(problem.raw)), [], []
    for ef in efs.tolist():
        found, counted = _hits(problem, searchable, ef, everyone)
        hits.append(found.astype(np.uint8))
        ndis.append(counted)
    return what.label, memory.resident_bytes, efs, np.array(ndis), np.array(hits)


def _hits(
    problem: Problem, searchable: SearchableIndex, ef: int, some: NDArray[np.int64]
) -> tuple[NDArray[np.int64], float]:
    searchable.set_ef(ef)
    ids, ndis, _ = search_counted(searchable.index, problem.raw[some], problem.options.k)
    return problem.hits(ids, some), ndis


def _sufficient(problem: Problem, searchable: SearchableIndex) -> float | None:
    """Return about the ef_search that reaches the target, from few queries, or None."""
    k, some, ef = problem.options.k, np.arange(min(FEW, len(problem.raw))), float(problem.options.k)
    while _hits(problem, searchable, round(ef), some)[0].mean() / k < problem.options.recall:
        ef *= COARSE
        if ef > FAR * len(problem.base.x):
            return None
    return float(ef / COARSE**0.5)


def _grid(middle: float, k: int) -> NDArray[np.int64]:
    """Return ascending ef_search around ``middle``, none below k; small ones go up by 1."""
    below, above = np.log(NEAR)
    least, most = np.log(ALL)
    parts = (
        np.arange(least, below, np.log(FAR_STEP)),
        np.arange(below, above, np.log(STEP)),
        np.arange(above, most, np.log(FAR_STEP)),
    )
    grid: NDArray[np.int64] = np.round(middle * np.exp(np.concatenate(parts))).astype(np.int64)
    np.maximum(grid, k, out=grid)
    for place in range(1, len(grid)):
        grid[place] = max(grid[place], grid[place - 1] + 1)
    return grid
