"""The sizes of the house and its words: what a newcomer meets is short, and named as the field names it."""

import ast
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from test_floors import sources

ROOT = Path(__file__).parents[1]
CODE, PROSE = ("tuner", "tests", "benchmarks"), ("README.md", "CONTRIBUTING.md", "docs")

MOST_LINES, MEDIAN_LINES, FUNCTION_LINES, SWEEP_LINES = 300, 120, 60, 40
LONG_ROOM = "tuner.engines.adapters."
"""An engine is one file, whatever it takes."""

WORDS = {
    "Desk": "CodecContext",
    "Study": "CodecEvaluation",
    "StandIn": "ProxyCodec",
    "Served": "SearchableIndex",
    "Workbench": "IndexBuilder",
    "Prices": "CodecCost",
    "Kernel": "KernelCost",
    "Links": "DerivableGraph",
    "View": "Projection",
    "Tuned": "EfResult",
    "bisect": "find_min_ef",
    "Held": "StoredVectors",
    "Opened": "IndexUnderTest",
    "Subject": "IndexUnderTest",
    "cure": "fix",
    "Shop": "FixBuilder",
    "Remedy": "Fix",
    "Patient": "EngineDiagnosis",
    "ailing": "diagnose",
    "Apart": "EngineProcess",
    "express": "translate",
    "Place": "Deployment",
    "Settings": "EngineConfig",
    "Applied": "ReportedConfig",
    "Beside": "DefaultComparison",
    "Frozen": "GateBaseline",
    "freeze": "save_baseline",
    "knob": "search_param",
    "effort": "value",
    "told": "describe_...",
    "said": "describe_...",
    "points_of": "describe_...",
}
# Of these only the class is a word of ours: in lower case they are plain English, or the field's own.
ORDINARY = {
    "applied": "what an engine reports of itself, in the protocol and in results that are written",
    "frozen": "the argument of dataclass",
    "held": "rows are held out",
    "kernel": "the part of a distance that a processor runs",
    "links": "of a graph",
    "opened": "of a file",
    "place": "of an item in a list",
    "settings": "of a program",
    "subject": "of a sentence",
    "tuned": "what a tuner does",
    "view": "of an array",
}
# Of others, who may call theirs as they like.
FOREIGN = {
    "benchmarks/sweep Study": "optuna's class",
    "benchmarks/sweep study": "optuna's module, and what it calls a search",
    "tuner/engine_jobs bisect": "Python's own module",
    "tests/test_library_day.py bisect": "a name that the package must not have",
    "tuner/engines Settings": "chromadb's class",
}


# ---------------------------------------------------------------- sizes


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def lines_of(root: Path) -> dict[str, int]:
    """Module name -> lines, of everything under ``root/tuner``."""
    found = {}
    for path in sorted((root / "tuner").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = len(path.read_text(encoding="utf-8").splitlines())
    return found


def long(root: Path) -> dict[str, str]:
    """What is too long under ``root/tuner`` -> what is wrong with it."""
    found = {}
    sizes = lines_of(root)
    for module, lines in sizes.items():
        if lines > MOST_LINES and not module.startswith(LONG_ROOM):
            found[module] = f"{lines} lines"
    if (middle := median(sizes.values())) > MEDIAN_LINES:
        found["the median module"] = f"{middle} lines"
    for module, tree in sources(root).items():
        for node in ast.walk(tree):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            most = SWEEP_LINES if (module, node.name) == ("tuner.sweep.run", "sweep") else FUNCTION_LINES
            if length(node) > most:
                found[f"{module}.{node.name}"] = f"{length(node)} lines"
    for path in sorted((root / "tuner").rglob("*.py")):
        if re.search(r"noqa:.*\bPLR", path.read_text(encoding="utf-8")):
            found[path.relative_to(root).as_posix()] = "a size that ruff was told to pass over"
    return found


def test_nothing_is_longer_than_a_reader_takes_in() -> None:
    assert long(ROOT) == {}


def silent_writes(root: Path) -> list[str]:
    """Files that write arrays in a way that loses what a full disk has no room for without a word."""
    return [
        path.name for path in sorted((root / "tuner").rglob("*.py")) if ".tofile(" in path.read_text("utf-8")
    ]


def test_a_full_disk_is_never_passed_over(tmp_path: Path) -> None:
    assert silent_writes(ROOT) == []
    (tmp_path / "tuner").mkdir()
    (tmp_path / "tuner" / "a.py").write_text("x.tofile(out)\n", encoding="utf-8")
    assert silent_writes(tmp_path) == ["a.py"]


def body(lines: int, name: str = "f") -> str:
    return f"def {name}():\n" + "    x = 1\n" * (lines - 1)


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("a.py", "x = 1\n" * 300, {}),
        ("a.py", "x = 1\n" * 301, {"tuner.a": "301 lines"}),
        ("engines/adapters/a.py", "x = 1\n" * 301, {}),
        ("a.py", body(60), {}),
        ("a.py", body(61), {"tuner.a.f": "61 lines"}),
        ("a.py", body(61).replace("def", "async def"), {"tuner.a.f": "61 lines"}),
        ("a.py", body(41, "sweep"), {}),
        ("sweep/run.py", body(40, "sweep"), {}),
        ("sweep/run.py", body(41, "sweep"), {"tuner.sweep.run.sweep": "41 lines"}),
        ("a.py", "x = 1  # noqa: S101, PLR0912\n", {"tuner/a.py": "a size that ruff was told to pass over"}),
        ("a.py", "x = 1  # noqa: PLC0415\n", {}),
    ],
)
def test_what_is_too_long_is_found(tmp_path: Path, file: str, text: str, fault: dict[str, str]) -> None:
    for name, content in {"__init__.py": "", "b.py": "", file: text}.items():
        path = tmp_path / "tuner" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    assert long(tmp_path) == fault


