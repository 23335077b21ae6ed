"""Engines that do not run here: what their files say, and what refuses what."""

import itertools
import json
import sys
from dataclasses import replace
from typing import Any

import pytest
from installed import needs

from tuner.engines import EngineConfig, check_config, find_engine, problems
from tuner.engines.export import suffix
from tuner.errors import InputError

ENGINES = ("elasticsearch", "opensearch", "weaviate", "milvus", "vespa", "mongodb", "azure")
VALIDATED = {
    "elasticsearch": ("elasticsearch.dsl", "field"),
    "weaviate": ("weaviate.classes.config", "index_config"),
    "vespa": ("vespa", "schema"),
    "azure": ("azure.search.documents", "vector_search"),
}
"""What check imports, and the function whose result it holds against the vendor's."""


def config(name: str, **other: Any) -> EngineConfig:
    codec = find_engine(name).capabilities.codecs[0].name
    M = 8 if name == "azure" else 16
    usual = EngineConfig(
        engine=name, codec=codec, d=128, metric="cosine", k=10, M=M, ef_construction=128, ef_search=200
    )
    return replace(usual, **other)


def every_config(name: str) -> list[EngineConfig]:
    codecs = find_engine(name).capabilities.codecs
    pairs = itertools.product(codecs, (1, 4))
    return [
        config(name, codec=codec.name, metric=metric, oversampling=oversampling)
        for codec, oversampling in pairs
        for metric in codec.metrics
        if oversampling == 1 or codec.oversampling
    ]


def refusal(name: str, **other: Any) -> str:
    with pytest.raises(InputError) as refused:
        check_config(find_engine(name), config(name, **other))
    return str(refused.value)


@pytest.mark.parametrize("name", ENGINES)
def test_range_errors_are_ours_whatever_the_vendor_lets_pass(name: str) -> None:
    assert any("M is -5" in each for each in problems(find_engine(name), config(name, M=-5)))
    assert "ef_search is 0" in refusal(name, ef_search=0)
    assert "has no codec 'rq3'" in refusal(name, codec="rq3")


@pytest.mark.parametrize("name", VALIDATED)
def test_the_vendor_writes_what_is_exported(name: str) -> None:
    needs(name)
    for each in every_config(name):
        check_config(find_engine(name), each)


