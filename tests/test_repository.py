"""What a host of repositories and an agent read: citation, forms of issues, workflows, the skill."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tuner.version import __version__

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SKILL = ROOT / "skills" / "embedding-index-tuner" / "SKILL.md"
MOST_DESCRIPTION = 1024
"""Letters that readers of skills take of a description."""


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_citation_is_of_this_version() -> None:
    cited = read(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors", "license"} <= set(cited)
    assert cited["version"] == __version__
    assert cited["license"] == "Apache-2.0"


@pytest.mark.parametrize(
    "path", [path for path in FORMS if path.stem != "config"], ids=lambda path: path.stem
)
def test_a_form_of_an_issue_can_be_filled_in(path: Path) -> None:
    form = read(path)
    assert {"name", "description", "body"} <= set(form)
    fields = [each for each in form["body"] if each["type"] in ("textarea", "input", "dropdown")]
    assert fields
    names = [each["id"] for each in fields]
    assert len(set(names)) == len(names)
    assert all(each["attributes"]["label"] for each in fields)


def test_there_are_forms() -> None:
    assert {path.stem for path in FORMS} >= {"bug", "config", "engine", "figure"}


def steps(workflow: Any) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_the_workflow_runs_what_a_stranger_would() -> None:
    workflow = read(ROOT / ".github" / "workflows" / "ci.yml")
    assert ".ci/run" in [step.get("run") for step in steps(workflow)]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    lowest, *_ = workflow["jobs"]["stranger"]["strategy"]["matrix"]["python"]
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'requires-python = ">={lowest}"' in pyproject


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_reads_only_and_ends(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {"contents": "read"}
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    assert [step["run"] for step in steps(workflow) if "${{" in step.get("run", "")] == []


def test_the_skill_is_found_by_its_name_and_description() -> None:
    found = re.match(r"---\n(.+?)\n---\n", SKILL.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None
    front = yaml.safe_load(found[1])
    assert set(front) == {"name", "description"}
    assert front["name"] == SKILL.parent.name
    assert re.fullmatch(r"[a-z0-9-]{1,64}", front["name"])
    assert len(front["description"]) <= MOST_DESCRIPTION
    assert "<" not in front["description"]
