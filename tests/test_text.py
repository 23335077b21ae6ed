"""What ends a line anywhere, and what a CI would take for a command."""

import unicodedata

import pytest

from tuner.text import one_line, one_lined, unsafe_character, without_commands
from tuner.types import Line

LINE_ENDS = [chr(code) for code in range(0x110000) if len(f"a{chr(code)}b".splitlines()) > 1]


def test_whatever_ends_a_line_is_a_space() -> None:
    assert len(LINE_ENDS) == 10  # \n \v \f \r \x1c \x1d \x1e U+0085 U+2028 U+2029
    assert one_line(f"a{''.join(LINE_ENDS)} b") == "a b"
    assert one_line("a  b\n") == "a  b"
    assert one_line("two  spaces, and such: ü 漢 🙂") == "two  spaces, and such: ü 漢 🙂"


def test_no_control_character_is_left() -> None:
    kept = {each for each in map(chr, range(0x110000)) if one_line(f"a{each}b") == f"a{each}b"}
    assert not [each for each in kept if unicodedata.category(each) in ("Cc", "Cs", "Zl", "Zp")]
    assert not [
        each for each in kept if unicodedata.bidirectional(each) in ("LRE", "RLO", "PDF", "LRI", "PDI")
    ]


def test_texts_of_whatever_holds_them() -> None:
    assert one_lined({"a\n": ("b\r\nc", 1, None)}) == {"a": ("b c", 1, None)}
    assert one_lined(Line("a", "fail", "b\x85::error::c")) == Line("a", "fail", "b ::error::c")


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("::set-output name=x::y", ": :set-output name=x::y"),
        ("far\n::error::y", "far : :error::y"),
        ("##[error]y", "# #[error]y"),
        ("faiss::IndexFlat::search", "faiss::IndexFlat::search"),
    ],
)
def test_commands_of_a_ci_are_none_where_a_terminal_breaks_the_line(text: str, safe: str) -> None:
    assert without_commands(text) == safe


def test_the_first_control_character_of_a_file_is_named() -> None:
    assert unsafe_character("a\n\tb\r\n") is None
    assert unsafe_character("a\n\u2028b\x00") == "U+2028"
