"""One command runs contestants, scores them and resumes."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from hurried import few_rounds
from planted_answers import planted_files

from benchmarks.sweep import score, tables
from benchmarks.sweep.__main__ import main
from benchmarks.sweep.answers import (
    ANSWER,
)
from benchmarks.sweep.tables import read_scores, table_lines


def bench(files: tuple[Path, Path], out: Path, names: str) -> str:
    arguments = [
        "--name",
        "tiny",
        "--contestants",
        names,
        "--threads",
        "1",
        "--recall",
        "0.9",
        "--out",
        str(out),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(score, "interleave", few_rounds)
        done = CliRunner().invoke(main, [*map(str, files), *arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.stderr
    return done.stdout


def test_one_command_runs_scores_and_resumes(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="optuna is in the extra 'bench'")
    files, out = planted_files(tmp_path, 1200, 900), tmp_path / "out"
    printed = bench(files, out, "ours,random2,hnswlib16")
    scores = read_scores(out / tables.SCORES)
    assert scores.failures == ()
    names = [each.answer.contestant for each in scores.scored if ":" not in each.answer.contestant]
    assert names == ["ours", "random2", "hnswlib16"]
    assert "\n".join(table_lines(scores)) in printed
    for each in scores.scored:
        assert each.recall.mean > 0.85
        assert each.memory_bytes == each.answer.memory_bytes
        assert each.answer.cpu_s > 0
        assert each.answer.peak_rss_bytes > scores.ordinary.idle_bytes / 2
        assert each.latency.mean_s > 0
        assert (each.ndis_per_query is None) == (each.answer.engine == "hnswlib")
    builds = {each.answer.contestant: each.answer.n_builds for each in scores.scored}
    assert builds["ours"] == builds["hnswlib16"] == 1
    assert 1 <= builds["random2"] <= 2
    assert list((out / "work" / "random2").glob("trial-*")) == []
    before = {path: path.stat().st_mtime_ns for path in (out / "work").glob(f"*/{ANSWER}")}
    again = bench(files, out, "ours,hnswlib16")
    assert "| ours | " in again
    assert {path: path.stat().st_mtime_ns for path in before} == before