@pytest.mark.parametrize("name", VALIDATED)
def test_the_vendor_refuses_another_word(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(name)
    planted = sys.modules[find_engine(name).body.__module__]
    honest = getattr(planted, VALIDATED[name][1])

    def wrong(given: EngineConfig) -> Any:
        made = honest(given)
        return made + " extra" if isinstance(made, str) else {**made, "efConstructoin": 128}

    monkeypatch.setattr(planted, VALIDATED[name][1], wrong)
    with pytest.raises(InputError, match=r"update"):
        find_engine(name).check(config(name))


@pytest.mark.parametrize("name", VALIDATED)
def test_check_is_silent_without_the_package(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, VALIDATED[name][0], None)
    find_engine(name).check(config(name))


def test_elasticsearchs_client_knows_the_words_of_its_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    needs("elasticsearch")
    engine = find_engine("elasticsearch")
    with pytest.raises(InputError, match="no type 'int9_hnsw'"):
        engine.check(config("elasticsearch", codec="int9_hnsw"))
    monkeypatch.setattr(sys.modules[engine.body.__module__], "SIMILARITY", {"cosine": "cosin"})
    assert "no similarity 'cosin'" in refusal("elasticsearch")


def encoder(codec: str, variant: str) -> Any:
    written = find_engine("opensearch").body(config("opensearch", codec=codec, variant=variant))
    assert isinstance(written, dict)
    assert written["version"] == (variant or "3.9")
    field = written["index"]["mappings"]["properties"]["embedding"]
    return field["method"]["parameters"].get("encoder")


def test_opensearch_spells_the_encoder_as_its_version_does() -> None:
    old, new = {"type": "fp16"}, {"bits": 16, "type": "fp16"}
    spelt = [
        encoder("sq_fp16", version)["parameters"] for version in ("2.x", "2.19", "3.5", "3.6", "3.9", "")
    ]
    assert spelt == [old, old, old, new, new, new]
    assert encoder("sq1", "3.6") == {"name": "sq", "parameters": {"bits": 1}}
    assert encoder("flat", "2.17") is None


@pytest.mark.parametrize(
    ("codec", "variant"), [("sq1", "3.5"), ("sq4", "3.8"), ("sq2", "2.x"), ("sq_bf16", "3.6")]
)
def test_opensearch_refuses_a_codec_that_the_version_lacks(codec: str, variant: str) -> None:
    assert f"OpenSearch: version {variant} has no {codec}" in refusal(
        "opensearch", codec=codec, variant=variant
    )


def test_opensearch_refuses_other_versions() -> None:
    assert "no cosine" in refusal("opensearch", variant="2.18")
    assert "2.17 to 2.19 and 3.0 to 3.9" in refusal("opensearch", variant="2.16")
    assert "no version 'new'" in refusal("opensearch", variant="new")


def test_re_scoring_is_always_a_number() -> None:
    def written(name: str, codec: str, oversampling: int) -> str:
        return json.dumps(find_engine(name).body(config(name, codec=codec, oversampling=oversampling)))

    assert '"rescoreLimit": 40' in written("weaviate", "rq1", 4)
    assert '"rescoreLimit": 0' in written("weaviate", "rq1", 1)
    assert '"oversample": 0.0' in written("elasticsearch", "bbq_hnsw", 1)
    assert '"rescore": {"oversample_factor": 4.0}' in written("opensearch", "sq1", 4)
    assert '"rescore": false' in written("opensearch", "sq1", 1)
    assert '"refine_type": "FP32"' in written("milvus", "HNSW_SQ SQ8", 4)
    assert '"refine_k": 4.0' in written("milvus", "HNSW_SQ SQ8", 4)
    assert '"defaultOversampling": 4.0' in written("azure", "binary", 4)
    assert '"enableRescoring": false' in written("azure", "binary", 1)


def test_narrow_engines_say_what_they_take() -> None:
    assert "M is 16, and it takes 4 to 10" in refusal("azure", M=16)
    assert "M is 8, and it takes 16 to 64" in refusal("mongodb", M=8)
    assert "ef_construction is 64, and it takes 100 to 3200" in refusal("mongodb", ef_construction=64)
    assert "cannot re-score" in " ".join(
        problems(find_engine("mongodb"), config("mongodb", codec="binary", oversampling=2))
    )
    assert "HNSW_SQ SQ4U, which came with 2.6.8" in refusal("milvus", codec="HNSW_SQ SQ4U", variant="2.6.7")


@pytest.mark.parametrize(("k", "top"), [(10, None), (50, None), (51, 51), (400, 400)])
def test_azure_is_asked_for_more_results_than_it_returns_by_itself(k: int, top: int | None) -> None:
    written = find_engine("azure").body(config("azure", k=k, ef_search=400))
    assert isinstance(written, dict)
    assert written["search"].get("top") == top
    assert written["search"]["vectorQueries"][0]["k"] == k


def test_vespa_is_allowed_more_hits_than_it_returns_by_itself() -> None:
    engine = find_engine("vespa")
    few, many = (str(engine.body(config("vespa", k=k, ef_search=500))) for k in (400, 401))
    assert "maxHits" not in few
    assert "search/query-profiles/default.xml" in many
    profile = "".join(line[2:] for line in many.splitlines() if line.startswith(("# <", "#   <")))
    assert profile == '<query-profile id="default">  <field name="maxHits">401</field></query-profile>'
    assert '"hits": 401' in many


def test_pgvectors_columns_end_at_16_000_dimensions_and_its_indexes_before() -> None:
    def faults(codec: str, d: int) -> str:
        given = config("pgvector", codec=codec, d=d, oversampling=4 if codec == "bit" else 1)
        return " ".join(problems(find_engine("pgvector"), given))

    assert [faults("vector", 2_000), faults("halfvec", 4_000), faults("bit", 16_000)] == ["", "", ""]
    assert "vector takes d from 1 to 2000, and d is 2001" in faults("vector", 2_001)
    assert "halfvec takes d from 1 to 4000, and d is 4001" in faults("halfvec", 4_001)
    assert "d is 16001, and it takes 1 to 16000" in faults("bit", 16_001)


def test_vespas_file_is_a_schema_with_its_query_in_comments() -> None:
    engine = find_engine("vespa")
    written = engine.body(config("vespa", codec="bits", oversampling=4))
    assert isinstance(written, str)
    assert suffix(engine) == ".sd"
    bare = [line for line in written.splitlines() if line and not line.startswith("#")]
    assert (bare[0], bare[-1]) == ("schema items {", "}")
    assert written.count("{") == written.count("}")
    asked = json.loads("".join(line[2:] for line in written.split("# POST /search/\n")[1].splitlines()))
    assert '{"targetHits": 40, "hnsw.exploreAdditionalHits": 160}' in asked["yql"]
    assert "rerank-count: 40" in written
