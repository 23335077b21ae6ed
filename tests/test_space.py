"""A space is what its YAML says and its defaults otherwise; wrong names are answered with the nearest."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tuner.errors import InputError
from tuner.space import PRESETS, checked_space, default_space, is_codec, load_space, preset_names
from tuner.types import DEFAULT_CODECS, Space

CONFIGS = Path(__file__).parents[1] / "configs"


def _load(folder: Path, text: str) -> Space:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return load_space(path)


def test_default_yaml_is_the_default_space() -> None:
    assert load_space(CONFIGS / "default.yaml") == default_space()


def test_default_yaml_writes_every_key() -> None:
    text = (CONFIGS / "default.yaml").read_text(encoding="utf-8")
    assert all(f"\n{key}:" in text for key in Space.__dataclass_fields__)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_load_under_their_own_name_and_say_what_they_are_for(path: Path) -> None:
    assert load_space(path).name == path.stem
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_has_a_name_wherever_one_is_and_readers_see_the_same_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_space(name) == load_space(Path(name)) == load_space(CONFIGS / f"{name}.yaml")
    assert (PRESETS / f"{name}.yaml").read_bytes() == (CONFIGS / f"{name}.yaml").read_bytes()


def test_presets_and_configs_are_the_same_files() -> None:
    assert [path.stem for path in sorted(CONFIGS.glob("*.yaml"))] == list(preset_names())


def test_a_name_that_is_no_preset_is_answered_with_those_that_are() -> None:
    with pytest.raises(InputError, match=r"qick: cannot be read .* or one of default, low"):
        load_space("qick")


def test_a_space_made_in_python_has_the_default_codecs_and_is_checked_like_a_file() -> None:
    assert Space(M=(6,)).codecs == DEFAULT_CODECS
    assert checked_space(Space()) == Space() == default_space()
    given = Space(M=(np.int64(16), 8), cuts=(np.float32(0.5), 1))  # type: ignore[arg-type]
    assert checked_space(given) == Space(M=(8, 16), cuts=(0.5, 1.0))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"M": 6}, "the space's M: 6 is not a list"),
        ({"codecs": ("SQ9",)}, "the space's codecs: unknown codec 'SQ9': the nearest is 'SQ8'"),
        ({"codecs": ()}, "the space's codecs: the list is empty"),
        ({"cut_kinds": ("pcs",)}, "the space's cut_kinds: unknown 'pcs': the nearest is 'pca'"),
    ],
)
def test_a_wrong_value_made_in_python_has_its_sentence(wrong: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=re.escape(sentence)):
        checked_space(Space(**wrong))


def test_quick_needs_no_product_quantizer() -> None:
    assert not [codec for codec in load_space(CONFIGS / "quick.yaml").codecs if "PQ" in codec]


def test_an_empty_file_is_the_default_space_under_the_name_of_the_file(tmp_path: Path) -> None:
    assert _load(tmp_path, "# nothing\n") == Space(name="mine", codecs=DEFAULT_CODECS)


def test_values_replace_defaults_and_ranges_are_sorted(tmp_path: Path) -> None:
    found = _load(
        tmp_path,
        "name: few\nM: [16, 8]\nef_construction: 200\ncodecs: [SQ8, PQ16x4]\ncuts: [1, .5]\n"
        "cut_kinds: [truncate]\nrerank_stores: [SQ8]\nrerank_factors: [4, 1]\nef_search_max: 512\n",
    )
    assert found == Space(
        name="few",
        M=(8, 16),
        ef_construction=200,
        codecs=("SQ8", "PQ16x4"),
        cuts=(1.0, 0.5),
        cut_kinds=("truncate",),
        rerank_stores=("SQ8",),
        rerank_factors=(1, 4),
        ef_search_max=512,
    )


@pytest.mark.parametrize(
    "name",
    [*DEFAULT_CODECS, "tqmse3", "tqmse8", "RaBitQ3", "RaBitQ9", "PQ1x8", "PQ96x4", "OPQ32x8", "OPQd/2x4"],
)
def test_codecs_of_the_grammar(name: str) -> None:
    assert is_codec(name)


@pytest.mark.parametrize(
    "name",
    [
        "sq8",
        "SQ8u",
        "SQ5",
        "tqmse5",
        "RaBitQ0",
        "RaBitQ10",
        "PQ16",
        "PQ0x8",
        "PQ16x6",
        "PQd/0x8",
        "PQd4x8",
        "XPQ8x8",
        "PQ16x8 ",
        "PQ016x8",
        "",
    ],
)
def test_names_outside_the_grammar(name: str) -> None:
    assert not is_codec(name)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("codec: [SQ8]", "unknown key 'codec': the nearest is 'codecs'"),
        ("m: [8]", "unknown key 'm': the nearest is 'M'"),
        ("1: [8]", "unknown key 1: valid are name, M, ef_construction"),
        ("codecs: [SQ9]", "codecs: unknown codec 'SQ9': the nearest is 'SQ8'"),
        ("codecs: [sq8]", "the nearest is 'SQ8'"),
        ("codecs: [PQ64]", "unknown codec 'PQ64': the nearest is 'PQ64x8'"),
        ("codecs: [rabitq4]", "the nearest is 'RaBitQ4'"),
        ("codecs: [zzz]", "valid are fp32, fp16"),
        ("codecs: [8]", "unknown codec 8"),
        ("codecs: SQ8", "'SQ8' is not a list: write [SQ8]"),
        ("codecs: []", "the list is empty"),
        ("codecs: [SQ8, SQ4, SQ8]", "'SQ8' is listed twice"),
        ("M: [1, 8]", "M: 1 is out of range: give one from 2 to 128"),
        ("M: [8, 129]", "M: 129 is out of range"),
        ("M: [8.5]", "8.5 is not a whole number"),
        ("M: [true]", "True is not a whole number"),
        ("M: [8, 8]", "8 is listed twice"),
        ("M: 8", "8 is not a list: write [8]"),
        ("M:", "None is not a list"),
        ("ef_construction: 7", "ef_construction: 7 is out of range: give one from 8"),
        ("ef_construction: high", "'high' is not a whole number"),
        ("ef_search_max: 4", "4 is out of range"),
        ("cuts: [0]", "0 is out of range: give a share of the dimensions in (0, 1]"),
        ("cuts: [1.2]", "1.2 is out of range"),
        ("cuts: [.nan]", "nan is out of range"),
        ("cuts: [1, 1.0]", "1.0 is listed twice"),
        ("cuts: [half]", "'half' is not a number"),
        ("cut_kinds: [truncated]", "unknown 'truncated': the nearest is 'truncate'"),
        ("rerank_stores: [PQ8x8]", "rerank_stores: unknown 'PQ8x8'"),
        ("rerank_factors: [0]", "0 is out of range"),
        ("name: 5", "5 is not a name"),
        ("- SQ8\n- SQ4", "holds a list, not keys"),
        ("just words", "holds a str, not keys"),
        ("M: [8\ncodecs: [SQ8]", "is not valid YAML at line 2"),
        ("M: 2024-13-45", "is not valid YAML"),
        ("M: \x07", "is not valid YAML"),
        ("M: !!python/name:os.system", "is not valid YAML"),
    ],
)
def test_each_mistake_has_its_sentence(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(InputError) as caught:
        _load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path / 'mine.yaml'}: ")
    assert sentence in str(caught.value)


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    for name, sentence in {
        "latin.yaml": "is not UTF-8",
        "no.yaml": "No such file",
        "": "Is a directory",
    }.items():
        with pytest.raises(InputError, match=sentence):
            load_space(tmp_path / name)
