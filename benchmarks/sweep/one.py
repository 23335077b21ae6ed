"""Run one contestant in a process of its own, so that its CPU seconds and its memory are its own.

python -m benchmarks.sweep.one NAME TASK.json FOLDER
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.sweep.answers import ANSWER, FAILURE, Failure, NoAnswerError, read_task, write
from benchmarks.sweep.contestants import contestant
from tuner.errors import TunerError
from tuner.runtime.process import dedicate_process, use_threads


def main(name: str, task_path: str, folder: str) -> int:
    """Write ``answer.json`` and the index, or ``failure.json``, to ``folder``; return the exit status."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    task = read_task(Path(task_path))
    use_threads(task.threads)
    dedicate_process()
    try:
        answer = contestant(name)(task, out)
    except ModuleNotFoundError as error:
        write(Failure(name, f"{error}: pip install '.[bench]'"), out / FAILURE)
        return 1
    except (NoAnswerError, TunerError) as error:
        write(Failure(name, str(error)), out / FAILURE)
        return 1
    write(replace(answer, load=load), out / ANSWER)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
