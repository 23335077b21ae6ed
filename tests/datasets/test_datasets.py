"""The committed embeddings are what their README says; the recipes refuse what they should."""

import hashlib
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import numpy as np
import pytest
from numpy.typing import NDArray

DATASETS = Path(__file__).parents[2] / "datasets"
COMMITTED = DATASETS / "docs-minilm-384"
SHAPES = {"base.npy": (18_500, 384), "queries.npy": (1_500, 384)}

Matrix = NDArray[np.float16]


def _load(name: str) -> Matrix:
    vectors: Matrix = np.load(COMMITTED / name)
    return vectors


@pytest.fixture(scope="module")
def base() -> Matrix:
    return _load("base.npy")


@pytest.fixture(scope="module")
def queries() -> Matrix:
    return _load("queries.npy")


@pytest.fixture(params=[*SHAPES, "labels.npy", "query_labels.npy"])
def any_file(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=list(SHAPES))
def file_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DATASETS)
    return import_module("rows")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(DATASETS)
    return import_module("files")


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DATASETS / "make.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_committed_file_is_the_one_the_readme_names(any_file: str) -> None:
    readme = (DATASETS / "README.md").read_text(encoding="utf-8")
    promised = re.findall(rf"^\| `docs-minilm-384/{any_file}` .*`([0-9a-f]{{64}})`", readme, re.M)
    digest = hashlib.sha256((COMMITTED / any_file).read_bytes()).hexdigest()
    assert promised == [digest]


def test_committed_files_stay_small() -> None:
    assert sum(path.stat().st_size for path in COMMITTED.iterdir()) <= 16_500_000


def test_committed_vectors_are_finite_unit_float16(file_name: str) -> None:
    vectors = _load(file_name)
    assert vectors.shape == SHAPES[file_name]
    assert vectors.dtype == np.float16
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1)
    # Rounding each component by up to 2^-11 of itself cannot move the norm by more than that.
    np.testing.assert_allclose(norms, 1, rtol=0, atol=2**-11)


def test_exactly_three_dimensions_are_dead(base: Matrix, queries: Matrix) -> None:
    for vectors in (base, queries):
        assert np.flatnonzero(np.abs(vectors).max(axis=0) < 1e-6).tolist() == [127, 223, 319]


def test_no_query_is_a_base_row(base: Matrix, queries: Matrix, rows: ModuleType) -> None:
    assert not rows.occurs_in(queries, base).any()


def test_repeated_rows_are_kept_as_in_the_texts(base: Matrix, rows: ModuleType) -> None:
    assert round(len(base) * rows.repeated_share(base)) == 1_676


def test_labels_are_a_service_each_and_each_query_has_rows() -> None:
    labels, asked = (np.load(COMMITTED / name) for name in ("labels.npy", "query_labels.npy"))
    assert (labels.shape, asked.shape) == ((18_500,), (1_500,))
    assert np.isin(asked, labels).all()
    names, counts = np.unique(labels, return_counts=True)
    assert (len(names), names[counts.argmax()], counts.max()) == (428, b"ec2", 1_526)


def test_rows_of_one_service_are_nearer_to_their_queries(base: Matrix, queries: Matrix) -> None:
    """Labels of other rows would have nothing to do with the vectors."""
    labels, asked = (np.load(COMMITTED / name) for name in ("labels.npy", "query_labels.npy"))
    near = (queries[:300].astype(np.float32) @ base.astype(np.float32).T).argmax(axis=1)
    assert np.mean(labels[near] == asked[:300]) > 0.4
    assert np.mean(np.roll(labels, 1)[near] == asked[:300]) < 0.1


def test_a_prefix_of_the_base_is_like_the_rest(base: Matrix) -> None:
    first, last = (part.astype(np.float64).mean(axis=0) for part in np.split(base[:18_000], 2))
    # Means of two random halves differ by 1 / sqrt(4500) when every row has norm 1, at most.
    assert np.linalg.norm(first - last) < 1.2 / np.sqrt(4_500)


