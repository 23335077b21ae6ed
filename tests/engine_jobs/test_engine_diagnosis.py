"""What ails an engine's own index: planted in the settings, found by searching it harder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from installed import needs
from planted import claims

from tuner.cli.main import tune
from tuner.data.vectors import open_vectors
from tuner.engine_jobs import VerifyOptions, diagnose_engine
from tuner.engines import find_engine
from tuner.engines.export import write_exported
from tuner.runtime.steps import result_of
from tuner.types import EngineConfig, EngineDiagnosis, Exported

DATA = Path(__file__).parents[2] / "datasets" / "docs-minilm-384"
N, NQ, K = 2_000, 1_000, 10
"""So many queries that no engine whose builds differ stands near its bound."""
CLAIMS = claims(N, NQ)


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    rows: np.ndarray = np.load(DATA / "base.npy")[:N].astype(np.float32)
    return rows


@pytest.fixture(scope="module")
def q() -> np.ndarray:
    rows: np.ndarray = np.load(DATA / "queries.npy")[:NQ].astype(np.float32)
    return rows


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNER_CACHE_DIR", str(tmp_path / "cache"))


def config(engine: str, codec: str, **other: int) -> EngineConfig:
    needs(engine)
    usual = EngineConfig(
        engine=engine, codec=codec, d=384, metric="cosine", k=K, M=16, ef_construction=100, ef_search=200
    )
    return replace(usual, **other)  # type: ignore[arg-type]


def found(
    what: EngineConfig, x: np.ndarray, q: np.ndarray, tmp_path: Path, recall: float = 0.95
) -> EngineDiagnosis:
    engine = find_engine(what.engine)
    steps = diagnose_engine(
        engine,
        Exported(settings=what, claims=CLAIMS),
        open_vectors(x, "base"),
        open_vectors(q, "queries"),
        VerifyOptions(recall=recall, threads=1),  # builds of several threads differ
        tmp_path,
    )
    result = result_of(steps)
    assert sum(cause.share for cause in result.causes) == pytest.approx(1 - result.recall.mean)
    return result


def test_a_healthy_engine_is_called_so(x: np.ndarray, q: np.ndarray, tmp_path: Path) -> None:
    diagnosed = found(config("hnswlib", "float32"), x, q, tmp_path)
    assert diagnosed.healthy
    assert diagnosed.prescriptions == ()


@pytest.mark.parametrize(
    ("engine", "codec"), [("hnswlib", "float32"), ("usearch", "f16"), ("pgvector", "vector")]
)
def test_too_small_an_ef_is_turned_up(
    engine: str, codec: str, x: np.ndarray, q: np.ndarray, tmp_path: Path
) -> None:
    diagnosed = found(config(engine, codec, ef_search=10), x, q, tmp_path)
    assert diagnosed.first is not None
    assert diagnosed.first.name == "search"
    best = diagnosed.prescriptions[0]
    assert (best.kind, best.works) == ("search", True)
    assert best.settings.ef_search > 10
    assert best.recall.lower >= 0.95


@pytest.mark.parametrize(("engine", "codec"), [("qdrant", "binary_one_bit"), ("pgvector", "bit")])
def test_one_bit_without_re_scoring_gets_it(
    engine: str, codec: str, x: np.ndarray, q: np.ndarray, tmp_path: Path
) -> None:
    diagnosed = found(config(engine, codec), x, q[:300], tmp_path)  # far from the target either way
    assert diagnosed.first is not None
    assert diagnosed.first.name == "re-ranking"
    assert diagnosed.prescriptions[0].settings.oversampling > 1
    assert diagnosed.prescriptions[0].works


def test_a_codec_that_no_search_saves_is_named(x: np.ndarray, q: np.ndarray, tmp_path: Path) -> None:
    diagnosed = found(config("usearch", "i8"), x, q, tmp_path, recall=0.97)
    assert diagnosed.first is not None
    assert diagnosed.first.name == "codec"
    assert (diagnosed.prescriptions[0].kind, diagnosed.prescriptions[0].works) == ("rebuild", True)
    assert diagnosed.prescriptions[0].settings.codec == "f32"


def test_the_command_takes_an_exported_file(x: np.ndarray, q: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "q.npy", q)
    path = tmp_path / "c.py"
    exported = Exported(settings=config("hnswlib", "float32", ef_search=10), claims=CLAIMS)
    write_exported(find_engine("hnswlib"), exported, path)
    words = [
        "diagnose",
        "--config",
        str(path),
        str(tmp_path / "x.npy"),
        "--queries",
        str(tmp_path / "q.npy"),
    ]
    ran = CliRunner().invoke(
        tune, [*words, "--json", "--markdown", str(tmp_path / "page.md")], standalone_mode=False
    )
    assert ran.return_value == 1, ran.output
    assert json.loads(ran.stdout)["first"]["name"] == "search"
    assert "| search |" in (tmp_path / "page.md").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give --index FILE, or --config FILE"),
        (["--config", "c.py", "--ef", "9"], "c.py says k, metric and ef_search"),
        (["--index", "i.faiss", "--dsn", "postgresql://h"], "go with --config"),
    ],
)
def test_what_does_not_go_together_is_told(
    words: list[str], message: str, x: np.ndarray, tmp_path: Path
) -> None:
    np.save(tmp_path / "x.npy", x)
    ran = CliRunner().invoke(tune, ["diagnose", *words, str(tmp_path / "x.npy")], standalone_mode=False)
    assert message in f"{ran.output}{ran.exception}"
