"""The commands on the page of every engine, and its default in Python, run as they stand there.

An engine answers in this very process: that one of its own starts and ends in order is tested in
``tests/engines``. Pages of engines that are slow, however few rows there are, say so instead.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from installed import needs
from pages import ROOT, Block, blocks, blocks_in, marked
from workshop import rows, sweep_little, typed

from tuner.engines import find_engine, read_exported
from tuner.engines.export import suffix
from tuner.engines.registry import OURS
from tuner.types import Space

pytestmark = pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR is not set")
N, D, NQ = 1_200, 8, 64
"""Rows that are more than exact search is the answer for; fewer queries show no recall of .95."""
USUAL_M, OTHER_M = 16, {"azure": 8}
WIDE_N, WIDE_D, WIDE_NQ = 300, 256, 20
"""Rows for the defaults in Python, which are all for 256 dimensions."""
FOUND: dict[str, Callable[[dict[str, Any]], Any]] = {
    "faiss": lambda made: made["ids"],
    "hnswlib": lambda made: made["ids"],
    "usearch": lambda made: made["found"].keys,
    "chroma": lambda made: [[int(each) for each in ids] for ids in made["found"]["ids"]],
    "lancedb": lambda made: [[row["id"] for row in made["found"]]],
}
"""Ids that a default in Python leaves, a row for each query that it asked."""
Clone = Callable[[str], Path]


def of_engines(language: str) -> dict[str, Block]:
    """Blocks in one language on pages of engines, by engine, but for those that are not run."""
    return {
        Path(block.page).stem: block
        for block in blocks()
        if block.page.startswith("docs/engines/") and block.language == language and block.mark != "not run"
    }


COMMANDS, DEFAULTS = of_engines("bash"), of_engines("python")


def easy_rows(n: int, seed: int) -> np.ndarray:
    """Return rows of three dimensions in D: any engine finds their neighbours, and none stands near .95."""
    directions = np.random.default_rng(99).normal(size=(3, D))
    return np.asarray(np.random.default_rng(seed).normal(size=(n, 3)) @ directions, dtype=np.float32)


def space_of(M: int) -> Space:
    return Space(M=(M,), codecs=("fp32",), cuts=(1.0,), rerank_factors=(1,), ef_construction=100)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """Return the folder of a run with one M, its files those that pages speak of."""

    @cache
    def run(M: int) -> Path:
        folder = tmp_path_factory.mktemp(f"M{M}")
        np.save(folder / "embeddings.npy", easy_rows(N, 0))
        np.save(folder / "queries.npy", easy_rows(NQ, 1))
        with pytest.MonkeyPatch.context() as patch:
            sweep_little(patch, folder, space_of(M))
            typed("tune --recall 0.95 --queries queries.npy embeddings.npy")
        return folder

    return run


@pytest.fixture
def at_work(tuned: Callable[[int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """Go to a folder where the first run of an engine's page was made."""

    def go(name: str) -> Path:
        M = OTHER_M.get(name, USUAL_M)
        folder = Path(shutil.copytree(tuned(M), tmp_path / name))
        sweep_little(monkeypatch, folder, space_of(M))
        return folder

    return go


def run_commands(block: Block) -> None:
    assert len(block.commands()) == (2 if find_engine(Path(block.page).stem).open is None else 3)
    for command in block.commands():
        typed(command)


@pytest.mark.usefixtures("engines_here")
@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_commands_of_a_page_do_what_they_say(name: str, at_work: Clone) -> None:
    engine = find_engine(name)
    if engine.open is not None:
        needs(name)
    folder = at_work(name)
    run_commands(COMMANDS[name])
    of_target, of_export = f"tune-out/embeddings/{name}/{name}{suffix(engine)}", f"index{suffix(engine)}"
    for file, in_engine in ((of_target, engine.open is not None), (of_export, False)):
        found, exported = read_exported(folder / file)
        assert found.name == name
        assert exported.settings.d == D
        assert exported.claims.in_engine == in_engine


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_a_default_in_python_finds_what_is_nearest(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs(name)
    monkeypatch.chdir(tmp_path)
    assert recall_of(DEFAULTS[name], FOUND[name]) > 0.9


def recall_of(block: Block, found: Callable[[dict[str, Any]], Any]) -> float:
    """Run a default in Python in the working folder, and return the recall of what it found."""
    base, queries = rows(WIDE_N, 0, WIDE_D), rows(WIDE_NQ, 1, WIDE_D)
    np.save("embeddings.npy", base)
    np.save("queries.npy", queries)
    made: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.text, block.name, "exec"), made)  # noqa: S102 - our own pages
    ids = np.asarray(found(made))
    if (client := made.get("client")) is not None:
        client.close()
    nearest = np.argsort(-(queries @ base.T), axis=1)[: len(ids), :10]
    assert ids.shape == nearest.shape
    return float(np.mean([len({*mine} & {*true}) / 10 for mine, true in zip(ids, nearest, strict=True)]))


def test_the_page_of_all_engines_has_commands_of_one_of_theirs() -> None:
    shown = marked("pgvector")
    (block,) = blocks_in(f"```bash\n{shown}```\n", "docs/engines.md")
    assert block.commands()
    assert set(block.commands()) <= set(COMMANDS["pgvector"].commands())


def test_what_is_left_out_is_little() -> None:
    assert set(OURS) - set(COMMANDS) == {"clickhouse", "lancedb", "lucene"}
    written_in_python = {name for name in OURS if find_engine(name).capabilities.language == "python"}
    assert set(DEFAULTS) == set(FOUND) == written_in_python - {"redis"}


# ---------------------------------------------------------------- planted faults


def planted(name: str, old: str, new: str, *, default: bool = False) -> Block:
    """A page's block with one fault."""
    text = (ROOT / "docs" / "engines" / f"{name}.md").read_text(encoding="utf-8")
    assert old in text
    found = blocks_in(text.replace(old, new), f"docs/engines/{name}.md")
    return next(block for block in found if block.language == ("python" if default else "bash"))


@pytest.mark.parametrize(
    ("number", "old", "new", "fault"),
    [
        (1, "verify tune-out/embeddings/hnswlib/", "verify tune-out/", "tune-out/hnswlib.py"),
        (2, "--nearest -o index.py", "--nearest --into index.py", "--into"),
        (2, "--to hnswlib --nearest", "--to hnswlip --nearest", "no engine 'hnswlip'"),
    ],
)
def test_a_planted_fault_in_a_command_is_found(
    number: int, old: str, new: str, fault: str, at_work: Clone
) -> None:
    command = planted("hnswlib", old, new).commands()[number]
    at_work("hnswlib")
    with pytest.raises(AssertionError, match=fault):
        typed(command)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('space="cosine", dim=256', 'space="cosine", dim=255', "Wrong dimensionality"),
        ("index.add_items(x)", "index.add_items(-x)", "less"),
        ("k=10", "k=9", r"\(20, 9\)"),
    ],
)
def test_a_planted_fault_in_a_default_is_found(
    old: str, new: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = planted("hnswlib", old, new, default=True)
    with pytest.raises((AssertionError, RuntimeError), match=fault):
        assert recall_of(block, FOUND["hnswlib"]) > 0.9, "less than what is nearest"
