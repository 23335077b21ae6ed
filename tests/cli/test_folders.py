"""Nothing is lost: results are replaced when asked to, and two runs do not write into one folder."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from gated import Run

from tuner.cli import main as cli
from tuner.cli.folders import BusyFolderError, claimed
from tuner.errors import InputError

FILES = {"report.json": b"of last week", "index.faiss": b"an index"}


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the results of another file of the same name."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).normal(size=(300, 8)).astype(np.float32))
    out = tmp_path / "tune-out" / "x"
    out.mkdir(parents=True)
    for name, content in FILES.items():
        (out / name).write_bytes(content)
    return out


def code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_earlier_results_are_not_replaced_unasked(
    results: Path, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert code("--recall", "0.9", "x.npy", *more) == 2
    sentence = capsys.readouterr().err
    assert "report.json is there already: use --force to replace it, or give another --out" in sentence
    assert {path.name: path.read_bytes() for path in results.iterdir()} == FILES


def test_they_are_replaced_when_asked_to(results: Path) -> None:
    assert code("--recall", "0.9", "x.npy", "--quiet", "--force") == 0
    assert (results / "report.json").read_bytes() != FILES["report.json"]
    assert (results / "index.faiss").read_bytes() != FILES["index.faiss"]


def test_results_of_a_target_are_not_replaced_either(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "hnswlib").mkdir()
    (results / "hnswlib" / "engine.json").write_bytes(b"kept")
    assert code("--recall", "0.9", "x.npy", "--target", "hnswlib") == 2
    assert "engine.json is there already: use --force" in capsys.readouterr().err
    assert (results / "hnswlib" / "engine.json").read_bytes() == b"kept"


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    out, work = tmp_path / "out", tmp_path / "out" / "work"
    with claimed(out, work):
        (work / "journal.json").write_text("{}")
        busy = pytest.raises(BusyFolderError, match="another run writes to it: wait for it, or give another")
        with busy, claimed(out, work):
            pytest.fail("both were let in")
        with claimed(tmp_path / "other"):
            pass
        assert (work / "journal.json").exists()
    with claimed(out, work):
        pass


def test_a_refused_run_lets_go_of_its_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for _ in range(2):
        with pytest.raises(InputError), claimed(out):
            raise InputError("bad")
    assert not out.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are others there")
def test_a_cache_that_cannot_be_written_locks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with claimed(tmp_path / "out"):
        pass


def test_stages_of_a_stopped_run_are_not_thrown_away_unasked(tmp_path: Path, run: Run) -> None:
    np.save(tmp_path / "base.npy", np.random.default_rng(0).standard_normal((900, 8)).astype(np.float32))
    out = tmp_path / "out"
    (out / "work").mkdir(parents=True)
    (out / "work" / "journal.json").write_text("{}")
    (out / "work" / "graph.stage").write_bytes(b"kept")
    asked = [str(tmp_path / "base.npy"), "--recall", "0.9", "--out", str(out)]
    code, _, err = run("run", *asked)
    assert code == 2
    assert err.strip() == (
        f"tune: {out / 'work'} has 1 finished stage of a run that was stopped: go on with --resume, or begin "
        "anew with --force"
    )
    assert (out / "work" / "graph.stage").read_bytes() == b"kept"
    assert run("run", *asked, "--dry-run")[0] == 0  # which removes nothing
    assert (out / "work" / "graph.stage").exists()
    assert run("run", *asked, "--force")[0] == 0
    assert not (out / "work").exists()
