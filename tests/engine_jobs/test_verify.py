"""``tune verify`` calls a good index good and sees every planted fault, on each engine that runs."""

from __future__ import annotations

import importlib
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from conftest import scores
from installed import needs

from tuner.data.ids import named
from tuner.data.vectors import open_vectors
from tuner.engine_jobs import VerifyOptions, verify
from tuner.engines import EngineCodec, find_engine, read_exported, write_exported
from tuner.engines.registry import OURS
from tuner.errors import InputError
from tuner.report.engines import verify_headline
from tuner.runtime.steps import result_of
from tuner.types import Claims, EngineConfig, Exported, FloatArray, VerifyResult

HERE = Path(__file__).parents[1]
ROOT = HERE.parent
RUNNABLE = tuple(name for name in OURS if find_engine(name).open is not None)
N, NQ, D, K = 2_500, 150, 48, 10
CAUGHT_BY = {
    "ef ignored": "index used",
    "exact search": "index used",
    "never built": "",
    "codec not applied": "",
    "metric swapped": "",
}


@pytest.fixture(scope="module")
def world() -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((60, D))

    def drawn(n: int) -> FloatArray:
        x = centres[rng.integers(60, size=n)] + 0.9 * rng.standard_normal((n, D))
        return np.asarray(x * rng.uniform(0.3, 3.0, (n, 1)), dtype=np.float32)

    x, queries = drawn(N), drawn(NQ)
    assert scores("cosine", x, queries).shape == (NQ, N)
    return x, queries


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plant a fault in an engine: a distribution on the path of this process and of its children."""
    planted.install(tmp_path / "site")
    path = [str(tmp_path / "site"), str(HERE), str(ROOT)]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    for each in path:
        monkeypatch.syspath_prepend(each)

    def plant(engine: str, fault: str) -> None:
        monkeypatch.setenv(planted.REAL, engine)
        monkeypatch.setenv(planted.FAULT, fault)
        importlib.reload(sys.modules["planted"])

    return plant


def exported(
    engine: str, codec: str, *, index_bytes: int = 1, in_engine: bool = False, over: int = 1
) -> Exported:
    config = EngineConfig(
        engine=engine,
        codec=codec,
        d=D,
        metric="cosine",
        k=K,
        M=8,
        ef_construction=60,
        ef_search=120,
        oversampling=over,
    )
    claims = Claims(
        target=0.8,
        recall=0.9,
        recall_lower=0.88,
        n_queries=NQ,
        n=N,
        index_bytes=index_bytes,
        data="base.npy",
        label="HNSW8,fp32",
        measured_in="faiss 1.15.1",
        in_engine=in_engine,
        created="2026-11-23",
        queries="others",
    )
    return Exported(settings=config, claims=claims)


def verified(
    what: Exported, world: tuple[FloatArray, FloatArray], work: Path, **options: Any
) -> VerifyResult:
    work.mkdir(parents=True)
    base, queries = (open_vectors(x, "base") for x in world)
    engine = find_engine(what.settings.engine)
    return result_of(verify(engine, what, base, queries, VerifyOptions(**options), work))


@pytest.mark.parametrize("name", RUNNABLE)
def test_a_good_index_is_verified_and_nothing_is_left(
    name: str, world: tuple[FloatArray, FloatArray], tmp_path: Path
) -> None:
    needs(name)
    codec = find_engine(name).capabilities.codecs[0].name
    found = verified(exported(name, codec), world, tmp_path / "work")
    assert found.verdict == "verified", found.lines
    assert found.recall is not None
    assert found.recall.mean > 0.95
    assert [line.name for line in found.lines] == ["applied", "index used", "recall", "memory", "latency"]
    assert found.lines[1].status == "pass"  # starving it showed


def planted_faults() -> list[tuple[str, str]]:
    """Engine and fault, those alone in which the engine has a say.

    An ef that is never passed on and an exact search of ours are the same in every engine; that starving
    shows in each is the pass of its good index. A swapped metric and another codec are what engines report,
    which ``engines/test_contract.py`` compares in each: here are those that report less.
    """
    reports = {name: set(find_engine(name).capabilities.reports) for name in RUNNABLE}
    servers = [name for name in RUNNABLE if find_engine(name).capabilities.runs != "library"]
    found = [(name, "never built") for name in servers] + [("hnswlib", "exact search")]
    found += [
        (name, "ef ignored") for name in RUNNABLE if name == "hnswlib" or "ef_search" not in reports[name]
    ]
    found += [
        (name, "metric swapped") for name in RUNNABLE if name == "pgvector" or "metric" not in reports[name]
    ]
    return [*found, ("usearch", "codec not applied"), ("pgvector", "codec not applied")]


def coarser_codecs(name: str) -> list[EngineCodec]:
    """The codecs that an engine may take float32 for by mistake."""
    codecs = find_engine(name).capabilities.codecs[1:]
    return [each for each in codecs if each.least_d <= D and D % each.multiple_of == 0]


def test_engines_without_another_codec_have_none_to_take_for_it() -> None:
    assert {name for name in RUNNABLE if not coarser_codecs(name)} == {"hnswlib", "duckdb", "chroma"}
    assert all(len(find_engine(name).capabilities.codecs) == 1 for name in ("hnswlib", "duckdb", "chroma"))


@pytest.mark.parametrize(("name", "fault"), planted_faults())
def test_a_planted_fault_is_seen(
    name: str, fault: str, world: tuple[FloatArray, FloatArray], tmp_path: Path, plugin: Any
) -> None:
    needs(name)
    can = find_engine(name).capabilities
    codec, over = can.codecs[0].name, 1
    if fault == "codec not applied":
        codec = min(coarser_codecs(name), key=lambda each: abs(each.bits - 8)).name
    plugin(name, fault)
    found = verified(exported("planted", codec, over=over), world, tmp_path / "work")
    assert found.verdict != "verified", found.lines
    if expected := CAUGHT_BY[fault]:
        assert expected in [line.name for line in found.lines if line.status == "fail"]


def test_an_engine_that_has_indexed_one_fewer_is_seen(
    world: tuple[FloatArray, FloatArray], tmp_path: Path, plugin: Any
) -> None:
    plugin("hnswlib", "partly indexed")
    found = verified(exported("planted", "float32"), world, tmp_path / "work")
    failed = [line for line in found.lines if line.status == "fail"]
    assert [line.name for line in failed] == ["index used"]
    assert failed[0].text == f"index not used: the engine has indexed {N - 1:,} of {N:,} vectors"


def test_without_a_fault_the_planted_engine_is_verified(
    world: tuple[FloatArray, FloatArray], tmp_path: Path, plugin: Any
) -> None:
    plugin("hnswlib", "none")
    assert verified(exported("planted", "float32"), world, tmp_path / "work").verdict == "verified"


def on_a_line(n: int) -> FloatArray:
    """Rows one after the other on a line far from zero: any graph finds the nearest, however starved."""
    at = np.random.default_rng(5).permutation(n)[:, None] * 0.1 + 100
    return np.asarray(at + np.arange(D) * 0.01, dtype=np.float32)


@pytest.mark.parametrize("name", ["hnswlib", "duckdb"])
def test_data_too_easy_for_starving_are_a_doubt_and_no_fault(name: str, tmp_path: Path) -> None:
    needs(name)
    x = on_a_line(1_200)
    what = exported(name, find_engine(name).capabilities.codecs[0].name)
    what = replace(what, settings=replace(what.settings, metric="l2", M=32))
    found = verified(what, (x, x[:NQ] + np.float32(0.01)), tmp_path / "work", threads=1)
    assert found.verdict == "verified", found.lines
    doubts = [line for line in found.lines if line.status == "warn"]
    assert [line.name for line in doubts] == ["index used"]
    assert "starving does nothing to a graph of faiss with the same M either" in doubts[0].text
    assert verify_headline(found).endswith("; in doubt: index used")


def test_a_graph_in_pieces_is_said_and_not_taken_for_another_ef(tmp_path: Path) -> None:
    """Fifty copies of each of forty rows: a piece of Lucene's graph holds fewer nodes than are asked for."""
    needs("lucene")
    rng = np.random.default_rng(6)
    rows = rng.standard_normal((40, D)).astype(np.float32)
    x = rng.permutation(np.repeat(rows, 50, axis=0))
    found = verified(exported("lucene", "FLOAT32"), (x, x[:NQ] + np.float32(0.01)), tmp_path / "work")
    lines = {line.name: line for line in found.lines}
    assert lines["applied"].status == "pass", lines["applied"].text
    assert lines["recall"].status == "fail"
    assert lines["graph"].status == "warn"
    assert "searches for 120 neighbours end with fewer" in lines["graph"].text
    assert "1,960 of 2,000 rows repeat another" in lines["graph"].text


