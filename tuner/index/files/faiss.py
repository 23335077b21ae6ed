"""Index files from outside: read in a child process first, and looked through before anything is searched.

faiss believes what a file says. A flipped byte can make it allocate without end, read for minutes, or
follow a link out of its memory. So a child process with limits of time and memory reads the file first,
looks at every size and link, and searches a little; only what it came through is read here.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

import faiss
import msgspec
import numpy as np
import psutil

from tuner.errors import InputError
from tuner.index.files.soundness import ENDS_EARLY, NO_FAISS, fault, with_mend
from tuner.index.files.strangers import refuse_strangers
from tuner.runtime import child
from tuner.text import one_line

SPARE_BYTES = 4 << 30
"""Memory that the child may take beside four times the file: the libraries map a lot."""
CUT, UNKNOWN_KIND = "read error in", "not recognized"
"""In what faiss says of a file that ends early, and of one that begins with letters it does not know."""
PROBED = 4
"""Vectors that the child searches for."""


@dataclass(frozen=True)
class Probed:
    """What the child says: what is wrong, empty if nothing, and what the index took of its memory."""

    wrong: str = ""
    resident_bytes: int = 0


def read_index(path: Path) -> faiss.Index:
    """Return the faiss index of a file.

    Raises:
        InputError: there is none that could be searched without harm.
    """
    return read_probed(path)[0]


def read_probed(path: Path) -> tuple[faiss.Index, int]:
    """Return the faiss index of a file, and the bytes that it takes in the memory of a fresh process.

    Raises:
        InputError: there is none that could be searched without harm.
    """
    refuse_strangers(path)
    probed = _probed(path)
    if probed.wrong:
        raise InputError(f"{path}: {with_mend(probed.wrong)}")
    return faiss.read_index(str(path)), probed.resident_bytes


def _probed(path: Path) -> Probed:
    """Return what a child process found out about a file."""
    done = child.read_apart(__name__, path, str(SPARE_BYTES + 4 * path.stat().st_size))
    if done is None:
        return Probed("reading it does not come to an end, so it is damaged")
    if done.returncode == 0:
        return msgspec.json.decode(done.stdout, type=Probed)
    return Probed("faiss dies of it, so it is damaged or no index")


def probe(path: Path) -> Probed:
    """Return what a file holds, as far as it can be believed; in a child process."""
    before = psutil.Process().memory_info().rss
    try:
        index = faiss.read_index(str(path))
    except (RuntimeError, MemoryError) as error:
        return Probed(_unreadable(str(error)))
    resident_bytes = psutil.Process().memory_info().rss - before
    if wrong := fault(index):
        return Probed(wrong)
    if index.ntotal:
        queries = np.random.default_rng(0).normal(size=(PROBED, index.d)).astype(np.float32)
        index.search(queries, 1)
    return Probed(resident_bytes=max(0, resident_bytes))


def _unreadable(message: str) -> str:
    """Return what is wrong with a file that faiss refused with that message."""
    if CUT in message:
        return f"it {ENDS_EARLY}"
    first = next(iter(message.splitlines()), "") or "memory ran out"
    found = one_line(first.split(":")[-1]).strip()[:120]
    return f"faiss cannot read it ({found}), so it {NO_FAISS if UNKNOWN_KIND in message else 'is damaged'}"


def main() -> None:
    """Write what a file holds to standard output; its name and the memory allowed are arguments."""
    child.limit_memory(int(sys.argv[2]))
    faiss.omp_set_num_threads(1)
    os.write(1, msgspec.json.encode(probe(Path(sys.argv[1]))))  # the pipe to the parent
