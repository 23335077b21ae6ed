from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import needs

from tuner.engines import Deployment, EngineConfig, problems
from tuner.engines.adapters.chroma import ENGINE, RunningChroma, body, changed_search
from tuner.errors import InputError

D, N = 16, 1_500
ASKED = EngineConfig(
    engine="chroma", codec="float32", d=D, metric="cosine", k=10, M=4, ef_construction=8, ef_search=200
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, D)).astype(np.float32)
QUERIES = RNG.normal(size=(40, D)).astype(np.float32)
NEAREST = np.argsort(-(QUERIES @ X.T) / np.linalg.norm(X, axis=1), axis=1)[:, :10]


def recall(running: RunningChroma) -> float:
    found = [set(running.search(query, 10)) for query in QUERIES]
    return float(
        np.mean([len(ids & set(true)) / 10 for ids, true in zip(found, NEAREST.tolist(), strict=True)])
    )


def built(config: EngineConfig, folder: Path) -> RunningChroma:
    running = RunningChroma(config, Deployment(folder=folder, n=N))
    running.add(0, X[:1_000])
    running.add(1_000, X[1_000:])
    running.build()
    return running


def test_the_exported_text_makes_the_collection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("chroma")
    monkeypatch.chdir(tmp_path)
    np.save("embeddings.npy", X)
    np.save("queries.npy", X[:20])
    made: dict[str, Any] = {}
    exec(body(ASKED), made)  # noqa: S102 - our own text
    hnsw = made["collection"].configuration_json["hnsw"]
    made["client"].close()
    assert {
        "max_neighbors": 4,
        "ef_construction": 8,
        "ef_search": 200,
        "space": "cosine",
    }.items() <= hnsw.items()
    assert [len(ids) for ids in made["found"]["ids"]] == [10] * 20


def test_bounds_are_ours() -> None:
    assert problems(ENGINE, replace(ASKED, M=-5)) == ["M is -5, and it takes 2 to 1000"]
    assert problems(ENGINE, replace(ASKED, M=1))  # Chroma takes it, and finds nothing
    assert problems(ENGINE, replace(ASKED, M=0))  # which ends Chroma's process
    assert problems(ENGINE, replace(ASKED, M=16, ef_construction=15))  # which Chroma raises to M
    assert problems(ENGINE, replace(ASKED, oversampling=2))


def test_another_ef_search_takes_effect_only_because_the_collection_is_opened_again(tmp_path: Path) -> None:
    needs("chroma")
    running = built(ASKED, tmp_path)
    wide = recall(running)
    with pytest.warns(DeprecationWarning, match="legacy embedding function"):
        running.collection.modify(configuration=changed_search(1))
    assert recall(running) == wide
    assert running.applied().ef_search == 200
    running.set_search(1, 1)
    assert running.applied().ef_search == 1
    assert recall(running) < wide - 0.1
    running.set_search(200, 1)
    assert recall(running) == wide
    running.close()


def test_what_was_applied_is_read_from_the_files_of_the_graph(tmp_path: Path) -> None:
    needs("chroma")
    running = built(ASKED, tmp_path)
    applied = running.applied()
    assert (applied.n_indexed, applied.codec, applied.metric) == (N, "float32", "cosine")
    assert (applied.M, applied.ef_construction) == (4, 8)
    assert N * (4 * D + 2 * 4 * 4) < running.index_bytes() < 2 * N * (4 * D + 2 * 4 * 4)
    assert running.client.get_settings().anonymized_telemetry is False
    running.close()
    running.close()
    raised = built(replace(ASKED, ef_construction=2), tmp_path)
    assert raised.applied().ef_construction == 4
    raised.close()


def test_a_collection_of_that_name_is_left_alone(tmp_path: Path) -> None:
    needs("chroma")
    first = built(ASKED, tmp_path)
    with pytest.raises(InputError, match="--replace"):
        RunningChroma(ASKED, Deployment(folder=tmp_path, n=N))
    assert first.applied().n_indexed == N
    second = RunningChroma(ASKED, Deployment(folder=tmp_path, n=N, replace=True))
    assert second.applied().n_indexed == 0
    second.close()
    first.close()
