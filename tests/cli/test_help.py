"""Every page of help fits 80 columns, cuts no word and leaves no option unexplained."""

import click
import pytest
from click.testing import CliRunner

from tuner.cli.main import tune

COMMANDS = sorted(tune.commands)


def page(name: str) -> list[str]:
    shown = CliRunner().invoke(tune, [*name.split(), "--help"], terminal_width=80)
    assert shown.exit_code == 0
    return shown.output.splitlines()


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_a_page_fits_80_columns_and_cuts_nothing(name: str) -> None:
    _, *lines = page(name)
    assert [line for line in lines if len(line) > 80] == []
    # click cuts the list of commands with dots, and breaks lines at hyphens
    assert [line for line in lines if line.rstrip().endswith(("...", "-"))] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_each_option_is_explained_by_a_whole_phrase(name: str) -> None:
    helps = [each.help or "" for each in tune.commands[name].params if isinstance(each, click.Option)]
    assert [text for text in helps if not text.split("  [")[0].endswith(".")] == []


@pytest.mark.parametrize(
    ("option", "pages", "text"),
    [
        ("--seed", ["diagnose", "run"], "Random seed, >= 0."),
        ("--threads", ["build", "check", "diagnose", "run", "verify"], "Number of threads"),
        ("--ids", ["build", "run", "check", "diagnose", "verify"], "Ids of the rows"),
        ("--html", ["check", "diagnose", "show", "verify"], "Page with charts to write."),
        ("--k", ["diagnose", "run"], "Neighbours per query, >= 1."),
        ("--recall", ["diagnose", "run", "verify"], "Target recall@k in (0, 1]."),
        (
            "--json",
            ["build", "check", "compare", "diagnose", "doctor", "run", "verify"],
            "Print JSON; everything else goes to stderr.",
        ),
    ],
)
def test_an_option_is_explained_alike_wherever_it_is(option: str, pages: list[str], text: str) -> None:
    for name in COMMANDS:
        found = [line for line in page(name) if line.split()[:1] == [option]]
        assert len(found) == (name in pages)
        assert all(text in line for line in found)
