"""The pages that users read, and the blocks of code in them: what is run, what is not and why."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import click

from tuner.cli.main import tune

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "skills").rglob("*.md")),
)
MARK = re.compile(r"<!-- (not run|run|file): (.+) -->")
FENCE = re.compile(r"( *)```(\S*)")
IN_SHELL = re.compile(r"in (activated )?(bash|zsh|fish); afterwards: (.+)")
"""What a block is marked with that changes the shell that it is typed in, and how that shows."""
SHOWN = {"text", "json", "sql", "java", "toml"}
"""Languages of blocks that show something and are not to be run."""


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: path of the page in the repository.
        line: number of its first line.
        mark: kind of the comment above it (run, not run, file), empty without one.
        note: what that comment says.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str = ""
    note: str = ""

    @property
    def name(self) -> str:
        """Where it stands."""
        return f"{self.page}:{self.line}"

    @property
    def exit_code(self) -> int:
        """What its commands must end with."""
        found = re.fullmatch(r"exit (\d+)", self.note)
        return int(found[1]) if self.mark == "run" and found else 0

    def commands(self) -> list[str]:
        """The lines of a shell, comments left out."""
        joined = self.text.replace("\\\n", " ")
        return [line.strip() for line in joined.splitlines() if shlex.split(line, comments=True)]


def blocks_in(text: str, page: str) -> list[Block]:
    """Every fenced block of a page, in order."""
    found: list[Block] = []
    mark = ("", "")
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        if marked := MARK.fullmatch(line.strip()):
            mark = (marked[1], marked[2])
        elif fence := FENCE.fullmatch(line):
            inside = []
            for _, each in lines:
                if each.strip() == "```":
                    break
                inside.append(each.removeprefix(fence[1]))
            found.append(Block(page, number, fence[2], "\n".join(inside) + "\n", *mark))
            mark = ("", "")
        elif line.strip():
            mark = ("", "")
    return found


def blocks() -> list[Block]:
    """Every fenced block of every page."""
    return [
        block
        for path in PAGES
        for block in blocks_in(path.read_text(encoding="utf-8"), path.relative_to(ROOT).as_posix())
        if not block.language.startswith("{")  # a directive of the documentation
    ]


def marked(name: str) -> str:
    """The text of the one block whose mark is ``run: name``."""
    found = [block for block in blocks() if (block.mark, block.note) == ("run", name)]
    assert len(found) == 1, f"{len(found)} blocks are marked run: {name}"
    return found[0].text


def strange_options(command: str) -> list[str]:
    """Options that ``tune`` does not have, of a line that begins with it."""
    _, *words = shlex.split(command, comments=True)
    name = words[0] if words and words[0] in tune.commands else "run"
    known = {option for each in tune.commands[name].params for option in each.opts}
    used = {word.split("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    of_all = {"--help", "-h", *(["--version"] if name == "run" else [])}
    assert isinstance(tune.commands[name], click.Command)
    return sorted(used - known - of_all)
