"""Filters as a sparse matrix: read without pickles, each place of it checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from tuner.data.filters import FiltersAsked, open_filters
from tuner.data.ids import named
from tuner.data.vectors import open_vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters

N, NQ = 40, 21
RNG = np.random.default_rng(3)
X = RNG.standard_normal((N, 4)).astype(np.float32)
Q = RNG.standard_normal((NQ, 4)).astype(np.float32)
ALLOWED = RNG.random((NQ, N)) < 0.3
ALLOWED[:, 0] = True
ALLOWED[5] = ALLOWED[9]
CSR = sparse.csr_array(ALLOWED)


def given(matrix: Any, queries: Any = Q, keys: Any = None) -> Filters:
    base = named(open_vectors(X, "base"), keys)
    asked = None if queries is None else open_vectors(queries, "queries")
    found = open_filters(FiltersAsked(filters=matrix), (base, asked), (X, queries))
    assert found is not None
    return found.filters(np.zeros(0, dtype=np.int64))


def masks(found: Filters) -> np.ndarray:
    return np.array([found.mask(number) for number in found.of_query])


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.float32])
def test_entries_are_the_rows_that_are_allowed(form: str, dtype: Any, tmp_path: Path) -> None:
    matrix = CSR.asformat(form).astype(dtype)
    sparse.save_npz(tmp_path / "f.npz", matrix)
    for source in (matrix, tmp_path / "f.npz", str(tmp_path / "f.npz")):
        found = given(source)
        np.testing.assert_array_equal(masks(found), ALLOWED)
        assert len(found.bits) == NQ - 1  # two queries share theirs


def test_zeros_that_are_stored_allow_nothing_and_repeated_entries_are_one() -> None:
    others = NQ - 2
    data, columns = [1, 0, 2, 1, 1, *[1] * others], [3, 4, 3, 7, 7, *[1] * others]
    starts = [0, 3, 5, *range(6, NQ + 4)]
    unsummed = sparse.csr_matrix((np.array(data), columns, starts), shape=(NQ, N))
    found = given(unsummed)
    assert found.rows(found.of_query[0]).tolist() == [3]
    assert found.rows(found.of_query[1]).tolist() == [7]


def test_columns_are_rows_of_the_file_and_deleted_ones_are_left_out() -> None:
    keys = np.where(np.arange(N) % 4 == 2, -1, np.arange(N))
    np.testing.assert_array_equal(masks(given(CSR, keys=keys)), ALLOWED[:, keys >= 0])


def test_the_fingerprint_follows_the_entries() -> None:
    vectors = open_vectors(X, "base"), open_vectors(Q, "queries")

    def print_of(matrix: Any) -> str:
        found = open_filters(FiltersAsked(filters=matrix), vectors, (X, Q))
        assert found is not None
        return found.fingerprint

    other = ALLOWED.copy()
    other[3, 3] ^= True
    assert print_of(CSR) == print_of(CSR.tocsc())
    assert print_of(CSR) != print_of(sparse.csr_array(other))


@pytest.mark.parametrize(
    ("matrix", "sentence"),
    [
        (CSR[:-1], r"shape \(20, 40\), and there are 21 queries in queries array and 40 rows in base array"),
        (CSR.T, r"shape \(40, 21\)"),
        (sparse.csr_array((NQ, N)), r"filter of query 0 allows no row of base array \(21 queries of 21"),
        (CSR.astype(complex), "holds complex128, but entries are numbers"),
        (ALLOWED, "is a ndarray and no sparse matrix"),
    ],
)
def test_what_does_not_fit_is_one_sentence(matrix: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        given(matrix)


def test_a_query_whose_filter_is_empty_is_named() -> None:
    none = ALLOWED.copy()
    none[[4, 11]] = False
    with pytest.raises(InputError, match=r"the filter of query 4 allows no row .*\(2 queries of 21"):
        given(sparse.csr_array(none))


def test_rows_held_out_have_no_filters_in_a_matrix() -> None:
    with pytest.raises(InputError, match="give the queries with --queries"):
        given(CSR, None)


def broken(**changed: Any) -> dict[str, Any]:
    parts = {
        "data": CSR.data,
        "indices": CSR.indices,
        "indptr": CSR.indptr,
        "shape": CSR.shape,
        "format": b"csr",
    }
    return {name: value for name, value in (parts | changed).items() if value is not None}


FAR = CSR.indices.copy()
FAR[7] = 10**8
NEGATIVE = CSR.indices.copy()
NEGATIVE[7] = -3
BACKWARDS = CSR.indptr.copy()
BACKWARDS[4] = BACKWARDS[3] - 2


@pytest.mark.parametrize(
    ("parts", "sentence"),
    [
        (broken(indices=FAR), r"f\.npz is (damaged|no matrix)"),
        (broken(indices=NEGATIVE), r"f\.npz is (damaged|no matrix)"),
        (broken(indptr=BACKWARDS), r"f\.npz is (damaged|no matrix)"),
        (broken(indices=FAR, format=b"csc"), r"f\.npz is (damaged|no matrix)"),
        (broken(indices=CSR.indices[:-9]), r"f\.npz is (damaged|no matrix)"),
        (broken(indices=CSR.indices.astype(float)), r"f\.npz is (damaged|no matrix)"),
        (broken(shape=(NQ, N, 2)), r"f\.npz is (damaged|no matrix)"),
        (broken(shape=(NQ, -N)), r"f\.npz (is (damaged|no matrix)|has shape)"),
        (broken(indptr=None), "has no 'indptr"),
        (broken(format=None), "has no 'format"),
        (broken(format=b"dia"), "in the format 'dia'"),
        (broken(format=np.array([{}], dtype=object)), "damaged, or holds pickled Python objects"),
        (broken(data=np.array([None] * CSR.nnz, dtype=object)), "damaged, or holds pickled Python objects"),
    ],
)
def test_damaged_matrices_are_told_and_not_followed(parts: Any, sentence: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", **parts)
    with pytest.raises(InputError, match=sentence):
        given(tmp_path / "f.npz")


def test_other_files_are_told(tmp_path: Path) -> None:
    np.save(tmp_path / "f.npy", ALLOWED)
    with pytest.raises(InputError, match=r"is a \.npy file and no sparse matrix"):
        given(tmp_path / "f.npy")
    with pytest.raises(InputError, match="does not exist"):
        given(tmp_path / "none.npz")
    sparse.save_npz(tmp_path / "f.npz", CSR)
    content = (tmp_path / "f.npz").read_bytes()
    for cut in (len(content) // 2, len(content) - 5):
        (tmp_path / "f.npz").write_bytes(content[:cut])
        with pytest.raises(InputError, match="is damaged"):
            given(tmp_path / "f.npz")


def test_flipped_bytes_are_told_or_harmless(tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "f.npz", CSR)
    content, refused = (tmp_path / "f.npz").read_bytes(), 0
    for place in np.random.default_rng(1).integers(0, len(content), 150):
        damaged = bytearray(content)
        damaged[place] ^= 0x41
        (tmp_path / "f.npz").write_bytes(bytes(damaged))
        try:
            given(tmp_path / "f.npz")
        except InputError:
            refused += 1
    assert refused > 50
