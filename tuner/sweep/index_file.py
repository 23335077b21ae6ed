"""The index as a file, and tried as the user will use it: in a fresh process with only numpy and faiss."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from tuner.data.base import Base
from tuner.data.copies import COPIES_FILE, write_copies
from tuner.data.ids import Names, fits_in_index
from tuner.data.vectors import Vectors
from tuner.errors import ResourceError
from tuner.index.assemble import SearchableIndex, delivered, labelled, metric_transform, original_rows, write
from tuner.index.layers import mapped
from tuner.index.projections import behind
from tuner.report.faiss_lines import IDS_FILE, STORE_FILE, copies_lines
from tuner.runtime.journal import about, write_atomically
from tuner.runtime.process import kept_threads, use_threads
from tuner.search import INDEX_FILE
from tuner.sweep.problem import Problem
from tuner.types import FloatArray, IdArray, Memory, OwnIds, Recommendation

CHECKED_QUERIES = 1_000
"""Queries whose answers must be the same after writing and reading."""

EXPAND = "# expand"
"""Where the program of a fresh process puts copies behind what they repeat, if there are any."""
FRESH_PROCESS = f"""
import io, sys
sys.path[:] = filter(None, sys.path)  # an exported faiss.py in the current folder is not the package
import faiss, numpy as np
index_path, store_path, factor, names_path, queries_path, ids_path, k = sys.argv[1:]
index = faiss.read_index(index_path)
if store_path:
    store = faiss.read_index(store_path, faiss.IO_FLAG_MMAP_IFC)
    index = faiss.IndexRefine(index, store)
    index.k_factor = float(factor)
faiss.omp_set_num_threads(1)
distances, ids = index.search(np.load(queries_path), int(k))
{EXPAND}
if names_path:
    ids = np.load(names_path)[ids]
file = io.BytesIO()
np.save(file, ids)
open(ids_path, "wb").write(file.getvalue())
"""
"""np.save itself does not say that the last bytes found no room."""


@dataclass(frozen=True)
class WrittenIndex:
    """What was written and what the fresh process saw.

    Attributes:
        index_bytes: size of the index file, and of the list of copies beside it.
        same_ids: share of ids that equal those measured.
    """

    index_bytes: int
    same_ids: float


def remove_index(out: Path) -> None:
    """Remove the index that an earlier run left in the folder of a run that has none."""
    for name in (INDEX_FILE, STORE_FILE, IDS_FILE, COPIES_FILE):
        (out / name).unlink(missing_ok=True)


def write_and_check(problem: Problem, searchable: SearchableIndex, out: Path) -> WrittenIndex:
    """Write the index of a finished run and return what a fresh process finds in it."""
    base, k = problem.base, problem.options.k
    labels = base.labels
    index, store, kept = delivered(searchable, labels)
    index_bytes = write(index, out / INDEX_FILE) + write_list(base, out)
    if store is None:
        (out / STORE_FILE).unlink(missing_ok=True)
    else:
        write(store, out / STORE_FILE)
    queries = problem.raw[problem.sample(CHECKED_QUERIES)]
    names = _write_ids(base.own_ids, out, on_disk=store is not None)
    with kept_threads():
        # as in the fresh process: how a rotation rounds depends on them, and so which of near ties is first
        use_threads(1)
        found = searchable.index.search(queries, k)[1]
    expected = _answers(base, found, labels, names, k)
    del kept
    ids = _search_freshly(
        out, searchable, queries, k, base, has_store=store is not None, has_names=names is not None
    )
    return WrittenIndex(index_bytes=index_bytes, same_ids=float((ids == expected).mean()))


def _answers(base: Base, found: IdArray, labels: IdArray | None, names: Names | None, k: int) -> Names:
    """Return the user's ids, as measured, for positions (nq, k) that a search found."""
    if base.copies is None:
        return labelled(found, labels) if names is None else names[original_rows(found, base)]
    rows = base.copies.expanded(found, k)
    own = base.own_ids if names is None else names
    return rows if own is None else own[rows]


