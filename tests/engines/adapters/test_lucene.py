from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from installed import needs

from tuner.engines import (
    Claims,
    Deployment,
    EngineConfig,
    EngineProcess,
    Exported,
    problems,
    read_exported,
    write_exported,
)
from tuner.engines.adapters.lucene import CAPABILITIES, ENGINE, body
from tuner.errors import InputError

CONFIG = EngineConfig(
    engine="lucene", codec="PACKED_NIBBLE", d=32, metric="ip", k=10, M=12, ef_construction=70, ef_search=90,
    oversampling=4,
)  # fmt: skip


def rows(n: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((n, 32), dtype=np.float32)


def test_the_class_says_every_number() -> None:
    text = body(CONFIG)
    assert "new Lucene104HnswScalarQuantizedVectorsFormat(ScalarEncoding.PACKED_NIBBLE, 12, 70);" in text
    assert "VectorSimilarityFunction.MAXIMUM_INNER_PRODUCT" in text
    assert "new KnnFloatVectorQuery(FIELD, query, 90);" in text
    assert "new RescoreTopNQuery(nearest, DoubleValuesSource.SCORES, 40);" in text
    assert "createFullPrecisionRescorerQuery(best, query, FIELD, 10);" in text
    assert text.count("{") == text.count("}")


def test_what_is_not_used_is_not_imported() -> None:
    for config in (
        CONFIG,
        replace(CONFIG, ef_search=40),
        replace(CONFIG, oversampling=1),
        replace(CONFIG, codec="FLOAT32", oversampling=1),
    ):
        text = body(config)
        imported = set(re.findall(r"^import .*?(\w+);$", text, re.MULTILINE))
        code = re.sub("//.*|import .*", "", text)
        assert set(re.findall(r"\b[A-Z][A-Za-z0-9]+[a-z]\b", code)) == {
            *imported,
            "Override",
            "String",
            "TunedIndex",
        }


def test_all_that_the_graph_finds_is_rescored_without_a_cut() -> None:
    text = body(replace(CONFIG, ef_search=40))
    assert "SCORES" not in text
    assert "createFullPrecisionRescorerQuery(nearest, query, FIELD, 10);" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"M": -5},
        {"M": 513},
        {"ef_construction": 3_201},
        {"d": 1_025},
        {"ef_search": 39},
        {"codec": "FLOAT32"},
    ],
)
def test_out_of_range_is_said(wrong: dict[str, object]) -> None:
    assert problems(ENGINE, CONFIG) == []
    assert len(problems(ENGINE, replace(CONFIG, **wrong))) == 1  # type: ignore[arg-type]


def test_no_product_is_named() -> None:
    reported = repr(CAPABILITIES) + body(CONFIG)
    assert not re.search("elastic|opensearch|solr|mongo", reported, re.IGNORECASE)


def test_a_java_file_is_read_back(tmp_path: Path) -> None:
    claims = Claims(
        target=0.9,
        recall=0.95,
        recall_lower=0.94,
        n_queries=100,
        n=1_000,
        index_bytes=10_000,
        data="x.npy",
        queries="q.npy",
        label="SQ4",
        measured_in="faiss",
        in_engine=False,
        created="now",
    )
    path = tmp_path / "TunedIndex.java"
    write_exported(ENGINE, Exported(settings=CONFIG, claims=claims), path)
    assert path.read_text().startswith("// Apache Lucene: PACKED_NIBBLE, M=12")
    assert read_exported(path)[1].settings == CONFIG
    path.write_text(path.read_text().replace("query, 90)", "query, 900)"))
    with pytest.raises(InputError, match="stands where its settings say"):
        read_exported(path)


@pytest.mark.parametrize("codec", [codec.name for codec in CAPABILITIES.codecs])
def test_the_index_itself_says_what_it_is(codec: str, tmp_path: Path) -> None:
    needs("lucene")
    config = replace(CONFIG, codec=codec, oversampling=1)
    with EngineProcess(config, Deployment(folder=tmp_path, n=2_000)) as index:
        index._ask("add", 0, rows(2_000))
        index._ask("build")
        reported = index.applied()
        assert (reported.codec, reported.M, reported.ef_construction, reported.metric) == (
            codec,
            12,
            70,
            "ip",
        )
        assert (reported.n_indexed, reported.ef_search, reported.index_used) == (2_000, 90, True)
        # 1,000 x ln(2,000) is more than 2,000: Lucene scans
        index.set_search(1_000, 1)
        assert index.applied().index_used is False
    assert not (tmp_path / "tune_items").exists()


def test_rows_in_blocks_keep_their_ids(tmp_path: Path) -> None:
    needs("lucene")
    x = rows(1_500)
    with EngineProcess(
        replace(CONFIG, metric="l2"), Deployment(folder=tmp_path, n=len(x), threads=2)
    ) as index:
        for first in range(0, len(x), 500):
            index._ask("add", first, x[first : first + 500])
        index._ask("build")
        assert index.search(x[::100], 1).ids[:, 0].tolist() == list(range(0, len(x), 100))


def test_a_search_that_ends_in_a_group_of_copies_does_not_look_like_a_smaller_ef(tmp_path: Path) -> None:
    needs("lucene")
    rng = np.random.default_rng(0)
    distinct, shares = rows(100), 1 / np.arange(1, 101)
    x = distinct[rng.choice(100, 1_500, p=shares / shares.sum())]
    x[[0, 1]] = x[[1, 0]]  # the first of them is in such a group
    with EngineProcess(
        replace(CONFIG, codec="FLOAT32", oversampling=1, metric="l2"), Deployment(folder=tmp_path, n=1_500)
    ) as index:
        index._ask("add", 0, x)
        index._ask("build")
        assert (index.search(x[:100], 90).ids < 0).any()  # groups that nothing leads out of
        reported = index.applied()
        assert reported.ef_search in (None, 90)
        assert (reported.n_indexed, reported.index_used) == (1_500, True)
