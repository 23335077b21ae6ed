"""The folder of a delivered index: kept as long as it is needed, its files read with care."""

from __future__ import annotations

import shutil
import weakref
from dataclasses import dataclass
from pathlib import Path

import faiss

from tuner.errors import InputError
from tuner.index.files.faiss import read_index


@dataclass(frozen=True, eq=False)
class IndexFolder:
    """Where the files of a delivered index lie.

    Attributes:
        temporary: Whether the folder is removed along with this object.
        foreign: Whether the files come from elsewhere, so that they are probed before they are read.
    """

    path: Path
    temporary: bool = False
    foreign: bool = False

    def __post_init__(self) -> None:
        if self.temporary:
            weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def read_delivered(files: IndexFolder, name: str, flags: int = 0) -> faiss.Index:
    """Return an index file of the folder, read anew.

    Raises:
        InputError: it is gone, or cannot be read.
    """
    path = files.path / name
    check_there(path)
    if files.foreign:
        probed = read_index(path)
        if not flags:
            return probed
    try:
        return faiss.read_index(str(path), flags)
    except RuntimeError:
        raise InputError(f"{path}: cannot be read, something else was written there: run again") from None


def check_there(path: Path) -> None:
    """Raise InputError if a delivered file is gone."""
    if not path.is_file():
        raise InputError(f"{path}: the index that was delivered is gone: run again, and save() the result")
