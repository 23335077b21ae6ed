"""Data frames, columns of Arrow, tensors and datasets are the matrix that they hold; what is none is told."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import tuner
from tuner.data.vectors import open_vectors
from tuner.errors import InputError

pa = pytest.importorskip("pyarrow", reason="the extra 'formats' is not installed")

X = np.random.default_rng(0).standard_normal((5_000, 8)).astype(np.float32)


def fixed(x: Any = X) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(x).ravel()), x.shape[1])


class Stream:
    """What speaks Arrow's protocol and is of no package that is known."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.held.__arrow_c_stream__(requested_schema)


class Tensor:
    """Stands for one of torch, which is too large to be installed for a test."""

    __module__ = "torch"

    def __init__(self, values: Any, dtype: str = "torch.float32", sparse: bool = False) -> None:
        self.values, self.dtype, self.device = values, dtype, "cpu"
        self.layout = "torch.sparse_coo" if sparse else "torch.strided"

    def detach(self) -> Tensor:
        return self

    def cpu(self) -> Tensor:
        return self

    def float(self) -> Tensor:
        return Tensor(self.values)

    def numpy(self, *, force: bool = False) -> Any:
        if self.dtype not in ("torch.float32", "torch.float16"):
            raise TypeError("Got unsupported ScalarType")
        return self.values


class Buffer:
    """What speaks DLPack and nothing else."""

    def __dlpack__(self, **asked: Any) -> Any:
        return X.__dlpack__(**asked)

    def __dlpack_device__(self) -> Any:
        return X.__dlpack_device__()


