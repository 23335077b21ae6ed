"""What contestants are asked and what they answer, and both as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import msgspec

from tuner.runtime.journal import write_atomically
from tuner.types import Metric

ANSWER, FAILURE, INDEX = "answer.json", "failure.json", "index.faiss"
Engine = Literal["faiss", "hnswlib"]


class NoAnswerError(Exception):
    """A contestant cannot take part; the message says exactly why."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What every contestant gets: the same vectors, queries, target, threads and seed.

    The queries that answers are scored on are not in it.

    Attributes:
        name: name of the benchmark.
        base: .npy file of the vectors to index.
        tuning: .npy file of the queries to tune with.
        n: number of vectors.
        d: dimensions.
        metric: metric of the search.
        recall: target recall@k.
        k: neighbours asked for.
        confidence: confidence level of the lower bound.
        seed: random seed of every contestant.
        threads: threads for building.
        data: digest of the rows, the tuning queries and the scoring queries.
        versions: versions of what the figures depend on; answers of others are not taken for these.
    """

    name: str
    base: str
    tuning: str
    n: int
    d: int
    metric: Metric
    recall: float
    k: int
    confidence: float
    seed: int
    threads: int
    data: str
    versions: dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The index that a contestant delivers, and what finding it took.

    Attributes:
        contestant: name of the contestant.
        label: index in the style of a faiss factory string.
        codec: codec of the vectors.
        M: links of a node.
        ef_construction: candidates while building.
        ef_search: candidates while searching.
        memory_bytes: serialized bytes as the contestant says; the scorer looks for itself.
        cpu_s: CPU seconds of the contestant's whole process and its children, all threads, imports included.
        wall_s: wall seconds of the process.
        peak_rss_bytes: largest resident memory of the process.
        n_builds: graphs built from scratch.
        index: file of the index, relative to the contestant's folder. faiss files take raw queries.
        engine: library that reads the file.
        reached: whether its own queries say that the lower bound meets the target.
        own_recall: mean recall on its own queries.
        note: remark for the reader.
        load: load average of the machine in the minute before it started.
        also: further indexes from the same run, such as the point that it calls fastest.
    """

    contestant: str
    label: str
    codec: str
    M: int
    ef_construction: int
    ef_search: int
    memory_bytes: int
    cpu_s: float
    wall_s: float
    peak_rss_bytes: int
    n_builds: int
    index: str = INDEX
    engine: Engine = "faiss"
    reached: bool = True
    own_recall: float | None = None
    note: str = ""
    load: float = 0.0
    also: tuple[Answer, ...] = field(default_factory=tuple)


@dataclass(frozen=True)
class Failure:
    """A contestant without an answer, and why."""

    contestant: str
    reason: str


def write(what: Task | Answer | Failure, path: Path) -> None:
    """Write ``what`` as JSON, whole or not at all."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(what)) + b"\n")


def read_task(path: Path) -> Task:
    """Return the task of a file."""
    return msgspec.json.decode(path.read_bytes(), type=Task)


def read_answer(path: Path) -> Answer | None:
    """Return the answer of a file, or None where there is none yet."""
    return msgspec.json.decode(path.read_bytes(), type=Answer) if path.exists() else None


def read_failure(path: Path) -> Failure | None:
    """Return the failure of a file, or None where there is none."""
    return msgspec.json.decode(path.read_bytes(), type=Failure) if path.exists() else None
