"""The command line hands over what it was given and ends with the code that the answer deserves."""

import json
import re
import subprocess
import sys
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.cli import main as cli
from tuner.data.vectors import Vectors
from tuner.recall.allowed import GivenFilters
from tuner.report import result_from_json
from tuner.space import default_space
from tuner.types import (
    BandMeasured,
    Event,
    FilterBand,
    FilterPolicy,
    Note,
    Options,
    Recall,
    Result,
    StageFinished,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "report.json"
COMMAND = [sys.executable, "-c", "from tuner.cli.main import main; main()"]


@pytest.fixture
def result() -> Result:
    return result_from_json(GOLDEN.read_bytes())


class Sweep:
    """Stands in for the sweep: keeps what it was called with."""

    def __init__(self, result: Result) -> None:
        self.result = result
        self.called: tuple[Vectors, Vectors | None, Options, Path, Path, bool] | None = None

    def __call__(
        self,
        base: Vectors,
        queries: Vectors | None,
        options: Options,
        out: Path,
        work: Path,
        *,
        resume: bool,
        filters: GivenFilters | None = None,
    ) -> Generator[Event, None, Result]:
        assert filters is None
        self.called = (base, queries, options, out, work, resume)
        (work / "journal.json").write_text("{}")
        yield StageFinished("truth", "exact neighbours", 1.0, 1.0)
        yield Note("a note")
        return self.result

    @property
    def options(self) -> Options:
        assert self.called is not None
        return self.called[2]


@pytest.fixture
def sweep(result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    monkeypatch.chdir(tmp_path)
    np.save("base.npy", np.eye(300, 8, dtype=np.float32) + 1)
    np.save("q.npy", np.eye(30, 8, dtype=np.float32) + 2)
    stub = Sweep(result)
    monkeypatch.setattr("tuner.cli.run.sweep_or_sample", stub)
    return stub


def _code(argv: str) -> Any:
    with pytest.raises(SystemExit) as ended:
        cli.main(argv.split())
    return ended.value.code


def test_alone_it_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code("") == 0
    assert capsys.readouterr().out.startswith("Usage: tune ")


def test_version_names_what_figures_depend_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code("--version") == 0
    number = r"\d+(\.\w+)+"
    libraries = ", ".join(f"{name} {number}" for name in ("faiss", "hnswlib", "numpy", "scipy", "Python"))
    assert re.fullmatch(rf"tune {number} \({libraries}\)\n", capsys.readouterr().out)


@pytest.mark.parametrize("argv", ["run --recall .9 base.npy", "--recall .9 base.npy", "base.npy --recall .9"])
def test_run_need_not_be_named(sweep: Sweep, argv: str) -> None:
    assert _code(argv) == 0
    assert sweep.called is not None
    base, queries, options, out, work, resume = sweep.called
    assert (base.source, queries, out, work, resume) == (
        "base.npy",
        None,
        Path("tune-out/base"),
        Path("tune-out/base/work"),
        False,
    )
    assert options == Options(recall=0.9, space=default_space())


def test_every_option_arrives(sweep: Sweep) -> None:
    Path("s.yaml").write_text("M: [8]", encoding="utf-8")
    argv = (
        "--recall .98 --k 20 --queries q.npy --metric ip --max-memory 180B/vector --max-latency 400us "
        "--prefer smallest --confidence .9 --seed 7 --threads 2 --time-budget 10m --space s.yaml --out o "
        "--work w --rerank-store disk --baseline hnswlib --exhaustive base.npy"
    )
    assert _code(argv) == 0
    assert sweep.called is not None
    assert sweep.called[1] is not None
    assert (sweep.called[1].source, *sweep.called[3:]) == ("q.npy", Path("o"), Path("w"), False)
    assert sweep.options == Options(
        recall=0.98,
        k=20,
        metric="ip",
        max_memory_per_vector=180.0,
        max_latency_s=400 * 1e-6,
        prefer="smallest",
        confidence=0.9,
        seed=7,
        threads=2,
        time_budget_s=600.0,
        rerank_store="disk",
        baseline="hnswlib",
        exhaustive=True,
        space=replace(default_space(), name="s", M=(8,)),
    )


def test_memory_in_all_and_n_queries_arrive(sweep: Sweep) -> None:
    assert _code("--recall .9 --max-memory 2GB --n-queries 40 base.npy") == 0
    assert (sweep.options.max_memory_bytes, sweep.options.max_memory_per_vector) == (2_000_000_000, None)
    assert sweep.options.n_queries == 40


@pytest.mark.parametrize(("status", "code"), [("reached", 0), ("exact", 0), ("not_reached", 1)])
def test_exit_code_is_the_answer(sweep: Sweep, status: Any, code: int) -> None:
    sweep.result = replace(sweep.result, status=status)
    assert _code("--recall .9 base.npy") == code


@pytest.mark.parametrize(("reached", "code"), [(True, 0), (False, 1)])
def test_a_band_of_filters_that_misses_is_an_honest_no(sweep: Sweep, *, reached: bool, code: int) -> None:
    all_bounds = Recall(mean=0.96, lower=0.94, p5=0.8, share_below_half=0.0, n_queries=100)
    measured = BandMeasured(
        kind="given",
        n_queries=100,
        share=0.1,
        recall=all_bounds,
        ndis_per_query=9.0,
        latency_s=1e-4,
        unfiltered_recall=all_bounds,
        unfiltered_ndis_per_query=9.0,
        unfiltered_latency_s=1e-4,
    )
    band = FilterBand(least_share=0.1, ef_search=None, measured=(measured,), reaches_target=reached)
    sweep.result = replace(
        sweep.result,
        filters=FilterPolicy(
            source="labels.npy",
            bands=(band,),
            scan_below_rows=30,
            n=300,
            latency_s=1e-4,
            scan_s=(0.0, 1e-8),
            graph_s=(0.0, 1e-6),
        ),
    )
    assert _code("--recall .9 base.npy") == code


def test_answer_on_stdout_progress_on_stderr(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    assert _code("--recall .9 base.npy") == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines()[:2] == ["exact neighbours: 1 s", "a note"]
    assert re.search(r"report\.json, .* in tune-out/base", printed.err)
    assert "HNSW" in printed.out
    assert Path("tune-out/base/report.json").exists()


def test_json_is_all_of_stdout(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    assert _code("--recall .9 --json base.npy") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out) == json.loads(Path("tune-out/base/report.json").read_text())
    assert "HNSW" in printed.err


@pytest.mark.parametrize(("flags", "n_out"), [("--quiet", True), ("--quiet --json", True)])
def test_quiet_leaves_the_answer(
    sweep: Sweep, flags: str, n_out: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _code(f"--recall .9 {flags} base.npy") == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert bool(printed.out) == n_out


def test_dry_run_prints_the_plan_and_writes_nothing(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def planned(*_: object) -> Generator[Event, None, tuple[str, ...]]:
        yield Note("all is well")
        return "714 configurations", "20 s"

    monkeypatch.setattr("tuner.cli.rehearse.rehearse", planned)
    assert _code("--recall .9 --dry-run base.npy") == 0
    printed = capsys.readouterr()
    assert printed.out == "714 configurations\n20 s\n"
    assert printed.err == "all is well\n"
    assert sweep.called is None
    assert not Path("tune-out").exists()


def test_resume_needs_and_finds_the_journal(sweep: Sweep) -> None:
    assert _code("--recall .9 --resume base.npy") == 2
    work = Path("tune-out", "base", "work")
    work.mkdir(parents=True)
    (work / "journal.json").write_text("{}")
    assert _code("--recall .9 --resume base.npy") == 0
    assert sweep.called is not None
    assert sweep.called[-1] is True


def test_a_run_that_ended_leaves_nothing_to_resume(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    assert _code("--recall .9 base.npy") == 0
    assert not Path("tune-out", "base", "work").exists()
    capsys.readouterr()
    assert _code("--recall .9 --resume base.npy") == 2
    assert "report.json is there: its run ended, and left nothing to resume" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("journal", "says"),
    [
        (True, "finished stages are in tune-out/base/work: the same command with --resume"),
        (False, "no stage was"),
    ],
)
def test_ctrl_c_says_how_to_go_on(
    sweep: Sweep,
    journal: bool,
    says: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stopped(*args: Any, resume: bool, filters: object) -> Generator[Event, None, Result]:
        if journal:
            (args[4] / "journal.json").touch()
        yield Note("working")
        raise KeyboardInterrupt

    monkeypatch.setattr("tuner.cli.run.sweep_or_sample", stopped)
    assert _code("--recall .9 base.npy") == 130
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("tune: stopped; ")
    assert says in last


@pytest.mark.parametrize(
    ("error", "code"),
    [(OSError(28, "No space left on device"), 2), (PermissionError(13, "Permission denied", "f"), 2)],
)
def test_a_full_disk_is_no_traceback(
    sweep: Sweep,
    error: OSError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr("tuner.cli.perform.write_report", full)
    assert _code("--recall .9 --quiet base.npy") == code
    assert capsys.readouterr().err.startswith("tune: ")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 36.6 GiB for an array"),
        MemoryError("std::bad_alloc"),
        RuntimeError("Exceptions thrown from index threads: 0: std::bad_alloc"),
        RuntimeError("Not enough memory: HierarchicalNSW failed to allocate linklists"),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_memory_that_ran_out_is_a_sentence(
    sweep: Sweep, error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise error

    monkeypatch.setattr("tuner.cli.perform.write_report", full)
    assert _code("--recall .9 --quiet base.npy") == 2
    printed = capsys.readouterr().err
    assert printed.startswith("tune: memory ran out")
    assert printed.count("\n") == 1


@pytest.mark.usefixtures("sweep")
@pytest.mark.parametrize("job", ["baseline", "export --to faiss"])
@pytest.mark.parametrize("text", ["[", '{"schema_version":'])
def test_a_report_nested_without_end_is_a_sentence(
    job: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("r.json").write_text(text * 100_000)
    assert _code(f"{job} r.json") == 2
    assert ": is nested too deeply" in capsys.readouterr().err


def test_a_defect_keeps_its_traceback_and_is_no_honest_no(
    sweep: Sweep, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> None:
        raise FileNotFoundError(2, "No such file")

    monkeypatch.setattr("tuner.cli.perform.write_report", broken)
    with pytest.raises(SystemExit) as ended:
        cli.main(["--recall", ".9", "base.npy"])
    assert ended.value.code == 2
    assert "FileNotFoundError: [Errno 2] No such file" in capsys.readouterr().err


def test_a_reader_that_went_away_ends_it_quietly() -> None:
    with subprocess.Popen(
        [*COMMAND, "run", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        assert running.stderr.read() == b""
    assert running.returncode == 141
