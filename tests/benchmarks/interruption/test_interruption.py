"""Small runs are killed, and their disk is full: each goes on to the same answer, and the check can fail."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import hurried
import pytest

from benchmarks.common import ROOT
from benchmarks.interruption.answers import (
    OUT,
    RUN,
    SCRATCH,
    Job,
    answer_of,
    differences,
    leftovers,
    write_inputs,
)
from benchmarks.interruption.full_disk import CONTROL, Disk, compiled

MAIN = "from benchmarks.interruption.__main__ import main; main()"
NO_WORDS = "from tuner.cli import main, perform; main.OS_LIMITS = perform.FULL_DISK = ()\n"
"""A fault: an error of the system is no sentence."""


def bench(*arguments: str, plant: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "tests"), str(ROOT)])
    return subprocess.run(
        [sys.executable, "-c", hurried.PROGRAM + plant + MAIN, *arguments],
        env=os.environ | {"PYTHONPATH": path} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_runs_that_are_killed_end_with_the_same_answer(tmp_path: Path) -> None:
    done = bench("kills", "--kills", "3", "--jobs", "run", "--rows", "600", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kills.md").read_text().splitlines()[2].split(" | ")[2] == "3"


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What lets writes fail in a process and in its children."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("writes that fail are made by a library that gcc compiles for Linux")
    folder = tmp_path_factory.mktemp("disk")
    Disk.make_control(folder / "control")
    return {"LD_PRELOAD": str(compiled(folder)), CONTROL: str(folder / "control")}


@pytest.mark.parametrize(("rows", "writes"), [("100", "16"), ("600", "2")])
def test_a_full_disk_is_one_sentence_and_loses_the_step_in_progress(
    rows: str, writes: str, disk: dict[str, str], tmp_path: Path
) -> None:
    """Few rows are searched exactly, and soon written."""
    words = ["full-disk", "--jobs", "run", "--rows", rows, "--writes", writes, "--out", str(tmp_path)]
    done = bench(*words, **disk)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "full-disk.md").read_text().splitlines()[2].split(" | ")[1] == writes


def test_an_error_that_is_no_sentence_is_seen(disk: dict[str, str], tmp_path: Path) -> None:
    words = ["full-disk", "--jobs", "run", "--rows", "100", "--writes", "1", "--out", str(tmp_path)]
    done = bench(*words, plant=NO_WORDS, **disk)
    assert done.returncode == 1, done.stderr
    assert "not one sentence" in done.stderr
    assert "Traceback" in done.stderr


def test_another_answer_is_seen(tmp_path: Path) -> None:
    write_inputs(tmp_path, 10)
    out = tmp_path / OUT
    out.mkdir(parents=True)
    report = '{"status": "reached", "recommendation": {"ef_search": %d}, "points": [], "ceilings": [], %s}'
    rest = '"curves": [], "profile": {}'
    found = []
    for ef_search, index in ((10, b"abc"), (10, b"abd"), (11, b"abc")):
        (out / "report.json").write_text(report % (ef_search, rest))
        (out / "index.faiss").write_bytes(index)
        found.append(answer_of(RUN, tmp_path))
    assert differences(found[0], found[0]) == []
    assert differences(found[1], found[0]) == ["index.faiss"]
    assert differences(found[2], found[0]) == ["recommendation"]
    (out / "index.faiss.partial").touch()
    assert leftovers(tmp_path) == ["index.faiss.partial"]


def test_what_was_interrupted_is_gone_on_with_as_its_user_would(tmp_path: Path) -> None:
    job = Job("j", ("run", "x.npy"), (f"{OUT}/report.json",))
    assert job.again(tmp_path) == ["run", "x.npy"]
    (tmp_path / SCRATCH).mkdir(parents=True)
    (tmp_path / SCRATCH / "journal.json").touch()
    assert job.again(tmp_path) == ["run", "x.npy", "--resume"]
    (tmp_path / SCRATCH / "journal.json").unlink()
    (tmp_path / OUT).mkdir()
    (tmp_path / OUT / "report.json").touch()
    assert job.again(tmp_path) is None
