"""Files behind an address are read as local ones; nothing secret of the address is shown."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gated import Run

from tuner.cli.folders import name_of
from tuner.data.inputs import open_inputs
from tuner.data.sources import shown
from tuner.data.sources.address import Address
from tuner.data.sources.remote import safe_name
from tuner.data.vectors import open_vectors
from tuner.errors import InputError, ResourceError

fsspec = pytest.importorskip("fsspec", reason="the extra 'formats' is not installed")

X = np.random.default_rng(0).standard_normal((3_000, 8)).astype(np.float32)


@pytest.fixture
def bucket() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    for name, rows in (("b/x.npy", X), ("b/shards/a-1.npy", X[:1_000]), ("b/shards/a-2.npy", X[1_000:])):
        with system.open(f"/{name}", "wb") as file:
            np.save(file, rows)
    for place, rows in (("one", X[:1_000]), ("two", X[1_000:])):
        with system.open(f"/b/{place}/data.npy", "wb") as file:
            np.save(file, rows)
        with system.open(f"/b/csv/{place}.csv", "wb") as file:
            np.savetxt(file, rows, delimiter=",", fmt="%.9g")
    with system.open("/b/bad.npy", "wb") as file:
        file.write(b"\x93NUMPY\x01\x00nothing")
    yield system
    system.rm("/b", recursive=True)


@pytest.mark.parametrize(
    "source",
    [
        "memory://b/x.npy",
        "memory://b/shards/*.npy",
        "memory://b/shards",
        "memory://b/*/data.npy",  # files of one name
        "memory://b/csv/*.csv",
    ],
)
def test_files_of_an_object_store(source: str, bucket: Any) -> None:
    found = open_vectors(source, "base")
    np.testing.assert_array_equal(found.read(0, found.n), X)
    assert found.source.startswith("memory://b/")


def test_ids_of_an_object_store_lie_in_the_copy_of_the_vectors(
    bucket: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bucket.open("/b/named.csv", "w") as file:
        file.write("sku,e_0,e_1\n" + "".join(f"s{n},{n},1\n" for n in range(50)))
    opened: list[Any] = []
    monkeypatch.setattr(type(bucket), "open", _counted(type(bucket).open, opened))
    base, _ = open_inputs("memory://b/named.csv", None, "sku")
    assert base.ids is not None
    assert base.ids.tolist() == [f"s{n}" for n in range(50)]
    assert len(opened) == 1
    with pytest.raises(InputError, match="--ids 'skus' is no file and no column of memory://b/"):
        open_inputs("memory://b/named.csv", None, "skus")
    del base
    open_vectors("memory://b/named.csv", "base")
    assert len(opened) > 1


def _counted(function: Any, calls: list[Any]) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args[1])
        return function(*args, **kwargs)

    return call


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("memory://b/nothing.npy", "memory://b/nothing.npy does not exist: check the address"),
        ("memory://b/nothing/*.npy", "does not exist"),
        ("memory://b/bad.npy", "^memory://b/bad.npy"),
        ("nosuch://b/x.npy", "fsspec knows no nosuch:// addresses"),
        ("http://[::1/x.npy", "none that can be read"),
    ],
)
def test_what_is_not_there_is_told(source: str, message: str, bucket: Any) -> None:
    with pytest.raises(InputError, match=message):
        open_vectors(source, "base")


def test_a_disk_without_room_is_told(bucket: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tuner.data.sources.remote.KEPT_FREE", 1 << 60)
    with pytest.raises(ResourceError, match="set TMPDIR to a larger disk"):
        open_vectors("memory://b/x.npy", "base")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing."""


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    np.save(tmp_path / "x.npy", X)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_file_of_the_web(web: str) -> None:
    found = open_vectors(f"http://{web}/x.npy?signature=s3cret", "base")
    np.testing.assert_array_equal(found.read(0, found.n), X)
    assert found.source == f"http://{web}/x.npy"


@pytest.mark.parametrize("path", ["nothing.npy?signature=s3cret", "x.npz?signature=s3cret"])
def test_a_file_that_the_web_has_not_is_told(path: str, web: str) -> None:
    with pytest.raises(InputError, match=r"x\.npz|nothing\.npy") as caught:
        open_vectors(f"http://me:s3cret@{web}/{path}", "base")
    assert "s3cret" not in str(caught.value)


def test_a_command_shows_no_secret(web: str, tmp_path: Path, run: Run) -> None:
    address = f"http://{web}/x.npy?signature=s3cret"
    code, out, err = run("run", address, "--recall", "0.9", "--dry-run", "--out", str(tmp_path / "out"))
    assert code == 0, err
    assert f"http://{web}/x.npy: 3,000 x 8" in out
    assert "s3cret" not in out + err
    code, out, err = run("run", address, "--queries", address, "--recall", "0.9")
    assert (code, "names the base itself" in err, "s3cret" in err) == (2, True, False)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("s3://bucket/a/emb.npy?versionId=3", "emb"),
        ("s3://bucket/a/*.parquet", "a"),
        ("postgresql://me:pw@h/db?table=it/../ems", "it_.._ems"),
        ("qdrant://h:6333?collection=docs", "docs"),
        ("https://host", "host"),
    ],
)
def test_results_are_kept_under_a_name_without_secrets(source: str, name: str) -> None:
    assert name_of(source) == name


def test_only_what_is_read_is_shown() -> None:
    source = "postgresql://me:pw@h:1/db?table=t&column=c&sslpassword=p&password=q#f"
    assert shown(source) == "postgresql://h:1/db?table=t&column=c"
    assert "pw" not in repr(Address.of(source))
    for password in ("p/w", "sec?ret", "p@ss/w", "a#b", "x:y"):
        assert shown(f"postgresql://u:{password}@host/db?table=t") == "postgresql://host/db?table=t"
    assert shown("s3://bucket/a@b.npy") == "s3://bucket/a@b.npy"
    assert Address.of("postgresql://me:p/w@h/db?table=t&sslmode=off").without("table") == (
        "postgresql://me:p/w@h/db?sslmode=off"
    )
    assert shown("data/x.npy") == "data/x.npy"


@pytest.mark.parametrize("name", ["https://h/..", "https://h/", "s3://b/a/../..", "https://h/%2e%2e"])
def test_a_remote_name_makes_no_path(name: str) -> None:
    assert "/" not in safe_name(name)
    assert safe_name(name) not in ("", ".", "..")
