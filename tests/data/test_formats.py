"""What a file of vectors is by its first bytes, and conversions that give the vectors back."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pytest

from tuner.data.formats.signatures import format_of
from tuner.data.vectors import open_vectors
from tuner.errors import InputError

X = np.random.default_rng(0).standard_normal((30, 128)).astype(np.float32)


def fvecs(x: np.ndarray[Any, Any]) -> bytes:
    return np.hstack([np.full((len(x), 1), x.shape[1], dtype="<i4"), x.view("<i4")]).tobytes()


WRITTEN: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "pickle": ("x.pkl", lambda path: path.write_bytes(pickle.dumps(X.tolist()))),
}


@pytest.mark.filterwarnings("ignore:.*unclosed file")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", WRITTEN)
def test_the_conversion_that_is_offered_gives_the_vectors(name: str, tmp_path: Path) -> None:
    file, write = WRITTEN[name]
    write(tmp_path / file)
    with pytest.raises(InputError) as caught:
        open_vectors(tmp_path / file, "base")
    found = re.search(r"np\.save\('vectors\.npy', (.*)\), f being", str(caught.value))
    assert found is not None
    converted = eval(found[1], {"np": np, "pickle": pickle, "f": str(tmp_path / file)})  # noqa: S307 - ours
    np.testing.assert_allclose(converted, X, rtol=1e-6)


def test_an_old_torch_file_is_told_what_reads_it(tmp_path: Path) -> None:
    """As torch wrote it before 1.6, and writes it still where it is asked to."""
    old = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
    (tmp_path / "x.npy").write_bytes(old)
    with pytest.raises(InputError, match=r"is an old torch file and not a \.npy file: .*torch\.load\(f\)"):
        open_vectors(tmp_path / "x.npy", "base")


def test_what_is_known_is_not_what_looks_alike() -> None:
    assert format_of(fvecs(X)) is None
    assert format_of(fvecs(np.tile(X, 5))) is None
    assert [format_of(pickle.dumps([1], protocol)) for protocol in (2, 3, 4, 5)] == ["a pickle"] * 4
    for kind in ("Flat", "HNSW8,SQ8", "IVF4,PQ4x4", "IDMap,HNSW8", "PQ4x4fs", "LSH"):
        index = faiss.index_factory(16, kind)
        assert format_of(bytes(faiss.serialize_index(index))) == "a faiss index"
    for kind in ("BFlat", "BHNSW8", "BHash4", "BIVF4"):
        binary = faiss.index_binary_factory(16, kind)
        assert format_of(bytes(faiss.serialize_index_binary(binary))) == "a binary faiss index"
    assert format_of(b"Index of vectors, as text") is None
