"""A report of shards for each engine: their number in its own words, or the settings of each of them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from installed import needs

import tuner
from tuner.cli.engines import describe_engine
from tuner.cli.main import tune
from tuner.engine_jobs.target import check_same
from tuner.engines import check_config, find_engine, problems, read_exported
from tuner.engines.export import describe_shards, suffix
from tuner.engines.protocol import NO_LIMIT
from tuner.engines.registry import OURS
from tuner.errors import InputError
from tuner.report import result_from_json, result_to_json
from tuner.types import EngineConfig, Latency, Result, Sharded

GOLDEN = Path(__file__).parents[1] / "golden" / "report.json"
N_SHARDS = 4


def of_nodes(body: Any) -> Any:
    found = re.search(r'^# <nodes count="(\d+)" />$', body, re.MULTILINE)
    return None if found is None else int(found.group(1))


READ: dict[str, Callable[[Any], Any]] = {
    "qdrant": lambda body: body["PUT /collections/items"].get("shard_number"),
    "milvus": lambda body: body.get("collection", {}).get("num_shards"),
    "elasticsearch": lambda body: body["index"].get("settings", {}).get("index", {}).get("number_of_shards"),
    "opensearch": lambda body: body["index"]["settings"]["index"].get("number_of_shards"),
    "weaviate": lambda body: body["collection"].get("shardingConfig", {}).get("desiredCount"),
    "vespa": of_nodes,
}
"""The engines whose collections are divided, and where the number of parts stands in their language."""
WRITES = {**dict.fromkeys(READ, "shards"), "vespa": "services"}
"""The function that writes it."""
UNDIVIDED = tuple(name for name in OURS if name not in READ)
MISSPELT: dict[str, tuple[str, Any]] = {
    "qdrant": ("shards", {"shard_numbers": N_SHARDS}),
    "elasticsearch": ("shards", {"setting": {"index": {"number_of_shards": N_SHARDS}}}),
    "weaviate": ("shards", {"shardingConfig": {"desired_count": N_SHARDS}}),
    "vespa": ("content_nodes", f'<node count="{N_SHARDS}" />'),
}
"""Words that the vendors' clients do not have."""


def sharded(n_shards: int = N_SHARDS, codec: str = "fp32") -> Result:
    """Return a report of one codec, of float32 that every engine has, on so many shards."""
    whole = result_from_json(GOLDEN.read_bytes())
    part = Sharded(
        n_shards=n_shards,
        rows=(1_000,) * n_shards,
        memory_bytes=(1,) * n_shards,
        ndis_per_query=(1.0,) * n_shards,
        representative=0,
        k_per_shard=whole.options.k,
        ef_search_alone=40,
        latency_of_slowest=Latency(mean_s=1e-5, p50_s=1e-5, p95_s=2e-5, p99_s=3e-5, n_rounds=2),
    )
    plain = tuple(
        replace(point, configuration=replace(point.configuration, codec=codec)) for point in whole.points
    )
    return replace(whole, status="sharded", points=plain, baseline=None, sharded=part)


def config(name: str, *, n_shards: int = N_SHARDS, k: int = 10) -> EngineConfig:
    can = find_engine(name).capabilities
    return EngineConfig(
        engine=name,
        codec=can.codecs[0].name,
        d=128,
        metric=can.metrics[0],
        k=k,
        M=max(8, can.M[0]),
        ef_construction=128,
        ef_search=200,
        n_shards=n_shards,
    )


def body_in(text: str) -> Any:
    return json.loads(text) if text.startswith("{") else text


# ---------------------------------------------------------------- engines that divide a collection


