"""hnswlib, the second back-end: float32 only, graphs of its own, no derived M and no codecs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import hnswlib
import numpy as np

from tuner.data.base import Base
from tuner.runtime.journal import cpu_seconds
from tuner.types import FloatArray, IdArray, Steps

ROWS = 8192


@dataclass(frozen=True)
class Built:
    """A built index of prepared rows.

    Attributes:
        cpu_s: CPU seconds that the build took, all threads.
    """

    index: hnswlib.Index
    cpu_s: float

    def search(self, queries: FloatArray, k: int) -> IdArray:
        """Return ids (nq, k) of prepared queries, on one thread."""
        ids, _ = self.index.knn_query(queries, k=k, num_threads=1)
        return np.asarray(ids, dtype=np.int64)

    def set_ef(self, ef_search: int) -> None:
        """Search with ``ef_search`` from now on."""
        self.index.set_ef(ef_search)

    def serialized_bytes(self) -> int:
        """Return the size of the index file that hnswlib writes."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "index.bin")
            self.index.save_index(str(path))
            return path.stat().st_size


def build(base: Base, M: int, ef_construction: int, seed: int, threads: int) -> Steps[Built]:
    """Yield the share done; return an hnswlib index (L2) of the prepared base."""
    index = hnswlib.Index(space="l2", dim=base.d)
    index.init_index(max_elements=base.n, M=M, ef_construction=ef_construction, random_seed=seed + 1)
    spent = 0.0
    for start in range(0, base.n, ROWS):
        rows = np.ascontiguousarray(base.x[start : start + ROWS])
        before = cpu_seconds()
        index.add_items(rows, np.arange(start, start + len(rows)), num_threads=threads)
        spent += cpu_seconds() - before
        yield min(1.0, (start + ROWS) / base.n)
    return Built(index=index, cpu_s=spent)
