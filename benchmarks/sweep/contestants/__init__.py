"""Who takes part: name -> what answers a task. Modules are imported when they are asked for."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, cast

from benchmarks.sweep.answers import Answer, Task
from tuner.errors import InputError

Contestant: TypeAlias = Callable[[Task, Path], Answer]


def _lazy(module: str, **chosen: Any) -> Contestant:
    def run(task: Task, out: Path) -> Answer:
        return cast(
            "Answer", import_module(f"benchmarks.sweep.contestants.{module}").run(task, out, **chosen)
        )

    return run


SEARCHES = re.compile(r"(tpe|nsga|random)([1-9]\d*)")
"""Any number of trials has a name: ``tpe8``."""

REGISTRY: dict[str, Contestant] = {
    "ours": _lazy("ours"),
    "ours-fp32-builder": _lazy("ours", without="fp32-builder"),
    "ours-native-codecs": _lazy("ours", without="native-codecs"),
    "ours-native-M": _lazy("ours", without="native-M"),
    "ours-no-ceilings": _lazy("ours", without="no-ceilings"),
    "ours-subsample": _lazy("subsample"),
    "oracle": _lazy("ours", exhaustive=True),
    "tpe25": _lazy("search", sampler="tpe", n_trials=25),
    "tpe100": _lazy("search", sampler="tpe", n_trials=100),
    "nsga100": _lazy("search", sampler="nsga", n_trials=100),
    "random25": _lazy("search", sampler="random", n_trials=25),
    "random100": _lazy("search", sampler="random", n_trials=100),
    "hnswlib16": _lazy("folklore", index="hnswlib16"),
    "faiss32": _lazy("folklore", index="faiss32"),
    "faiss32-SQ8": _lazy("folklore", index="faiss32-SQ8"),
    "parameter-space": _lazy("parameter_space"),
    "autofaiss": _lazy("auto_faiss"),
}
ABLATIONS = tuple(name for name in REGISTRY if name.startswith("ours-"))
FOLKLORE = ("hnswlib16", "faiss32", "faiss32-SQ8")
GROUPS = {
    "ablations": ABLATIONS,
    "folklore": FOLKLORE,
    "short": ("ours", *FOLKLORE, "parameter-space"),
    "all": tuple(REGISTRY),
}
"""Names that stand for several contestants."""


def contestant(name: str) -> Contestant:
    """Return the contestant called ``name``.

    Raises:
        InputError: nobody is called so.
    """
    if name in REGISTRY:
        return REGISTRY[name]
    match = SEARCHES.fullmatch(name)
    if match is None:
        known = ", ".join([*REGISTRY, *GROUPS])
        raise InputError(f"no contestant is called {name!r}: there are {known}, and any number as in tpe8")
    return _lazy("search", sampler=match[1], n_trials=int(match[2]))


def expand(names: str) -> tuple[str, ...]:
    """Return the contestants that a comma-separated list names, groups opened, each once.

    Raises:
        InputError: nobody is called so.
    """
    found: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in names.split(","))):
        found |= dict.fromkeys(GROUPS.get(name, (name,)))
    for name in found:
        contestant(name)
    return tuple(found)
