"""Blocks that change the shell that they are typed in run in one; what they change is looked at afterwards.

The mark names the shell and a command that holds afterwards: ``<!-- run: in bash; afterwards: COMMAND -->``.
"In activated bash" is one where the virtual environment is active already, as the pages ask for.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import numpy as np
import pytest
from pages import IN_SHELL, ROOT, Block, blocks, blocks_in
from workshop import rows

N, D, NQ = 600, 8, 60
"""So few rows that exact search is the answer: a whole ``tune`` in a second."""
BEGIN = {
    "bash": "set -euo pipefail",
    "zsh": "set -eu; autoload -Uz compinit; compinit -D -u",
    "fish": "mkdir -p ~/.config/fish/completions",
}
"""What a shell of a user has done when it asks for the first line."""
ACTIVATE = {"bash": "activate", "zsh": "activate", "fish": "activate.fish"}
OPTIONS = {"bash": ["--norc", "--noprofile"], "zsh": ["-f"], "fish": []}
FOREIGN = ("VIRTUAL_ENV", "PYTHONPATH", "XDG_")
"""Variables of who runs the tests, which would lead a new shell elsewhere."""
TUNE = """\
#!{python}
import sys
sys.path[:0] = {path}
from tuner.cli.start import main
main()
"""
IN_SHELLS = [block for block in blocks() if block.mark == "run" and IN_SHELL.fullmatch(block.note)]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with the user's files, and a virtual environment whose ``tune`` is this checkout's."""
    np.save(tmp_path / "embeddings.npy", rows(N, 0, D))
    np.save(tmp_path / "queries.npy", rows(NQ, 1, D))
    venv.create(tmp_path / ".venv", symlinks=True)
    tune = tmp_path / ".venv" / "bin" / "tune"
    tune.write_text(TUNE.format(python=sys.executable, path=[str(ROOT), *sys.path]), encoding="utf-8")
    tune.chmod(0o755)
    return tmp_path


def in_shell(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    """Type a block into the shell that its mark names, and then what holds afterwards."""
    marked = IN_SHELL.fullmatch(block.note)
    assert marked, f"{block.name}: the mark names no shell"
    activated, shell, afterwards = marked.groups()
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed")
    lines = [BEGIN[shell], *([f". .venv/bin/{ACTIVATE[shell]}"] if activated else []), block.text, afterwards]
    others = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    path = [each for each in os.environ["PATH"].split(os.pathsep) if not (Path(each) / "tune").exists()]
    return subprocess.run(
        [program, *OPTIONS[shell], "-c", "\n".join(lines)],
        cwd=folder,
        env=others | {"PATH": os.pathsep.join(path), "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize("block", IN_SHELLS, ids=lambda block: block.name)
def test_what_changes_a_shell_does(block: Block, clone: Path) -> None:
    done = in_shell(block, clone)
    assert done.returncode == 0, done.stderr
    if shlex.split(block.commands()[-1])[0] == "tune":
        written = {path.name for path in (clone / "tune-out" / "embeddings").iterdir()}
        assert written == {"index.faiss", "recommended.yaml", "report.html", "report.md", "report.json"}


def test_there_is_one_of_each_kind() -> None:
    kinds = [IN_SHELL.fullmatch(block.note) for block in IN_SHELLS]
    assert sorted(each[2] for each in kinds if each and each[1]) == ["bash", "fish", "zsh"]
    assert sum(block.text.startswith(". .venv/bin/activate\n") for block in IN_SHELLS) == 2


@pytest.mark.parametrize(
    ("note", "text", "fault"),
    [
        ('in bash; afterwards: test "$(command -v tune)"', ". .venv/bin/activat", "No such file"),
        ("in bash; afterwards: true", "tune engines", "not found"),
        ("in bash; afterwards: command -v tune", "true", ""),
        ("in bash; afterwards: ls gone", ". .venv/bin/activate", "gone"),
        ("in activated bash; afterwards: complete -p tune", "true", "no completion specification"),
        ("in activated fish; afterwards: complete -C 'tune diag' | string match -q 'diagnose*'", "true", ""),
        ('in activated zsh; afterwards: test "$_comps[tune]" = _tune_completion', "true", ""),
    ],
)
def test_a_planted_fault_is_found(note: str, text: str, fault: str, clone: Path) -> None:
    (block,) = blocks_in(f"<!-- run: {note} -->\n```bash\n{text}\n```\n", "planted.md")
    done = in_shell(block, clone)
    assert done.returncode != 0
    assert fault in done.stderr