@pytest.mark.parametrize("name", READ)
def test_an_engine_that_divides_is_given_their_number(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"index{suffix(find_engine(name))}"
    text = tuner.export(sharded(), name, nearest=True, out=path)
    assert READ[name](body_in(text)) == N_SHARDS
    engine, exported = read_exported(path)
    assert (exported.settings.n_shards, exported.settings.label[-10:]) == (N_SHARDS, ", 4 shards")
    for sentence in (
        "measured on 4 shards, each of a part of the rows and asked for 10, whose answers are merged",
        f"ef_search={exported.settings.ef_search} is of EACH shard",
        f"shards: {engine.capabilities.counts_shards}",
        "rows were dealt to the shards at random; the engine deals them as evenly, by a hash of their ids",
    ):
        assert sentence in text
    assert "tune verify" not in text


@pytest.mark.parametrize("name", READ)
def test_each_number_is_written_and_one_shard_is_written_as_ever(name: str) -> None:
    engine = find_engine(name)
    assert [READ[name](engine.body(config(name, n_shards=n))) for n in (1, 2, 3)] == [None, 2, 3]
    one = tuner.export(sharded(1), name, nearest=True)
    assert "shards: " not in one
    assert "n_shards" not in one


@pytest.mark.parametrize("name", READ)
def test_a_number_that_is_left_out_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, asked = find_engine(name), config(name)
    assert READ[name](engine.body(asked)) == N_SHARDS
    monkeypatch.setattr(sys.modules[engine.body.__module__], WRITES[name], lambda config: {})
    assert READ[name](engine.body(asked)) is None


@pytest.mark.parametrize("name", READ)
def test_its_client_takes_the_number(name: str) -> None:
    if name in MISSPELT:
        needs(name)
    check_config(find_engine(name), config(name))


@pytest.mark.parametrize("name", MISSPELT)
def test_its_client_refuses_another_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(name)
    engine, (function, wrong) = find_engine(name), MISSPELT[name]
    monkeypatch.setattr(sys.modules[engine.body.__module__], function, lambda config: wrong)
    with pytest.raises(InputError, match=r"refuses shard_numbers|update"):
        engine.check(config(name))


def test_more_shards_than_an_engine_has_are_refused_with_what_to_do() -> None:
    with pytest.raises(InputError) as refused:
        tuner.export(sharded(17), "milvus", nearest=True)
    assert str(refused.value) == (
        "Milvus divides a collection into at most 16 shards, and 17 were measured: run tune with --shards 16 "
        "or fewer"
    )
    assert READ["milvus"](body_in(tuner.export(sharded(16), "milvus", nearest=True))) == 16
    for name in OURS:
        most = find_engine(name).capabilities.most_shards
        for n in (0, (most if most > 1 else NO_LIMIT) + 1):
            assert any(
                f"n_shards is {n}" in each for each in problems(find_engine(name), config(name, n_shards=n))
            )


def test_what_cannot_be_expressed_is_not_sent_to_a_search_that_has_no_shards() -> None:
    with pytest.raises(InputError) as refused:
        tuner.export(sharded(codec="SQ6"), "vespa")
    assert str(refused.value).endswith(
        "nor any other measured point of this report: run tune with --shards again and a --space of what "
        "tune engines vespa says, codecs like fp32, bf16, tqmse1"
    )


def test_qdrant_says_where_it_asks_a_shard_for_fewer_than_was_measured() -> None:
    body = find_engine("qdrant").body
    few, many, one = (str(body(config("qdrant", k=k, n_shards=n))) for k, n in ((127, 4), (128, 4), (128, 1)))
    assert ["asks each shard for fewer" in text for text in (few, many, one)] == [False, True, False]


# ---------------------------------------------------------------- engines that do not


@pytest.mark.parametrize("name", UNDIVIDED)
def test_another_engine_is_given_the_settings_of_each_shard_and_is_open_about_it(name: str) -> None:
    engine = find_engine(name)
    assert engine.body(config(name)) == engine.body(config(name, n_shards=1))
    text = "\n".join(describe_shards(engine.capabilities, config(name)))
    assert "what follows is ONE of the 4" in text
    assert "make 4 such indexes, each of a part of the rows, ask each for 10, and merge their answers" in text


def test_the_command_says_so_too(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(result_to_json(sharded()))
    for name, spoken in (("pgvector", True), ("elasticsearch", False)):
        out = tmp_path / name
        done = CliRunner().invoke(tune, ["export", str(tmp_path), "--to", name, "--nearest", "-o", str(out)])
        assert done.exit_code == 0, done.output
        assert ("what follows is ONE of the 4" in done.stderr) == spoken
        assert ", 4 shards" in done.stderr
        assert read_exported(out)[1].settings.n_shards == N_SHARDS


@pytest.mark.parametrize("name", OURS)
def test_what_is_known_of_an_engine_says_how_it_divides(name: str) -> None:
    can = find_engine(name).capabilities
    assert (can.most_shards > 1) == (name in READ)
    [line] = [text for what, text in describe_engine(can) if what == "shards"]
    assert ("has no number of them" in line) == (name not in READ)
    assert line.endswith(can.counts_shards)


# ---------------------------------------------------------------- what would measure something else


@pytest.mark.parametrize("name", ["qdrant", "hnswlib"])
def test_verify_refuses_shards_where_the_engine_runs_as_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / "index"
    found = sharded()
    tuner.export(found, name, nearest=True, out=path)
    rows = np.zeros((10, found.profile.d), dtype=np.float32)
    with pytest.raises(
        InputError, match=r"of 4 shards whose answers are merged, and .* runs here as one index"
    ):
        tuner.verify(path, rows, rows)


def test_no_search_in_an_engine_begins_from_shards() -> None:
    anything: Any = None
    with pytest.raises(InputError, match="--sweep: that report is of an index in shards"):
        check_same(sharded(), anything, anything, anything)
