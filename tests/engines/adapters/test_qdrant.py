"""What is special to Qdrant: bodies of REST requests, thresholds that make searches exact."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import needs

from tuner.engines import Deployment, EngineConfig, Running, check_config, find_engine, problems
from tuner.errors import InputError

ENGINE = find_engine("qdrant")
CONFIG = EngineConfig(
    engine="qdrant",
    codec="turbo_bits2",
    d=32,
    metric="l2",
    k=5,
    M=8,
    ef_construction=40,
    ef_search=30,
    oversampling=4,
)
CREATE, SEARCH = "PUT /collections/items", "POST /collections/items/points/query"


def changed(**values: object) -> EngineConfig:
    return dataclasses.replace(CONFIG, **values)  # type: ignore[arg-type]


def body(config: EngineConfig) -> dict[str, Any]:
    whole = ENGINE.body(config)
    assert isinstance(whole, dict)
    return whole


def test_the_exported_bodies_hold_every_number() -> None:
    whole = body(CONFIG)
    assert whole[CREATE]["hnsw_config"] == {"m": 8, "ef_construct": 40, "full_scan_threshold": 10_000}
    assert whole[CREATE]["quantization_config"] == {"turbo": {"bits": "bits2", "always_ram": True}}
    assert whole[CREATE]["vectors"]["distance"] == "Euclid"
    params = whole[SEARCH]["params"]
    assert params["hnsw_ef"] == 30
    assert params["quantization"] == {"ignore": False, "rescore": True, "oversampling": 4.0}


def test_without_oversampling_rescoring_is_switched_off_not_left_to_a_default() -> None:
    params = body(changed(oversampling=1))[SEARCH]["params"]
    assert params["quantization"] == {"ignore": False, "rescore": False, "oversampling": 1.0}
    assert "quantization" not in body(changed(codec="float16", oversampling=1))[SEARCH]["params"]


def test_the_body_says_that_verifying_changes_the_thresholds() -> None:
    assert "1 kB" in body(CONFIG)["verification"]


@pytest.mark.parametrize(
    ("values", "word"),
    [({"M": -5}, "M is -5"), ({"ef_construction": 3}, "ef_construction"), ({"codec": "uint8"}, "uint8")],
)
def test_what_it_cannot_do_is_refused_by_us(values: dict[str, object], word: str) -> None:
    assert any(word in problem for problem in problems(ENGINE, changed(**values)))


@pytest.mark.parametrize("codec", [codec.name for codec in ENGINE.capabilities.codecs])
def test_the_vendors_models_accept_every_codec(codec: str) -> None:
    needs("qdrant")
    found = ENGINE.capabilities.codec(codec)
    assert found is not None
    check_config(ENGINE, changed(codec=codec, metric="cosine", oversampling=4 if found.oversampling else 1))


def test_the_vendors_models_refuse_a_quantizer_that_they_do_not_know() -> None:
    needs("qdrant")
    with pytest.raises(InputError, match=r"quantization_config.turbo.bits: Input should be 'bits1'"):
        ENGINE.check(changed(codec="turbo_bits3"))


def opened(config: EngineConfig, folder: Path, n: int) -> tuple[Running, np.ndarray[Any, Any]]:
    assert ENGINE.open is not None
    running = ENGINE.open(config, Deployment(folder=folder, n=n))
    x = np.random.default_rng(0).normal(size=(n, config.d)).astype("f4")
    running.add(0, x)
    return running, x


def test_an_index_that_was_not_built_is_seen(tmp_path: Path) -> None:
    needs("qdrant")
    running, _ = opened(CONFIG, tmp_path, 300)
    before = running.applied()
    running.build()
    after = running.applied()
    running.close()
    assert (before.n_indexed, before.M, before.codec) == (0, None, None)
    assert (after.n_indexed, after.M, after.ef_construction, after.codec) == (300, 8, 40, "turbo_bits2")


def test_a_small_collection_is_searched_by_its_graph(tmp_path: Path) -> None:
    needs("qdrant")
    config = changed(codec="float32", oversampling=1, M=8, ef_construction=40, ef_search=1)
    running, x = opened(config, tmp_path, 2_000)
    running.build()
    starved = sum(running.search(query, 1)[0] == row for row, query in enumerate(x[:200]))
    running.set_search(2_000, 1)
    fed = sum(running.search(query, 1)[0] == row for row, query in enumerate(x[:200]))
    running.close()
    assert starved < 150
    assert fed > 190
