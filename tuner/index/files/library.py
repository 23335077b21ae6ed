"""Which library wrote an index file: each reader knows its own header."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from tuner.errors import InputError
from tuner.index.files.hnswlib import is_hnswlib
from tuner.index.files.usearch import is_usearch

Library: TypeAlias = Literal["faiss", "hnswlib", "usearch"]


def library_of(path: Path) -> Library:
    """Return what wrote a file; ``faiss`` if nothing else did.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if is_hnswlib(file):
                return "hnswlib"
            return "usearch" if is_usearch(file, path.stat().st_size) else "faiss"
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check its permissions") from None
