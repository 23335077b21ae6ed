"""A file whose name holds line ends, and reports that hold them, from end to end."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest
from conftest import planted_rows
from gated import Run

from tuner.report import result_from_json, result_to_markdown

PLANTED = "import os; os.system('touch PWNED')"
NAME = f"a\n{PLANTED}\n::set-output name=x::y\n#\u2028{PLANTED}.npy"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run over a file of that name."""
    folder = tmp_path_factory.mktemp("hostile")
    np.save(folder / NAME, planted_rows(1500, 16, seed=0))
    return folder


def test_a_run_over_a_file_whose_name_is_code(
    report: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(report)
    code, out, err = run("--recall", ".9", NAME, "--out", "out", "--space", "quick", "--threads", "1")
    assert code == 0, err
    for line in (*out.splitlines(), *err.splitlines()):
        assert not line.strip().startswith(("import", "::"))
    for line in Path("out/report.md").read_text(encoding="utf-8").splitlines():
        assert not line.strip("# ").startswith(PLANTED)
    found = result_from_json(Path("out/report.json").read_bytes())
    assert found.profile.source == NAME
    assert result_to_markdown(found).count("\n") == Path("out/report.md").read_text(encoding="utf-8").count(
        "\n"
    )
    for engine, name in (("hnswlib", "x.py"), ("pgvector", "x.sql")):
        code, _, err = run("export", "out/report.json", "--to", engine, "-o", name, "--point", "0")
        if code:
            continue  # that engine has no such codec
        text = Path(name).read_text(encoding="utf-8")
        assert not [line for line in text.splitlines() if line.startswith(PLANTED)]
        if name == "x.py":
            assert "system" not in ast.dump(ast.parse(text))
    assert run("baseline", "out/report.json", "-o", "b.yaml")[0] == 0
    assert not [line for line in Path("b.yaml").read_text().splitlines() if line.strip().startswith(PLANTED)]
