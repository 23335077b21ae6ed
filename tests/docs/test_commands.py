"""Every command and block of code in README, docs and skills runs, or says why it does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest
import yaml
from pages import IN_SHELL, PAGES, ROOT, SHOWN, Block, blocks, blocks_in, marked, strange_options
from scipy import sparse
from workshop import rows, sweep_little, typed

from tuner.types import FloatArray, IdArray

ROWS, DIMS, NQ = 1_600, 16, 300
ELSEWHERE = {
    "start": "tests/test_readme.py",
    "test": ".ci/run",
    "faiss": "tests/test_readme.py",
    "python": "tests/test_readme.py",
    "sklearn": "tests/test_readme.py",
    "as README.md has it": "tests/docs/test_commands.py",
    "pgvector": "tests/docs/test_engine_pages.py",
    "after a run was stopped": "tests/docs/test_prepared.py",
    "as if half of the rows fitted": "tests/docs/test_prepared.py",
    "with localhost/shop where the tests have it": "tests/docs/test_prepared.py",
    "on what was exported to pgvector": "tests/docs/test_prepared.py",
    "by .ci/run": "tests/docs/test_prepared.py",
    "by .ci/run, with more extras": "tests/docs/test_prepared.py",
    "where formats and pgvector are installed": "tests/docs/test_prepared.py",
}
"""What a block is marked with that another file runs, and that file."""
SLOW_PAGES = [f"docs/engines/{name}.md" for name in ("clickhouse", "lancedb", "lucene")]
ALL = blocks()
OF_ENGINES = [block for block in ALL if block.page.startswith("docs/engines/")]
"""What ``test_engine_pages.py`` runs."""
HERE = [block for block in ALL if block not in OF_ENGINES and block.mark != "not run"]
RUN = [block for block in HERE if block.note not in ELSEWHERE and not IN_SHELL.fullmatch(block.note)]
NOT_RUN = [block for block in ALL if block.mark == "not run"]
RUN_PAGES = sorted({block.page for block in RUN if block.language not in SHOWN})


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
        np.save(folder / "labels.npy", np.arange(ROWS) % 5)
        np.save(folder / "query_labels.npy", np.arange(NQ) % 5)
        allowed = sparse.csr_array(np.arange(ROWS) % 4 == np.arange(NQ)[:, None] % 4)
        sparse.save_npz(folder / "filters.npz", allowed)
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
        if command not in self.done:
            typed(command, exit_code)
            self.done.add(command)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    folder = tmp_path_factory.mktemp("workshop")
    with pytest.MonkeyPatch.context() as patch:
        sweep_little(patch, folder)
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


def strange_marks(found: list[Block]) -> list[str]:
    """Blocks that say that they run in a way that nobody knows."""
    known = re.compile(r"exit \d+")
    return [
        block.name
        for block in found
        if block.mark == "run"
        and block.note not in ELSEWHERE
        and not known.fullmatch(block.note)
        and not IN_SHELL.fullmatch(block.note)
    ]


def test_blocks_that_run_elsewhere_are_there_once() -> None:
    assert sorted(block.note for block in ALL if block.note in ELSEWHERE) == sorted(ELSEWHERE)
    assert {block.mark for block in ALL} == {"", "run", "not run", "file"}
    assert strange_marks(ALL) == []


def test_a_mark_that_nobody_knows_is_found() -> None:
    text = "<!-- run: by magic -->\n```bash\na\n```\n<!-- run: exit 1 -->\n```bash\nb\n```\n"
    assert strange_marks(blocks_in(text, "p")) == ["p:2"]


@pytest.mark.parametrize(("name", "file"), ELSEWHERE.items())
def test_who_is_said_to_run_a_block_asks_for_it(name: str, file: str) -> None:
    asking = (f'marked("{name}")', f'commands_of("{name}")', f'"$(readme {name})')
    text = (ROOT / file).read_text(encoding="utf-8")
    assert any(each in text for each in asking)


def test_the_first_command_stands_in_two_places() -> None:
    assert marked("as README.md has it") == marked("start")


def test_most_blocks_are_run() -> None:
    code = [block for block in ALL if block.language not in SHOWN]
    assert len(PAGES) > 35
    assert len(code) > 70
    assert {block.page for block in NOT_RUN} <= {"docs/cluster.md", "docs/engines/redis.md", *SLOW_PAGES}
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
