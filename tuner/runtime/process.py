"""This process, set up for measuring, and given back: threads, huge pages, freed memory."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import faiss
from threadpoolctl import ThreadpoolController

from tuner.runtime.machine import available_cores

_CONTROLLER = ThreadpoolController()
M_MMAP_THRESHOLD, M_ARENA_MAX = -3, -8
"""mallopt(3)."""
SET_THP_DISABLE, GET_THP_DISABLE = 41, 42
"""prctl(2): no transparent huge pages for this process."""


def dedicate_process() -> None:
    """Set up a process that does nothing else: the command line's.

    mallopt has no way back, so a library must not call it: jobs that are called from Python run in a
    ``borrowed_process`` instead.
    """
    return_memory_promptly()
    place_arrays_like_an_index()


@contextmanager
def borrowed_process() -> Iterator[None]:
    """Measure in a process that is somebody else's: threads and huge pages are given back afterwards."""
    placed = not _huge_pages_disabled() and place_arrays_like_an_index()
    try:
        with kept_threads():
            yield
    finally:
        if placed:
            ctypes.CDLL(None).prctl(SET_THP_DISABLE, 0, 0, 0, 0)


def use_threads(threads: int) -> None:
    """Let faiss use that many threads from now on; 0 means all cores.

    numpy's BLAS gets one: its calls here are many and small, and its threads burn the CPU time that they
    save waiting for each other.
    """
    _CONTROLLER.limit(limits=1, user_api="blas")
    # after, not before: an OpenBLAS built on OpenMP sets OpenMP's threads along with its own
    faiss.omp_set_num_threads(threads or available_cores())


@contextmanager
def kept_threads() -> Iterator[None]:
    """Give faiss and BLAS back the threads that they had."""
    of_faiss = faiss.omp_get_max_threads()
    of_blas = [(each, each.get_num_threads()) for each in _CONTROLLER.lib_controllers]
    try:
        yield
    finally:
        for library, threads in of_blas:
            library.set_num_threads(threads)
        faiss.omp_set_num_threads(of_faiss)


def return_memory_promptly() -> None:
    """Have freed arrays given back to the system at once, where the C library is glibc.

    By default it keeps what was freed and hands out ever larger blocks from it, so that a peak of one
    stage stays in the resident size of the next, and gives each thread such a store of its own.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 1 << 18)
        library.mallopt(M_ARENA_MAX, 1)


def place_arrays_like_an_index() -> bool:
    """Keep numpy's arrays out of huge pages where an index that is loaded from a file gets none.

    Returns whether anything was changed.

    numpy asks for huge pages (madvise) and faiss does not. Codes in numpy arrays were seen to be up to
    30 % faster or not at all, as the kernel had such pages free: other figures than a loaded index has,
    in another order. Where huge pages are for everyone, or on another system, nothing is changed.
    """
    if platform.system() != "Linux":
        return False
    try:
        mode = Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(encoding="ascii")
    except OSError:
        return False
    if "[madvise]" not in mode:
        return False
    return bool(ctypes.CDLL(None).prctl(SET_THP_DISABLE, 1, 0, 0, 0) == 0)


def _huge_pages_disabled() -> bool:
    return platform.system() == "Linux" and bool(ctypes.CDLL(None).prctl(GET_THP_DISABLE, 0, 0, 0, 0) > 0)


def return_freed_memory() -> None:
    """Give back what is free at the top of the heap and between its blocks (malloc_trim(3))."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)
