"""What every engine that runs must keep: rows in, right neighbours out, truth told, nothing left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import finish, scores
from installed import needs

from tuner.data.vectors import open_vectors
from tuner.engines import (
    Deployment,
    Engine,
    EngineConfig,
    EngineDiedError,
    EngineProcess,
    find_engine,
    problems,
)
from tuner.engines.registry import OURS
from tuner.types import FloatArray, Metric

# the wheel's server asks for a runtime folder, which a container may lack
pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
RUNNABLE = tuple(name for name in OURS if find_engine(name).open is not None)
METRICS: tuple[Metric, ...] = ("cosine", "ip", "l2")
N, NQ, D, K = 2_000, 60, 64, 10


def test_eleven_engines_run_here() -> None:
    assert len(RUNNABLE) == 11


def world(metric: Metric) -> tuple[FloatArray, FloatArray, Any]:
    """Clustered rows of very different lengths, so that a swapped metric or a lost normalisation shows."""
    rng = np.random.default_rng(7)
    centres = rng.standard_normal((40, D))
    x = centres[rng.integers(40, size=N)] + 0.7 * rng.standard_normal((N, D))
    x *= rng.uniform(0.4, 2.5, (N, 1))
    queries = centres[rng.integers(40, size=NQ)] + 0.7 * rng.standard_normal((NQ, D))
    rows, asked = np.asarray(x, dtype=np.float32), np.asarray(queries, dtype=np.float32)
    return rows, asked, np.argsort(-scores(metric, rows, asked), axis=1)[:, :K]


def config(
    engine: Engine, codec: str, metric: Metric, *, ef_search: int, oversampling: int = 1
) -> EngineConfig:
    return EngineConfig(
        engine=engine.name,
        codec=codec,
        d=D,
        metric=metric,
        k=K,
        M=16,
        ef_construction=100,
        ef_search=ef_search,
        oversampling=oversampling,
    )


def reported(process: EngineProcess, engine: Engine) -> dict[str, Any]:
    """What the engine tells of its index; that the others are None is checked here."""
    facts = asdict(process.applied())
    assert engine.name in facts.pop("version").lower().replace(" ", "")
    silent = set(facts) - set(engine.capabilities.reports)
    assert {name for name in silent if facts[name] is not None} == set()
    return {name: facts[name] for name in engine.capabilities.reports}


def expected(engine: Engine, what: EngineConfig) -> dict[str, Any]:
    """The same, if it did what it was asked to do."""
    facts = {**asdict(what), "n_indexed": N, "index_used": True}
    return {name: facts[name] for name in engine.capabilities.reports}


def test_every_engine_that_runs_says_what_its_graph_holds() -> None:
    reports = {name: set(find_engine(name).capabilities.reports) for name in OURS}
    usual = {"n_indexed", "codec", "metric", "M", "ef_construction", "ef_search"}
    assert {name for name, facts in reports.items() if facts} == set(RUNNABLE)
    assert {name: usual - reports[name] for name in RUNNABLE if usual - reports[name]} == {
        "faiss": {"metric"},
        "qdrant": {"ef_search"},
        "lancedb": {"ef_search"},
    }


def recall(ids: Any, truth: Any) -> float:
    return (
        float(np.mean([len(set(a) & set(b)) for a, b in zip(ids.tolist(), truth.tolist(), strict=True)])) / K
    )


@pytest.mark.parametrize("name", RUNNABLE, scope="module")
def test_float32_finds_the_neighbours_in_every_metric_it_has(
    name: str, tmp_path: Path, kept_engines: None
) -> None:
    needs(name)
    engine = find_engine(name)
    for metric in METRICS:
        what = config(engine, engine.capabilities.codecs[0].name, metric, ef_search=150)
        if metric not in engine.capabilities.metrics:
            assert problems(engine, what)
            continue
        x, queries, truth = world(metric)
        folder = tmp_path / metric
        folder.mkdir()
        with EngineProcess(what, Deployment(folder=folder, n=N)) as process:
            finish(process.load(open_vectors(x, "base"), None))
            assert recall(process.search(queries, K).ids, truth) > 0.97
            assert process.index_bytes() > 4 * D * N
            assert reported(process, engine) == expected(engine, what)
        assert [path.name for path in folder.iterdir() if path.is_socket()] == []


@pytest.mark.parametrize("rows", [None, np.arange(0, N, 3)])
def test_rows_that_are_loaded_in_another_order_keep_their_positions(rows: Any, tmp_path: Path) -> None:
    needs("hnswlib")
    x, _, _ = world("l2")
    mine = x if rows is None else x[rows]
    order = np.random.default_rng(2).permutation(len(mine))
    what = config(find_engine("hnswlib"), "float32", "l2", ef_search=150)
    with EngineProcess(what, Deployment(folder=tmp_path, n=len(mine))) as process:
        finish(process.load(open_vectors(x, "base"), rows, order))
        found = process.search(mine[:50], len(mine)).ids
    assert found[:, 0].tolist() == list(range(50))
    assert (found == -1).sum() == 0 or found.min() == -1


RE_SCORING = {"pgvector", "qdrant", "clickhouse", "lancedb", "lucene"}
"""Engines that re-score from vectors beside their index; faiss holds them in it."""


@pytest.mark.parametrize("name", RUNNABLE, scope="module")
def test_every_codec_is_applied_and_says_so(name: str, tmp_path: Path, kept_engines: None) -> None:
    needs(name)
    engine = find_engine(name)
    can = engine.capabilities
    sizes, re_scored = {}, {}
    for number, codec in enumerate(can.codecs):
        metric = codec.metrics[0] if codec.metrics[0] in can.metrics else can.metrics[0]
        over = min(4, can.oversampling[1]) if codec.oversampling else 1
        what = config(engine, codec.name, metric, ef_search=150, oversampling=over)
        assert problems(engine, what) == []
        x, queries, truth = world(metric)
        folder = tmp_path / str(number)
        folder.mkdir()
        # opened without re-scoring: that it can be asked for later is what tuning relies on
        with EngineProcess(replace(what, oversampling=1), Deployment(folder=folder, n=N)) as process:
            finish(process.load(open_vectors(x, "base"), None))
            reports = reported(process, engine)
            assert reports.get("codec") == (codec.name if "codec" in can.reports else None)
            sizes[codec.name] = process.index_bytes()
            if codec.oversampling:
                re_scored[codec.name] = process.table_bytes()
            coarse = recall(process.search(queries, K).ids, truth)
            process.set_search(150, over)
            fine = recall(process.search(queries, K).ids, truth)
            assert fine > coarse + 0.02 or over == 1 or coarse > 0.9
            assert fine > (0.9 if codec.bits >= 8 else 0.4 if codec.oversampling else 0.2)
        smaller = codec.bits <= 8 and sizes[codec.name] < 0.75 * sizes[can.codecs[0].name]
        assert "codec" in can.reports or smaller or codec.bits > 8, f"{codec.name}: neither said nor seen"
    assert bool(re_scored) == (name in RE_SCORING | {"faiss"})
    for read in re_scored.values():
        assert (read is None) == (name not in RE_SCORING)
        assert read is None or 4 * D * N <= read < 1.5 * 4 * D * N  # with ids, rows' heads and pages


IMPORTS = """
import json, sys
from importlib import import_module

