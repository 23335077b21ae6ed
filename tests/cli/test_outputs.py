"""No word is cut: not in tables, nor in paragraphs on a terminal; a pipe gets each paragraph on one line."""

import io
import sys

import pytest

from tuner.cli.draw import Drawing, Screen
from tuner.cli.outputs import say, show_table, show_text, whole_words
from tuner.types import Note

SENTENCE = " ".join(f"word{number:02}" for number in range(40)) + " /a/path/of/its/own"
NAME = "L2norm,HNSW16,SQ8,Refine(fp16)x4"


def screen(*, terminal: bool) -> tuple[Screen, io.StringIO]:
    file = io.StringIO()
    return Screen(file=file, force_terminal=terminal, width=80, color_system=None), file


@pytest.mark.parametrize("terminal", [True, False])
def test_a_paragraph_is_wrapped_between_words_on_a_terminal_alone(terminal: bool) -> None:
    for how in ("text", "note"):
        on, file = screen(terminal=terminal)
        if how == "text":
            show_text(on, SENTENCE)
        else:
            Drawing(on, live=False, quiet=False).show(Note(SENTENCE))
        lines = file.getvalue().splitlines()
        assert (len(lines) > 1) == terminal
        assert [word for line in lines for word in line.split()] == SENTENCE.split()
        if terminal:
            assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("terminal", [True, False])
def test_a_message_is_wrapped_likewise(
    terminal: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    say(SENTENCE, err=True)
    lines = capsys.readouterr().err.splitlines()
    assert (len(lines) > 1) == terminal
    assert [word for line in lines for word in line.split()] == SENTENCE.split()


def test_a_table_keeps_names_whole_and_figures_with_their_units() -> None:
    on, file = screen(terminal=False)
    head = ("", "what it costs you", "what is done", "index", "recall", "bytes", "time")
    rows = [
        (
            "1",
            "search",
            "keep 12 of 16 links a node, over SQ8 codes",
            NAME,
            "0.9727 (0.9522)",
            "5.06 MB",
            "2 x",
        )
    ]
    show_table(on, head, rows)
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    words = {word for line in lines for word in line.split()}
    assert {NAME, "(0.9522)", "codes", "links"} <= words
    assert any("5.06 MB" in line and "2 x" in line for line in lines)


def test_columns_that_do_not_fit_are_left_to_the_table() -> None:
    assert whole_words([("a" * 50,), ("b" * 50,)], 80) == [None, None]
    assert whole_words([("a" * 50,), ("b",)], 80) == [50, 1]
