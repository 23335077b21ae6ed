"""A .npz file: one of its arrays, read where it lies, or from a copy where it is compressed."""

from __future__ import annotations

import lzma
import zipfile
import zlib
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import IO

from tuner.data.formats.choice import Role, chosen
from tuner.data.formats.flat import FlatFile
from tuner.data.formats.npy import parse_header
from tuner.data.formats.spool import copied
from tuner.errors import InputError

LOCAL_BYTES, LENGTHS = 30, slice(26, 30)
"""Bytes of the header before an entry's name, and where the lengths of name and extra field stand in it."""
SUFFIX = ".npy"
UNREADABLE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
    OverflowError,
)
DAMAGED = "is a damaged or truncated zip file: copy it again or write it again with np.savez"


def open_npz(path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    """Return the one matrix of a .npz file, or that of the name.

    Args:
        role: what the vectors are, which tells matrices of usual names apart.
        column: name of the array; None for the only matrix.

    Raises:
        InputError: it is damaged, encrypted, or the matrix cannot be told.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _opened(archive, path, source, role, column)
    except UNREADABLE:
        raise InputError(f"{source} {DAMAGED}") from None


def _opened(archive: zipfile.ZipFile, path: Path, source: str, role: Role, column: str | None) -> FlatFile:
    entries = {
        entry.filename.removesuffix(SUFFIX): entry
        for entry in archive.infolist()
        if entry.filename.endswith(SUFFIX)
    }
    found = {}
    for name, entry in entries.items():
        if entry.flag_bits & 1:
            raise InputError(f"{source} is encrypted: write it again with np.savez")
        with archive.open(entry) as file:
            found[name] = parse_header(file, f"{name} in {source}", path)
    name = chosen({name: each.shape for name, each in found.items()}, source, role, column, "array")
    entry, array = entries[name], found[name]
    promised = array.offset + prod(array.shape) * array.dtype.itemsize
    if array.dtype.hasobject:
        raise InputError(
            f"{source}: {name} holds pickled Python objects: stack rows of equal length and save them as "
            "float32"
        )
    if entry.file_size != promised:
        raise InputError(
            f"{source}: {name} has {entry.file_size:,} bytes where its header promises {promised:,}: write "
            "it again with np.savez"
        )
    named = replace(array, source=f"{source}[{name}]" if len(found) > 1 else source)
    if entry.compress_type == zipfile.ZIP_STORED:
        with path.open("rb") as file:
            return replace(named, offset=begins_at(file, entry) + array.offset)
    with archive.open(entry) as file:
        return copied(named, file, promised)


def begins_at(file: IO[bytes], entry: zipfile.ZipInfo) -> int:
    """Return the position of an entry's first byte, which its own header tells, not the archive's list."""
    file.seek(entry.header_offset)
    header = file.read(LOCAL_BYTES)
    if len(header) < LOCAL_BYTES:
        raise EOFError
    lengths = header[LENGTHS]
    name, extra = int.from_bytes(lengths[:2], "little"), int.from_bytes(lengths[2:], "little")
    return entry.header_offset + LOCAL_BYTES + name + extra
