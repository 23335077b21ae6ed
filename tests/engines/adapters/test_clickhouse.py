"""What is special to ClickHouse: one part, re-scoring by session settings, the head of the graph's file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from installed import needs
from numpy.typing import NDArray

from tuner.engines import Deployment, EngineConfig, find_engine, problems
from tuner.engines.adapters.clickhouse import RunningClickhouse, read_graph, varint
from tuner.errors import InputError

ENGINE = find_engine("clickhouse")
CONFIG = EngineConfig(
    engine="clickhouse", codec="bf16", d=16, metric="ip", k=5, M=8, ef_construction=40, ef_search=30
)
N = 600


def changed(**values: object) -> EngineConfig:
    return dataclasses.replace(CONFIG, **values)  # type: ignore[arg-type]


def rows(n: int = N) -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((n, 16)).astype("f4")


def built(folder: Path, config: EngineConfig) -> RunningClickhouse:
    running = RunningClickhouse(config, Deployment(folder=folder, n=N))
    running.add(0, rows()[:200])
    running.add(200, rows()[200:])
    running.build()
    return running


def test_the_exported_sql_has_every_number() -> None:
    text = str(ENGINE.body(changed(codec="i8", metric="cosine", oversampling=4)))
    assert "vector_similarity('hnsw', 'cosineDistance', 16, 'i8', 8, 40) GRANULARITY 100000000" in text
    for setting in (
        "hnsw_candidate_list_size_for_search = 30",
        "vector_search_with_rescoring = 1",
        "vector_search_index_fetch_multiplier = 4",
        "max_limit_for_vector_search_queries = 1000",
    ):
        assert setting in text
    assert "ORDER BY cosineDistance(embedding, {query:Array(Float32)}) ASC LIMIT 5;" in text


def test_the_limit_covers_the_candidates_or_they_would_be_cut() -> None:
    text = str(ENGINE.body(changed(codec="b1", metric="cosine", k=50, oversampling=100)))
    assert "max_limit_for_vector_search_queries = 5000" in text


def test_without_oversampling_nothing_is_rescored_but_inner_products() -> None:
    assert "vector_search_with_rescoring = 0" in str(ENGINE.body(changed(metric="l2")))
    assert "vector_search_with_rescoring = 1" in str(ENGINE.body(CONFIG))
    assert "dotProduct(embedding, {query:Array(Float32)}) DESC" in str(ENGINE.body(CONFIG))


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"M": -5}, "M is -5"),
        ({"M": 0}, "M is 0"),
        ({"ef_construction": 0}, "ef_construction is 0"),
        ({"ef_search": 0}, "ef_search is 0"),
        ({"oversampling": 1_001}, "oversampling"),
        ({"codec": "i8", "metric": "l2"}, "i8 works for cosine only"),
        ({"codec": "b1", "metric": "cosine", "d": 17}, "multiples of 8"),
        ({"codec": "q8"}, "q8"),
    ],
)
def test_what_it_cannot_do_is_refused_by_us(values: dict[str, object], word: str) -> None:
    assert any(word in problem for problem in problems(ENGINE, changed(**values)))


@pytest.mark.parametrize(("number", "coded"), [(1, [1]), (127, [127]), (128, [128, 1]), (384, [128, 3])])
def test_lengths_are_coded_as_row_binary_has_them(number: int, coded: list[int]) -> None:
    assert varint(number) == coded


def test_inner_products_come_largest_first(tmp_path: Path) -> None:
    needs("clickhouse")
    running = built(tmp_path, changed(codec="f32", ef_search=300))
    query = rows()[3]
    assert list(running.search(query, 5)) == np.argsort(-(rows() @ query))[:5].tolist()
    running.close()


def test_parts_are_merged_and_the_graph_is_one(tmp_path: Path) -> None:
    needs("clickhouse")
    running = RunningClickhouse(CONFIG, Deployment(folder=tmp_path, n=N))
    running._run("SET max_insert_block_size = 100, min_insert_block_size_rows = 100")
    running.add(0, rows())
    running.build()
    (file,) = running._index_files()
    graph = read_graph(file)
    assert (graph.n, graph.codec, graph.metric, graph.M) == (N, "bf16", "ip", 8)
    assert running.index_bytes() > 2 * 16 * N
    running.close()


def test_it_answers_before_the_index_is_made(tmp_path: Path) -> None:
    needs("clickhouse")
    running = RunningClickhouse(CONFIG, Deployment(folder=tmp_path, n=N))
    running.add(0, rows())
    assert len(running.search(rows()[0], 5)) == 5
    assert running.applied().n_indexed == 0
    running.close()


def test_an_index_that_was_never_materialized_indexes_nothing(tmp_path: Path) -> None:
    needs("clickhouse")
    running = built(tmp_path, CONFIG)
    running._run("ALTER TABLE tune_items CLEAR INDEX tune_items_hnsw SETTINGS mutations_sync = 2")
    applied = running.applied()
    assert (applied.n_indexed, applied.codec, applied.M, running.index_bytes()) == (0, None, None, 0)
    running.close()


def test_a_table_of_that_name_is_left_alone_unless_told_otherwise(tmp_path: Path) -> None:
    needs("clickhouse")
    first = built(tmp_path, CONFIG)
    with pytest.raises(InputError, match="--replace"):
        RunningClickhouse(CONFIG, Deployment(folder=tmp_path))
    assert first.applied().n_indexed == N
    second = RunningClickhouse(CONFIG, Deployment(folder=tmp_path, replace=True))
    assert second._one("SELECT count() FROM tune_items") == "0"
    second.add(0, rows(10))
    second.close()
    second.close()
    first.close()


def test_the_exported_sql_runs_as_it_stands(tmp_path: Path) -> None:
    needs("clickhouse")
    running = RunningClickhouse(CONFIG, Deployment(folder=tmp_path))
    create, *others = str(ENGINE.body(CONFIG)).strip().split(";\n")
    running._run(create)
    running._run("INSERT INTO items SELECT number, arrayMap(j -> rand(j) / 1e9, range(16)) FROM numbers(600)")
    for statement in others[:-1]:
        running._run(statement)
    found = running.session.query(others[-1], "TSV", params={"query": rows()[0].tolist()})
    assert len(str(found).split()) == 5
    running._run("DROP TABLE items SYNC")
    running.close()
