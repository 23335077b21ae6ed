"""Exported files, letter by letter, and what is refused before a vendor's model sees it."""

from __future__ import annotations

import ast
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from tuner.engines import Claims, EngineConfig, Exported, find_engine, problems
from tuner.engines.export import read_exported, render, suffix, write_exported
from tuner.engines.registry import OURS
from tuner.errors import InputError
from tuner.types import Metric

tomllib = pytest.importorskip("tomllib")  # from Python 3.11 on
ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "engines"
PERMISSIVE = tuple(
    name for name in OURS if find_engine(name).open is not None and not find_engine(name).capabilities.licence
)


def config(name: str) -> EngineConfig:
    """The codec nearest to one byte a dimension, and re-scoring where there is some."""
    can = find_engine(name).capabilities
    fitting = [each for each in can.codecs if "cosine" in each.metrics and 256 % each.multiple_of == 0]
    codec = min(fitting, key=lambda each: (not each.oversampling, abs(each.bits - 8)))
    over = min(4, can.oversampling[1]) if codec.oversampling else 1
    return EngineConfig(
        engine=name,
        codec=codec.name,
        d=256,
        metric="cosine",
        k=10,
        M=min(max(16, can.M[0]), can.M[1]),
        ef_construction=max(100, can.ef_construction[0]),
        ef_search=max(120, can.ef_search[0]),
        oversampling=over,
    )


def second_config(name: str, metric: Metric) -> EngineConfig:
    """Numbers that differ from the first file's, and from each other, by the widest codec."""
    can = find_engine(name).capabilities
    return replace(
        config(name),
        codec=can.codecs[0].name,
        metric=metric,
        M=24 if can.M[1] >= 24 else 6,
        ef_construction=150,
        ef_search=340,
        oversampling=1,
    )


def claims(*, in_engine: bool) -> Claims:
    return Claims(
        target=0.95,
        recall=0.9632,
        recall_lower=0.9571,
        n_queries=750,
        n=50_000,
        index_bytes=23_456_789,
        data="base.npy",
        label="HNSW16,SQ8",
        measured_in="faiss 1.15.1",
        in_engine=in_engine,
        created="2026-11-23T12:00:00+00:00",
        queries="0123456789abcdef",
        tuner="0.0",
    )


@pytest.mark.parametrize("name", OURS)
def test_the_exported_file_is_the_golden_one(name: str) -> None:
    engine = find_engine(name)
    text = render(engine, Exported(settings=config(name), claims=claims(in_engine=False)))
    assert_golden(GOLDEN / f"{name}{suffix(engine)}.txt", text)  # a .py would be a module to mypy


def others() -> list[tuple[str, Metric]]:
    """Engines with each metric that the first file is not for."""
    names: tuple[Metric, ...] = ("ip", "l2")
    return [
        (name, metric)
        for name in OURS
        for metric in names
        if metric in find_engine(name).capabilities.metrics
    ]


@pytest.mark.parametrize(("name", "metric"), others())
def test_other_numbers_and_metrics_have_golden_files_too(name: str, metric: Metric) -> None:
    """So that no number is a constant, and no metric another's."""
    engine = find_engine(name)
    text = render(engine, Exported(settings=second_config(name, metric), claims=claims(in_engine=False)))
    assert_golden(GOLDEN / f"{name}.{metric}{suffix(engine)}.txt", text)


def assert_golden(path: Path, text: str) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_every_golden_file_belongs_to_an_engine() -> None:
    first = [f"{name}{suffix(find_engine(name))}.txt" for name in OURS]
    second = [f"{name}.{metric}{suffix(find_engine(name))}.txt" for name, metric in others()]
    assert sorted(path.name for path in GOLDEN.iterdir()) == sorted([*first, *second])


@pytest.mark.parametrize("name", OURS)
def test_what_was_not_verified_says_so_in_the_file(name: str) -> None:
    engine = find_engine(name)
    text = render(engine, Exported(settings=config(name), claims=claims(in_engine=False)))
    unseen = "NOT verified on a running server" if engine.open is None else "NOT verified in "
    assert unseen in text
    assert unseen not in render(engine, Exported(settings=config(name), claims=claims(in_engine=True)))


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize(
    ("field", "value"), [("M", -5), ("ef_construction", 0), ("ef_search", 0), ("oversampling", 0), ("d", 0)]
)
def test_a_number_out_of_range_is_refused_by_name(name: str, field: str, value: int) -> None:
    changed: dict[str, Any] = {field: value}
    wrong = replace(config(name), **changed)
    assert any(
        sentence.startswith(f"{field} is {value}, and it takes")
        for sentence in problems(find_engine(name), wrong)
    )
    with pytest.raises(InputError, match=f"{field} is {value}"):
        render(find_engine(name), Exported(settings=wrong, claims=claims(in_engine=False)))


