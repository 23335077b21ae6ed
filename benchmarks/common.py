"""What the benchmarks share: where a figure comes from, and writing it down."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

import click
import msgspec

from tuner.runtime.journal import write_atomically
from tuner.runtime.machine import describe_machine, describe_versions, now

ROOT = Path(__file__).parents[1]
"""Folder of the project."""
FILE = click.Path(exists=True, path_type=Path)
"""Type of an argument that names a file which is there."""

ABSOLUTE = re.compile(r"(^|=)/.*/")
"""Folders in an argument, alone or as in ``NAME=PATH``."""
RowT = TypeVar("RowT")


class Findings(msgspec.Struct, Generic[RowT], frozen=True, kw_only=True):
    """The rows of one benchmark on one set, and where they come from.

    Attributes:
        base: folder of the vectors.
        n: number of vectors.
        d: dimensions.
        n_queries: number of queries.
        command: command line that repeats it.
        created: time of the run, ISO 8601.
        machine: processor, cores and system.
        versions: versions of what the figures depend on.
        rows: rows of the table.
    """

    base: str
    n: int
    d: int
    n_queries: int
    command: str
    created: str
    machine: dict[str, object]
    versions: dict[str, str]
    rows: list[RowT]


def findings(base: Path, shape: tuple[int, int], n_queries: int, rows: list[RowT]) -> Findings[RowT]:
    """Return rows that were just found, with the running command, the machine and the versions.

    Args:
        base: file of the vectors.
        shape: number of vectors, and dimensions.
        n_queries: number of queries.
        rows: rows of the table.
    """
    return Findings(
        base=base.resolve().parent.name,
        n=shape[0],
        d=shape[1],
        n_queries=n_queries,
        command=shown_command(),
        created=now(),
        machine=describe_machine(),
        versions=describe_versions(),
        rows=rows,
    )


def shown_command() -> str:
    """Return the command that is running, without paths that name this machine."""
    main = sys.modules["__main__"].__spec__
    name = main.name.removesuffix(".__main__") if main is not None else Path(sys.argv[0]).name
    words = [ABSOLUTE.sub(r"\1", word) for word in sys.argv[1:]]
    return shlex.join(["python", "-m", name, *words])


def origin() -> str:
    """Return one line that says where the figures beside it come from: command, time, machine, versions."""
    machine, versions = describe_machine(), describe_versions()
    named = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"`{shown_command()}`, {now()}, {machine['processor']}, {machine['cores']} cores; {named}"


def write_json(found: msgspec.Struct, path: Path) -> None:
    """Write ``found`` as JSON, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, msgspec.json.format(msgspec.json.encode(found), indent=1) + b"\n")


def write_lines(lines: Iterable[str], path: Path) -> None:
    """Write text, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, ("\n".join(lines).rstrip("\n") + "\n").encode())


def tune_command(arguments: Iterable[str]) -> list[str]:
    """Return the command line of ``tune`` with this Python and this checkout, to be run in ``ROOT``."""
    return [sys.executable, "-m", "tuner", *arguments]


def run_tune(arguments: Iterable[str]) -> subprocess.CompletedProcess[str]:
    """Run ``tune`` in a process of its own; return what it wrote and its exit status."""
    command = tune_command(arguments)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - ours
