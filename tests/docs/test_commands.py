"""Every command and block of code in README, docs and skills runs, or says why it does not."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
import yaml
from click.testing import CliRunner
from pages import PAGES, ROOT, SHOWN, Block, blocks, blocks_in, strange_options

from tuner.cli import options
from tuner.cli.main import tune
from tuner.runtime import process
from tuner.space import load_space
from tuner.types import FloatArray, IdArray, Space

ROWS, DIMS, NQ = 1_600, 16, 300
SPACE = Space(M=(6,), codecs=("fp32", "SQ8"), cuts=(1.0,), rerank_factors=(1, 4), ef_construction=40)
"""What commands sweep here, whatever preset they name."""
ELSEWHERE = {
    "start": "test_readme.py and .ci/run run it",
    "test": ".ci/run runs it: it is this",
    "faiss": "test_readme.py runs it on the index of the first command",
    "python": "test_readme.py runs it",
    "sklearn": "test_readme.py runs it",
}
ALL = blocks()
RUN = [block for block in ALL if block.mark != "not run" and block.note not in ELSEWHERE]
NOT_RUN = [block for block in ALL if block.mark == "not run"]
RUN_PAGES = sorted({block.page for block in RUN if block.language not in SHOWN})


def rows(n: int, seed: int) -> FloatArray:
    """Return rows of length 1 around some centres."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(40, DIMS))
    x = centres[rng.integers(40, size=n)] + rng.normal(size=(n, DIMS))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)


def poor(x: FloatArray, ids: IdArray | None) -> faiss.Index:
    """Return an index with too few links and candidates, which answers with ids if there are some."""
    links = faiss.IndexHNSWFlat(DIMS, 4)
    links.hnsw.efConstruction = links.hnsw.efSearch = 8
    if ids is None:
        links.add(x)
        return links
    keyed = faiss.IndexIDMap(links)
    keyed.add_with_ids(x, ids)
    return keyed


class Workshop:
    """A folder with the files that pages speak of, and what was run in it so far."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: set[str] = set()
        base = rows(ROWS, 0)
        np.save(folder / "embeddings.npy", base)
        np.save(folder / "queries.npy", rows(NQ, 1))
        np.save(folder / "next_week.npy", np.concatenate([base, rows(ROWS // 10, 2)]))
        np.save(folder / "ids.npy", np.arange(ROWS) + 7_000)
        faiss.write_index(poor(base, None), str(folder / "my.faiss"))
        faiss.write_index(poor(base, np.arange(ROWS) + 7_000), str(folder / "keyed.faiss"))

    def run(self, block: Block) -> None:
        """Run a block as what it is written in."""
        if block.mark == "file":
            (self.folder / block.note).write_text(block.text, encoding="utf-8")
        if block.language == "bash":
            for command in block.commands():
                self.run_command(command, block.exit_code)
        elif block.language == "python":
            exec(compile(block.text, block.name, "exec"), {"__name__": "page"})  # noqa: S102 - our own pages
        elif block.language == "yaml":
            assert yaml.safe_load(block.text) is not None
        elif block.language == "json":
            json.loads(block.text)
        else:
            assert block.language in SHOWN, f"{block.name}: nobody knows how to run {block.language!r}"

    def run_command(self, command: str, exit_code: int = 0) -> None:
        """Run a command of ``tune`` once, however many pages have it."""
        program, *words = shlex.split(command, comments=True)
        assert program == "tune", f"{command}: no command of tune, and not marked as not run"
        if command in self.done:
            return
        words, into = (words[:-2], words[-1]) if words[-2:-1] == [">"] else (words, None)
        done = CliRunner().invoke(tune, words, standalone_mode=False)
        code = 2 if done.exception else done.return_value
        assert code == exit_code, f"{command}: {done.exception!r} {done.output[-2000:]}"
        self.done.add(command)
        if into is not None:
            (self.folder / into).write_text(done.stdout, encoding="utf-8")


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TUNER_CACHE_DIR", str(folder / "cache"))
        patch.setattr(process, "available_cores", lambda: 1)
        patch.setattr(options, "default_space", lambda: SPACE)
        patch.setattr(options, "load_space", lambda name: load_space(name) and SPACE)
        made = Workshop(folder)
        made.run_command("tune --recall 0.95 embeddings.npy")
        yield made


@pytest.fixture
def at_work(workshop: Workshop, few_rounds: None, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """The workshop, with one cache for all tests."""
    monkeypatch.setenv("TUNER_CACHE_DIR", str(workshop.folder / "cache"))
    return workshop


@pytest.mark.parametrize("page", RUN_PAGES)
def test_what_a_page_says_runs(at_work: Workshop, page: str) -> None:
    for block in RUN:
        if block.page == page:
            at_work.run(block)


@pytest.mark.parametrize("block", NOT_RUN, ids=lambda block: block.name)
def test_what_is_not_run_has_a_reason_and_no_strange_option(block: Block) -> None:
    commands = block.commands() if block.language == "bash" else []
    assert [each for line in commands if line.startswith("tune ") for each in strange_options(line)] == []
    pytest.skip(f"not run: {block.note}")


def test_blocks_that_run_elsewhere_are_there_once() -> None:
    assert sorted(block.note for block in ALL if block.note in ELSEWHERE) == sorted(ELSEWHERE)
    assert {block.mark for block in ALL} == {"", "run", "not run", "file"}


def test_most_blocks_are_run() -> None:
    """Pages of engines have one block each that starts the engine, which tests of engines do."""
    own = [block for block in NOT_RUN if not block.page.startswith("docs/engines/")]
    code = [block for block in ALL if block.mark != "not run" and block.language not in SHOWN]
    assert len(PAGES) > 35
    assert len(code) > 1.5 * len(own)
    assert all(len(block.note.split()) > 3 for block in NOT_RUN)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("```bash\ntune --recal 0.9 embeddings.npy\n```\n", "--recal"),
        ("```bash\npip install x\n```\n", "no command of tune"),
        ("```bash\ntune engines --gone\n```\n", "--gone"),
        ("<!-- run: exit 1 -->\n```bash\ntune engines faiss\n```\n", "tune engines faiss"),
        ("```python\nimport tuner\ntuner.gone\n```\n", "gone"),
        ("```ruby\nputs 1\n```\n", "ruby"),
        ("```yaml\na: [1\n```\n", "flow sequence"),
    ],
)
def test_a_planted_fault_is_found(at_work: Workshop, text: str, fault: str) -> None:
    (block,) = blocks_in(text, "planted.md")
    with pytest.raises((AssertionError, AttributeError, yaml.YAMLError), match=fault):
        at_work.run(block)


def test_a_mark_belongs_to_the_block_right_below_it() -> None:
    text = "<!-- not run: x -->\n\n```bash\na\n```\n<!-- not run: y -->\nwords\n```bash\nb\n```\n"
    assert [(block.mark, block.note, block.text) for block in blocks_in(text, "p")] == [
        ("not run", "x", "a\n"),
        ("", "", "b\n"),
    ]


def test_an_option_that_is_none_is_strange() -> None:
    assert strange_options("tune --recall 0.9 --gone x.npy") == ["--gone"]
    assert strange_options("tune check --fail-on recall:1% a b  # --gone") == []


def test_links_to_files_lead_somewhere() -> None:
    broken = [
        f"{path.relative_to(ROOT)}: {link}"
        for path in PAGES
        for link in re.findall(r"\]\(([^)#:]+)[^)]*\)", path.read_text(encoding="utf-8"))
        if not (path.parent / link).exists()
    ]
    assert broken == []
