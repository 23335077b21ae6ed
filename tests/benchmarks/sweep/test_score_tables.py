"""Tables and plots carry their figures and where they come from."""

import sys
from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest
from planted_answers import deliver_flat, planted_answer, posed

from benchmarks.sweep import tables
from benchmarks.sweep.answers import (
    Failure,
)
from benchmarks.sweep.ordinary import Ordinary
from benchmarks.sweep.score import score
from benchmarks.sweep.tables import Scores, gather, read_scores, table_lines, write_scores


def planted_scores(tmp_path: Path) -> Scores:
    task, work = posed(tmp_path)
    deliver_flat(np.load(task.base), work / "whole")
    scored, noise = score(task, [planted_answer("whole", note="exact")], work, 2.0)
    failures = [Failure("autofaiss", "needs numpy<2 | pandas<3")]
    return gather(task, tmp_path / "base.npy", Ordinary(2.0, 9 * 10**7), scored, failures, noise)


def test_the_table_carries_its_figures_and_where_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sys,
        "argv",
        ["benchmarks", str(tmp_path / "base.npy"), "--rows", "600", f"--interpreter=a={tmp_path}/py"],
    )
    monkeypatch.setattr(tables, "describe_machine", lambda: {"processor": "P", "cores": 2, "system": "S"})
    scores = planted_scores(tmp_path)
    write_scores(scores, tmp_path)
    assert read_scores(tmp_path / tables.SCORES) == scores
    text = (tmp_path / tables.TABLE).read_text(encoding="utf-8")
    assert "| whole | `Flat` | 10 | 1.0000 | " in text
    assert "| 1 | 6.0 | 3.0 | 3.0 | 100 |" in text
    assert "| autofaiss | needs numpy<2 / pandas<3 |" in text
    assert "base.npy --rows 600" in text
    assert "py`" in text
    assert f"faiss {faiss.__version__}" in text
    assert scores.created in text
    assert str(tmp_path) not in text + (tmp_path / tables.SCORES).read_text(encoding="utf-8")


@pytest.mark.parametrize(("lower", "verdict"), [(0.949, "**no**"), (0.95, "yes"), (0.951, "yes")])
def test_a_target_is_met_by_the_lower_bound_and_not_by_the_mean(
    tmp_path: Path, lower: float, verdict: str
) -> None:
    scores = planted_scores(tmp_path)
    (scored,) = scores.scored
    planted = replace(scored, recall=replace(scored.recall, mean=0.96, lower=lower))
    names, _, cells = list(table_lines(replace(scores, scored=(planted,))))[2:5]
    column = names.split(" | ").index("lower bound meets the target")
    assert cells.split(" | ")[column] == verdict


def test_times_and_their_ratios_show_the_noise(tmp_path: Path) -> None:
    names = list(table_lines(replace(planted_scores(tmp_path), noise_floor=0.113)))[2]
    assert "| us/query (A/A 11.3%) |" in names
    assert "| memory x latency (A/A 11.3%) |" in names


def test_plots_carry_command_and_date(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is in the extra 'bench'")
    from benchmarks.sweep.plots import plot_all, plot_cost_against_n  # noqa: PLC0415 - of an extra

    scores = planted_scores(tmp_path)
    larger = replace(scores, n=2 * scores.n)
    paths = [*plot_all(scores, tmp_path), plot_cost_against_n([larger, scores], tmp_path / "cost-n.svg")]
    for path in paths:
        drawn = path.read_text(encoding="utf-8")
        assert scores.created in drawn
        assert "whole" in drawn
