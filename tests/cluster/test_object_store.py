"""Vectors in an object store: a server that speaks S3 on loopback, and credentials that no file shows."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sharded import QUERIES, X

from tuner.search import ShardedIndex

for needed in ("s3fs", "moto", "flask", "flask_cors"):
    pytest.importorskip(needed, reason=f"{needed}: missing; pip install '.[s3-server]'")
pyarrow = pytest.importorskip("pyarrow", reason="pyarrow: missing; pip install '.[formats]'")

BUCKET, KEY, SECRET = "vectors", "AKIAPLANTED0000", "planted+secret/that-nobody-may-see"
FILES = 20
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def store() -> Iterator[dict[str, str]]:
    """Start a server, fill a bucket, and hand out the environment that finds it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", f"{port}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    environment = {
        **os.environ,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }
    try:
        _wait_for(port)
        subprocess.run([sys.executable, "-c", FILL], env=environment, check=True, input=X.tobytes())
        yield environment
    finally:
        server.kill()
        server.wait()


FILL = f"""
import sys, numpy as np, pyarrow as pa, pyarrow.parquet as pq, s3fs
x = np.frombuffer(sys.stdin.buffer.read(), dtype=np.float32).reshape(-1, {X.shape[1]})
system = s3fs.S3FileSystem()
system.mkdir("{BUCKET}")
for number, part in enumerate(np.array_split(x, {FILES})):
    rows = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), x.shape[1])
    with system.open(f"{BUCKET}/part-{{number:03}}.parquet", "wb") as out:
        pq.write_table(pa.table({{"embedding": rows}}), out)
"""


def _wait_for(port: int) -> None:
    started_s = time.monotonic()
    while time.monotonic() - started_s < PATIENCE_S:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return
    pytest.fail("the server that speaks S3 never listened")


def tune(environment: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    np.save(folder / "queries.npy", QUERIES)
    (folder / "space.yaml").write_text("M: [6, 12]\ncodecs: [SQ8]\ncuts: [1.0]\nrerank_factors: [1]\n")
    command = [sys.executable, "-m", "tuner", "run", *arguments, "--queries", str(folder / "queries.npy")]
    command += ["--recall", "0.9", "--metric", "l2", "--space", str(folder / "space.yaml")]
    command += ["--out", str(folder / "out")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_shards_are_made_of_files_in_a_bucket(store: dict[str, str], tmp_path: Path) -> None:
    done = tune(store, tmp_path, f"s3://{BUCKET}/*.parquet", "--shards", "2")
    assert done.returncode == 0, done.stderr
    assert ShardedIndex.load(tmp_path / "out").ntotal == len(X)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.suffix for path in written} >= {".json", ".html", ".md", ".yaml"}
    shown = [done.stdout.encode(), done.stderr.encode(), *(path.read_bytes() for path in written)]
    for secret in (KEY, SECRET):
        assert [text[:60] for text in shown if secret.encode() in text] == []
    assert any(f"s3://{BUCKET}/*.parquet".encode() in text for text in shown)  # what is looked for is there


def test_a_bucket_that_cannot_be_read_is_one_sentence(store: dict[str, str], tmp_path: Path) -> None:
    done = tune(store, tmp_path, "s3://nowhere/*.parquet", "--shards", "2")
    assert done.returncode == 2
    assert "s3://nowhere/*.parquet" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr
