"""Runs whose disk is full at their first write, at the second, and so on; and the same gone on with."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.interruption.answers import (
    DISK,
    OUT,
    RUN,
    Job,
    answer_of,
    differences,
    leftovers,
    write_inputs,
)
from benchmarks.interruption.forked import Ended, Running
from tuner.errors import ResourceError

SOURCE = Path(__file__).with_name("full_disk.c")
CONTROL = "TUNE_FULL_DISK"
"""Variable of the environment that names the file with what ``full_disk.c`` is told."""
FIELDS, PLACE_BYTES, WHAT_BYTES = struct.Struct("qqqq"), 2048, 2048
ALL = 2**62
SENTENCE = "tune: "
PLACES = {"TUNER_CACHE_DIR": "cache", "TMPDIR": "tmp"}
"""Variables of the environment, and folders of the disk that they name."""


class Full(msgspec.Struct, frozen=True, kw_only=True):
    """A run whose disk was full at one write.

    Attributes:
        job: name of the job.
        number: number of the write.
        once: whether the disk had room again at once.
        what: call and file.
        code: exit code.
        words: what the run wrote.
        wrong: what was not as it should be, then or after it was gone on with; empty if nothing.
    """

    job: str
    number: int
    once: bool
    what: str
    code: int
    words: str
    wrong: list[str]


def compiled(folder: Path) -> Path:
    """Return the library that lets writes fail.

    Raises:
        ResourceError: there is no compiler of C.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise ResourceError("gcc is not installed: writes that fail are made in C")
    library = folder / "full_disk.so"
    command = [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)  # noqa: S603 - ours
    return library


class Disk:
    """A folder below which writes fail on demand, in this process's children.

    Args:
        control: file that ``TUNE_FULL_DISK`` names.
        place: the folder.
    """

    def __init__(self, control: Path, place: Path) -> None:
        (place / PLACES["TMPDIR"]).mkdir(parents=True)
        self.place = place
        size = FIELDS.size + PLACE_BYTES + WHAT_BYTES
        with control.open("r+b") as file:
            self._mapped = mmap.mmap(file.fileno(), size)
        prefix = f"{place.resolve()}/".encode()
        self._mapped[FIELDS.size : FIELDS.size + PLACE_BYTES] = prefix.ljust(PLACE_BYTES, b"\0")

    @staticmethod
    def make_control(path: Path) -> None:
        """Write the file that processes share, before any of them is started."""
        path.write_bytes(bytes(FIELDS.size + PLACE_BYTES + WHAT_BYTES))

    def empty(self) -> None:
        """Remove what is in it."""
        shutil.rmtree(self.place)
        (self.place / PLACES["TMPDIR"]).mkdir(parents=True)

    def fail(self, first: int, last: int = ALL) -> None:
        """Let the writes from ``first`` to ``last`` fail; 0 for none. Counting begins anew."""
        self._mapped[FIELDS.size + PLACE_BYTES :] = bytes(WHAT_BYTES)
        self._mapped[: FIELDS.size] = FIELDS.pack(0, first, last, 0)

    @property
    def n_writes(self) -> int:
        """Number of writes since ``fail``."""
        return int(FIELDS.unpack(self._mapped[: FIELDS.size])[0])

    @property
    def what(self) -> str:
        """The call that failed first, and its file."""
        return self._mapped[FIELDS.size + PLACE_BYTES :].split(b"\0")[0].decode(errors="replace")


class FullDisks:
    """Where runs meet a full disk: results, scratch files, the cache and temporary files lie on it.

    Args:
        folder: an empty folder.
        rows: number of vectors.
    """

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder = folder
        write_inputs(folder, rows)
        self.disk = Disk(Path(os.environ[CONTROL]), folder / DISK)
        self._undisturbed(RUN)
        write_inputs(folder, rows, (folder / OUT / "report.json").read_bytes())

    def each(self, job: Job, most: int, rng: np.random.Generator, *, once: bool) -> Iterator[Full]:
        """Yield what came of a full disk at each write of a job, or at so many of them."""
        expected = self._undisturbed(job)
        numbers = np.arange(1, self.disk.n_writes + 1)
        if len(numbers) > most:
            numbers = np.sort(rng.choice(numbers, most, replace=False))
        for number in numbers.tolist():
            yield self._at(job, number, expected, once=once)

    def _undisturbed(self, job: Job) -> dict[str, Any]:
        self.disk.empty()
        self.disk.fail(0)
        ended = self._ended(job, list(job.arguments))
        if ended.code != 0:
            raise RuntimeError(f"{job.name} itself fails: {ended.words}")
        return answer_of(job, self.folder)

    def _at(self, job: Job, number: int, expected: dict[str, Any], *, once: bool) -> Full:
        self.disk.empty()
        self.disk.fail(number, number if once else ALL)
        ended = self._ended(job, list(job.arguments))
        what = self.disk.what
        self.disk.fail(0)
        wrong = _wrong_words(ended)
        again = job.again(self.folder)
        if again is not None:
            resumed = self._ended(job, again)
            wrong += [] if resumed.code == 0 else [f"then exit code {resumed.code}: {resumed.words[-500:]}"]
        if not wrong:
            wrong = differences(answer_of(job, self.folder), expected) + leftovers(self.folder)
        return Full(
            job=job.name,
            number=number,
            once=once,
            what=what,
            code=ended.code,
            words=ended.words,
            wrong=wrong,
        )

    def _ended(self, job: Job, arguments: list[str]) -> Ended:
        places = {name: str(self.disk.place / folder) for name, folder in PLACES.items()}
        return Running(arguments, self.folder, places).ended()


def _wrong_words(ended: Ended) -> list[str]:
    """Return what is wrong with how a run ended whose disk was full: one sentence and exit code 2, or 0."""
    if ended.code == 0:
        return []  # a cache that could not be written costs time, not the answer
    lines = ended.words.splitlines()
    wrong = [] if ended.code == 2 else [f"exit code {ended.code}"]
    if len(lines) != 1 or not lines[0].startswith(SENTENCE):
        wrong.append(f"not one sentence: {ended.words[-800:]}")
    return wrong
