"""The last line of a summary is a command that ``tune`` takes, with what the run was given."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from pages import strange_options

from tuner.cli.following import next_command
from tuner.report import result_from_json
from tuner.types import Result

GOLDEN = Path(__file__).parents[1] / "golden" / "report.json"
OUT = Path("tune-out/my vectors")
GIVEN = {"file": "my vectors.npy", "queries": "q.npy", "ids": None, "column": None}


@pytest.fixture
def result() -> Result:
    return result_from_json(GOLDEN.read_bytes())


def missed(result: Result, **options: float) -> Result:
    asked = replace(result.options, recall=0.99, **options)  # type: ignore[arg-type]
    return replace(result, status="not_reached", recommendation=None, named={}, options=asked)


def test_an_answer_is_frozen_next(result: Result) -> None:
    found = next_command(result, OUT, GIVEN).command
    assert shlex.split(found) == [
        *("tune", "baseline", "tune-out/my vectors/report.json", "-o", "tune-out/my vectors/baseline.yaml")
    ]
    assert strange_options(found) == []


def test_a_target_that_was_missed_gives_way_to_one_below_the_best_bound(result: Result) -> None:
    found = next_command(missed(result, k=20), OUT, GIVEN)
    best = max(point.recall.lower for point in result.points)
    assert shlex.split(found.command) == [
        *("tune", "--recall", f"{int(100 * best) / 100:g}", "--queries", "q.npy", "--k", "20"),
        *("my vectors.npy", "--out", "tune-out/my vectors", "--force"),
    ]
    assert strange_options(found.command) == []
    assert "with a target that was reached" in found.why


def test_limits_go_first(result: Result) -> None:
    found = next_command(missed(result, max_memory_per_vector=10.0), OUT, GIVEN)
    assert found.command.startswith("tune --recall 0.99 --queries q.npy 'my vectors.npy' --out ")
    assert "without the limits" in found.why


def test_an_exact_answer_is_opened(result: Result) -> None:
    found = next_command(replace(result, status="exact"), Path("a'b"), GIVEN).command
    program, flag, code = shlex.split(found)
    assert (program, flag) == ("python", "-c")
    compile(code, "code", "exec")
    assert "a'b/index.faiss" in code
