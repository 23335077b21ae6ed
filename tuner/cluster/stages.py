"""A stage whose work is spread over workers: each item is kept when it is done, what runs is described."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec

from tuner.runtime.journal import Journal, decoded, encoded, write_atomically
from tuner.runtime.steps import Driver
from tuner.runtime.workers import Workers
from tuner.types import Event, Note, Progress, Steps

Item = TypeVar("Item")
T = TypeVar("T")
ITEMS = "tune-items"
"""Folder of the scratch folder with what items of a stage gave that is not finished."""


def across(
    journal: Journal,
    workers: Workers,
    name: str,
    title: str,
    kind: Any,
    work: Callable[[Item], Steps[T]],
    items: Sequence[Item],
    *,
    whole_node: bool = True,
) -> Generator[Event, None, list[T]]:
    """Yield events; return the results of work on items, each kept as soon as it is done.

    Args:
        journal: finished stages of the run.
        kind: type of a result.
        work: function of one item, which other machines find by its name.
        whole_node: whether it has a machine for itself.
    """
    folder = journal.folder / ITEMS / name
    numbered = list(enumerate(items))
    spread = partial(workers.spread, partial(_kept, folder, kind, work), numbered, whole_node=whole_node)
    staged = Driver(journal.stage(name, title, list[kind], spread))
    for event in staged:
        yield replace(event, detail=workers.describe()) if isinstance(event, Progress) else event
    shutil.rmtree(folder, ignore_errors=True)
    if slowest := workers.describe_slowest():
        yield Note(f"{title}: {slowest}")
    return staged.result


def _kept(folder: Path, kind: Any, work: Callable[[Item], Steps[T]], numbered: tuple[int, Item]) -> Steps[T]:
    """Return what an item gave before, or do its work and keep the result."""
    number, item = numbered
    path = folder / f"{number:05}.item"
    try:
        return cast("T", decoded(path.read_bytes(), kind))
    except (FileNotFoundError, msgspec.DecodeError, ValueError):
        pass  # not done yet, or damaged
    found = yield from work(item)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, encoded(found))
    return found