def test_an_engine_that_dies_half_way_keeps_what_was_seen(
    world: tuple[FloatArray, FloatArray], tmp_path: Path, plugin: Any
) -> None:
    plugin("hnswlib", "dies")
    found = verified(exported("planted", "float32"), world, tmp_path / "work")
    assert found.verdict == "died"
    assert found.recall is None
    assert "died during build: exit status 7" in verify_headline(found)


def test_other_bytes_than_the_engine_took_before_are_another_index(
    world: tuple[FloatArray, FloatArray], tmp_path: Path
) -> None:
    size = verified(exported("hnswlib", "float32"), world, tmp_path / "a").index_bytes
    assert size is not None
    same = exported("hnswlib", "float32", index_bytes=size, in_engine=True)
    assert verified(same, world, tmp_path / "b").verdict == "verified"
    other = exported("hnswlib", "float32", index_bytes=2 * size, in_engine=True)
    failed = [line.name for line in verified(other, world, tmp_path / "c").lines if line.status == "fail"]
    assert failed == ["memory"]


def test_a_target_that_is_missed_is_an_honest_no(
    world: tuple[FloatArray, FloatArray], tmp_path: Path
) -> None:
    starved = exported("hnswlib", "float32")
    starved = replace(starved, settings=replace(starved.settings, ef_search=10))
    found = verified(starved, world, tmp_path / "work", recall=0.99)
    assert found.verdict == "not_verified"
    assert verify_headline(found).startswith("not verified in hnswlib 0.8")


