from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import needs

from tuner.engines import Deployment, EngineConfig, problems
from tuner.engines.adapters.lancedb import CAPABILITIES, ENGINE, RunningLanceDB, body
from tuner.errors import InputError

D, N = 32, 400
ASKED = EngineConfig(
    engine="lancedb", codec="HnswSq", d=D, metric="cosine", k=10, M=5, ef_construction=17, ef_search=40
)
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
CODECS = [codec.name for codec in CAPABILITIES.codecs]


@pytest.fixture(autouse=True)
def _threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the environment as it was."""
    for name in ("LANCE_CPU_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, "1")


def loaded(config: EngineConfig, folder: Path) -> RunningLanceDB:
    running = RunningLanceDB(config, Deployment(folder=folder, n=N))
    running.add(0, X[:200])
    running.add(200, X[200:])
    return running


@pytest.mark.parametrize(
    ("codec", "oversampling"), [("HnswFlat float16", 1), ("HnswSq", 4), ("HnswPq d/8", 1)]
)
def test_the_exported_text_makes_the_table(
    codec: str, oversampling: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs("lancedb")
    monkeypatch.chdir(tmp_path)
    np.save("embeddings.npy", X)
    np.save("queries.npy", X[:20])
    made: dict[str, Any] = {}
    exec(body(replace(ASKED, codec=codec, oversampling=oversampling)), made)  # noqa: S102 - our own text
    [index] = made["table"].list_indices()
    assert index.index_details["hnsw"]["max_connections"] == 5
    assert index.index_details["hnsw"]["construction_ef"] == 17
    assert len(made["found"]) == 10


def test_the_exported_text_names_one_graph_and_every_number() -> None:
    plain, refined = body(ASKED), body(replace(ASKED, oversampling=4))
    for part in ("num_partitions=1", "m=5", "ef_construction=17", ".nprobes(1)", ".ef(40)", ".limit(10)"):
        assert part in plain
    assert ".refine_factor(" not in plain
    assert ".refine_factor(4)" in refined


def test_bounds_are_ours() -> None:
    assert problems(ENGINE, replace(ASKED, M=-5))[0] == "M is -5, and it takes 4 to 1000"
    assert problems(ENGINE, replace(ASKED, M=20))  # above ef_construction
    assert problems(ENGINE, replace(ASKED, oversampling=5))  # ef_search is below 50
    assert problems(ENGINE, replace(ASKED, codec="HnswFlat", oversampling=2))
    assert problems(ENGINE, replace(ASKED, codec="HnswPq d/16", d=40))


@pytest.mark.parametrize("codec", CODECS)
def test_what_was_applied_is_read_from_the_table(codec: str, tmp_path: Path) -> None:
    needs("lancedb")
    running = loaded(replace(ASKED, codec=codec, metric="l2"), tmp_path)
    before = running.applied()
    assert (before.n_indexed, before.index_used, before.codec) == (0, False, None)
    assert running.index_bytes() == 0
    running.build()
    applied = running.applied()
    assert (applied.n_indexed, applied.index_used, applied.codec) == (N, True, codec)
    assert (applied.M, applied.ef_construction, applied.metric) == (5, 17, "l2")
    assert running.index_bytes() > 0
    running.close()
    running.close()


def test_a_search_by_another_metric_is_seen_to_leave_the_index(tmp_path: Path) -> None:
    needs("lancedb")
    running = loaded(ASKED, tmp_path)
    running.build()
    running.config = replace(running.config, metric="l2")
    assert running.applied().index_used is False
    assert running.applied().metric == "cosine"
    running.close()


def test_a_table_of_that_name_is_left_alone(tmp_path: Path) -> None:
    needs("lancedb")
    first = loaded(ASKED, tmp_path)
    with pytest.raises(InputError, match="--replace"):
        RunningLanceDB(ASKED, Deployment(folder=tmp_path))
    second = RunningLanceDB(ASKED, Deployment(folder=tmp_path, replace=True))
    assert second.table.count_rows() == 0
    second.close()
    first.close()
