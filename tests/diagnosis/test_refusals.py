"""What cannot be diagnosed, or not written, is refused before anything is measured."""

from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

import tuner
from tuner.errors import InputError

N, D = 600, 24


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N, D)).astype(np.float32)


def flat(x: np.ndarray) -> faiss.Index:
    index = faiss.IndexFlatL2(x.shape[1])
    index.add(x)
    return index


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :10], "takes vectors of 24 columns, the file has 10"),
        (lambda x: np.where(np.arange(N)[:, None] == 7, np.nan, x), "NaN"),
    ],
)
def test_what_does_not_fit_is_told(
    change: Callable[[np.ndarray], np.ndarray], message: str, x: np.ndarray
) -> None:
    with pytest.raises(InputError, match=message):
        tuner.diagnose(flat(x), np.ascontiguousarray(change(x)))


def test_an_empty_index_and_a_missing_file_are_told(x: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no vectors"):
        tuner.diagnose(faiss.IndexFlatL2(x.shape[1]), x)
    with pytest.raises(InputError, match="no such file"):
        tuner.diagnose(tmp_path / "none.faiss", x)
    with pytest.raises(InputError, match="--apply needs -o"):
        tuner.diagnose(flat(x), x, apply=1)
    with pytest.raises(InputError, match="--apply is -1, but prescriptions are numbered from 1"):
        tuner.diagnose(flat(x), x, apply=-1)
    (x_there := tmp_path / "there.faiss").write_bytes(b"mine")
    with pytest.raises(InputError, match="is there already: use --force"):
        tuner.diagnose(flat(x), x, apply=1, out=x_there)
    with pytest.raises(InputError, match="name one"):
        tuner.diagnose(flat(x), x, apply=1, out=tmp_path / "none" / "x.faiss")
    assert x_there.read_bytes() == b"mine"
