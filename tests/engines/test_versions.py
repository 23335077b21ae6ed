"""Which versions of an engine are known, and which codecs came later than the version that was asked for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tuner.engines import EngineConfig, check_config, find_engine, problems
from tuner.engines.registry import OURS
from tuner.engines.versions import first_patch, numbers
from tuner.errors import InputError

VERSIONED = {name for name in OURS if find_engine(name).capabilities.versions}


def config(name: str, codec: str, variant: str) -> EngineConfig:
    return EngineConfig(
        engine=name,
        codec=codec,
        d=512,
        metric="cosine",
        k=10,
        M=16,
        ef_construction=128,
        ef_search=200,
        variant=variant,
    )


def refusal(name: str, codec: str, variant: str) -> str:
    with pytest.raises(InputError) as refused:
        check_config(find_engine(name), config(name, codec, variant))
    return str(refused.value)


def test_versions_are_told_apart_where_codecs_came_with_one() -> None:
    assert {"elasticsearch", "opensearch", "weaviate", "milvus", "qdrant", "pgvector"} == VERSIONED
    for name in OURS:
        can = find_engine(name).capabilities
        assert name in VERSIONED or not any(codec.since for codec in can.codecs)
        lines = [numbers(version)[:2] for line in can.versions for version in line]
        assert lines == sorted(lines)


@pytest.mark.parametrize("name", sorted(VERSIONED))
def test_the_newest_version_has_every_codec_and_the_version_before_since_does_not(name: str) -> None:
    engine = find_engine(name)
    can = engine.capabilities
    for codec in can.codecs:
        assert problems(engine, config(name, codec.name, can.versions[-1][1])) == []
        if codec.since:
            major, minor, patch = first_patch(codec.since)
            before = f"{major}.{minor}.{patch - 1}" if patch else f"{major}.{minor - 1}"
            assert problems(engine, config(name, codec.name, f"{major}.{minor}.{patch}")) == []
            [fault] = problems(engine, config(name, codec.name, before))
            assert fault.startswith(f"version {before} has no {codec.name}, which came with {codec.since}")


@pytest.mark.parametrize(
    ("name", "codec", "variant"),
    [
        ("qdrant", "turbo_bits4", "1.17"),
        ("qdrant", "turbo_bits8", "1.19"),
        ("qdrant", "binary_one_bit", "1.14.2"),
        ("elasticsearch", "hnsw_bfloat16", "9.2"),
        ("elasticsearch", "int8_hnsw", "9.0"),
        ("weaviate", "rq8", "1.31"),
        ("weaviate", "rq1", "1.32"),
        ("weaviate", "rq4", "1.38"),
        ("opensearch", "sq1", "3.5"),
        ("milvus", "HNSW_SQ SQ4U", "2.6.7"),
        ("pgvector", "halfvec", "0.6.2"),
    ],
)
def test_a_codec_that_came_later_is_refused(name: str, codec: str, variant: str) -> None:
    assert f"version {variant} has no {codec}, which came with" in refusal(name, codec, variant)


@pytest.mark.parametrize(
    "variant", ["9.x", "latest", "new", "9", "v9.3", "9.3.", "9.3\n", "٩.٣", "09.3", "9.3 "]
)
@pytest.mark.parametrize("name", sorted(VERSIONED))
def test_what_is_no_version_is_refused_with_one(name: str, variant: str) -> None:
    can = find_engine(name).capabilities
    sentence = refusal(name, can.codecs[0].name, variant)
    assert sentence == f"{can.title}: it has no version {variant!r}: give one such as {can.versions[-1][1]}"


@pytest.mark.parametrize(
    ("name", "variant", "known"),
    [
        ("elasticsearch", "12.0", "9.0 to 9.5; for a later one name 9.5"),
        ("elasticsearch", "8.17", "9.0 to 9.5"),
        ("opensearch", "2.16", "2.17 to 2.19 and 3.0 to 3.9"),
        ("opensearch", "2.20", "2.17 to 2.19 and 3.0 to 3.9"),
        ("qdrant", "1.99", "1.10 to 1.20; for a later one name 1.20"),
        ("milvus", "2.4.1", "2.5 to 2.6"),
    ],
)
def test_a_version_that_is_not_known_is_refused_with_those_that_are(
    name: str, variant: str, known: str
) -> None:
    can = find_engine(name).capabilities
    assert refusal(name, can.codecs[0].name, variant) == (
        f"{can.title}: configurations are not written for version {variant}, but for {known}"
    )


@pytest.mark.parametrize("name", sorted(set(OURS) - VERSIONED))
def test_an_engine_whose_versions_are_not_told_apart_says_what_it_was_written_for(name: str) -> None:
    can = find_engine(name).capabilities
    given = replace(config(name, can.codecs[0].name, "3.1"), metric=can.metrics[0])
    faults = " ".join(problems(find_engine(name), given))
    assert f"it is written for one version ({can.tested})" in faults
    assert "all versions" not in faults


def test_a_version_without_a_patch_is_the_last_of_its_line() -> None:
    assert problems(find_engine("milvus"), config("milvus", "HNSW_SQ SQ4U", "2.6")) == []
    assert numbers("2.6") > numbers("2.6.9999") > numbers("2.6.8") == first_patch("2.6.8")


def test_a_server_is_told_to_leave_its_default_only_where_it_may_have_one() -> None:
    engine = find_engine("weaviate")
    written = {
        variant: str(engine.body(config("weaviate", "none", variant))) for variant in ("1.32", "1.33", "")
    }
    assert {variant: "skipDefaultQuantization" in body for variant, body in written.items()} == {
        "1.32": False,
        "1.33": True,
        "": True,
    }
