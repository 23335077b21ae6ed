"""HDF5, Parquet, Arrow, safetensors and torch are read as .npy files of the same rows; damage is told."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch_written

from tuner.data.formats import arrow, packages
from tuner.data.vectors import Vectors, open_vectors
from tuner.errors import InputError

reason = "the extra 'formats' is not installed"
h5py = pytest.importorskip("h5py", reason=reason)
pa = pytest.importorskip("pyarrow", reason=reason)
pq = pytest.importorskip("pyarrow.parquet", reason=reason)
feather = pytest.importorskip("pyarrow.feather", reason=reason)
safetensors = pytest.importorskip("safetensors.numpy", reason=reason)

ROOT = Path(__file__).parents[3]
Array = np.ndarray[Any, Any]
X = np.random.default_rng(0).standard_normal((6_000, 24)).astype(np.float32)
Q = X[:70] + 1


def hdf5(path: Path, arrays: dict[str, Array], **asked: Any) -> None:
    with h5py.File(path, "w") as file:
        for name, x in arrays.items():
            file.create_dataset(name, data=x, **(asked if x.ndim == 2 else {}))


def chunked(path: Path, arrays: dict[str, Array]) -> None:
    hdf5(path, arrays, chunks=(100, 7), compression="gzip")


def table(arrays: dict[str, Array], fixed: bool = False) -> Any:
    """Columns as long as the longest of them, as tables have."""
    rows = max(map(len, arrays.values()))
    columns = {}
    for name, x in arrays.items():
        column = np.resize(x, (rows, *x.shape[1:]))
        if x.ndim == 1:
            columns[name] = pa.array(column)
        elif fixed:
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(column.ravel()), x.shape[1])
        else:
            columns[name] = pa.array(list(column))
    return pa.table(columns)


def tensors(path: Path, arrays: dict[str, Array]) -> None:
    safetensors.save_file({name: np.ascontiguousarray(x) for name, x in arrays.items()}, path)


WRITERS: dict[str, tuple[str, Callable[[Path, dict[str, Array]], object]]] = {
    "hdf5": ("x.hdf5", hdf5),
    "hdf5 in chunks": ("x.h5", chunked),
    "parquet": ("x.parquet", lambda path, arrays: pq.write_table(table(arrays), path, row_group_size=1_000)),
    "parquet, fixed": ("x.parquet", lambda path, arrays: pq.write_table(table(arrays, fixed=True), path)),
    "feather": ("x.feather", lambda path, arrays: feather.write_feather(table(arrays), path, chunksize=999)),
    "arrow, fixed": ("x.arrow", lambda path, arrays: feather.write_feather(table(arrays, fixed=True), path)),
    "safetensors": ("x.safetensors", tensors),
    "torch": ("x.pt", torch_written.save),
}
ALL = pytest.mark.parametrize("name", WRITERS)


def opened(name: str, folder: Path, arrays: dict[str, Array], role: Any = "base", **asked: Any) -> Vectors:
    file, write = WRITERS[name]
    write(folder / file, arrays)
    return open_vectors(folder / file, role, **asked)


@ALL
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int8])
def test_the_only_matrix_needs_no_name(name: str, dtype: Any, tmp_path: Path) -> None:
    x = (10 * X).astype(dtype)
    found = opened(name, tmp_path, {"emb": x, "seed": np.arange(3)})
    np.save(tmp_path / "x.npy", x)
    assert found.fingerprint == open_vectors(tmp_path / "x.npy", "base").fingerprint
    assert found.source.endswith("[emb]")
    some = np.random.default_rng(1).permutation(len(x))[:100]
    np.testing.assert_array_equal(found.rows(some), x[some].astype(np.float32))


@ALL
def test_a_name_says_which(name: str, tmp_path: Path) -> None:
    arrays = {"left": X, "right": X + 1}
    with pytest.raises(InputError, match=r"2 matrices: say which with --column: there is left"):
        opened(name, tmp_path, arrays)
    with pytest.raises(InputError, match=r"has no .* 'rigth': there is right"):
        opened(name, tmp_path, arrays, column="rigth")
    np.testing.assert_array_equal(opened(name, tmp_path, arrays, column="right").read(0, 50), X[:50] + 1)


@ALL
def test_what_holds_no_matrix_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no matrix \(n, d\)"):
        opened(name, tmp_path, {"seed": np.arange(3)})


@ALL
@pytest.mark.parametrize("cut", [0.3, 0.9])
def test_a_cut_file_is_told(name: str, cut: float, tmp_path: Path) -> None:
    file, write = WRITERS[name]
    write(tmp_path / file, {"emb": X})
    content = (tmp_path / file).read_bytes()
    (tmp_path / file).write_bytes(content[: int(cut * len(content))])
    with pytest.raises(InputError, match=r"damaged or truncated .* file: .*write it again"):
        open_vectors(tmp_path / file, "base")


@ALL
def test_bytes_that_are_flipped_are_told_or_harmless(name: str, tmp_path: Path) -> None:
    """Damage is told in a sentence, or what is read has a shape that the file could hold."""
    file, write = WRITERS[name]
    write(tmp_path / file, {"emb": X[:500]})
    content, rng = (tmp_path / file).read_bytes(), np.random.default_rng(3)
    messages = []
    head, tail = min(400, len(content)), max(0, len(content) - 1_500)
    places = [
        *rng.integers(0, head, 60),
        *rng.integers(0, len(content), 20),
        *rng.integers(tail, len(content), 60),
    ]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(rng.integers(0, 8))
        (tmp_path / file).write_bytes(bytes(damaged))
        try:
            found = open_vectors(tmp_path / file, "base")
            bytes_read = found.read(0, found.n).nbytes
        except InputError as error:
            messages.append(str(error))
        else:
            assert bytes_read < 10 * len(content)
    assert all(message.startswith(str(tmp_path / file)) for message in messages)


@ALL
def test_a_process_of_its_own_reads_it(name: str, tmp_path: Path) -> None:
    """Packages import no more than they must: what a test imported may not be there."""
    opened(name, tmp_path, {"emb": X})
    program = (
        "import sys; from tuner.data.vectors import open_vectors; "
        "print(open_vectors(sys.argv[1], 'base').fingerprint)"
    )
    file = tmp_path / WRITERS[name][0]
    done = subprocess.run(
        [sys.executable, "-c", program, str(file)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == open_vectors(file, "base").fingerprint, done.stderr


def test_an_ann_benchmarks_file_has_base_and_queries(tmp_path: Path) -> None:
    arrays = {"train": X, "test": Q, "neighbors": np.zeros((70, 100), np.int32), "distances": Q}
    hdf5(tmp_path / "glove.hdf5", arrays)
    base, queries = (open_vectors(tmp_path / "glove.hdf5", role) for role in ("base", "queries"))
    assert (base.n, queries.n) == (6_000, 70)
    assert base.source.endswith("[train]")
    with pytest.raises(InputError, match="dtype int32"):
        open_vectors(tmp_path / "glove.hdf5", "base", "neighbors")


def test_a_matrix_that_lies_in_another_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(X.tobytes())
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset(
            "emb", shape=X.shape, dtype="f4", external=[(str(tmp_path / "secret.bin"), 0, X.nbytes)]
        )
    with pytest.raises(InputError, match="lies in other files"):
        open_vectors(tmp_path / "x.h5", "base")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["emb"] = h5py.ExternalLink(str(tmp_path / "x.h5"), "emb")
    with pytest.raises(InputError, match="holds no matrix"):
        open_vectors(tmp_path / "y.h5", "base")
    with pytest.raises(InputError, match="has no dataset 'emb'"):
        open_vectors(tmp_path / "y.h5", "base", "emb")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[1.0, 2.0], [3.0, 4.0], None], r"row 2 is empty \(null\)"),
        ([[1.0, 2.0], [3.0]], "row 1 has 1 numbers, where the first has 2"),
        ([[1.0, 2.0], [3.0, None]], "row 1 holds a null"),
        ([["a", "b"]], "lists of string, but vectors are lists of numbers"),
        ([[[1.0], [2.0]]], "lists of list<.*>, but vectors are lists of numbers"),
        ([[1, 2], [3, 4]], "dtype int64"),
        ([None, None], r"has dtype|row 0|lists of"),
        ([[], []], "has no columns"),
    ],
)
def test_columns_of_lists_that_are_no_vectors_are_told(rows: Any, message: str, tmp_path: Path) -> None:
    kind = pa.list_(pa.float64()) if rows in ([None, None], [[], []]) else None
    pq.write_table(pa.table({"emb": pa.array(rows, type=kind)}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=message):
        open_vectors(tmp_path / "x.parquet", "base")


def saved(name: str, column: Any, folder: Path) -> Path:
    path = folder / f"x.{name}"
    held = pa.table({"id": np.arange(len(column)), "emb": column})
    pq.write_table(held, path) if name == "parquet" else feather.write_feather(held, path, chunksize=999)
    return path


@pytest.mark.parametrize("name", ["parquet", "feather"])
@pytest.mark.parametrize("kind", ["list_view", "large_list_view", "tensor"])
def test_views_of_lists_and_tensors_of_one_side_are_lists(name: str, kind: str, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    if kind == "tensor":
        column = pa.FixedShapeTensorArray.from_numpy_ndarray(X)
    else:
        column = pa.array(list(X), getattr(pa, kind)(pa.float32()))
    found = open_vectors(saved(name, column, tmp_path), "base")
    assert found.fingerprint == open_vectors(tmp_path / "x.npy", "base").fingerprint


def test_a_view_of_lists_in_any_order_is_read_in_the_order_of_its_rows(tmp_path: Path) -> None:
    starts = np.random.default_rng(5).integers(0, 900, 5_000)
    column = pa.ListViewArray.from_arrays(
        pa.array(starts, pa.int32()), pa.array(np.full(5_000, 24), pa.int32()), pa.array(X.ravel())
    )
    found = open_vectors(saved("feather", column, tmp_path), "base")
    np.testing.assert_array_equal(found.read(0, 5_000), X.ravel()[starts[:, None] + np.arange(24)])


def test_rows_that_name_the_same_numbers_are_copied_a_few_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes, taken = [], arrow._blocks

    def noted(compute: Any, batches: Any, d: int, named: str) -> Any:
        for block in taken(compute, batches, d, named):
            sizes.append(block.size)
            yield block

    monkeypatch.setattr(arrow, "_blocks", noted)
    n, d = 500, 1 << 14
    column = pa.ListViewArray.from_arrays(
        pa.array(np.zeros(n), pa.int32()),
        pa.array(np.full(n, d), pa.int32()),
        pa.array(np.ones(d, np.float32)),
    )
    assert open_vectors(saved("feather", column, tmp_path), "base").d == d
    assert max(sizes) == arrow.VIEWED


@pytest.mark.parametrize("name", ["parquet", "feather"])
def test_a_tensor_of_two_sides_is_no_row(name: str, tmp_path: Path) -> None:
    column = pa.FixedShapeTensorArray.from_numpy_ndarray(X[:100].reshape(100, 4, 6))
    with pytest.raises(InputError, match=r"holds no matrix \(n, d\)"):
        open_vectors(saved(name, column, tmp_path), "base")


@pytest.mark.parametrize("column", [None, "emb"])
def test_lists_that_are_kept_once_are_told(column: str | None, tmp_path: Path) -> None:
    lists = pa.array([[1.0, 2.0], [3.0, 4.0]])
    dictionary = pa.DictionaryArray.from_arrays(pa.array([0, 1, 0]), lists)
    runs = pa.RunEndEncodedArray.from_arrays(pa.array([2, 3], pa.int32()), lists)
    for each in (dictionary, runs):
        with pytest.raises(
            InputError, match=r"\[emb\] keeps each list once .* write the column as plain lists"
        ):
            open_vectors(saved("feather", each, tmp_path), "base", column)


def test_two_columns_of_one_name_are_told(tmp_path: Path) -> None:
    column = pa.array(list(X[:50]))
    feather.write_feather(pa.Table.from_arrays([column, column], ["emb", "emb"]), tmp_path / "x.arrow")
    with pytest.raises(InputError, match=r"\[emb\] is the name of several columns: give each a name"):
        open_vectors(tmp_path / "x.arrow", "base", "emb")


def test_a_wrong_row_is_counted_over_all_batches(tmp_path: Path) -> None:
    rows = [*X[:5_000].tolist(), [1.0]]
    pq.write_table(pa.table({"emb": rows}), tmp_path / "x.parquet", row_group_size=700)
    with pytest.raises(InputError, match="row 5000 has 1 numbers, where the first has 24"):
        open_vectors(tmp_path / "x.parquet", "base")


def test_bfloat16_tensors_are_read_as_float32(tmp_path: Path) -> None:
    bits = (X.view(np.uint32) >> 16).astype("<u2")
    header = json.dumps(
        {"emb": {"dtype": "BF16", "shape": X.shape, "data_offsets": [0, bits.nbytes]}}
    ).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bits.tobytes())
    found = open_vectors(tmp_path / "x.safetensors", "base")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found.read(0, found.n), (bits.astype(np.uint32) << 16).view(np.float32))


def test_tensors_of_other_types_are_told(tmp_path: Path) -> None:
    safetensors.save_file({"emb": np.ones((4, 3), np.int64)}, tmp_path / "x.safetensors")
    with pytest.raises(InputError, match=r"dtype I64, but vectors are F16, .*x\.to\(torch\.float32\)"):
        open_vectors(tmp_path / "x.safetensors", "base")


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {"torch"}))
def test_a_missing_package_is_told_with_the_line_that_installs_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(module: str) -> None:
        raise ModuleNotFoundError(module)

    monkeypatch.setattr(packages, "import_module", missing)
    with pytest.raises(InputError, match=r"is not installed: pip install '(h5py|pyarrow|safetensors)>="):
        opened(name, tmp_path, {"emb": X[:200]})


def test_requirements_are_those_of_the_extra() -> None:
    tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extra = project["project"]["optional-dependencies"]["formats"]
    assert sorted(extra) == sorted(packages.FORMATS.values())
    extras = project["project"]["optional-dependencies"]
    known = {each for extra in extras.values() for each in extra}
    assert set(packages.REQUIREMENTS.values()) <= known
