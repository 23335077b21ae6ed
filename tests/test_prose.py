"""A doc can be read alone: none of an attribute, argument, constant or option begins in mid-phrase."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MID_PHRASE = re.compile(r"(of|that|by|to)\b", re.IGNORECASE)
SECTION = re.compile(r"(Args|Attributes):")
ENTRY = re.compile(r"    (\w+): (.+)")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def entries(docstring: str) -> Iterator[tuple[str, str]]:
    """The names and the docs of a docstring's arguments and attributes."""
    inside = False
    for line in docstring.splitlines():
        if SECTION.fullmatch(line):
            inside = True
        elif line and not line.startswith(" "):
            inside = False
        elif inside and (found := ENTRY.fullmatch(line)):
            yield found[1], found[2]


def docs(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Every name with its doc: attributes and arguments, constants, options of the command line."""
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED):
            owner = getattr(node, "name", "module")
            yield from ((f"{owner}.{name}", doc) for name, doc in entries(ast.get_docstring(node) or ""))
        elif isinstance(node, ast.Call):
            option = next(
                (ast.literal_eval(each) for each in node.args if isinstance(each, ast.Constant)), ""
            )
            for keyword in node.keywords:
                if keyword.arg == "help" and isinstance(keyword.value, ast.Constant):
                    yield f"option {option}", str(keyword.value.value)
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(before, (ast.Assign, ast.AnnAssign)) and isinstance(after, ast.Expr):
            doc = ast.unparse(after.value).strip("\"'")
            yield ast.unparse(before).split("=")[0].split(":")[0].strip(), doc


def faults(source: str) -> list[str]:
    return [f"{name}: {doc}" for name, doc in docs(ast.parse(source)) if MID_PHRASE.match(doc)]


def test_every_doc_can_be_read_alone() -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {fault}"
        for path in sorted((ROOT / "tuner").rglob("*.py"))
        for fault in faults(path.read_text(encoding="utf-8"))
    }
    assert found == set()


GOOD = '''
SEED = 0
"""Seed of everything that is drawn."""

@click.option("--seed", help="Random seed.")
def f(seed):
    """Return by what.

    Args:
        seed: random seed,
            of everything.

    Returns:
        of: no name at all.
    """
'''


def test_a_doc_that_can_be_read_alone_is_no_fault() -> None:
    assert faults(GOOD) == []


@pytest.mark.parametrize(
    ("good", "bad", "name"),
    [
        ('"""Seed of everything', '"""Of everything', "SEED"),
        ('help="Random seed."', 'help="Of everything that is drawn."', "option --seed"),
        ("seed: random seed,", "seed: of the order.", "f.seed"),
        ("Args:\n        seed: random seed,", "Attributes:\n        seed: that splits.", "f.seed"),
    ],
)
def test_a_doc_that_begins_mid_phrase_is_found(good: str, bad: str, name: str) -> None:
    assert good in GOOD
    assert [fault.split(":")[0] for fault in faults(GOOD.replace(good, bad))] == [name]
