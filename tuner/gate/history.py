"""The baselines that were: of a folder, or of one file in the history of its git repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tuner.errors import InputError
from tuner.gate.baseline import parse_baseline, read_baseline
from tuner.types import GateBaseline

MOST_BASELINES = 50
"""Baselines, the newest, that are looked at."""
PATIENCE_S = 20.0
"""Seconds that git may take for one question."""
GIT = ("git", "--no-pager", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
"""Git as it runs nothing that a repository configures."""


def history_of(baseline_file: Path, folder: Path | None = None) -> tuple[GateBaseline, ...]:
    """Return earlier baselines, the oldest first; files that are none, or of older versions, are passed over.

    Args:
        baseline_file: baseline that is checked; what its git repository knows of it is its history.
        folder: folder whose YAML files are the history instead.

    Raises:
        InputError: the folder cannot be read.
    """
    found = _of_git(baseline_file) if folder is None else _of_folder(folder)
    distinct = {(each.created, each.label, each.ef_search, each.hits): each for each in found}
    return tuple(sorted(distinct.values(), key=lambda each: each.created)[-MOST_BASELINES:])


def _of_folder(folder: Path) -> list[GateBaseline]:
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder of baselines: name one, or leave --history out")
    found = []
    for path in sorted(folder.iterdir()):
        if path.suffix in (".yaml", ".yml") and path.is_file():
            found += _now(path)
    return found


def _now(path: Path) -> list[GateBaseline]:
    """Return the baseline as it is; nothing where it is none, which the check itself will say."""
    try:
        return [read_baseline(path)]
    except InputError:
        return []


def _of_git(path: Path) -> list[GateBaseline]:
    found = _now(path)
    for data in _versions(path):
        try:
            found.append(parse_baseline(data, path))
        except InputError:  # of an older version
            continue
    return found


def _versions(path: Path) -> Iterator[bytes]:
    """Yield the file as it was at each commit that changed it; nothing outside of a repository."""
    if shutil.which("git") is None:
        return
    listed = _git(
        path.parent, "log", f"-{MOST_BASELINES}", "--no-show-signature", "--format=%H", "--", path.name
    )
    for commit in listed.decode("ascii", "replace").split():
        if data := _git(path.parent, "cat-file", "blob", f"{commit}:./{path.name}"):
            yield data


def _git(folder: Path, *words: str) -> bytes:
    """Return what git prints; nothing where it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, a commit that git named, the name of a file
            [*GIT, *words],
            cwd=folder,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""
