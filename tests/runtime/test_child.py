"""Our own processes start in any folder, installed or not."""

import subprocess
import sys
from pathlib import Path

import faiss
import pytest

from tuner.index.files.faiss import read_index
from tuner.runtime import child


def test_what_lies_in_the_current_folder_is_not_taken_for_a_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "faiss.py").write_text("raise SystemExit('the wrong one')")
    faiss.write_index(faiss.IndexFlatL2(4), str(tmp_path / "index.faiss"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert read_index(tmp_path / "index.faiss").d == 4


def test_a_package_that_is_not_installed_is_found(tmp_path: Path) -> None:
    """Only the last folder of the child's path holds it."""
    (tmp_path / "ours.py").write_text("def main():\n    import sys\n    print(sys.argv[1:])")
    command = child.command("ours", "1", "2")
    command[command.index(str(child.HOME))] = str(tmp_path)
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(sys.executable).parent
    )
    assert done.stdout.strip() == "['1', '2']"
