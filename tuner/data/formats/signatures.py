"""What a file is by its first bytes, whatever it is called; and how another becomes a .npy file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

Format: TypeAlias = Literal[
    "a git-lfs pointer",
    "a .npy file",
    "a torch file",
    "an old torch file",
    "a zip file",
    "an HDF5 file",
    "a parquet file",
    "an arrow file",
    "an arrow stream",
    "a SQLite file",
    "a DuckDB file",
    "a pickle",
    "a faiss index",
    "a binary faiss index",
]
START_BYTES = 4096
"""Bytes of a file that tell what it is: a line of the widest text format."""
SIGNATURES: dict[bytes, Format] = {
    b"version https://git-lfs": "a git-lfs pointer",
    np.lib.format.MAGIC_PREFIX: "a .npy file",
    b"PK\x03\x04": "a zip file",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a parquet file",
    b"ARROW1": "an arrow file",
    b"SQLite format 3\x00": "a SQLite file",
    b"\xff\xff\xff\xff": "an arrow stream",
}
DUCKDB_AT = 8
"""Bytes before a DuckDB file's mark."""
PICKLES = re.compile(rb"\x80[\x02-\x05][^\x00]", re.DOTALL)
"""Protocols 2 to 5 and an instruction; an .fvecs file of 128, 640, ... columns has zeros there."""
OLD_TORCH = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickled number that torch wrote before it wrote zip files."""
FAISS = re.compile(rb"(I[0-9A-Za-z]{3})..[\x00-\x10]\x00", re.DOTALL)
"""Four letters and a number of columns; ``IB`` begins those over bits."""
POINTER = "is a git-lfs pointer ({size} B), not the file that it stands for: fetch that with git lfs pull"

CONVERSIONS = {
    ".bin": "np.fromfile(f, 'float32').reshape(-1, d)",
    ".pt": "torch.load(f).numpy()",
    ".pkl": "np.asarray(pickle.load(open(f, 'rb')), 'float32')",
}
SUFFIXES: dict[Format, str] = {
    "an old torch file": ".pt",
    "a pickle": ".pkl",
}


def format_of(start: bytes) -> Format | None:
    """Return what a file is that starts so, None if that is not known.

    >>> format_of(b"version https://git-lfs.github.com/spec/v1")
    'a git-lfs pointer'
    """
    if start.startswith(b"PK\x03\x04") and _first_entry(start).endswith(b"data.pkl"):
        return "a torch file"
    if start.startswith(OLD_TORCH):
        return "an old torch file"
    if PICKLES.match(start):
        return "a pickle"
    if start[DUCKDB_AT:].startswith(b"DUCK"):
        return "a DuckDB file"
    if FAISS.match(start):
        return "a binary faiss index" if start.startswith(b"IB") else "a faiss index"
    return next((name for mark, name in SIGNATURES.items() if start.startswith(mark)), None)


def _first_entry(start: bytes) -> bytes:
    """Return the name of the first file in a zip file."""
    return start[30 : 30 + int.from_bytes(start[26:28], "little")]


def other_than_npy(path: Path, start: bytes, size: int) -> str:
    """Return what a file of vectors is that is no .npy file, and how it becomes one.

    Args:
        start: its first ``START_BYTES`` bytes, or all of it.
        size: its bytes.
    """
    found = format_of(start)
    if found == "a git-lfs pointer":
        return POINTER.format(size=size)
    if found in ("a faiss index", "a binary faiss index"):
        return f"is {found} and no file of vectors: give the .npy file that the index was built over"
    what, suffix = "is not a .npy file", path.suffix.lower()
    if found is not None:
        what, suffix = f"is {found} and not a .npy file", SUFFIXES.get(found, suffix)
    expression = CONVERSIONS.get(suffix)
    if expression is None:
        return f"{what}: save the vectors as one (n, d) array with np.save"
    return f"{what}: {_conversion(path, expression)}"


def _conversion(path: Path, expression: str) -> str:
    return f"convert it with np.save('vectors.npy', {expression}), f being {path.name!r}"
