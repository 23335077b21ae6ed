"""Ctrl-C and SIGTERM end the command line wherever it is, and a run goes on from there to the same answer."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import planted_rows

from tuner.cli.main import _exit_code
from tuner.cli.stop import Stopping, stoppable

LONGEST_S = 120
"""A process that is still there then was not stopped at all."""
SURELY_TRAINING_S = 0.5
SPACE = """
M: [6]
ef_construction: 40
codecs: [SQ8]
cuts: [1.0]
rerank_factors: [1]
"""
"""One configuration: how many of several are measured, and so how wide their bounds are, a clock decides."""
PROGRAM = """
import signal, sys, tempfile
from importlib import import_module
from pathlib import Path
from subprocess import DEVNULL, Popen
import faiss, numpy as np

signal.signal(signal.SIGINT, signal.default_int_handler)  # who runs the tests may ignore it
module, name = sys.argv.pop(1).split(":")

def train_for_minutes(*_, **__):
    folder = tempfile.TemporaryDirectory()
    child = Popen(["sleep", "600"], stdout=DEVNULL, stderr=DEVNULL)
    rows = np.random.default_rng(0).standard_normal((4096, 4096), dtype=np.float32)
    rotation = faiss.PCAMatrix(4096, 8)  # one call of LAPACK: k-means asks Python for signals
    print(child.pid, folder.name, flush=True)
    rotation.train(rows)

setattr(import_module(module), name, train_for_minutes)
import_module("tuner.cli.main").main(sys.argv[1:])
"""


COMMAND = ["--recall", ".8", "--space", "space.yaml", "--prefer", "smallest", "--quiet", "base.npy"]


def inputs(folder: Path) -> None:
    np.save(folder / "base.npy", planted_rows(1500, 16, seed=1))
    (folder / "space.yaml").write_text(SPACE)


def run(command: list[str], folder: Path) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(folder)
        assert _exit_code(command, Stopping()) == 0
    found: dict[str, Any] = json.loads((folder / "tune-out/base/report.json").read_bytes())
    return found


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}


def stopped_in(place: str, by: signal.Signals, folder: Path, *more: str) -> tuple[int, str, int, Path]:
    """Return exit code and last line of a run that was stopped there, and a child and a folder of it."""
    ours = [sys.executable, "-c", PROGRAM, place, *COMMAND, *more]
    with subprocess.Popen(
        ours, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(), cwd=folder
    ) as process:
        assert process.stdout is not None
        pid, temporary = process.stdout.readline().split()
        time.sleep(SURELY_TRAINING_S)
        process.send_signal(by)
        try:
            _, words = process.communicate(timeout=LONGEST_S)
        finally:
            process.kill()
    return process.returncode, words.splitlines()[-1], int(pid), Path(temporary)


def answer(report: dict[str, Any]) -> dict[str, Any]:
    """What of a recommendation no clock decides."""
    chosen = report["recommendation"]
    return {name: chosen[name] for name in ("label", "ef_search", "recall", "recall_lower", "memory_bytes")}


PLACES = (
    ("tuner.sweep.proxy_graph:build", signal.SIGTERM),
    ("tuner.sweep.codecs:train", signal.SIGTERM),
    ("tuner.sweep.codecs:train", signal.SIGINT),
    ("tuner.sweep.finalist_times:interleave", signal.SIGINT),
    ("tuner.sweep.index_file:write", signal.SIGTERM),
)
"""Where one run is stopped, from stage to stage, and by what."""


def test_a_run_that_is_stopped_in_native_code_goes_on_to_the_same_answer(tmp_path: Path) -> None:
    out = tmp_path / "tune-out" / "base"
    more: tuple[str, ...] = ()
    inputs(tmp_path)
    for place, by in PLACES:
        ended, last, child, temporary = stopped_in(place, by, tmp_path, *more)
        assert ended == 128 + by
        kept = "finished stages are in tune-out/base/work: the same command with --resume goes on from there"
        assert last == f"tune: stopped; {kept}"
        assert not psutil.pid_exists(child)
        assert not temporary.exists()
        assert list(out.glob("*.partial")) == []
        more = ("--resume",)
    resumed = answer(run([*COMMAND, *more], tmp_path))
    assert resumed == answer(run([*COMMAND, "--force"], tmp_path))


@pytest.mark.parametrize(("by", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_main_thread_that_unwinds_is_left_to_it_and_a_second_signal_changes_nothing(
    by: signal.Signals, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    unwound = False
    with stoppable() as stopping:
        signal.signal(signal.SIGINT, stopping.interrupt)  # who runs the tests may ignore it
        try:
            with stopping.during(lambda: "stopped; go on"):
                os.kill(os.getpid(), by)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGTERM)
            unwound = True
        stopping.say()
        assert stopping.code == code
    assert unwound
    assert capsys.readouterr().err == "tune: stopped; go on\n"


def test_signals_are_afterwards_handled_as_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with stoppable():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_job_that_is_over_has_no_sentence_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    stopping = Stopping()
    with stopping.during(lambda: "stopped; in the middle"):
        pass
    stopping.say()
    assert capsys.readouterr().err == "tune: stopped\n"


@pytest.mark.parametrize("already", [False, True])
def test_a_stop_is_told_once(
    already: bool, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the main thread, or where that does not end in time, by the other one."""
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    monkeypatch.setattr("tuner.cli.stop._end_children", lambda: None)
    monkeypatch.setattr("tuner.cli.stop._remove_temporary_folders", lambda clean: None)
    stopping = Stopping()
    if already:
        stopping.say()
    stopping._end(15)
    assert capfd.readouterr().err.count("tune: stopped") == 1
    assert codes == [143]


def test_the_library_ends_no_process() -> None:
    """Who calls it from Python has signal handlers of their own."""
    program = "import sys, tuner, tuner.testing; print([name for name in sys.modules if 'tuner.cli' in name])"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, env=environment()
    )
    assert done.stdout == "[]\n"