@pytest.mark.parametrize("name", OURS)
def test_a_codec_that_is_not_there_is_refused(name: str) -> None:
    wrong = replace(config(name), codec="rq3")
    assert problems(find_engine(name), wrong)[0].startswith("it has no codec 'rq3': it has ")


@pytest.mark.parametrize("name", OURS)
def test_capabilities_are_whole(name: str) -> None:
    engine = find_engine(name)
    can = engine.capabilities
    usual = EngineConfig(
        engine=name,
        codec=can.defaults.codec,
        d=384,
        metric=can.metrics[0],
        k=10,
        M=can.defaults.M,
        ef_construction=can.defaults.ef_construction,
        ef_search=max(10, can.defaults.ef_search),
        oversampling=can.defaults.oversampling,
    )
    assert problems(engine, usual) == []
    assert can.name == name
    assert can.tested
    assert can.bytes_are
    assert can.codecs[0].bits == 32
    assert len({codec.name for codec in can.codecs}) == len(can.codecs)


LINE_ENDS = ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00")
PLANTED = ("import os; os.system('id')", "DROP TABLE items; --")
HOSTILE = "a" + "".join(end + text for end in LINE_ENDS for text in PLANTED)


def hostile_claims() -> Claims:
    """Claims whose every text ends a comment and goes on in the engine's language."""
    honest = claims(in_engine=False)
    texts = [each.name for each in fields(honest) if isinstance(getattr(honest, each.name), str)]
    return replace(honest, **dict.fromkeys(texts, HOSTILE))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", OURS)
def test_no_text_of_a_report_becomes_code(name: str, tmp_path: Path) -> None:
    engine = find_engine(name)
    path = tmp_path / f"x{suffix(engine)}"
    write_exported(engine, Exported(settings=config(name), claims=hostile_claims()), path)
    text = path.read_bytes().decode()
    begun = [line for line in text.splitlines() if line.lstrip().startswith(PLANTED)]
    assert not begun
    assert PLANTED[1] in text
    if path.suffix == ".py":
        honest = ast.parse(render(engine, Exported(settings=config(name), claims=claims(in_engine=False))))
        assert ast.dump(ast.parse(text)) == ast.dump(honest)
    assert read_exported(path)[1].settings == config(name)


@pytest.mark.parametrize("name", ["pgvector", "faiss", "qdrant", "lucene"])
@pytest.mark.parametrize("planted", ["\x0b", "\x1b[2J", "\u2028", "\\n"])
def test_a_file_with_control_characters_is_refused(name: str, planted: str, tmp_path: Path) -> None:
    engine = find_engine(name)
    text = render(engine, Exported(settings=config(name), claims=claims(in_engine=False)))
    path = tmp_path / "x"
    path.write_text(text.replace("base.npy", f"base{planted}DROP TABLE items;"), encoding="utf-8", newline="")
    with pytest.raises(InputError, match="holds control characters"):
        read_exported(path)
    path.write_text(text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    assert read_exported(path)[1].claims == claims(in_engine=False)


def extras() -> dict[str, list[str]]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, list[str]] = project["optional-dependencies"]
    return found


@pytest.mark.parametrize("name", [name for name in OURS if name not in ("faiss", "hnswlib")])
def test_an_extra_of_the_engines_name_brings_what_it_says(name: str) -> None:
    assert set(extras().get(name, [])) == set(find_engine(name).capabilities.packages)


def test_the_extra_engines_brings_those_with_open_licences() -> None:
    found = extras()["engines"][0]
    brought = set(found.removeprefix("vector-index-tuner[").removesuffix("]").split(","))
    assert brought == {name for name in PERMISSIVE if name not in ("faiss", "hnswlib")}
    assert "redis" not in brought


@pytest.mark.parametrize("name", ["pgvector", "elasticsearch"])
def test_a_file_of_distinct_rows_says_what_the_application_has_to_do(name: str, tmp_path: Path) -> None:
    engine, made = find_engine(name), Exported(settings=config(name), claims=claims(in_engine=False))
    text = render(engine, made)
    assert "n_copies" not in text
    assert "distinct" not in text
    collapsed = replace(made, claims=replace(made.claims, n_copies=1_234))
    path = tmp_path / f"index{suffix(engine)}"
    write_exported(engine, collapsed, path)
    text = path.read_text()
    assert "measured on distinct rows: 1,234 that repeat one of them are in no index" in text
    assert "keep the ids of its copies in the application" in text
    assert read_exported(path) == (engine, collapsed)


@pytest.mark.parametrize("name", ["pgvector", "hnswlib"])
def test_a_file_of_a_run_with_keys_of_text_says_so(name: str, tmp_path: Path) -> None:
    made = Exported(settings=config(name), claims=claims(in_engine=False))
    assert "text_ids" not in render(find_engine(name), made)
    keyed = replace(made, claims=replace(made.claims, text_ids=True))
    assert "your ids are text: give what holds them that type" in render(find_engine(name), keyed)
    write_exported(find_engine(name), keyed, tmp_path / "x")
    assert read_exported(tmp_path / "x")[1] == keyed