found = {}
for name, modules in json.loads(sys.argv[1]).items():
    import_module(f"tuner.engines.adapters.{name}")
    found[name] = [module for module in modules if module in sys.modules]
json.dump(found, sys.stdout)
"""


@pytest.fixture(scope="module")
def imported() -> dict[str, list[str]]:
    """What of an engine is there after its file was imported, one file after the other in one process."""
    modules = {
        name: [each for each in find_engine(name).capabilities.modules if each not in ("faiss", "hnswlib")]
        for name in RUNNABLE
    }
    command = [sys.executable, "-c", IMPORTS, json.dumps(modules)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("name", RUNNABLE)
def test_an_engine_file_imports_nothing_of_the_engine_before_it_is_opened(
    name: str, imported: dict[str, list[str]]
) -> None:
    assert imported[name] == []


@pytest.mark.parametrize("name", ["redis", "pgvector"])
def test_a_server_ends_with_the_process_that_started_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Even when that is killed and can end nothing itself."""
    needs(name)
    # files of others come and go in the system's own; a socket's path must be short
    own = tmp_path_factory.getbasetemp() / name
    own.mkdir()
    monkeypatch.setenv("TMPDIR", str(own))
    monkeypatch.setattr(tempfile, "tempdir", str(own))
    engine = find_engine(name)
    what = config(engine, engine.capabilities.codecs[0].name, "cosine", ef_search=40)
    before = set(tmp_files())
    with EngineProcess(what, Deployment(folder=tmp_path, n=N)) as process:
        worker = psutil.Process(process.pid)
        servers = [each for each in psutil.process_iter() if started_by(each, (own, tmp_path))]
        assert servers
        worker.kill()
        with pytest.raises(EngineDiedError):
            process.index_bytes()
    _, alive = psutil.wait_procs(servers, timeout=10)
    assert alive == []
    assert set(tmp_files()) <= before


def tmp_files() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("tune-*"))


def started_by(process: psutil.Process, folders: tuple[Path, ...]) -> bool:
    """A server may have left its parent, but it runs in one of its folders, or is told of one."""
    try:
        places = [*process.cmdline(), process.cwd()]
    except psutil.Error:
        return False
    server = any(name in places[0] for name in ("redis-server", "postgres"))
    return server and any(str(folder) in place for folder in folders for place in places)
