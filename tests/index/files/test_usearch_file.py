"""Files that usearch wrote, read without it: the same answers, and no damage goes unseen."""

from pathlib import Path

import numpy as np
import pytest
from installed import needs

from tuner.errors import InputError
from tuner.index.files.library import library_of
from tuner.index.files.usearch import read_usearch

N, D, K = 1_500, 24, 10
X = np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)
Q = np.random.default_rng(1).normal(size=(60, D)).astype(np.float32)


def written(path: Path, metric: str, dtype: str, n_removed: int = 0) -> object:
    """Let usearch write an index, keys descending."""
    needs("usearch")
    from usearch.index import Index  # noqa: PLC0415 - only these tests need it

    index = Index(ndim=D, metric=metric, dtype=dtype, connectivity=12, expansion_search=200)
    index.add(np.arange(N)[::-1] + 7, X)
    for key in range(7, 7 + n_removed):
        index.remove(key)
    index.save(str(path))
    return index


@pytest.mark.parametrize("metric", ["cos", "ip", "l2sq"])
@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "i8"])
def test_a_usearch_file_finds_what_usearch_finds(metric: str, dtype: str, tmp_path: Path) -> None:
    index = written(tmp_path / "u", metric, dtype)
    assert library_of(tmp_path / "u") == "usearch"
    read = read_usearch(tmp_path / "u", D)
    read.index.hnsw.efSearch = 200
    queries = (
        Q / np.linalg.norm(Q, axis=1, keepdims=True) if dtype == "i8" else Q
    )  # as usearch itself takes them
    found = read.labels[read.index.search(queries, K)[1]]
    theirs = index.search(Q, K).keys  # type: ignore[attr-defined]
    alike = np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(found, theirs, strict=True)])
    assert alike > (0.9 if dtype == "i8" else 0.97)  # usearch takes queries to 8 bits too


def test_removed_keys_are_counted(tmp_path: Path) -> None:
    written(tmp_path / "u", "cos", "f32", n_removed=3)
    read = read_usearch(tmp_path / "u", D)
    assert read.n_deleted == 3
    assert (read.labels < 0).sum() == 3


def test_damaged_files_are_told(tmp_path: Path) -> None:
    written(tmp_path / "u", "cos", "f32")
    data = (tmp_path / "u").read_bytes()
    with pytest.raises(InputError, match="24 columns, not of 25"):
        read_usearch(tmp_path / "u", D + 1)
    rng = np.random.default_rng(2)
    head = 8 + 4 * N * D
    messages = []
    for turn in range(60):
        broken = bytearray(data)
        if turn % 2:
            broken = broken[: int(rng.integers(0, len(data)))]
        else:
            broken[int(rng.integers(head, head + 104 + 4 * N))] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / "b").write_bytes(broken)
        try:
            read_usearch(tmp_path / "b", D).index.search(Q[:3], K)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) >= 45
    assert all(message.startswith(str(tmp_path / "b")) for message in messages)


def test_codes_without_a_counterpart_are_told(tmp_path: Path) -> None:
    written(tmp_path / "u", "cos", "e5m2")
    with pytest.raises(InputError, match="only f32, f16, bf16 and i8"):
        read_usearch(tmp_path / "u", D)
