"""Several files that hold one matrix between them: a folder or a pattern, in the order of their names."""

from __future__ import annotations

import glob
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.choice import NAMES, Role
from tuner.data.formats.flat import FlatFile
from tuner.errors import InputError
from tuner.types import IdArray

NO_DATA = (".", "_", "cache-")
"""What names begin with that are no data: ``_SUCCESS``, and what Hugging Face's datasets compute again."""
NUMBER = re.compile(r"[-_.]?\d+(-of-\d+)?$")
"""The end of a shard's name, such as ``-00000-of-00002``."""


@dataclass(frozen=True)
class Shards:
    """The rows of several files, one after the other.

    Attributes:
        source: name of the folder or pattern in messages.
        parts: files in order, with the same columns and type.
    """

    source: str
    parts: tuple[FlatFile, ...]

    @cached_property
    def starts(self) -> IdArray:
        """Rows (files + 1,) before each file, and of all of them."""
        return np.cumsum([0, *(part.shape[0] for part in self.parts)])

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows of all files, and columns."""
        return int(self.starts[-1]), self.parts[0].shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""
        return self.parts[0].dtype

    def rows(self, rows: IdArray) -> NDArray[Any]:
        """Return ascending ``rows`` as stored.

        Raises:
            InputError: a file became shorter since it was opened.
        """
        out = np.empty((len(rows), self.shape[1]), dtype=self.dtype)
        places = np.searchsorted(rows, self.starts)
        for part, start, begin, end in zip(self.parts, self.starts, places, places[1:], strict=False):
            if begin < end:
                out[begin:end] = part.rows(rows[begin:end] - start)
        return out


def files_of(source: str, role: Role, suffixes: frozenset[str]) -> list[Path]:
    """Return the files of a folder or a pattern in the order of their names; none where it is neither.

    Args:
        role: what the vectors are: of a folder with files for both, that of the usual name is taken.
        suffixes: suffixes of files of vectors.

    Raises:
        InputError: the folder has no such files, or files of several formats.
    """
    folder = Path(source)
    if folder.is_dir():
        return _in_folder(folder, source, role, suffixes)
    if not folder.exists() and glob.has_magic(source):
        found = glob.glob(source, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute pattern
        return sorted(path for path in map(Path, found) if path.is_file())
    return []


def _in_folder(folder: Path, source: str, role: Role, suffixes: frozenset[str]) -> list[Path]:
    found = sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in suffixes and not path.name.startswith(NO_DATA) and path.is_file()
    )
    if not found:
        raise InputError(f"{source} is a directory without files of vectors: name one, or a pattern of them")
    groups = [NUMBER.sub("", path.stem) for path in found]
    usual = next((name for name in NAMES[role] if name in groups), None)
    if usual is not None:
        found = [path for path, group in zip(found, groups, strict=True) if group == usual]
    kinds = sorted({path.suffix.lower() for path in found})
    if len(kinds) > 1:
        raise InputError(
            f"{source} is a directory of {' and '.join(kinds)} files: say which, with a pattern such as "
            f"'{folder / ('*' + kinds[0])}'"
        )
    return found


def joined(source: str, parts: list[FlatFile]) -> Shards:
    """Return the matrix that files hold between them.

    Raises:
        InputError: their columns or types differ.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.shape[1:] != first.shape[1:] or len(part.shape) != 2:
            raise InputError(
                f"{part.source} is {_sides(part)}, where {first.source} is {_sides(first)}: give files with "
                "the same columns"
            )
        if part.dtype != first.dtype:
            raise InputError(
                f"{part.source} has dtype {part.dtype}, where {first.source} has {first.dtype}: save all as "
                "one of them"
            )
    return Shards(source, tuple(parts))


def _sides(part: FlatFile) -> str:
    return " x ".join(map(str, part.shape))
