"""The index as a file, and tried as the user will use it: in a fresh process with only numpy and faiss."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np

from tuner.errors import ResourceError
from tuner.index.assemble import SearchableIndex, delivered, metric_transform, original_rows, write
from tuner.index.layers import mapped
from tuner.index.projections import behind
from tuner.sweep.problem import Problem
from tuner.types import FloatArray, IdArray, OperatingPoint

INDEX_NAME = "index.faiss"
STORE_NAME = "rerank.faiss"
CHECKED_QUERIES = 1_000
"""Queries whose answers must be the same after writing and reading."""

FRESH_PROCESS = """
import sys
import faiss, numpy as np
index_path, store_path, factor, rows_path, queries_path, ids_path, k = sys.argv[1:]
index = faiss.read_index(index_path)
if store_path:
    store = faiss.read_index(store_path, faiss.IO_FLAG_MMAP_IFC)
    index = faiss.IndexRefine(index, store)
    index.k_factor = float(factor)
faiss.omp_set_num_threads(1)
ids = index.search(np.load(queries_path), int(k))[1]
if rows_path:
    ids = np.load(rows_path)[ids]
np.save(ids_path, ids)
"""


@dataclass(frozen=True)
class WrittenIndex:
    """What was written and what the fresh process saw.

    Attributes:
        index_bytes: size of the index file.
        same_ids: share of ids that equal those measured.
    """

    index_bytes: int
    same_ids: float


def remove_index(out: Path) -> None:
    """Remove the index that an earlier run left in the folder of a run that has none."""
    for name in (INDEX_NAME, STORE_NAME):
        (out / name).unlink(missing_ok=True)


def write_and_check(problem: Problem, searchable: SearchableIndex, out: Path) -> WrittenIndex:
    """Write the index of a finished run and return what a fresh process finds in it."""
    base, k = problem.base, problem.options.k
    index, store, kept = delivered(searchable, base.rows)
    index_bytes = write(index, out / INDEX_NAME)
    if store is None:
        (out / STORE_NAME).unlink(missing_ok=True)
    else:
        write(store, out / STORE_NAME)
    queries = problem.raw[problem.sample(CHECKED_QUERIES)]
    expected = original_rows(searchable.index.search(queries, k)[1], base)
    del kept
    separate_rows = base.rows if store is not None else None
    ids = _search_freshly(out, store is not None, searchable, separate_rows, queries, k)
    return WrittenIndex(index_bytes=index_bytes, same_ids=float((ids == expected).mean()))


def check_written(written: WrittenIndex, chosen: OperatingPoint, *, exact_bytes: bool) -> None:
    """Raise AssertionError unless what was delivered is what was measured.

    Args:
        written: what a fresh process found.
        chosen: the point that was measured.
        exact_bytes: whether the point's bytes are exact, and not a prediction.
    """
    if exact_bytes and written.index_bytes != chosen.memory.resident_bytes:
        raise AssertionError(
            f"index of {written.index_bytes} bytes, {chosen.memory.resident_bytes} by arithmetic"
        )
    if written.same_ids < 1:
        raise AssertionError(f"only {written.same_ids:.4f} of the ids are the same after write and read")


def _search_freshly(
    out: Path, has_store: bool, searchable: SearchableIndex, rows: IdArray | None, queries: FloatArray, k: int
) -> IdArray:
    with tempfile.TemporaryDirectory() as folder:
        names = ("queries", "ids", "rows")
        queries_path, ids_path, rows_path = (Path(folder, f"{name}.npy") for name in names)
        np.save(queries_path, queries)
        if rows is not None:
            np.save(rows_path, rows)
        arguments = [
            str(out / INDEX_NAME),
            str(out / STORE_NAME) if has_store else "",
            str(searchable.configuration.rerank_factor),
            str(rows_path) if rows is not None else "",
            str(queries_path),
            str(ids_path),
            str(k),
        ]
        done = subprocess.run(  # noqa: S603 - our own interpreter and a constant program
            [sys.executable, "-c", FRESH_PROCESS, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or "it was killed").splitlines()[-1]
            raise ResourceError(f"{out / INDEX_NAME}: a fresh process could not load and search it ({last})")
        found: IdArray = np.load(ids_path)
        return found


def deliver_exact(problem: Problem, out: Path) -> tuple[faiss.Index, int]:
    """Write the flat index that is the answer for few vectors; return it and its bytes.

    Like any other it takes raw queries and answers with rows of the user's file.
    """
    base = problem.base
    flat = faiss.IndexFlatL2(base.d)
    flat.add(np.asarray(base.x))
    step = metric_transform(base.metric, problem.raw.shape[1])
    whole = flat if step is None else behind([step], flat)
    if base.rows is not None:
        whole = mapped(whole, base.rows)
    (out / STORE_NAME).unlink(missing_ok=True)
    return whole, write(whole, out / INDEX_NAME)
