"""Completion of bash, zsh and fish: each script is printed; commands, options, files, engines are known."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from click.shell_completion import ShellComplete, shell_complete

from tuner.cli.main import tune

COMMAND = [sys.executable, "-c", "from tuner.cli.start import main; main()"]


def asked(shell: str, **given: str) -> str:
    done = subprocess.run(
        COMMAND,
        env=os.environ | {"_TUNE_COMPLETE": shell, **given},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


def test_the_command_prints_the_script_of_bash() -> None:
    assert "complete -o nosort -F _tune_completion tune" in asked("bash_source")


@pytest.mark.parametrize(
    ("shell", "words"), [("zsh", "#compdef tune"), ("fish", "complete --no-files --command tune")]
)
def test_click_has_the_script_of_other_shells(
    shell: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert shell_complete(tune, {}, "tune", "_TUNE_COMPLETE", f"{shell}_source") == 0
    assert words in capsys.readouterr().out


def completed(words: list[str], incomplete: str) -> list[tuple[str, str]]:
    shell: Any = ShellComplete(tune, {}, "tune", "_TUNE_COMPLETE")
    return [(item.type, item.value) for item in shell.get_completions(words, incomplete)]


def test_the_shell_asks_through_the_command_itself() -> None:
    assert "plain,diagnose" in asked("bash_complete", COMP_WORDS="tune diag", COMP_CWORD="1")


@pytest.mark.parametrize(
    ("words", "incomplete", "found"),
    [
        ([], "diag", ("plain", "diagnose")),
        ([], "emb", ("file", "emb")),
        (["run"], "emb", ("file", "emb")),
        (["run"], "--rec", ("plain", "--recall")),
        (["run", "--queries"], "q", ("file", "q")),
        (["run", "--target"], "pg", ("plain", "pgvector")),
        (["export", "r.json", "--to"], "qd", ("plain", "qdrant")),
        (["engines"], "luc", ("plain", "lucene")),
        (["run", "--prefer"], "fas", ("plain", "fastest")),
        (["check"], "rep", ("file", "rep")),
        (["diagnose", "--index"], "my", ("file", "my")),
    ],
)
def test_what_can_follow_is_known(words: list[str], incomplete: str, found: tuple[str, str]) -> None:
    assert found in completed(words, incomplete)
