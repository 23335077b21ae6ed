"""The binary file of word2vec and gensim: a line with two numbers, then words, each before its float32."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuner.data.formats.flat import FlatFile
from tuner.data.formats.spool import BLOCK_BYTES, written
from tuner.errors import InputError

HEAD = re.compile(rb"(\d{1,10}) (\d{1,6})\n")
DTYPE = np.dtype("<f4")
MOST_WORD = 1 << 16
"""Bytes of a word and the space behind it, beyond which the file is damaged."""


def is_word2vec(start: bytes, size: int) -> bool:
    """Return whether a file begins as such a file does, and is long enough for what it says.

    >>> is_word2vec(b"2 3\\nking ", 40), is_word2vec(b"900 300\\nking ", 40)
    (True, False)
    """
    head = HEAD.match(start)
    return head is not None and size >= head.end() + int(head[1]) * (2 + DTYPE.itemsize * int(head[2]))


def open_word2vec(path: Path, source: str, start: bytes) -> FlatFile:
    """Return the vectors of the words, in their order.

    Raises:
        InputError: it ends within a vector, or a word has no end.
    """
    head = HEAD.match(start)
    if head is None:
        raise AssertionError("is_word2vec was not asked")
    n, d = int(head[1]), int(head[2])
    return written(source, d, DTYPE, _blocks(path, source, head.end(), n, d), n)


def _blocks(path: Path, source: str, begin: int, n: int, d: int) -> Iterator[NDArray[Any]]:
    """Yield the vectors of some thousand words at a time."""
    size, done, rest = DTYPE.itemsize * d, 0, b""
    with path.open("rb") as file:
        file.seek(begin)
        while done < n:
            more = file.read(BLOCK_BYTES + size)
            data = rest + more
            places, end = _places(data, size, n - done)
            if not places:
                if more and len(data) <= MOST_WORD + size + BLOCK_BYTES:
                    rest = data
                    continue
                raise InputError(
                    f"{source} is truncated or damaged: its first line says {n:,} words of {d:,} numbers, "
                    f"and word {done} has none: copy it again or write it again"
                )
            columns = np.asarray(places)[:, None] + np.arange(size)
            yield np.frombuffer(data, dtype=np.uint8)[columns].view(DTYPE)
            done, rest = done + len(places), data[end:]


def _places(data: bytes, size: int, most: int) -> tuple[list[int], int]:
    """Return where the vectors of at most so many whole words begin, and where the last of them ends."""
    places: list[int] = []
    end = 0
    while len(places) < most:
        space = data.find(b" ", end, end + MOST_WORD)
        if space < 0 or space + 1 + size > len(data):
            break
        places.append(space + 1)
        end = space + 1 + size
    return places, end