def write_list(base: Base, out: Path) -> int:
    """Write the list of copies beside an index if it has one; return its bytes."""
    path = out / COPIES_FILE
    if base.copies is None:
        path.unlink(missing_ok=True)
        return 0
    own = base.own_ids
    write_copies(base.copies.pairs(own if own is not None and fits_in_index(own) else None), path)
    return path.stat().st_size


def check_written(written: WrittenIndex, memory: Memory) -> None:
    """Raise AssertionError unless what was delivered is what was measured.

    Args:
        written: what a fresh process found.
        memory: bytes of the index that was measured.
    """
    if written.index_bytes != memory.resident_bytes:
        raise AssertionError(f"index of {written.index_bytes} bytes, {memory.resident_bytes} by arithmetic")
    if written.same_ids < 1:
        raise AssertionError(f"only {written.same_ids:.4f} of the ids are the same after write and read")


def _lie_beside(ids: Names, *, on_disk: bool) -> bool:
    """Return whether own ids lie in a file beside the index, which then answers with row numbers.

    Args:
        on_disk: whether its re-ranking store lies on disk: no map of ids can stand around both.
    """
    return on_disk or not fits_in_index(ids)


def _write_ids(ids: Names | None, out: Path, *, on_disk: bool) -> Names | None:
    """Write the user's own ids beside the index if it does not answer with them; return what was written."""
    if ids is None or not _lie_beside(ids, on_disk=on_disk):
        (out / IDS_FILE).unlink(missing_ok=True)
        return None
    write_atomically(out / IDS_FILE, npy_bytes(ids))
    return ids


def npy_bytes(array: NDArray[Any]) -> bytes:
    """Return what a .npy file of an array holds."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def own_ids_of(vectors: Vectors, answer: Recommendation | None) -> OwnIds | None:
    """Return how the index of an answer tells the user's own ids, None where row numbers are ids."""
    if vectors.ids is None:
        return None
    on_disk = answer is not None and answer.rerank is not None and answer.rerank_at == "disk"
    in_index = not _lie_beside(vectors.ids, on_disk=on_disk)
    return OwnIds(source=vectors.ids_source, n_deleted=vectors.n_deleted, in_index=in_index)


def _search_freshly(
    out: Path,
    searchable: SearchableIndex,
    queries: FloatArray,
    k: int,
    base: Base,
    *,
    has_store: bool,
    has_names: bool,
) -> Names:
    with tempfile.TemporaryDirectory() as folder:
        queries_path, ids_path = (Path(folder, f"{name}.npy") for name in ("queries", "ids"))
        with about(queries_path):
            queries_path.write_bytes(npy_bytes(queries))
        arguments = [
            str(out / INDEX_FILE),
            str(out / STORE_FILE) if has_store else "",
            str(searchable.configuration.rerank_factor),
            str(out / IDS_FILE) if has_names else "",
            str(queries_path),
            str(ids_path),
            str(k),
        ]
        expand = () if base.copies is None else copies_lines(k, str(out / COPIES_FILE))
        program = FRESH_PROCESS.replace(EXPAND, "\n".join(expand))
        done = subprocess.run(  # noqa: S603 - our own interpreter and a program of our own
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            last = (done.stderr.strip() or "it was killed").splitlines()[-1]
            if (full := os.strerror(errno.ENOSPC)) in last:
                raise OSError(errno.ENOSPC, full, folder)
            raise ResourceError(f"{out / INDEX_FILE}: a fresh process could not load and search it ({last})")
        found: Names = np.load(ids_path)
        return found


def deliver_exact(problem: Problem, out: Path) -> tuple[faiss.Index, int]:
    """Write the flat index that is the answer for few vectors; return it and its bytes.

    Like any other it takes raw queries and answers with rows of the user's file, or with the user's own ids.
    """
    base = problem.base
    flat = faiss.IndexFlatL2(base.d)
    flat.add(np.asarray(base.x))
    step = metric_transform(base.metric, problem.raw.shape[1])
    whole = flat if step is None else behind([step], flat)
    labels = base.labels
    if labels is not None:
        whole = mapped(whole, labels)
    _write_ids(base.own_ids, out, on_disk=False)
    (out / STORE_FILE).unlink(missing_ok=True)
    return whole, write(whole, out / INDEX_FILE) + write_list(base, out)
