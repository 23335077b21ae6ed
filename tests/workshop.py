"""What the commands of pages run on: few rows, a small space, and each line typed as it stands."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tuner.cli import options
from tuner.cli.main import tune
from tuner.runtime import process
from tuner.space import load_space
from tuner.types import FloatArray, Space

SPACE = Space(M=(6,), codecs=("fp32", "SQ8"), cuts=(1.0,), rerank_factors=(1, 4), ef_construction=40)
"""What commands sweep here, whatever preset they name."""


def rows(n: int, seed: int, d: int = 16) -> FloatArray:
    """Return rows of length 1 around some centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, d))
    x = centres[rng.integers(40, size=n)] + rng.normal(size=(n, d))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)


def sweep_little(patch: pytest.MonkeyPatch, folder: Path, space: Space = SPACE) -> None:
    """Let commands work in a folder, with its cache, one core and a small space."""
    patch.chdir(folder)
    patch.setenv("TUNER_CACHE_DIR", str(folder / "cache"))
    patch.setattr(process, "available_cores", lambda: 1)
    patch.setattr(options, "default_space", lambda: space)
    patch.setattr(options, "load_space", lambda name: load_space(name) and space)


def typed(command: str, exit_code: int = 0) -> Result:
    """Run a line that begins with ``tune``; what it prints goes where ``>`` says."""
    program, *words = shlex.split(command, comments=True)
    assert program == "tune", f"{command}: no command of tune, and not marked as not run"
    words, into = (words[:-2], words[-1]) if words[-2:-1] == [">"] else (words, None)
    done = CliRunner().invoke(tune, words, standalone_mode=False)
    code = 2 if done.exception else done.return_value
    assert code == exit_code, f"{command}: {done.exception!r} {done.output[-2000:]}"
    if into is not None:
        Path(into).write_text(done.stdout, encoding="utf-8")
    return done
