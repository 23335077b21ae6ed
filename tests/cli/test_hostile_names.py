"""A file whose name holds line ends, and reports that hold them, from end to end."""

from __future__ import annotations

import ast
import os
import sys
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


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_file_whose_name_is_no_utf8(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name, hurried = os.fsdecode(b"caf\xe9.npy"), ("--space", "quick", "--threads", "1")
    np.save(name, planted_rows(1500, 16, seed=0))
    code, _, err = run("--recall", ".9", name, *hurried)
    assert code == 0, err
    out = Path("tune-out/caf\ufffd")
    assert (out / "index.faiss").exists()
    assert result_from_json((out / "report.json").read_bytes()).profile.source == "caf\ufffd.npy"
    code, _, err = run("--recall", ".9", name, *hurried, "--out", os.fsdecode(b"\xe9"))
    assert code == 2
    assert "cannot be used, as its name is no UTF-8: choose another --out" in err
    assert not Path(os.fsdecode(b"\xe9")).exists()
