"""The first commands and lines that a user meets do what is said, on the data in the repository."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import hurried
import numpy as np
import pytest
from pages import marked

from tuner.report import result_from_json
from tuner.types import Result

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUERIES = ROOT / "datasets" / "docs-minilm-384" / "queries.npy"
BASE = ROOT / "datasets" / "docs-minilm-384" / "base.npy"
ROWS, K = 3_000, 10
"""Rows of the base in the clone; ``.ci/run`` gives the first command all of them."""
TUNE = "import sys; from tuner.cli.main import main; sys.argv[0] = 'tune'; sys.exit(main())"
AFTER_SEARCH = """
import json, sys
foreign = sorted({"tuner", "hnswlib", "scipy", "rich"} & {name.split(".")[0] for name in sys.modules})
json.dump({"ids": ids.tolist(), "foreign": foreign}, sys.stdout)
"""


def tune_arguments() -> list[str]:
    """What follows ``tune`` in the README's first command."""
    last = marked("start").strip().split(" && ")[-1]
    program, *arguments = shlex.split(last)
    assert program == ".venv/bin/tune"
    return arguments


def python(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]), "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def clone_in(folder: Path) -> None:
    """Put the data where the README finds them, with fewer rows."""
    data = folder / BASE.parent.relative_to(ROOT)
    data.mkdir(parents=True)
    np.save(data / BASE.name, np.load(BASE)[:ROWS])
    (data / QUERIES.name).symlink_to(QUERIES)


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder like a clone after the README's first command, and what the command printed."""
    folder = tmp_path_factory.mktemp("clone")
    clone_in(folder)
    return folder, python(["-c", hurried.PROGRAM + TUNE, *tune_arguments()], folder)


@pytest.fixture(scope="module")
def result(visited: tuple[Path, subprocess.CompletedProcess[str]]) -> Result:
    folder, done = visited
    assert done.returncode == 0, done.stderr
    return result_from_json((folder / "tune-out" / "base" / "report.json").read_bytes())


def found_again(ids: list[list[int]]) -> float:
    """Share of the answers that are as near as the exact k-th neighbour, each row counted once."""
    base = np.load(BASE)[:ROWS].astype(np.float32)
    queries = np.load(QUERIES).astype(np.float32)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    hits = 0
    for query, answer in zip(queries, ids, strict=True):
        likeness = base @ query
        kth = np.partition(likeness, -K)[-K]
        rows = np.array(sorted({row for row in answer if row >= 0}))
        hits += int((likeness[rows] >= kth - 1e-6).sum())
    return hits / (K * len(queries))


def test_the_commands_are_the_two_that_the_readme_promises() -> None:
    assert marked("start") == (
        "python -m venv .venv && .venv/bin/pip install -q . && .venv/bin/tune --recall 0.95 "
        "--queries datasets/docs-minilm-384/queries.npy datasets/docs-minilm-384/base.npy\n"
    )
    assert (
        marked("test")
        == ".venv/bin/pip install -q '.[dev]' && .venv/bin/python -m pytest -n 2 --dist worksteal\n"
    )


def test_the_first_command_prints_a_recommendation(
    visited: tuple[Path, subprocess.CompletedProcess[str]], result: Result
) -> None:
    answer = result.recommendation
    assert result.status == "reached"
    assert answer is not None
    assert answer.recall_lower >= 0.95
    printed = " ".join(visited[1].stdout.split())
    assert " ".join(answer.sentence.split()) in printed
    for name in ("smallest", "fastest", "balanced"):
        assert name in printed


def test_it_leaves_the_files_that_the_pages_list(
    visited: tuple[Path, subprocess.CompletedProcess[str]], result: Result
) -> None:
    start = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^\| `([\w.]+)` \|", start, flags=re.MULTILINE))
    assert listed == {"index.faiss", "recommended.yaml", "report.html", "report.md", "report.json"}
    assert listed <= {path.name for path in (visited[0] / "tune-out" / "base").iterdir()}
    assert result.recommendation is not None
    assert (visited[0] / "tune-out/base/index.faiss").stat().st_size == result.recommendation.memory_bytes


def test_the_four_lines_of_faiss_give_the_measured_recall(
    visited: tuple[Path, subprocess.CompletedProcess[str]], result: Result
) -> None:
    lines = marked("faiss")
    assert len(lines.splitlines()) == 4
    done = python(["-c", lines + AFTER_SEARCH], visited[0])
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed["foreign"] == []
    point = result.points[result.named["balanced"]]
    assert found_again(printed["ids"]) == pytest.approx(point.recall.mean, abs=5e-4)


def test_the_lines_of_python_do_what_they_say(
    visited: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    lines = marked("python") + "assert again.best.label == result.best.label; print(rows.shape)"
    done = python(["-c", hurried.PROGRAM + lines], visited[0])
    assert done.returncode == 0, done.stderr
    sentence, chosen, shape = done.stdout.splitlines()
    assert " of the true 10 nearest" in sentence
    M, codec, ef_search = chosen.split()
    assert f"HNSW{M},{codec}" in sentence
    assert f" with ef_search={ef_search} finds " in sentence
    assert shape == "(1500, 10)"
    assert {"index.faiss", "report.json"} <= {path.name for path in (visited[0] / "my-index").iterdir()}


def test_the_estimator_stands_in_a_pipeline(tmp_path: Path) -> None:
    clone_in(tmp_path)
    done = python(["-c", hurried.PROGRAM + marked("sklearn")], tmp_path)
    assert done.returncode == 0, done.stderr
    recall, n_labels = done.stdout.split()
    assert float(recall) >= 0.95
    assert int(n_labels) > 1


def test_every_file_that_the_readme_names_is_there() -> None:
    named = set(re.findall(r"`((?:datasets|configs|reports|tests)/[\w./-]*|[A-Z]+\.md)`", README))
    assert {"CONTRIBUTING.md", "CHANGELOG.md", "datasets/README.md", "configs/", "reports/"} <= named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_is_one_screen_and_a_half() -> None:
    assert len(README.splitlines()) <= 85
    assert len(README.split()) <= 750
