"""No benchmark reaches into the tuner: nothing is patched, nothing private is used."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.common import ROOT


def reaches(tree: ast.Module) -> Iterator[str]:
    """What a source patches or takes of the tuner's private names."""
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if source.startswith("unittest"):
                yield f"{node.lineno} imports {source}"
            if source.split(".")[0] == "tuner":
                modules |= {alias.asname or alias.name for alias in node.names}
                yield from (
                    f"{node.lineno} imports {alias.name}"
                    for alias in node.names
                    if alias.name.startswith("_")
                )
        elif isinstance(node, ast.Import):
            yield from (
                f"{node.lineno} imports {alias.name}"
                for alias in node.names
                if alias.name.startswith("unittest")
            )
            modules |= {alias.asname or "tuner" for alias in node.names if alias.name.startswith("tuner")}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            root: ast.expr = node
            while isinstance(root, ast.Attribute):
                root = root.value
            if isinstance(root, ast.Name) and root.id in modules:
                if node.attr.startswith("_") and not node.attr.startswith("__"):
                    yield f"{node.lineno} uses {node.attr}"
                if isinstance(node.ctx, ast.Store):
                    yield f"{node.lineno} sets {node.attr}"
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            yield f"{node.lineno} calls setattr"


def test_no_benchmark_patches_the_tuner() -> None:
    sources = sorted((ROOT / "benchmarks").rglob("*.py"))
    assert len(sources) > 30
    found = {
        str(path.relative_to(ROOT)): list(reaches(ast.parse(path.read_text(encoding="utf-8"))))
        for path in sources
    }
    assert {path: what for path, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("from unittest.mock import patch\n", "1 imports unittest.mock"),
        ("import unittest.mock\n", "1 imports unittest.mock"),
        ("from tuner.sweep.run import _deliver\n", "1 imports _deliver"),
        ("import tuner.sweep.run as r\nr._deliver()\n", "2 uses _deliver"),
        ("import tuner.sweep.run\ntuner.sweep.run.deliver = None\n", "2 sets deliver"),
        ("from tuner.sweep import run\nrun.deliver = None\n", "2 sets deliver"),
        ("from tuner.sweep import run\nsetattr(run, 'deliver', None)\n", "2 calls setattr"),
    ],
)
def test_a_planted_patch_is_found(text: str, fault: str) -> None:
    assert list(reaches(ast.parse(text))) == [fault]


def test_every_benchmark_keeps_to_its_size() -> None:
    """No file above 300 lines, no function above 60."""
    long = []
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        long += [path.name] if len(text.splitlines()) > 300 else []
        functions = (each for each in ast.walk(ast.parse(text)) if isinstance(each, ast.FunctionDef))
        long += [each.name for each in functions if (each.end_lineno or 0) - each.lineno >= 60]
    assert long == []


def test_the_readme_has_every_folder_and_every_command() -> None:
    text = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
    folders = [path.name for path in (ROOT / "benchmarks").iterdir() if (path / "__init__.py").exists()]
    assert sorted(name for name in folders if f"| `{name}/` |" not in text) == []
    commands = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__")
        for path in Path(ROOT / "benchmarks").rglob("*.py")
        if "@click.command()" in path.read_text(encoding="utf-8")
    }
    assert sorted(name for name in commands if f"python -m {name}" not in text) == []
