"""Threads and huge pages: set up for measuring, and given back."""

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faiss
import pytest
from threadpoolctl import ThreadpoolController

from tuner.runtime import process
from tuner.runtime.process import borrowed_process, place_arrays_like_an_index, use_threads

ON_LINUX = pytest.mark.skipif(platform.system() != "Linux", reason="prctl is Linux's own")
# in a process of its own: what is switched off stays off
PLACE = """
import ctypes, pathlib, sys
from tuner.runtime.process import place_arrays_like_an_index

said = sys.argv[1]

def read_text(path, encoding=None):
    assert str(path) == "/sys/kernel/mm/transparent_hugepage/enabled"
    if not said:
        raise FileNotFoundError(2, "No such file or directory")
    return said

state = ctypes.CDLL(None).prctl
state(41, 0, 0, 0, 0)  # a parent that switched them off leaves them off
before = state(42, 0, 0, 0, 0)
pathlib.Path.read_text = read_text
place_arrays_like_an_index()
sys.stdout.write(f"{before} {state(42, 0, 0, 0, 0)}")
"""


@ON_LINUX
@pytest.mark.parametrize(
    ("mode", "disabled"),
    [
        ("always [madvise] never\n", 1),
        ("[always] madvise never\n", 0),
        ("always madvise [never]\n", 0),
        ("", 0),  # no such file
    ],
)
def test_huge_pages_are_switched_off_where_only_numpy_gets_them(mode: str, disabled: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PLACE, mode], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, f"0 {disabled}"), done.stderr


BORROW = """
import ctypes, pathlib, sys
from tuner.runtime import process

real = pathlib.Path.read_text
pathlib.Path.read_text = lambda path, encoding=None: (
    "[madvise]" if path.name == "enabled" else real(path, encoding)
)
state = ctypes.CDLL(None).prctl
state(41, int(sys.argv[1]), 0, 0, 0)
said = []
try:
    with process.borrowed_process():
        said.append(state(42, 0, 0, 0, 0))
        raise ValueError
except ValueError:
    said.append(state(42, 0, 0, 0, 0))
sys.stdout.write(repr(said))
"""


@ON_LINUX
@pytest.mark.parametrize("before", [0, 1])
def test_a_borrowed_process_gets_its_huge_pages_back_when_the_job_fails_too(before: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BORROW, str(before)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, f"[1, {before}]"), done.stderr


def test_a_borrowed_process_gets_its_threads_back(threads: Callable[[int], None]) -> None:
    threads(3)
    before = ThreadpoolController().info()
    with borrowed_process():
        use_threads(1)
        assert faiss.omp_get_max_threads() == 1
    assert ThreadpoolController().info() == before
    assert faiss.omp_get_max_threads() == 3


def test_a_borrowed_process_keeps_its_malloc_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> None:
        raise AssertionError("mallopt has no way back")

    monkeypatch.setattr(process, "return_memory_promptly", forbidden)
    with borrowed_process():
        pass
    with pytest.raises(AssertionError):
        process.dedicate_process()


def test_on_other_systems_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: Any, **__: Any) -> str:
        raise AssertionError("a file of Linux")

    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(Path, "read_text", forbidden)
    monkeypatch.setattr("ctypes.CDLL", forbidden)
    place_arrays_like_an_index()


# ---------------------------------------------------------------- threads


@pytest.mark.parametrize("asked", [1, 2, 3])
def test_faiss_gets_the_threads_and_the_blas_of_numpy_one(threads: Callable[[int], None], asked: int) -> None:
    every = ThreadpoolController()
    # faiss's own follows OpenMP, numpy's has threads of its own
    numpys = [library["filepath"] for library in every.info() if "numpy" in library["filepath"]]
    if not numpys:
        pytest.skip("numpy has no BLAS with threads that can be counted")
    blas = every.select(filepath=numpys)
    blas.limit(limits=2)
    threads(asked)
    assert faiss.omp_get_max_threads() == asked
    assert {library["num_threads"] for library in blas.info()} == {1}


def test_no_threads_means_every_core(threads: Callable[[int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "available_cores", lambda: 5)
    threads(0)
    assert faiss.omp_get_max_threads() == 5
