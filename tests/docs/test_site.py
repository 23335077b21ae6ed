"""The documentation builds without a warning, and has every public name, every flag and every engine."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from tuner.cli.main import tune
from tuner.engines.registry import OURS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PUBLIC = ("tuner", "tuner.engines")
"""Modules of which everything in ``__all__`` is public."""
ALSO = (
    *("tuner.testing.assert_recall", "tuner.testing.gate", "tuner.sklearn.TunedNeighbors"),
    "tuner.pytest_plugin.recall_gate",
)


def build(source: Path, out: Path) -> subprocess.CompletedProcess[str]:
    """Build the documentation; a warning is an error."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-q",
            "-W",
            "--keep-going",
            "-d",
            f"{out}.tmp",
            str(source),
            str(out),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="the extra 'docs' is not installed")
    out = tmp_path_factory.mktemp("site") / "html"
    done = build(DOCS, out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def objects(site: Path) -> Mapping[str, Any]:
    inventory = import_module("sphinx.util.inventory")
    with (site / "objects.inv").open("rb") as file:
        found: Mapping[str, Any] = inventory.InventoryFile.load(file, "", lambda base, name: name)
    return found


def flags(command: click.Command, name: str) -> Iterator[str]:
    """Every option of a command and of those below it, as the site's inventory names it."""
    for each in command.params:
        if isinstance(each, click.Option) and not each.hidden:
            yield from (f"{name}.{option}" for option in each.opts)
    if isinstance(command, click.Group):
        for child in command.commands.values():
            yield from flags(child, f"{name}-{child.name}")


def missing_flags(command: click.Command, objects: Mapping[str, Any]) -> set[str]:
    return set(flags(command, "tune")) - set(objects["std:cmdoption"])


def public_names() -> set[str]:
    named = {f"{module}.{name}" for module in PUBLIC for name in import_module(module).__all__}
    return {name for name in (*named, *ALSO) if not name.endswith("__")}


def missing_names(names: set[str], objects: Mapping[str, Any]) -> set[str]:
    kinds = ("py:function", "py:class", "py:exception")
    return names - {name for kind in kinds for name in objects[kind]}


def test_every_flag_of_every_command_is_there(objects: Mapping[str, Any]) -> None:
    assert len(list(flags(tune, "tune"))) > 80
    assert missing_flags(tune, objects) == set()


def test_every_public_name_is_there(objects: Mapping[str, Any]) -> None:
    assert missing_names(public_names(), objects) == set()


def test_every_engine_has_its_page(site: Path) -> None:
    assert {path.stem for path in (site / "engines").glob("*.html")} == set(OURS)


def test_what_is_missing_is_found(objects: Mapping[str, Any]) -> None:
    gone = click.Command("run", params=[click.Option(["--gone"]), click.Option(["--hid"], hidden=True)])
    assert missing_flags(click.Group("tune", commands=[gone]), objects) == {"tune-run.--gone"}
    assert missing_names({"tuner.tune", "tuner.gone"}, objects) == {"tuner.gone"}


def test_a_warning_is_an_error(site: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "conf.py").write_text("extensions = ['myst_parser']\n")
    (source / "index.md").write_text("# A page\n\n[gone](gone.md)\n")
    done = build(source, tmp_path / "out")
    assert done.returncode == 1
    assert "gone" in done.stderr


# ---------------------------------------------------------------- pages of engines, with or without Sphinx


@pytest.fixture
def engine_pages(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(DOCS))
    return import_module("engine_pages")


@pytest.mark.parametrize("name", OURS)
def test_a_page_of_an_engine_is_what_its_capabilities_say(engine_pages: Any, name: str) -> None:
    path = DOCS / "engines" / f"{name}.md"
    if "UPDATE_GOLDEN" in os.environ:
        path.write_text(engine_pages.page(name), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == engine_pages.page(name), "python docs/engine_pages.py"


def test_there_is_no_page_of_an_engine_that_is_gone() -> None:
    assert {path.stem for path in (DOCS / "engines").glob("*.md")} == set(OURS)
