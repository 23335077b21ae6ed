"""A .npy file: its header checked against its size."""

from __future__ import annotations

import tokenize
import warnings
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from tuner.data.formats.flat import FlatFile
from tuner.data.formats.regular import look_at, unreadable
from tuner.errors import InputError


def open_npy(path: Path, source: str) -> FlatFile:
    """Return a .npy file that holds at least the bytes that its header promises.

    Args:
        source: name of the file in messages.

    Raises:
        InputError: missing, a directory, unreadable, empty, not .npy, damaged, pickled or truncated.
    """
    size, _ = look_at(path, source)
    try:
        with path.open("rb") as file:
            found = parse_header(file, source, path)
            promised = found.offset + prod(found.shape) * found.dtype.itemsize
            behind = _start_at(file, promised) if found.offset <= promised < size else b""
    except OSError as error:
        raise unreadable(source, error) from None
    if found.dtype.hasobject:
        raise InputError(
            f"{source} holds pickled Python objects: stack rows of equal length and save them as float32"
        )
    if size < promised:
        raise InputError(
            f"{source} is truncated ({size:,} of {promised:,} bytes): copy it again or write it again"
        )
    if behind.startswith(np.lib.format.MAGIC_PREFIX):
        raise InputError(
            f"{source} holds a second array behind that of shape {found.shape}, which np.save appended, and "
            "only the first would be read: np.load each, and save them as one with np.concatenate"
        )
    return replace(found, is_npy=True)


def _start_at(file: IO[bytes], position: int) -> bytes:
    """Return as many bytes from a position on as tell a .npy file."""
    file.seek(position)
    return file.read(np.lib.format.MAGIC_LEN)


def parse_header(file: IO[bytes], source: str, path: Path) -> FlatFile:
    """Return the array whose header begins here.

    Raises:
        InputError: it is no header of a .npy file, or damaged.
    """
    start = file.read(np.lib.format.MAGIC_LEN)
    if not start.startswith(np.lib.format.MAGIC_PREFIX):
        raise InputError(f"{source} is no .npy array: write it again with np.savez")
    if len(start) < np.lib.format.MAGIC_LEN:
        raise InputError(f"{source} is truncated inside its header: copy it again or write it again")
    major, minor = start[6:8]
    if (major, minor) not in ((1, 0), (2, 0), (3, 0)):
        raise InputError(
            f"{source} has .npy version {major}.{minor}, which is not known: write it again with np.save"
        )
    # 3.0 is 2.0 with field names in UTF-8, and a dtype with fields is refused anyway
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # that Python 2 wrote it
            shape, fortran, dtype = read(file)
        if dtype.subdtype is not None:  # no array has such values: numpy gives it more dimensions
            raise ValueError(dtype)
    except (ValueError, SyntaxError, tokenize.TokenError):
        raise InputError(
            f"{source} has a damaged or truncated header: copy it again or write it again"
        ) from None
    return FlatFile(
        path=path, source=source, shape=tuple(shape), dtype=dtype, fortran=fortran, offset=file.tell()
    )
