"""``tune baseline`` and ``tune check`` on the command line, and what they write for others."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from gated import Gate, Run

from tuner.gate import (
    read_baseline,
)


@pytest.mark.parametrize(
    "limit", ["recall", "recall:", "recall:x", "speed:3", "recall:100%", "ndis:-1%", "ndis:10", "memory:2"]
)
def test_a_limit_that_is_none(gate: Gate, limit: str, run: Run) -> None:
    code, _, message = run("check", str(gate.folder / "baseline.yaml"), *gate.files, "--fail-on", limit)
    assert code == 2
    assert "--fail-on" in message


def test_freeze_check_and_update_by_command(gate: Gate, tmp_path: Path, run: Run) -> None:
    report, out = str(gate.folder / "report.json"), tmp_path / "deep" / "baseline.yaml"
    code, message, _ = run("baseline", report, "-o", str(out))
    assert code == 0
    assert gate.frozen.label in message
    assert read_baseline(out).hits == gate.frozen.hits
    assert yaml.safe_load(out.read_text())["measured_recall"] == pytest.approx(gate.frozen.measured_recall)
    code, _, message = run("baseline", report, "-o", str(out))
    assert code == 2
    assert "--force" in message
    junit, markdown = tmp_path / "junit.xml", tmp_path / "summary.md"
    lowered = ("--ef-search", "10", "--index", str(gate.index))
    code, printed, message = run(
        *("check", str(out), *gate.files, *lowered, "--junit", str(junit), "--markdown", str(markdown)),
        *("--annotations", "--json", "--fail-on", "recall:1%"),
    )
    assert code == 1
    tree = json.loads(printed)
    assert tree["passed"] is False
    assert tree["headline"].startswith("regression: ")
    failures = [
        case.get("name")
        for case in ET.parse(junit).iter("testcase")  # noqa: S314 - our own
        if case.find("failure") is not None
    ]
    assert failures == [line["name"] for line in tree["lines"] if line["status"] == "fail"]
    assert "**FAIL**" in markdown.read_text()
    assert f"::error file={out.as_posix()}" in message
    ef_search = 3 * gate.frozen.ef_search
    raised = ("--ef-search", str(ef_search), "--index", str(gate.index))
    assert run("check", str(out), *gate.files, *raised)[0] == 1
    code, message, _ = run("check", str(out), *gate.files, *raised, "--update")
    assert code == 0
    assert "updated" in message
    assert read_baseline(out).ef_search == ef_search
    code, message, _ = run("check", str(out), *gate.files, *raised)
    assert code == 0, message


def test_annotations_come_by_themselves_on_github(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    code, message, _ = run(
        "check",
        str(gate.folder / "baseline.yaml"),
        *gate.files,
        "--index",
        str(gate.index),
        "--ef-search",
        "1",
    )
    assert code == 1
    assert "::error file=" in message


def test_what_could_not_be_judged_is_written_for_others_too(gate: Gate, tmp_path: Path, run: Run) -> None:
    junit = tmp_path / "deep" / "junit.xml"
    arguments = ("check", str(tmp_path / "none.yaml"), *gate.files, "--junit", str(junit), "--annotations")
    code, out, message = run(*arguments)
    assert code == 2
    suite = ET.parse(junit).getroot().find("testsuite")  # noqa: S314 - our own
    assert suite is not None
    assert suite.get("errors") == "1"
    assert "::error file=" in out
    assert "cannot be read" in message
    (tmp_path / "folder").mkdir()
    code, _, message = run(
        "check", str(gate.folder / "baseline.yaml"), *gate.files, "--junit", str(tmp_path / "folder")
    )
    assert code == 2
    assert "cannot be written" in message
    assert "measure it on" not in message  # refused before the work, not after it
