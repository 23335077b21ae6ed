"""Filters as a sparse matrix: a row for each query, and in it an entry for each row that is allowed."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from tuner.data.filters.fixed import FixedFilters, distinct, n_in_file, refuse_empty, refuse_many_bits
from tuner.data.formats.npz import UNREADABLE
from tuner.data.formats.regular import look_at
from tuner.data.formats.signatures import format_of
from tuner.data.vectors import Vectors
from tuner.errors import InputError
from tuner.recall.allowed import Filters
from tuner.text import counted

FORM = "save one row a query and one column a row of the vectors with scipy.sparse.save_npz"
NAME = "the matrix of filters"
COMPRESSED = ("csr", "csc")
PARTS = {**dict.fromkeys(COMPRESSED, ("data", "indices", "indptr")), "coo": ("data", "row", "col")}
"""Formats that are read, and their arrays."""


def by_matrix(source: Any, base: Vectors, queries: Vectors | None) -> FixedFilters:
    """Return the filters that a matrix of scipy has, in memory or in a file.

    Args:
        source: (nq, n) matrix whose entries other than zero are the rows of the file that are allowed.
        base: vectors to index.
        queries: the user's queries.

    Raises:
        InputError: it is no such matrix, has another shape, or allows a query no row.
        ResourceError: there are too many different filters.
    """
    name = str(source) if isinstance(source, (str, Path)) else NAME
    if queries is None:
        raise InputError(
            f"{name} has a filter for each query, and rows held out as queries are not known before: give "
            "the queries with --queries"
        )
    found = _read(Path(source), name) if isinstance(source, (str, Path)) else source
    if not sparse.issparse(found):
        raise InputError(
            f"{name} is a {type(found).__name__} and no sparse matrix: give scipy.sparse.csr_array(x)"
        )
    n = n_in_file(base)
    if found.shape != (queries.n, n):
        raise InputError(
            f"{name} has shape {tuple(map(int, found.shape))}, and there are "
            f"{counted(queries.n, 'query', 'queries')} in {queries.source} and {counted(n, 'row')} in "
            f"{base.source}: {FORM}"
        )
    allowed = _ones(found, name)
    allowed = allowed if base.kept is None else allowed[:, base.kept]
    allowed.sort_indices()
    lists, of_query = distinct(np.split(allowed.indices, allowed.indptr[1:-1]))
    refuse_many_bits(len(lists), base.n, name)
    filters = Filters.of_rows(lists, of_query, base.n, name)
    refuse_empty(filters, base.source)
    return FixedFilters(name, filters)


def _ones(found: Any, name: str) -> Any:
    """Return the entries that are no zeros as a CSR matrix of ones, each place of it checked."""
    try:
        if found.format in COMPRESSED:
            found.check_format(full_check=True)  # others would be followed out of the arrays
        csr = found.tocsr(copy=True)
        if csr.data.dtype.kind not in "biuf":
            raise InputError(f"{name} holds {csr.data.dtype}, but entries are numbers: give x.astype(bool)")
        csr.data = csr.data != 0
        csr.sum_duplicates()
        csr.eliminate_zeros()
    except (ValueError, TypeError, IndexError) as error:
        raise InputError(f"{name} is no matrix that can be read ({error}): {FORM}") from None
    return csr


def _read(path: Path, name: str) -> Any:
    """Return the matrix of a file of scipy; no Python object of it is opened."""
    start = look_at(path, name)[1]
    what = format_of(start)
    if what != "a zip file":
        raise InputError(f"{name} is {what or 'no .npz file'} and no sparse matrix: {FORM}")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            kind, shape = file["format"].item(), tuple(map(int, file["shape"]))
            kind = kind.decode("ascii") if isinstance(kind, bytes) else str(kind)
            parts = [file[part] for part in PARTS.get(kind, ())]
    except KeyError as error:
        raise InputError(
            f"{name} has no {str(error).split()[0]!s:.40}, so it is no sparse matrix: {FORM}"
        ) from None
    except (*UNREADABLE, struct.error, TypeError, MemoryError, AttributeError, zipfile.LargeZipFile):
        raise InputError(f"{name} is damaged, or holds pickled Python objects: {FORM}") from None
    if kind not in PARTS:
        raise InputError(
            f"{name} is a matrix in the format {kind!r:.20}: save x.tocsr() with scipy.sparse.save_npz"
        )
    if any(part.dtype.kind not in "iu" or part.ndim != 1 for part in parts[1:]):
        raise InputError(f"{name} is damaged, as its places are no whole numbers: {FORM}")
    try:
        if kind == "coo":
            return sparse.coo_matrix((parts[0], (parts[1], parts[2])), shape=shape)
        return (sparse.csr_matrix if kind == "csr" else sparse.csc_matrix)(tuple(parts), shape=shape)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise InputError(f"{name} is damaged ({error}): {FORM}") from None
