"""The unit of cost: what a user would build without tuning, in a process of its own.

python -m benchmarks.sweep.ordinary TASK.json ORDINARY.json
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.common import ROOT
from benchmarks.sweep.answers import read_task
from benchmarks.sweep.contestants.folklore import HNSWLIB_EF_CONSTRUCTION, HNSWLIB_M
from benchmarks.sweep.spending import own_peak_bytes
from benchmarks.sweep.tasks import TASK, prepared_base
from tuner.data.vectors import open_vectors
from tuner.index import hnswlib_index as hnsw_lib
from tuner.runtime.journal import write_atomically
from tuner.runtime.process import use_threads
from tuner.runtime.steps import result_of

ORDINARY = "ordinary.json"


@dataclass(frozen=True)
class Ordinary:
    """One ordinary build: hnswlib, M=16, ef_construction=200, float32, the task's threads.

    Attributes:
        cpu_s: CPU seconds of the build alone, all threads.
        idle_bytes: resident memory of a process that has imported what contestants import, and done nothing.
    """

    cpu_s: float
    idle_bytes: int


def measure(task_path: Path) -> Ordinary:
    """Build it and return what that took."""
    idle = own_peak_bytes()
    task = read_task(task_path)
    use_threads(task.threads)
    vectors = open_vectors(task.base, "base")
    path = task_path.with_name("ordinary.f32")
    base = prepared_base(vectors, task.metric, task.seed, path)
    built = result_of(hnsw_lib.build(base, HNSWLIB_M, HNSWLIB_EF_CONSTRUCTION, task.seed, task.threads))
    path.unlink()
    return Ordinary(built.cpu_s, idle)


def ordinary(work: Path) -> Ordinary:
    """Return the ordinary build of the task in ``work``, measured once."""
    path = work / ORDINARY
    if not path.exists():
        command = [
            sys.executable,
            "-m",
            "benchmarks.sweep.ordinary",
            str((work / TASK).resolve()),
            str(path.resolve()),
        ]
        subprocess.run(command, cwd=ROOT, check=True)  # noqa: S603 - our own interpreter and module
    return msgspec.json.decode(path.read_bytes(), type=Ordinary)


if __name__ == "__main__":
    write_atomically(Path(sys.argv[2]), msgspec.json.encode(measure(Path(sys.argv[1]))))
