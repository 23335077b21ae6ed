"""``--dry-run``: what a run would stumble over is said in seconds, and nothing is made or written."""

import os
import re
from pathlib import Path

import numpy as np
import psutil
import pytest
from conftest import planted_rows
from gated import Run

from tuner.data.vectors import open_vectors
from tuner.sweep.hopeless import smallest_bytes
from tuner.sweep.plan import plan
from tuner.types import Options, Space

N, D = 3000, 24
X = planted_rows(N, D, 31)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    np.save("x.npy", X)
    np.save("few.npy", X[:100])
    for name, row in (("nan.npy", np.nan), ("huge.npy", 1e30)):
        bad = X.copy()
        bad[2222] = row
        np.save(name, bad)
    Path("file").touch()
    return home


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("nan.npy", "nan.npy has NaN or infinite values as float32 in 1 row, the first is row 2222"),
        ("huge.npy", "huge.npy has values whose squares overflow float32 in 1 row"),
        ("x.npy --queries nan.npy", "nan.npy has NaN"),
        ("x.npy --time-budget 1s", "time budget of 1 s is below the about"),
        ("x.npy --max-memory 1KB", "max_memory is 1 kB, but codes and links of the smallest index"),
        ("x.npy --max-memory 20B/vector", r"smallest index of this space take .* \(61 bytes per vector\)"),
        ("x.npy --max-latency 1ns", r"max_latency is 0\.001 us, but the call of a search takes"),
        ("x.npy --queries few.npy --recall 0.98", "recall is 0.98, but with 100 queries"),
        ("x.npy --recall 1", "no finite number of queries"),
        ("x.npy --out file", "file is a file, not a directory: choose another --out"),
        ("x.npy --out file/below", "file is a file, not a directory: choose another --out"),
        ("x.npy --target nothing", "nothing"),
        ("x.npy --target hnswlib --metric l2 --max-memory 1B --queries nan.npy", "nan.npy has NaN"),
        ("nan.npy --target hnswlib", "nan.npy has NaN"),
        ("x.npy --target hnswlib --out file", "file is a file, not a directory"),
        ("x.npy --target hnswlib --sweep file", "file: is not valid JSON"),
    ],
)
def test_what_a_run_would_stumble_over_is_said(folder: Path, arguments: str, sentence: str, run: Run) -> None:
    before = names(folder)
    recall = () if "--recall" in arguments else ("--recall", "0.9")
    code, _, message = run(*recall, "--dry-run", *arguments.split())
    assert code == 2
    assert re.search(sentence, message), message
    assert names(folder) == before


@pytest.mark.parametrize("target", [(), ("--target", "hnswlib"), ("--target", "vespa")])
def test_a_good_run_is_approved_and_leaves_nothing(folder: Path, target: tuple[str, ...], run: Run) -> None:
    before = names(folder)
    code, out, message = run("--recall", "0.9", "--dry-run", *target, "x.npy")
    assert code == 0
    assert f"{N:,} x {D} float32; metric cosine" in message
    for word in ("configurations", "time: about", "memory: about", "disk: about"):
        assert word in out
    if target:
        assert target[1] in out.splitlines()[-1].lower()
    assert names(folder) == before


def test_the_smallest_index_is_counted_by_its_codes_and_links() -> None:
    options = Options(recall=0.9, space=Space(M=(6, 8), codecs=("SQ8", "fp32"), cuts=(1.0,)))
    assert smallest_bytes(options, 2000, 24) == 2000 * (24 + 2 * 4 * 6 + 12)
    assert smallest_bytes(options, 1000, 24) == 1000 * 4 * 24  # exact search


def test_memory_is_counted_as_the_report_counts_it(tmp_path: Path) -> None:
    """The report has the peak of the whole process."""
    planned = plan(open_vectors(X, "base"), None, Options(recall=0.9), tmp_path)
    line = next(line for line in planned.lines if line.startswith("memory"))
    program = psutil.Process(os.getpid()).memory_info().rss
    shown = float(line.split()[2].replace(",", ""))
    assert shown == pytest.approx((planned.peak_bytes + program) / 1e6, rel=0.02)
    assert "at its peak" in line
