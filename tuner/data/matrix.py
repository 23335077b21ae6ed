"""Where vectors lie: a file, a folder, a pattern, a database, an address; rows are read on demand."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from tuner.data.formats.arrow import open_arrow, open_arrow_stream, open_parquet
from tuner.data.formats.choice import Role
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.hdf5 import open_hdf5
from tuner.data.formats.json_text import LINES, is_json, open_json
from tuner.data.formats.json_text import SUFFIXES as JSON
from tuner.data.formats.npy import open_npy
from tuner.data.formats.npz import open_npz
from tuner.data.formats.regular import look_at, unreadable
from tuner.data.formats.safetensors import SUFFIX, open_safetensors
from tuner.data.formats.shards import Shards, files_of, joined
from tuner.data.formats.signatures import format_of, other_than_npy
from tuner.data.formats.text import SEPARATORS, open_text
from tuner.data.formats.torch_file import SUFFIXES as TORCH
from tuner.data.formats.torch_file import open_torch
from tuner.data.formats.vecs import NEIGHBOURS, VECS, open_vecs
from tuner.data.formats.word2vec import is_word2vec, open_word2vec
from tuner.data.sources import is_address, open_address
from tuner.data.sources.address import Address
from tuner.data.sources.duckdb import open_duckdb
from tuner.data.sources.lance import SUFFIX as LANCE
from tuner.data.sources.lance import open_lance
from tuner.data.sources.remote import fetched
from tuner.data.sources.sqlite import open_sqlite
from tuner.errors import InputError

OF_SEVERAL: dict[str, Callable[[Path, str, Role, str | None], FlatFile]] = {
    "a zip file": open_npz,
    "a torch file": open_torch,
    "an HDF5 file": open_hdf5,
    "a parquet file": open_parquet,
    "an arrow file": open_arrow,
    "an arrow stream": open_arrow_stream,
    "a SQLite file": open_sqlite,
    "a DuckDB file": open_duckdb,
    SUFFIX: open_safetensors,
}
"""Readers of files that may hold several matrices, by content, or by name where the content has no mark."""
SUFFIXES = (
    frozenset({".npy", ".npz", ".h5", ".hdf5", ".parquet", ".arrow", ".feather", SUFFIX})
    | VECS
    | LINES
    | TORCH
)
"""Suffixes of what is looked for in a folder, where text may be anything."""


def open_matrix(source: str | Path, role: Role, column: str | None = None) -> FlatFile | Shards:
    """Return the matrix of a file, or that which the files of a folder or of a pattern hold between them.

    Args:
        source: file, folder, pattern such as ``shards/*.npy``, database, or address.
        role: base or queries, which tells matrices and files of usual names apart.
        column: name of the matrix in files of several.

    Raises:
        InputError: it is no such file, damaged, or it cannot be told which matrix is meant.
    """
    text = os.fspath(source)
    if is_address(text):
        return open_address(text, role, column) or _fetched(Address.of(text), role, column)
    if Path(source).suffix == LANCE and Path(source).is_dir():
        return open_lance(Path(source), in_utf8(source), role, column)
    try:
        files = files_of(text, role, SUFFIXES)
    except OSError as error:
        raise unreadable(in_utf8(source), error) from None
    if not files:
        return open_file(Path(source), in_utf8(source), role, column)
    parts = [open_file(path, in_utf8(path), role, column) for path in files]
    return parts[0] if len(parts) == 1 else joined(in_utf8(source), parts)


def _fetched(address: Address, role: Role, column: str | None) -> FlatFile | Shards:
    """Return the matrix of remote files, in a copy that lives as long as it."""
    copy = fetched(address)

    def named(part: FlatFile) -> FlatFile:
        return replace(
            part, source=copy.as_given(part.source, address), copied_to=(part.copied_to, copy.folder)
        )

    try:
        found = open_matrix(copy.path, role, column)
    except InputError as error:
        raise InputError(copy.as_given(str(error), address)) from None
    if isinstance(found, Shards):
        return replace(found, source=address.shown, parts=tuple(map(named, found.parts)))
    return named(found)


def in_utf8(source: str | Path) -> str:
    """Return a path as reports can hold it: they are UTF-8, which names of files need not be."""
    return os.fsencode(source).decode("utf-8", "replace")


def open_file(path: Path, source: str, role: Role, column: str | None = None) -> FlatFile:
    """Return the matrix in a file. The content says what it is, the name where the content has no mark.

    Args:
        source: name of the file in messages.
        role: base or queries, which tells matrices of usual names apart.
        column: name of the matrix in a file of several.

    Raises:
        InputError: it is no such file, damaged, or it cannot be told which matrix is meant.
    """
    size, start = look_at(path, source)
    if start.startswith(np.lib.format.MAGIC_PREFIX):
        return open_npy(path, source)
    found = format_of(start)
    reader = OF_SEVERAL.get(found or path.suffix.lower())
    if reader is not None:
        return reader(path, source, role, column)
    if found is None and path.suffix.lower() in SEPARATORS:
        return open_text(path, source, role, column)
    if found is None and (path.suffix.lower() in JSON or is_json(start)):
        return open_json(path, source, role, column)
    if found is None and is_word2vec(start, size):
        return open_word2vec(path, source, start)
    if found is None and path.suffix.lower() in VECS | NEIGHBOURS:
        return open_vecs(path, source, start, size)
    raise InputError(f"{source} {other_than_npy(path, start, size)}")
