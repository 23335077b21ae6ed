"""A finished run with its baseline, as files, for the tests of the recall gate."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import planted_rows

import tuner
from tuner.cli.main import _exit_code
from tuner.cli.stop import Stopping
from tuner.data.vectors import open_vectors
from tuner.gate import (
    CheckOptions,
    CheckResult,
    GateBaseline,
    check,
    read_baseline,
    save_baseline,
    write_baseline,
)
from tuner.report import result_to_json
from tuner.runtime.steps import result_of
from tuner.types import FloatArray, Space

N, NQ, D, K = 5000, 800, 32, 10


SPACE = Space(M=(6, 12), codecs=("SQ8",), cuts=(1.0,), rerank_factors=(1,), ef_construction=60)


@dataclass(frozen=True)
class Gate:
    """A finished run with its baseline, as files."""

    folder: Path
    x: FloatArray
    frozen: GateBaseline

    @property
    def index(self) -> Path:
        return self.folder / "index.faiss"

    @property
    def files(self) -> list[str]:
        return [str(self.folder / "base.npy"), "--queries", str(self.folder / "queries.npy")]

    def check(self, frozen: GateBaseline | None = None, **asked: Any) -> CheckResult:
        found = result_of(
            check(
                frozen or self.frozen,
                open_vectors(self.folder / "base.npy", "base"),
                open_vectors(self.folder / "queries.npy", "queries"),
                CheckOptions(**{"index": self.index, "threads": 1, **asked}),
                self.folder / "check-work",
            )
        )
        return found


@pytest.fixture(scope="session")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Gate:
    folder = tmp_path_factory.mktemp("gate")
    x = planted_rows(N + NQ, D, 3)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.save(folder / "base.npy", x[:N])
    np.save(folder / "queries.npy", x[N:])
    result = tuner.tune(x[:N], recall=0.9, queries=x[N:], out=folder, space=SPACE, threads=1)
    (folder / "report.json").write_bytes(result_to_json(result))
    frozen = save_baseline(result)
    write_baseline(frozen, folder / "baseline.yaml")
    # a float of a report keeps six digits, and a file read back is what a check sees
    return Gate(folder, x[:N], read_baseline(folder / "baseline.yaml"))


def statuses(result: CheckResult) -> dict[str, str]:
    return {line.name: line.status for line in result.lines}


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; return exit code, stdout and stderr."""

    def go(*arguments: str) -> tuple[int, str, str]:
        code = _exit_code(arguments, Stopping())
        return code, *capsys.readouterr()

    return go
