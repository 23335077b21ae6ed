"""``tune doctor``: what this machine has, and whether everything that is installed really works."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import click
import psutil

from tuner.cli.draw import Screen
from tuner.cli.extras import PACKAGE, Extra, extras_of, leaves, missing_of, pip_line, requires_of
from tuner.cli.options import JSON, QUIET
from tuner.cli.outputs import show_verdict
from tuner.cli.trials import tried
from tuner.report.json_report import versioned_json
from tuner.report.words import bytes_text
from tuner.runtime.cache import cache_dir, cache_size
from tuner.runtime.machine import available_cores, describe_machine, describe_versions, free_bytes
from tuner.text import counted
from tuner.types import Line

SCHEMA_VERSION = 1
UNWELL = 1
LITTLE_DISK, LITTLE_MEMORY = 1e9, 1e9
MOST_AT_ONCE = 4
FEATURES = ("avx2", "avx512f", "asimd", "sve")
"""Instructions that faiss has kernels for, as Linux names them."""


@click.command(short_help="Say what works here: processor, memory, cache, every extra.")
@click.argument("extras", metavar="[EXTRA]...", nargs=-1)
@JSON
@QUIET
def doctor(*, extras: tuple[str, ...], as_json: bool, quiet: bool) -> int:
    """Look at the machine, and really use everything that is installed, each in a process of its own.

    Without EXTRA what is not installed is listed, with the pip line that brings it, and is no fault. An
    EXTRA, such as formats, pgvector or engines, must be installed and work. The exit code is 0 if all does, 1
    if something does not.
    """
    known = {extra.name: extra for extra in extras_of(requires_of(PACKAGE))}
    named = tuple(dict.fromkeys(leaf for name in extras for leaf in leaves(known, name)))
    screen = Screen(stderr=True)
    with nullcontext() if quiet else screen.status("trying what is installed"):
        lines = [*machine_lines(), *extra_lines(known, named or None)]
    broken = [line.name for line in lines if line.status == "fail"]
    headline = (
        f"{counted(len(broken), 'thing does', 'things do')} not work: {', '.join(broken)}."
        if broken
        else "Everything that was asked for works."
        if named
        else "Everything that is installed works."
    )
    json = None
    if as_json:
        json = versioned_json(SCHEMA_VERSION, {"passed": not broken, "headline": headline, "lines": lines})
    show_verdict(Screen(stderr=as_json), lines, headline, json, quiet=quiet)
    return UNWELL if broken else 0


def machine_lines() -> Iterator[Line]:
    """Yield what the machine has, as lines of a verdict."""
    machine, found = describe_machine(), describe_versions()
    yield Line("versions", "info", ", ".join(f"{name} {number}" for name, number in found.items()))
    has = ", ".join(instructions()) or "no instructions that faiss is made for are known"
    yield Line("processor", "info", f"{machine['processor']}: {has}; faiss: {machine['faiss_options']}")
    limit = os.environ.get("OMP_NUM_THREADS")
    threads = f"{counted(available_cores(), 'core')} of {os.cpu_count()}"
    yield Line("threads", "info", f"{threads}{f'; OMP_NUM_THREADS={limit}' if limit else ''}")
    memory = psutil.virtual_memory()
    yield Line(
        "memory",
        "warn" if memory.available < LITTLE_MEMORY else "info",
        f"{bytes_text(memory.available)} free of {bytes_text(memory.total)}",
    )
    scratch = Path(tempfile.gettempdir())
    free = free_bytes(scratch)
    yield Line("disk", "warn" if free < LITTLE_DISK else "info", f"{bytes_text(free)} free in {scratch}")
    yield cache_line()


def cache_line() -> Line:
    """Return whether the cache can be written."""
    folder, size = cache_dir(), cache_size()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        return Line(
            "cache",
            "warn",
            f"{folder} cannot be written ({error.strerror}): nothing is kept; set TUNER_CACHE_DIR",
        )
    return Line("cache", "pass", f"{folder}: {counted(size.n_files, 'file')}, {bytes_text(size.n_bytes)}")


def instructions() -> list[str]:
    """Return those of the processor's features that faiss has kernels for, where the system tells them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return []
    words = set(re.findall(r"^(?:flags|Features)\s*:(.*)$", text, flags=re.MULTILINE)[:1] or [""])
    return [name for name in FEATURES if any(name in line.split() for line in words)]


def extra_lines(known: dict[str, Extra], named: tuple[str, ...] | None) -> Iterator[Line]:
    """Yield a line for the core and for each extra.

    Args:
        known: extras by name.
        named: those that must be there and work; None asks for whatever is installed.
    """
    wanted = named if named is not None else tuple(name for name in known if not known[name].parts)
    missing = {name: missing_of(known[name]) for name in wanted}
    there = [name for name in wanted if not missing[name]]
    with ThreadPoolExecutor(max(1, min(MOST_AT_ONCE, available_cores()))) as pool:
        trials = dict(zip(("core", *there), pool.map(tried, ("core", *there), ("core", *there)), strict=True))
    yield trials["core"]
    for name in wanted:
        if name in trials:
            yield trials[name]
        else:
            yield Line(name, "fail" if named else "info", f"not installed: {pip_line(missing[name])}")