class Refusing:
    """A tensor on a device."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("on a device")


def cells() -> Any:
    found = np.empty(len(X), dtype=object)
    found[:] = list(X)
    return found


HELD: dict[str, Callable[[], Any]] = {
    "list": X.tolist,
    "tensor": lambda: Tensor(X),
    "bfloat16 tensor": lambda: Tensor(X, "torch.bfloat16"),
    "DLPack": Buffer,
    "arrays in cells": cells,
    "nothing masked": lambda: np.ma.masked_array(X, np.isinf(X)),
    "array of fixed lists": fixed,
    "array of lists": lambda: pa.array(list(X)),
    "chunks": lambda: pa.chunked_array([fixed(X[:2_000]), fixed(X[2_000:])]),
    "table": lambda: pa.table({"id": np.arange(len(X)), "emb": fixed()}),
    "table of one": lambda: pa.table({"emb": fixed()}),
    "batch": lambda: pa.record_batch({"emb": fixed()}),
    "stream": lambda: Stream(pa.chunked_array([fixed()])),
}


@pytest.mark.parametrize("name", HELD)
def test_what_python_holds_is_the_matrix(name: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    found = open_vectors(HELD[name](), "base")
    np.testing.assert_array_equal(found.read(0, found.n), X)
    if name != "list":
        assert found.fingerprint == open_vectors(tmp_path / "x.npy", "base").fingerprint


def test_a_column_of_fixed_lists_is_not_copied() -> None:
    held = fixed()
    found = open_vectors(held, "base")
    assert isinstance(found.data, np.ndarray)
    assert np.shares_memory(found.data, held.flatten().to_numpy())
    assert isinstance(open_vectors(pa.table({"e": held}), "base").data, np.ndarray)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float32())])
def test_a_column_of_lists_of_one_length_is_not_copied(kind: Any) -> None:
    held = pa.array(list(X), type=kind)
    for source, want in ((held, X), (held.slice(7, 90), X[7:97]), (pa.table({"e": held}), X)):
        found = open_vectors(source, "base")
        assert isinstance(found.data, np.ndarray)
        assert np.shares_memory(found.data, held.flatten().to_numpy())
        np.testing.assert_array_equal(found.read(0, found.n), want)


@pytest.mark.parametrize(
    ("held", "message"),
    [
        (sparse.csr_matrix(np.eye(30)), r"is a sparse matrix, .* give x.toarray\(\)"),
        (Tensor(X, sparse=True), r"is a sparse tensor, .*give x.to_dense\(\)"),
        (pa.table({"a": fixed(), "b": fixed()}), "holds 2 matrices: say which with --column"),
        (pa.table({"a": [1, 2]}), r"holds no matrix \(n, d\)"),
        (pa.array([[1.0, 2.0], [3.0]]), "row 1 has 1 numbers, where the first has 2"),
        (pa.array([[1.0, 2.0], None]), r"row 1 is empty \(null\)"),
        (
            [[1.0, 2.0], [3.0]],
            "rows of different lengths: give each the same columns, where row 1 has 1 and row 0 2",
        ),
        ([[1.0, 2.0], [3.0, None]], "row 1, column 1 is None and no number"),
        (np.array([[1.0, 2.0], [3.0, "x"]], object), "row 1, column 1 is 'x' and no number"),
        (np.ma.masked_array(X, X > 3), r"row \d+ has masked cells, .*x.filled\(0\)"),
        (X.astype(complex), "dtype complex128"),
        (Tensor(X, "torch.float8_e4m3fn"), "float8_e4m3fn on cpu, which numpy cannot read: give x.float"),
        ({"train": X}, r"holds several things \(train\): give one of them"),
        (None, "is a NoneType and holds no rows"),
        (Refusing(), r"a Refusing, does not become a numpy array \(on a device\): give it .*on the host"),
    ],
)
def test_what_holds_no_matrix_is_told(held: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        open_vectors(held, "base")
    assert str(caught.value).startswith("base array")


def test_a_column_is_asked_for_by_its_name() -> None:
    held = pa.table({"title": fixed(X[:, :4]), "body": fixed()})
    assert open_vectors(held, "base", "body").d == 8
    with pytest.raises(InputError, match="has no column of lists 'bdy': there is body"):
        open_vectors(held, "base", "bdy")


def test_a_sweep_takes_them() -> None:
    found = tuner.tune(pa.table({"id": np.arange(900), "emb": fixed(X[:900])}), recall=0.9)
    assert found.status == "exact"


def test_pandas(tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    for held in (
        pd.DataFrame(X),
        pd.DataFrame({"id": range(len(X)), "emb": list(X)}),
        pd.Series(list(X)),
        pd.Series(X.tolist()),
        pd.DataFrame({"id": range(len(X)), "emb": pd.Series(fixed(), dtype=pd.ArrowDtype(fixed().type))}),
    ):
        np.testing.assert_array_equal(open_vectors(held, "base").read(0, len(X)), X)
    for held, message in (
        (pd.DataFrame(X).assign(id=1), "has columns of several types"),
        (pd.Series([[1.0], [1.0, 2.0]]), "row 1 has 2 numbers, where the first has 1"),
        (pd.Series([[1.0], None, [2.0]]), "row 1 is None and no list"),
        (pd.DataFrame({"a": [[1.0]], "b": [[2.0]]}), "holds 2 matrices: say which"),
        (pd.DataFrame([[[1.0], [2.0]]], columns=["a", "a"]), "has 2 columns 'a': give each its own name"),
        (pd.Series(["[1.0, 2.0]"], dtype=object), r"row 0 is '\[1.0, 2.0\]' and no list: read it with json"),
        (pd.Series([[1.0, 2.0], [1.0, None]]), "row 1, column 1 is None and no number"),
    ):
        with pytest.raises(InputError, match=message):
            open_vectors(held, "base")


def test_polars() -> None:
    pl = pytest.importorskip("polars", reason="polars is not installed")
    for held in (
        pl.DataFrame(X),
        pl.DataFrame({"id": range(len(X)), "emb": X}),
        pl.Series(X.tolist(), dtype=pl.List(pl.Float32)),
        pl.Series(X),
    ):
        np.testing.assert_array_equal(open_vectors(held, "base").read(0, len(X)), X)
    with pytest.raises(InputError, match="has columns of several types"):
        open_vectors(pl.DataFrame(X).with_columns(id=1), "base")


def test_datasets_of_hugging_face() -> None:
    found_there = find_spec("datasets")
    if found_there is None or found_there.origin is None:  # it is the folder of that name, which lancedb
        pytest.skip("datasets is not installed")  # would take for the package once it is imported
    datasets = import_module("datasets")
    held = datasets.Dataset.from_dict({"id": range(len(X)), "emb": list(X)})
    found = open_vectors(held, "base")
    np.testing.assert_array_equal(found.read(0, len(X)), X)
    np.testing.assert_array_equal(open_vectors(held["emb"], "base").read(0, len(X)), X)
    some = held.select(range(10, 20))  # rows by a list of numbers over the same table
    np.testing.assert_array_equal(open_vectors(some, "base").read(0, 10), X[10:20])
    with pytest.raises(InputError, match="of several datasets: give one of them"):
        open_vectors(datasets.DatasetDict({"train": held}), "base")
