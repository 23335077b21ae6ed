"""Run contestants one after the other, each in its own process; what has an answer is not run again."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.common import ROOT
from benchmarks.sweep.answers import ANSWER, FAILURE, Answer, Failure, read_answer, read_failure
from benchmarks.sweep.tasks import TASK

LOG = "log.txt"
Launch = Callable[[str, Path, Path], int]
"""Runs the contestant of that name on a task file with a folder; returns the exit status."""


def launcher(interpreters: Mapping[str, str] | None = None) -> Launch:
    """Return what starts contestants, some of them with a Python of their own.

    Args:
        interpreters: contestant -> path of a Python whose environment it needs.
    """
    own = dict(interpreters or {})

    def launch(name: str, task: Path, folder: Path) -> int:
        environment = os.environ | {
            # exact neighbours that another contestant paid for would be a gift
            "TUNER_CACHE_DIR": str(folder.resolve() / "cache"),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        }
        command = [own.get(name, sys.executable), "-m", "benchmarks.sweep.one", name, str(task), str(folder)]
        with (folder / LOG).open("ab") as log:
            done = subprocess.run(command, env=environment, stdout=log, stderr=log, check=False)  # noqa: S603 - ours
        return done.returncode

    return launch


def run_all(names: tuple[str, ...], work: Path, launch: Launch) -> Iterator[Answer | Failure]:
    """Yield the answer or the failure of each contestant, in order; a failure stops none of the others."""
    for name in names:
        folder = work / name
        folder.mkdir(parents=True, exist_ok=True)
        answer = read_answer(folder / ANSWER)
        if answer is None:
            (folder / FAILURE).unlink(missing_ok=True)
            (folder / LOG).unlink(missing_ok=True)
            status = launch(name, work / TASK, folder)
            answer = read_answer(folder / ANSWER)
            if answer is None:
                yield read_failure(folder / FAILURE) or Failure(name, _last_words(folder / LOG, status))
                continue
        yield answer


def _last_words(log: Path, status: int) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() if log.exists() else []
    return lines[-1].strip() if lines else f"it ended with status {status} and said nothing"
