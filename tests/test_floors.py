"""Which module may import which: the floors of the house, kept by reading the sources."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = {
    "tuner.types": 0,
    "tuner.errors": 0,
    "tuner.version": 0,
    "tuner.text": 0,
    "tuner.space": 0,
    "tuner.presets": 0,
    "tuner.data": 1,
    "tuner.recall": 1,
    "tuner.runtime": 1,
    "tuner.search": 1,
    "tuner.index": 2,
    "tuner.prediction": 3,
    "tuner.report": 4,
    "tuner.engines": 4,
    "tuner.sweep": 5,
    "tuner.cluster": 6,
    "tuner.diagnosis": 6,
    "tuner.gate": 6,
    "tuner.engine_jobs": 6,
    "tuner.api": 7,
    "tuner.testing": 7,
    "tuner.pytest_plugin": 8,
    "tuner.cli": 8,
    "tuner.sklearn": 7,
    "tuner.__main__": 9,
    "tuner": 8,
}
# Siblings on one floor, importer first: one-way, and each natural enough to be said in a few words.
ARROWS = {
    ("tuner.sklearn", "tuner.api"),  # fitting is tuning
    ("tuner.testing", "tuner.api"),  # a test asserts what check returns
    ("tuner.space", "tuner.types"),  # a space is a type
    ("tuner.space", "tuner.errors"),  # its file may be wrong
    ("tuner.engine_jobs", "tuner.diagnosis"),  # causes are told in the same words
    ("tuner.types", "tuner.version"),  # a claim says which version made it
    ("tuner.data", "tuner.recall"),  # both read the mapped base block by block and give its pages back
    ("tuner.recall", "tuner.runtime"),  # exact neighbours are kept in the cache
    ("tuner.data", "tuner.runtime"),  # threads are checked against the cores there are
}
LOUD_ROOM = "tuner.cli"
LOUD_CALLS = {"print", "input", "exit", "quit", "breakpoint", "Console"}
LOUD_ATTRIBUTES = {("sys", "exit"), ("sys", "stdout"), ("sys", "stderr"), ("os", "_exit")}
LOUD_PACKAGES = {"click"}


@cache
def sources(root: Path) -> dict[str, ast.Module]:
    """Module name -> parsed source of everything under ``root/tuner``."""
    found = {}
    for path in sorted((root / "tuner").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"), str(path))
    return found


def unit(module: str) -> str:
    """The module or package directly under ``tuner`` that a module belongs to."""
    return ".".join(module.split(".")[:2])


def imported(module: str, tree: ast.Module, known: set[str], is_package: bool) -> Iterator[str]:
    """Full names of what a module imports, wherever in it the import stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = module.split(".")
            climb = node.level - is_package
            home = parts[: len(parts) - climb] if node.level else []
            source = ".".join([*home, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield inner if inner in known else source


def packages(root: Path) -> set[str]:
    return {".".join(path.parent.relative_to(root).parts) for path in (root / "tuner").rglob("__init__.py")}


def faults(root: Path) -> list[str]:
    """Every broken rule under ``root/tuner``, one line each."""
    trees, homes = sources(root), packages(root)
    broken = []
    for module, tree in trees.items():
        here = unit(module)
        if here not in FLOORS:
            broken.append(f"{module} has no floor")
            continue
        for name in imported(module, tree, set(trees), module in homes):
            if name.split(".")[0] != "tuner":
                continue
            there = unit(name)
            if there not in FLOORS:
                broken.append(f"{module} imports {there}, which has no floor")
            elif there == here or (here, there) in ARROWS:
                continue
            elif FLOORS[there] >= FLOORS[here]:
                broken.append(f"{module} ({FLOORS[here]}) imports {there} ({FLOORS[there]})")
        if here != LOUD_ROOM:
            broken += [f"{module}:{line} {what}" for line, what in loud(tree)]
    return broken


def loud(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a module prints, asks, exits or opens a console of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and (called := called_name(node.func)) in LOUD_CALLS:
            yield node.lineno, f"calls {called}"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in LOUD_ATTRIBUTES:
                yield node.lineno, f"uses {node.value.id}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id == "SystemExit":
            yield node.lineno, "uses SystemExit"
        elif isinstance(node, ast.Import):
            names = {alias.name.split(".")[0] for alias in node.names}
            yield from ((node.lineno, f"imports {name}") for name in sorted(names & LOUD_PACKAGES))
        elif isinstance(node, ast.ImportFrom):
            package = (node.module or "").split(".")[0]
            if package in LOUD_PACKAGES:
                yield node.lineno, f"imports {package}"
            for alias in node.names:
                if (package, alias.name) in LOUD_ATTRIBUTES:
                    yield node.lineno, f"imports {package}.{alias.name}"


def called_name(function: ast.expr) -> str:
    """The name called: a plain one, or a console's class through its module."""
    if isinstance(function, ast.Attribute):
        return function.attr if function.attr == "Console" else ""
    return function.id if isinstance(function, ast.Name) else ""


def plant(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / "tuner" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def test_the_project_keeps_its_floors_and_is_silent() -> None:
    assert faults(ROOT) == []


def test_the_project_was_read_at_all() -> None:
    assert {"tuner.types", "tuner.report.screen", "tuner.errors"} <= set(sources(ROOT))


def test_the_listed_arrows_join_siblings_and_make_no_circle() -> None:
    assert [arrow for arrow in ARROWS if FLOORS[arrow[0]] != FLOORS[arrow[1]]] == []
    left = set(ARROWS)
    while ends := {arrow for arrow in left if arrow[1] not in {start for start, _ in left}}:
        left -= ends
    assert left == set()


def test_no_listed_arrow_is_stale() -> None:
    trees, homes = sources(ROOT), packages(ROOT)
    drawn = {
        (unit(module), unit(name))
        for module, tree in trees.items()
        for name in imported(module, tree, set(trees), module in homes)
    }
    units = {unit(module) for module in trees}
    assert {arrow for arrow in ARROWS - drawn if set(arrow) <= units} == set()


GOOD = {
    "__init__.py": "from tuner.api import tune\n",
    "types.py": "import os\n",
    "errors.py": "",
    "data.py": "from tuner.recall import hits\n",
    "recall.py": "from tuner.types import Recall\n",
    "report/__init__.py": "from tuner.report.screen import show\nfrom .words import say\n",
    "report/screen.py": "from tuner import types\nfrom . import words\nfrom ..errors import E\n",
    "report/words.py": "",
    "api.py": "def tune():\n    from tuner.report import show\n",
    "cli/__init__.py": "import click, sys\nfrom tuner.api import tune\nprint(sys.stdout)\nsys.exit(0)\n",
}


def test_a_tree_that_keeps_the_rules_has_no_fault(tmp_path: Path) -> None:
    assert faults(plant(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("types.py", "import tuner.errors\n", "tuner.types (0) imports tuner.errors (0)"),
        (
            "types.py",
            "from tuner import recall\n",
            "tuner.types (0) imports tuner.recall (1)",
        ),
        ("types.py", "from tuner import tune\n", "tuner.types (0) imports tuner (8)"),
        (
            "recall.py",
            "from tuner.data import x\n",
            "tuner.recall (1) imports tuner.data (1)",
        ),
        ("recall.py", "from .report.words import x\n", "tuner.recall (1) imports tuner.report (4)"),
        ("recall.py", "def f():\n    import tuner.cli\n", "tuner.recall (1) imports tuner.cli (8)"),
        (
            "recall.py",
            "if TYPE_CHECKING:\n    from tuner.api import x\n",
            "tuner.recall (1) imports tuner.api (7)",
        ),
        ("report/words.py", "from ..api import x\n", "tuner.report.words (4) imports tuner.api (7)"),
        ("report/__init__.py", "from ..api import x\n", "tuner.report (4) imports tuner.api (7)"),
        ("report/words.py", "from .. import api\n", "tuner.report.words (4) imports tuner.api (7)"),
        ("cli/__init__.py", "import tuner\n", "tuner.cli (8) imports tuner (8)"),
        ("helper.py", "", "tuner.helper has no floor"),
        (
            "recall.py",
            "from tuner.gone import x\n",
            "tuner.recall imports tuner.gone, which has no floor",
        ),
        ("recall.py", "x = 1\nprint(x)\n", "tuner.recall:2 calls print"),
        ("recall.py", "input()\n", "tuner.recall:1 calls input"),
        ("recall.py", "raise SystemExit(2)\n", "tuner.recall:1 uses SystemExit"),
        ("recall.py", "import sys\nsys.exit(2)\n", "tuner.recall:2 uses sys.exit"),
        ("recall.py", "import sys\nsys.stderr.write('')\n", "tuner.recall:2 uses sys.stderr"),
        ("recall.py", "from sys import stdout\n", "tuner.recall:1 imports sys.stdout"),
        ("report/screen.py", "c = rich.console.Console()\n", "tuner.report.screen:1 calls Console"),
        ("api.py", "import click\n", "tuner.api:1 imports click"),
        ("api.py", "from click import echo\n", "tuner.api:1 imports click"),
    ],
)
def test_a_planted_fault_is_found(tmp_path: Path, file: str, text: str, fault: str) -> None:
    assert faults(plant(tmp_path, GOOD | {file: text})) == [fault]