def test_an_entry_point_that_names_nothing_is_one_sentence(plugin: Any) -> None:
    plugin("hnswlib", "none")
    with pytest.raises(InputError, match="'broken': its entry point planted:NOTHING cannot be loaded"):
        find_engine("broken")


@pytest.mark.parametrize("name", OURS)
def test_an_edited_file_is_refused_with_its_line(name: str, tmp_path: Path) -> None:
    engine = find_engine(name)
    can = engine.capabilities
    codec = next(each for each in can.codecs if "cosine" in each.metrics)
    what = exported(name, codec.name)
    d = max(256, codec.least_d)
    config = replace(
        what.settings,
        d=d,
        M=max(8, can.M[0]),
        ef_construction=max(100, can.ef_construction[0]),
        ef_search=max(120, can.ef_search[0]),
        metric="cosine",
    )
    if can.M[1] < config.M:
        config = replace(config, M=can.M[1])
    path = tmp_path / "config"
    write_exported(engine, replace(what, settings=config), path)
    assert read_exported(path)[1].settings == config
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    number, value = max(
        (i, value)
        for value in map(str, (config.ef_search, config.d, config.M))
        for i, line in enumerate(lines)
        if value in line
    )
    lines[number] = lines[number].replace(value, "77")
    path.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(InputError, match=f"line {number + 1}: "):
        read_exported(path)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for text in ("{}", "[1]", "SELECT 1;", '{"tune": {"settings": 3}}', "", "{" * 5000):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match="holds no settings of tune export"):
            read_exported(path)


def test_rows_that_were_deleted_on_purpose_are_not_loaded(
    world: tuple[FloatArray, FloatArray], tmp_path: Path
) -> None:
    x, queries = world
    np.save(tmp_path / "base.npy", x)
    ids = np.where(np.arange(N) % 2, np.arange(N) + 10**12, -1)
    work = tmp_path / "work"
    work.mkdir()
    found = result_of(
        verify(
            find_engine("hnswlib"),
            exported("hnswlib", "float32"),
            named(open_vectors(tmp_path / "base.npy", "base"), ids),
            open_vectors(queries, "queries"),
            VerifyOptions(),
            work,
        )
    )
    assert found.verdict == "verified", found.lines
    assert found.applied is not None
    assert found.applied.n_indexed == N // 2
    assert found.lines[0].text.startswith(f"{N // 2:,} rows of ")
    assert found.recall is not None
    assert found.recall.mean > 0.95
