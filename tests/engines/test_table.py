"""The committed benchmark of engines, small: every engine tuned and verified on 5,000 real vectors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from click.testing import CliRunner
from installed import needs

from benchmarks.engines import __main__ as benchmark
from tuner.cli.main import tune
from tuner.engines import find_engine
from tuner.engines.registry import OURS

ROOT = Path(__file__).parents[2]
DATA = ROOT / "datasets" / "docs-minilm-384"
# the wheel's server asks for a runtime folder, which a container may lack
pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
SLOW = ("lancedb", "lucene")
"""Engines that take half a minute each: ``tests/engines`` and ``tests/engine_jobs`` search in them too."""
RUNNABLE = tuple(name for name in OURS if find_engine(name).open is not None and name not in SLOW)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all engines: the first one sweeps, the others take M from its report."""
    return tmp_path_factory.mktemp("engines")


def in_this_process(arguments: Iterable[str]) -> CompletedProcess[str]:
    """Run ``tune`` as the benchmark does, but here, where timings are short (``tests/hurried.py``)."""
    done = CliRunner().invoke(tune, list(arguments), standalone_mode=False)
    code = 2 if done.exception else done.return_value or 0
    return CompletedProcess([], code, done.stdout, f"{done.stderr}{done.exception or ''}")


@pytest.mark.parametrize("name", RUNNABLE)
def test_what_is_tuned_in_an_engine_is_verified_in_it(
    name: str, out: Path, monkeypatch: pytest.MonkeyPatch, kept_engines: None
) -> None:
    needs(name)
    monkeypatch.setattr(benchmark, "run_tune", in_this_process)
    some = out / "queries.npy"
    np.save(some, np.load(DATA / "queries.npy")[:100])
    space = out / "space.yaml"  # two codecs of each engine: all of them take ten minutes
    space.write_text("codecs: [fp32, SQ8]\n", encoding="utf-8")
    files = ["--space", str(space), str(DATA / "base.npy"), str(some)]
    done = CliRunner().invoke(
        benchmark.main, [*files, "--rows", "1200", "--out", str(out), "--engines", name]
    )
    assert done.exit_code == 0, done.output
    answer = json.loads((out / f"{name}.json").read_text(encoding="utf-8"))
    assert answer["status"] == "reached", answer.get("error")
    assert answer["verify"]["recall"]["lower"] > 0.93, answer["verify"]["headline"]
    # a second build is another graph: near the target its bound may fall on the other side, and says so
    failed = [line["name"] for line in answer["verify"]["lines"] if line["status"] == "fail"]
    assert failed in ([], ["recall"]), answer["verify"]["headline"]
    assert answer["chosen"]["index_bytes"] > 0
    assert f"{answer['chosen']['applied']['version']} |" in (out / "table.md").read_text(encoding="utf-8")
