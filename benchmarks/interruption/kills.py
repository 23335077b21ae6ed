"""Runs that are killed at random and gone on with, alone or two on one cache."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks.interruption.answers import (
    BUILD,
    JOBS,
    OUT,
    RUN,
    Job,
    answer_of,
    differences,
    leftovers,
    write_inputs,
)
from benchmarks.interruption.forked import Ended, Running

SHARES = dict(zip((job.name for job in JOBS), (0.6, 0.15, 0.15, 0.1), strict=True))
"""How often each job is killed."""
AGAIN = 0.7
"""Share of resumed runs that are killed once more."""
TOGETHER = 0.25
"""Share of runs beside which another goes on, on the same cache."""
ONE_CACHE = 0.5
"""Share of runs on the cache that all of them leave their entries in; the others begin with an empty one."""
BEYOND, LEFT = 1.05, 0.3
"""Latest kill, in times of what is left of a run, and the share of it that is always left."""
DAMAGES = ("stage cut short", "cache entry damaged", "")
"""What is done to the files after every third kill, which loses no more than one more step."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """One run that was killed, once or more, and then ended.

    Attributes:
        job: name of the job.
        kills: shares of an undisturbed run's time after which it was killed.
        stages: number of stages that were finished at each kill.
        together: whether another run went on beside it, on the same cache.
        damage: what was done to its files beside.
        wrong: what was not as it is without any kill; empty if nothing.
    """

    job: str
    kills: list[float]
    stages: list[int]
    together: bool
    damage: str
    wrong: list[str]


@dataclass
class Bench:
    """Where runs are killed.

    Args:
        folder: an empty folder.
        rows: number of vectors.
        seed: random seed of what is killed when.
        jobs: what is killed, a run first.
    """

    folder: Path
    rows: int
    seed: int
    jobs: tuple[Job, ...] = JOBS
    report: bytes = b""
    expected: dict[str, dict[str, Any]] = field(default_factory=dict)
    takes_s: dict[str, float] = field(default_factory=dict)

    def prepare(self) -> None:
        """Do every job once, undisturbed; a run first, whose report others take."""
        for job in self.jobs:
            place = self._place(f"undisturbed-{self.jobs.index(job)}")
            ended = self._started(job, list(job.arguments), place, place / "cache").ended()
            if ended.code != 0:
                raise RuntimeError(f"{job.name} itself fails: {ended.words}")
            self.expected[job.name], self.takes_s[job.name] = answer_of(job, place), ended.wall_s
            self.report = self.report or (place / OUT / "report.json").read_bytes()

    def trials(self, n_kills: int) -> Iterator[Trial]:
        """Yield runs until so many kills have come before the end of what they were to kill."""
        rng, done, number = np.random.default_rng(self.seed), 0, 0
        while done < n_kills:
            trial = self.trial(rng, number, n_kills - done)
            done, number = done + len(trial.kills), number + 1
            yield trial

    def trial(self, rng: np.random.Generator, number: int, most: int) -> Trial:
        """Kill one run, once or more, end it, and compare its answer."""
        weights = np.array([SHARES[job.name] for job in self.jobs])
        job = self.jobs[int(rng.choice(len(self.jobs), p=weights / weights.sum()))]
        place, second = self._place(f"{number}"), None
        # a build takes the graph of an earlier run from the cache where there is one: another answer
        alone = job is BUILD
        shared = rng.random() < ONE_CACHE and not alone
        cache = self.folder / "cache" if shared else place / "cache"
        damage = DAMAGES[number % len(DAMAGES)] if job.resumes else ""
        together = bool(job.resumes and rng.random() < TOGETHER and not alone)
        other = self._place(f"{number}-beside")
        if together:
            second = self._started(RUN, list(RUN.arguments), other, cache)
        kills: list[float] = []
        stages: list[int] = []
        wrong: list[str] = []
        arguments: list[str] | None = list(job.arguments)
        left = 1.0
        while arguments is not None:
            share = float(rng.uniform(0, BEYOND)) * left
            wanted = len(kills) < most and (not kills or rng.random() < AGAIN)
            after_s = share * self.takes_s[job.name] if wanted else float("inf")
            left = max(LEFT, left - share)
            ended = self._started(job, arguments, place, cache).ended(after_s)
            if not ended.killed:
                if not kills:  # other work on the machine comes and goes
                    self.takes_s[job.name] = (self.takes_s[job.name] + ended.wall_s) / 2
                wrong += _complaints(ended)
                break
            kills.append(share)
            stages.append(len(list(place.rglob("*.stage"))))
            _do_damage(damage, place, cache)
            arguments = job.again(place)
        wrong += self._wrong(job, place) if not wrong else []
        if second is not None:
            wrong += [f"beside: {each}" for each in _complaints(second.ended()) or self._wrong(RUN, other)]
        if not wrong:
            shutil.rmtree(place)
            shutil.rmtree(other)
        return Trial(job=job.name, kills=kills, stages=stages, together=together, damage=damage, wrong=wrong)

    def _wrong(self, job: Job, place: Path) -> list[str]:
        return differences(answer_of(job, place), self.expected[job.name]) + leftovers(place)

    def _place(self, name: str) -> Path:
        place = self.folder / name
        write_inputs(place, self.rows, self.report)
        (place / "tmp").mkdir()
        return place

    @staticmethod
    def _started(job: Job, arguments: list[str], place: Path, cache: Path) -> Running:
        return Running(arguments, place, {"TUNER_CACHE_DIR": str(cache), "TMPDIR": str(place / "tmp")})


def _complaints(ended: Ended) -> list[str]:
    return [] if ended.code == 0 else [f"exit code {ended.code}: {ended.words[-500:]}"]


def _do_damage(damage: str, place: Path, cache: Path) -> None:
    """Damage what a crash of the whole machine could: the newest stage, or the entries of the cache."""
    if damage == "stage cut short":
        stages = sorted(place.rglob("*.stage"), key=lambda path: path.stat().st_mtime_ns)
        damaged = stages[-1:]
    elif damage == "cache entry damaged" and cache.is_relative_to(place):
        damaged = [path for path in cache.rglob("*") if path.suffix in (".npz", ".graph", ".i32")]
    else:
        damaged = []
    for path in damaged:
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + (bytes(9) if path.suffix == ".i32" else b""))