def test_occurs_in_finds_planted_rows(rows: ModuleType) -> None:
    base = np.array([[0, 1], [2, 3], [4, 5]], np.float16)
    queries = np.array([[4, 5], [5, 4], [-0.0, 1]], np.float16)
    assert rows.occurs_in(queries, base).tolist() == [True, False, True]


def test_repeated_share_counts_all_but_the_first(rows: ModuleType) -> None:
    assert rows.repeated_share(np.array([[1, 2], [3, 4], [1, 2], [1, 2]], np.float32)) == 0.5


def test_a_written_dataset_reads_back_and_is_not_overwritten(files: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "set"
    base, queries = np.eye(3, dtype=np.float32), np.ones((1, 3), np.float32)
    files.claim_folder(folder)
    files.write_dataset(folder, base, queries)
    assert sorted(path.name for path in folder.iterdir()) == ["base.npy", "queries.npy"]
    for read, written in zip(files.read_dataset(folder), (base, queries), strict=True):
        np.testing.assert_array_equal(read, written)
    with pytest.raises(click.ClickException, match=r"base\.npy exists already"):
        files.claim_folder(folder)


def test_labels_are_written_once(files: ModuleType, tmp_path: Path) -> None:
    files.write_labels(tmp_path, ["a", "bc"], ["bc"])
    assert np.load(tmp_path / "labels.npy").tolist() == [b"a", b"bc"]
    assert np.load(tmp_path / "query_labels.npy").tolist() == [b"bc"]
    with pytest.raises(click.ClickException, match=r"labels\.npy exists already"):
        files.write_labels(tmp_path, ["a", "bc"], ["bc"])


def test_a_failed_write_leaves_nothing(
    files: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(path: Path, vectors: Matrix) -> None:
        path.write_bytes(b"half")
        if path.name == "queries.npy":
            raise OSError("disk full")

    monkeypatch.setattr(files.np, "save", save)
    with pytest.raises(OSError, match="disk full"):
        files.write_dataset(tmp_path, np.eye(2), np.eye(2))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        (["docs-wordllama-256", "--rows", "0"], "'--rows': 0 is not in the range"),
        (["glove-50", "--rows", "many"], "'--rows': 'many' is not a valid integer"),
        (["glove-50", "--rows", "400000"], "exceed the --vocabulary of 400000 words"),
        (["describe", "absent"], "Directory 'absent' does not exist"),
        (["photos"], "No such command 'photos'"),
        ([], "Missing command"),
    ],
)
def test_bad_arguments_are_one_sentence_and_exit_2(arguments: list[str], cause: str) -> None:
    finished = _make(*arguments)
    assert finished.returncode == 2
    assert finished.stdout == ""
    assert finished.stderr.startswith("Error: ")
    assert finished.stderr.count("\n") == 1
    assert cause in finished.stderr


def test_a_recipe_refuses_a_folder_in_use(tmp_path: Path) -> None:
    (tmp_path / "base.npy").write_bytes(b"mine")
    finished = _make("glove-50", "--out", str(tmp_path))
    assert finished.returncode == 2
    assert "base.npy exists already" in finished.stderr
    assert (tmp_path / "base.npy").read_bytes() == b"mine"


def test_a_recipe_refuses_another_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DATASETS)
    packages = import_module("packages")
    monkeypatch.setattr(packages, "version", lambda name: "1.44.6")
    with pytest.raises(click.ClickException, match=r"botocore is 1\.44\.6, but this needs 1\.44\.5"):
        packages.package_folder("botocore")


def test_describe_finds_what_is_known_of_the_committed_set() -> None:
    finished = _make("describe", str(COMMITTED))
    assert finished.returncode == 0, finished.stderr
    assert "dead dimensions of the base: [127, 223, 319]" in finished.stdout
    assert "queries that are base rows: 0" in finished.stdout
