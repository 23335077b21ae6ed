"""The composite action and the CI examples: the action's steps run as a runner would run them."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import planted_rows

import tuner
from tuner.gate import GateBaseline, save_baseline, write_baseline
from tuner.types import Space

ROOT = Path(__file__).parents[1]
SPACE = Space(M=(8,), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_construction=40)


def action() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "action.yml").read_text())
    return found


def value_of(text: str, inputs: dict[str, str]) -> str:
    """Fill in the two kinds of expressions that the action uses."""
    for name, given in inputs.items():
        text = text.replace(f"${{{{ inputs.{name} }}}}", given)
    text = text.replace("${{ github.action_path }}", str(ROOT))
    assert "${{" not in text, text
    return text


def run_steps(inputs: dict[str, str], temp: Path, cwd: Path) -> int:
    """Run the steps one after the other until one fails; return its exit status."""
    inputs = {name: each.get("default", "") for name, each in action()["inputs"].items()} | inputs
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    runner = {"RUNNER_TEMP": str(temp), "GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(temp / "sum.md")}
    for step in action()["runs"]["steps"]:
        is_install = step["name"] == "Install"
        if is_install and (temp / "recall-gate" / "bin" / "tune").exists():
            continue  # the same step with the same inputs was run by the test before
        given = {name: value_of(text, inputs) for name, text in step["env"].items()}
        assert step["shell"] == "bash"
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
        environment = kept | runner | FEW_FILES | given
        done = subprocess.run(shell, env=environment, cwd=cwd, capture_output=True, text=True, check=False)
        (temp / f"{step['name']}.txt").write_text(done.stdout + done.stderr)
        if done.returncode:
            return done.returncode
        if is_install:
            lend_packages(temp / "recall-gate")
    return 0


def lend_packages(environment: Path) -> None:
    """Let an environment find the packages of this one after its own; the product must be its own."""
    (packages,) = environment.glob("lib/python*/site-packages")
    assert (packages / "tuner" / "__init__.py").exists()
    (packages / "lent.pth").write_text(f"{Path(np.__file__).parents[1]}\n", encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's project: data, an index, a baseline."""
    folder = tmp_path_factory.mktemp("project with a space")
    x = planted_rows(3000, 24, 9)
    np.save(folder / "base.npy", x[:2600])
    np.save(folder / "queries.npy", x[2600:])
    result = tuner.tune(x[:2600], recall=0.8, queries=x[2600:], out=folder, space=SPACE, threads=1)
    frozen: GateBaseline = save_baseline(result)
    write_baseline(frozen, folder / "baseline.yaml")
    return folder


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the first step leaves, once for all tests: a clean environment with the package."""
    return tmp_path_factory.mktemp("runner")


FEW_FILES = {"PIP_NO_COMPILE": "1", "PIP_NO_DEPS": "1"}
"""pip installs the product alone: what it depends on ``.ci/run`` installs by the README's command."""
INPUTS = {
    "python": sys.executable,
    "baseline": "baseline.yaml",
    "embeddings": "base.npy",
    "queries": "queries.npy",
    "index": "index.faiss",
}


@pytest.mark.network
@pytest.mark.parametrize(
    ("more", "status", "message"),
    [
        ({}, 0, "passed: "),
        ({"fail-on": "recall:0.01 ndis:10%", "arguments": "--ef-search 1 --threads 1"}, 1, "::error file="),
        ({"baseline": "none.yaml"}, 2, "cannot be read"),
    ],
)
def test_the_steps_of_the_action(
    project: Path, installed: Path, more: dict[str, str], status: int, message: str
) -> None:
    assert run_steps(INPUTS | more, installed, project) == status
    assert message in (installed / "Check.txt").read_text()
    if status < 2:
        assert (project / "recall-gate.xml").exists()
        assert "### tune check" in (installed / "sum.md").read_text()


def test_no_input_reaches_the_shell_but_through_its_environment() -> None:
    """An expression inside a script would let an input run commands."""
    assert all("${{" not in step["run"] for step in action()["runs"]["steps"])


@pytest.mark.parametrize("path", sorted((ROOT / "examples" / "ci").iterdir()), ids=lambda path: path.name)
def test_the_examples_name_options_that_there_are(path: Path) -> None:
    text = path.read_text()
    assert yaml.safe_load(text)
    inputs = action()["inputs"]
    if path.name == "github.yml":
        steps = yaml.safe_load(text)["jobs"]["recall"]["steps"]
        used = next(step for step in steps if "vector-index-tuner" in step["uses"])
        assert set(used["with"]) <= set(inputs)
    else:
        from tuner.cli.check import check_command  # noqa: PLC0415

        known = {name for option in check_command.params for name in option.opts}
        line = next(line for line in text.splitlines() if "tune check" in line)
        assert {word for word in line.split() if word.startswith("--")} <= known


@pytest.fixture
def checkout(project: Path, tmp_path: Path) -> Path:
    """A user's repository as the examples take it to be, with a checkout of this one in it."""
    for name, source in (
        ("reports/baseline.yaml", "baseline.yaml"),
        ("data/embeddings.npy", "base.npy"),
        ("data/queries.npy", "queries.npy"),
        ("build/index.faiss", "index.faiss"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(project / source)
    (tmp_path / "vector-index-tuner").symlink_to(ROOT)
    return tmp_path


def lines_of(name: str) -> list[str]:
    """The shell lines of an example, with the path of this checkout where it stands for one."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "examples" / "ci" / name).read_text())
    if name == "gitlab.yml":
        return list(found["recall"]["script"])
    hook = found["repos"][0]["hooks"][0]
    needs = [
        each.replace("/path/to/vector-index-tuner", str(ROOT)) for each in hook["additional_dependencies"]
    ]
    return [f"pip install '{each}'" for each in needs] + [hook["entry"]]


@pytest.mark.network
@pytest.mark.parametrize("name", ["gitlab.yml", "pre-commit.yaml"])
def test_the_lines_of_the_examples_run(name: str, checkout: Path, project: Path, installed: Path) -> None:
    """In the environment that the action made: other jobs install the same package in one of their own."""
    home = installed / "recall-gate" / "bin"
    if not home.exists():
        run_steps(INPUTS, installed, project)
    environment = os.environ | FEW_FILES | {"PATH": f"{home}{os.pathsep}{os.environ['PATH']}"}
    environment.pop("PYTHONPATH", None)
    script = "set -e\n" + "\n".join(lines_of(name))
    shell = ["/bin/bash", "-c", script]
    done = subprocess.run(shell, env=environment, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed: " in done.stdout


def test_no_line_installs_a_name_that_anyone_could_register() -> None:
    """What pip is told is a path, a local extra, or packages of others."""
    for path in (*sorted((ROOT / "examples").rglob("*.*")), ROOT / "README.md", ROOT / "action.yml"):
        for line in path.read_text(encoding="utf-8").splitlines():
            if "pip install" in line or "additional_dependencies" in line:
                bare = line.replace("./vector-index-tuner", "").replace("vector-index-tuner @ file://", "")
                assert "vector-index-tuner" not in bare.replace("/path/to/vector-index-tuner", ""), (
                    path,
                    line,
                )