def test_a_median_that_is_too_long_is_found(tmp_path: Path) -> None:
    (tmp_path / "tuner").mkdir()
    for name in "abc":
        (tmp_path / "tuner" / f"{name}.py").write_text("x = 1\n" * 121, encoding="utf-8")
    assert long(tmp_path) == {"the median module": "121 lines"}


# ---------------------------------------------------------------- words


def snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


OLD = set(WORDS) | {snake(name) for name in WORDS} - set(ORDINARY)


def identifiers(path: Path) -> Iterator[tuple[int, str]]:
    """Line and text of every identifier; comments and strings are prose."""
    with tokenize.open(path) as file:
        for token in tokenize.generate_tokens(file.readline):
            if token.type == tokenize.NAME:
                yield token.start[0], token.string


def room(fault: str) -> str:
    """The folder that a fault lies in, one below the top, and the old name."""
    file, name = re.split(r"[: ]", fault)[0], fault.rsplit(maxsplit=1)[-1]
    return f"{'/'.join(file.split('/')[:2])} {name}"


def old_names(root: Path) -> list[str]:
    """Every identifier in code, and every piece of code in prose, that bears an old name."""
    found = [
        f"{path.relative_to(root).as_posix()}:{line} {name}"
        for room in CODE
        for path in sorted((root / room).rglob("*.py"))
        for line, name in identifiers(path)
        if name in OLD
    ]
    for place in PROSE:
        pages = [root / place] if place.endswith(".md") else sorted((root / place).rglob("*.md"))
        for page in (each for each in pages if each.exists()):
            for code in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
                found += [
                    f"{page.relative_to(root).as_posix()} {word}"
                    for word in re.findall(r"\w+", code)
                    if word in WORDS and word != word.lower()
                ]
    return found


def test_no_name_is_one_that_only_we_would_understand() -> None:
    assert [fault for fault in old_names(ROOT) if room(fault) not in FOREIGN] == []


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("tuner/a.py", "class Desk: ...\n", ["tuner/a.py:1 Desk"]),
        ("tuner/a.py", "x = 1\ndesk = x\n", ["tuner/a.py:2 desk"]),
        ("tests/a.py", "def f(stand_in): ...\n", ["tests/a.py:1 stand_in"]),
        ("benchmarks/sweep/a.py", "import a.ailing\n", ["benchmarks/sweep/a.py:1 ailing"]),
        ("tuner/a.py", "from a import Settings, settings\n", ["tuner/a.py:1 Settings"]),
        ("tuner/a.py", '"""The desk, as was said."""  # told\n', []),
        ("tuner/a.py", "desktop = retold = links = view = 1\n", []),
        ("README.md", "Settings: see `tuner.Settings(1)` and `settings`.\n", ["README.md Settings"]),
        ("docs/a.md", "A Desk is no code, `StandIn` is.\n", ["docs/a.md StandIn"]),
    ],
)
def test_an_old_name_is_found(tmp_path: Path, file: str, text: str, fault: list[str]) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text, encoding="utf-8")
    assert old_names(tmp_path) == fault


def test_every_word_of_ours_has_one_of_the_field() -> None:
    assert all(WORDS.values())
    assert set(ORDINARY) <= {snake(name) for name in WORDS}
