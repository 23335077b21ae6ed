"""What is special to DuckDB: an experimental setting, the vendor's own binder, readings from its file."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from installed import needs
from numpy.typing import NDArray

from tuner.engines import Deployment, EngineConfig, check_config, find_engine, problems
from tuner.engines.adapters import duckdb as adapter
from tuner.engines.adapters.duckdb import RunningDuckdb, links_of
from tuner.errors import InputError

ENGINE = find_engine("duckdb")
CONFIG = EngineConfig(
    engine="duckdb", codec="FLOAT", d=16, metric="ip", k=5, M=8, ef_construction=40, ef_search=30
)
N = 600


def changed(**values: object) -> EngineConfig:
    return dataclasses.replace(CONFIG, **values)  # type: ignore[arg-type]


def rows() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((N, 16)).astype("f4")


def built(folder: Path, config: EngineConfig) -> RunningDuckdb:
    running = RunningDuckdb(config, Deployment(folder=folder, n=N))
    running.add(0, rows())
    running.build()
    return running


def test_the_exported_sql_has_every_number_and_says_what_is_experimental() -> None:
    text = str(ENGINE.body(CONFIG))
    assert "WITH (metric = 'ip', M = 8, M0 = 16, ef_construction = 40, ef_search = 30);" in text
    assert "SET hnsw_ef_search = 30;" in text
    assert "ORDER BY array_negative_inner_product(embedding, $query::FLOAT[16]) LIMIT 5;" in text
    before, after = text.split("SET hnsw_enable_experimental_persistence = true;")
    assert "EXPERIMENTAL" in before
    assert "CREATE INDEX" in after


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"M": -5}, "M is -5"),
        ({"M": 1}, "M is 1"),
        ({"ef_search": 0}, "ef_search is 0"),
        ({"ef_construction": 0}, "ef_construction is 0"),
        ({"oversampling": 2}, "cannot re-score"),
        ({"codec": "FLOAT16"}, "FLOAT16"),
    ],
)
def test_what_it_cannot_do_is_refused_by_us(values: dict[str, object], word: str) -> None:
    assert any(word in problem for problem in problems(ENGINE, changed(**values)))


def test_duckdb_itself_accepts_what_we_export_and_refuses_what_it_cannot_do() -> None:
    needs("duckdb")
    for metric in ("cosine", "ip", "l2"):
        check_config(ENGINE, changed(metric=metric))
    with pytest.raises(InputError, match="must be at least 2"):
        ENGINE.check(changed(M=-5))


def test_links_are_counted_from_the_bytes_of_a_node() -> None:
    assert links_of({"nodes": 3000, "allocated_bytes": 426_000, "max_edges": 48_000}) == 32


def test_the_largest_inner_product_comes_first(tmp_path: Path) -> None:
    needs("duckdb")
    running = built(tmp_path, changed(ef_search=300))
    query = rows()[3]
    assert list(running.search(query, 5)) == np.argsort(-(rows() @ query))[:5].tolist()
    assert running.applied().index_used
    running.close()
    running.close()
    assert list(tmp_path.iterdir()) == []


def test_what_was_really_made_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs("duckdb")
    render = adapter.create_index
    other = {"metric": "l2", "M": 4, "ef_construction": 77}
    monkeypatch.setattr(
        adapter,
        "create_index",
        lambda config, table: render(dataclasses.replace(config, **other), table),
    )
    running = built(tmp_path, CONFIG)
    applied = running.applied()
    assert (applied.metric, applied.M, applied.ef_construction) == ("l2", 4, 77)
    assert not applied.index_used  # the search is by inner product
    assert running.index_bytes() >= 262_144
    running.close()


def test_an_index_that_was_never_made_indexes_nothing(tmp_path: Path) -> None:
    needs("duckdb")
    running = built(tmp_path, CONFIG)
    running._run("DROP INDEX tune_items_hnsw")
    running._run("CHECKPOINT")
    applied = running.applied()
    assert (applied.n_indexed, applied.codec, applied.M, applied.index_used) == (0, None, None, False)
    assert running.index_bytes() == 0
    running.close()


def test_a_table_of_that_name_is_left_alone_unless_told_otherwise(tmp_path: Path) -> None:
    needs("duckdb")
    first = built(tmp_path, CONFIG)
    with pytest.raises(InputError, match="--replace"):
        RunningDuckdb(CONFIG, Deployment(folder=tmp_path))
    assert (tmp_path / "tune.duckdb").exists()
    assert first.applied().n_indexed == N
    second = RunningDuckdb(CONFIG, Deployment(folder=tmp_path, replace=True))
    assert second._one("SELECT count(*) FROM tune_items") == 0
    second.close()
    first.close()


def test_the_exported_sql_runs_as_it_stands(tmp_path: Path) -> None:
    needs("duckdb")
    running = RunningDuckdb(CONFIG, Deployment(folder=tmp_path))
    install, _, create, *others = str(ENGINE.body(CONFIG)).strip().split(";\n")
    assert install == "INSTALL vss"  # which downloads
    running._run(create)
    running._run("INSERT INTO items SELECT i, [random() for j in range(16)] FROM range(600) AS t(i)")
    for statement in others[:-1]:
        running._run(statement)
    found = running.connection.execute(others[-1], {"query": rows()[0].tolist()})
    assert len(found.fetchall()) == 5
    running.close()
