"""A list in a file of its own, an entry for each row: .npy, text by lines, or one column alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.columns import READERS, only_column_of
from tuner.data.formats.npy import open_npy
from tuner.data.formats.signatures import START_BYTES, format_of
from tuner.data.formats.wanted import T, Wanted
from tuner.errors import InputError


def read_list(path: Path, name: str, wanted: Wanted[T]) -> T:
    """Return what a .npy file, a text file with one entry a line, or a file of one column has.

    Args:
        name: name of the file in messages.
        wanted: what its rows are.

    Raises:
        InputError: it is none of them.
    """
    if _starts(path, name, wanted).startswith(np.lib.format.MAGIC_PREFIX):
        return wanted.of_array(open_npy(path, name).whole(), name)
    found = only_column_of(path, wanted)
    return wanted.of_array(_lines(path, name, wanted), name) if found is None else found


def _starts(path: Path, name: str, wanted: Wanted[Any]) -> bytes:
    if path.is_dir() or not path.exists():
        fault = "is a directory" if path.is_dir() else "does not exist"
        raise InputError(f"{name} {fault}: {wanted.form}")
    try:
        with path.open("rb") as file:
            start = file.read(START_BYTES)
    except OSError as error:
        raise InputError(f"{name} cannot be read ({error.strerror}): check its permissions") from None
    what = format_of(start)
    if what not in (None, "a .npy file", *READERS):
        raise InputError(f"{name} is {what} and no list of {wanted.things}: {wanted.form}")
    return start


def _lines(path: Path, name: str, wanted: Wanted[Any]) -> NDArray[np.str_]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{name} is neither .npy nor UTF-8 text: {wanted.form}") from None
    lines = text.replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return np.array([line.strip() for line in lines], dtype=np.str_)
