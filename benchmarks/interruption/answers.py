"""A small run whose answer no clock decides, and what of it must be the same after any interruption."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

BASE, QUERIES, SPACE, DISK = "base.npy", "queries.npy", "space.yaml", "disk"
OUT, SCRATCH = f"{DISK}/out", f"{DISK}/scratch"
ONE_CONFIGURATION = """
M: [6]
ef_construction: 40
codecs: [SQ8]
cuts: [1.0]
rerank_factors: [1]
"""
"""How many of several configurations are measured, and so how wide their bounds are, a clock decides."""
SMALLEST = ("--recall", "0.8", "--prefer", "smallest", "--space", SPACE, "--threads", "1", "--quiet")
CHOSEN = ("label", "ef_search", "recall", "recall_lower", "ndis_per_query", "memory_bytes")
CEILING = ("codec", "dims", "cut", "code_bytes", "recall_at", "recall_with", "excluded")
POINT = ("configuration", "ef_search", "recall", "ndis_per_query", "memory", "reaches_target")


@dataclass(frozen=True)
class Job:
    """A command, and what it leaves.

    Attributes:
        name: its name in tables.
        arguments: command line after ``tune``.
        results: files that it leaves, within the folder that it runs in.
        resumes: whether it takes ``--resume``.
    """

    name: str
    arguments: tuple[str, ...]
    results: tuple[str, ...]
    resumes: bool = True

    def again(self, folder: Path) -> list[str] | None:
        """Return the arguments that go on after an interruption, None if there is nothing left to do."""
        if not self.resumes:
            return None if (folder / self.results[0]).exists() else list(self.arguments)
        if any((folder / SCRATCH).rglob("journal.json")):
            return [*self.arguments, "--resume"]
        return None if (folder / OUT / "report.json").exists() else list(self.arguments)


FOLDERS = ("--out", OUT, "--work", SCRATCH)
REPORTED = (f"{OUT}/report.json", f"{OUT}/index.faiss", f"{OUT}/recommended.yaml")
RUN = Job("run", ("run", *SMALLEST, "--queries", QUERIES, *FOLDERS, BASE), REPORTED)
HELD_OUT = Job("held-out", ("run", *SMALLEST, *FOLDERS, BASE), REPORTED)
BUILD = Job(
    "build",
    ("build", "report.json", BASE, "--queries", QUERIES, "--threads", "1", "--quiet", *FOLDERS),
    REPORTED,
)
BASELINE = Job(
    "baseline",
    ("baseline", "report.json", "-o", f"{DISK}/baseline.yaml"),
    (f"{DISK}/baseline.yaml",),
    resumes=False,
)
JOBS = (RUN, HELD_OUT, BUILD, BASELINE)


def write_inputs(folder: Path, rows: int, report: bytes | None = None) -> None:
    """Write vectors, queries and the space; and the report of an earlier run, if one is given."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((30, 16))
    x = centres[rng.integers(30, size=rows + 400)] + 0.7 * rng.standard_normal((rows + 400, 16))
    np.save(folder / BASE, x[:rows].astype(np.float32))
    np.save(folder / QUERIES, x[rows:].astype(np.float32))
    (folder / SPACE).write_text(ONE_CONFIGURATION, encoding="utf-8")
    if report is not None:
        (folder / "report.json").write_bytes(report)


def answer_of(job: Job, folder: Path) -> dict[str, Any]:
    """Return what of the results no clock decides; files that must be the same to the byte as digests."""
    if not job.resumes:
        lines = (folder / job.results[0]).read_text(encoding="utf-8").splitlines()
        return {"lines": [line for line in lines if not line.startswith(("created", "frozen"))]}
    report = json.loads((folder / OUT / "report.json").read_bytes())
    chosen = report["recommendation"]
    digest = hashlib.blake2b((folder / OUT / "index.faiss").read_bytes(), digest_size=16).hexdigest()
    return {
        "status": report["status"],
        "recommendation": {name: chosen.get(name) for name in CHOSEN},
        "points": [{name: point.get(name) for name in POINT} for point in report["points"]],
        "ceilings": [{name: each[name] for name in CEILING} for each in report["ceilings"]],
        "curves": report["curves"],
        "profile": report["profile"],
        "index.faiss": digest,
    }


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    """Return the names of what is not the same."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def leftovers(folder: Path) -> list[str]:
    """Return the unfinished files that are left beside results."""
    return sorted(path.name for path in folder.rglob("*.partial"))
