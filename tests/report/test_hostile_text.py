"""Reports of hostile names: a file name or a report.json from elsewhere writes no line of its own."""

from __future__ import annotations

import ast
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
import yaml
from gated import Gate
from rich.console import Console
from test_report import EXACT, NOT_REACHED, REACHED

from tuner.engines import EngineConfig
from tuner.report import engines, result_from_json, result_to_json, result_to_markdown, show_result
from tuner.report.gate import error_annotation, error_junit, to_annotations, to_json, to_junit, to_markdown
from tuner.report.recommended import recommended_yaml
from tuner.types import Cause, EngineDiagnosis, Line, Recall, Result

LINE_ENDS = ("\n", "\r", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\x00", "\x1b")
PLANTED = ("import os; os.system('id')", "::set-output name=a::b", "evil: yes", "# evil", "<script>")
HOSTILE = "a" + "".join(end + text for end in LINE_ENDS for text in PLANTED)
FILE = HOSTILE + ".npy"


def planted(result: Result, text: str) -> Result:
    """A report with one text for every free text in it."""
    answer = result.recommendation
    return replace(
        result,
        profile=replace(result.profile, source=text + ".npy", metric_reason=text, fingerprint=text),
        queries=replace(result.queries, source=text + ".npy", fingerprint=text),
        recommendation=None if answer is None else replace(answer, sentence=text),
        baseline=None if result.baseline is None else replace(result.baseline, name=text),
        options=replace(result.options, space=replace(result.options.space, name=text)),
        ceilings=tuple(replace(each, excluded=text) for each in result.ceilings),
        cost=replace(result.cost, stages=tuple(replace(each, name=text) for each in result.cost.stages)),
        machine={text: text},
        versions={"tuner": text, text: text},
        warnings=(text,),
        advice=(text,),
        created=text,
    )


def hostile(result: Result) -> Result:
    return planted(result, HOSTILE)


def assert_harmless(text: str) -> None:
    """No line begins with what was planted, by anybody's idea of a line."""
    assert not [line for line in text.splitlines() if line.strip("#>-*| ").startswith(PLANTED)]
    assert not set(text) & set(LINE_ENDS[1:])


RESULTS = {"reached": REACHED, "not_reached": NOT_REACHED, "exact": EXACT}


@pytest.mark.parametrize("status", RESULTS)
def test_the_markdown_report(status: str) -> None:
    text = result_to_markdown(hostile(RESULTS[status]))
    assert_harmless(text)
    assert "<script>" not in "".join(text.split("`")[::2])
    assert text.count("\n") == result_to_markdown(planted(RESULTS[status], "a")).count("\n")


def test_the_code_in_it_names_the_file_to_the_letter() -> None:
    text = result_to_markdown(hostile(REACHED))
    code = ast.parse(text.split("```python\n")[1].split("```")[0])
    assert [node for node in ast.walk(code) if isinstance(node, ast.Constant) and node.value == FILE]
    assert not [node for node in ast.walk(code) if isinstance(node, ast.Attribute) and node.attr == "system"]


@pytest.mark.parametrize("status", ["reached", "exact"])
def test_the_recommendation(status: str) -> None:
    text, honest = recommended_yaml(hostile(RESULTS[status])), recommended_yaml(RESULTS[status])
    assert text is not None
    assert honest is not None
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert len(comments) >= len([line for line in honest.splitlines() if line.startswith("#")])
    found, wanted = yaml.safe_load(text), yaml.safe_load(honest)
    del found["data"]["fingerprint"], wanted["data"]["fingerprint"]
    assert found == wanted


@pytest.mark.parametrize("status", RESULTS)
def test_the_screen(status: str) -> None:
    out = io.StringIO()
    show_result(hostile(RESULTS[status]), Console(file=out, width=10_000))
    assert_harmless("\n".join(line.rstrip() for line in out.getvalue().split("\n")))


def test_json_escapes_what_it_holds_and_is_read_to_the_letter() -> None:
    written = result_to_json(hostile(REACHED))
    assert json.loads(written)["profile"]["source"] == FILE
    assert result_from_json(written).profile.source == FILE


def test_a_check_for_other_programs(gate: Gate) -> None:
    found = replace(
        gate.check(), lines=(Line(HOSTILE, "fail", HOSTILE), Line(HOSTILE, "warn", HOSTILE)), label=HOSTILE
    )
    for written in (to_junit(found), error_junit(HOSTILE)):
        assert_harmless("\n".join(filter(None, ET.fromstring(written).itertext())))  # noqa: S314 - our own
    page = to_markdown(found)
    assert_harmless(page)
    assert page.count("\n") == 6
    assert "<script>" not in page
    for command in (*to_annotations(found, FILE), error_annotation(HOSTILE, FILE)):
        assert len(command.splitlines()) == 1
        assert not set(command) & set(LINE_ENDS)
    assert json.loads(to_json(found))["label"] == HOSTILE


def test_a_diagnosis_in_an_engine() -> None:
    config = EngineConfig(
        engine="x", codec="f", d=8, metric="l2", k=1, M=4, ef_construction=9, ef_search=9, variant=HOSTILE
    )
    cause = Cause(name="graph", share=0.1, text=HOSTILE)
    recall = Recall(mean=0.9, lower=0.8, p5=0.5, share_below_half=0.0, n_queries=9)
    found = EngineDiagnosis(
        engine="x", settings=replace(config, codec=HOSTILE), version=HOSTILE, target=0.95, n_queries=9,
        recall=recall, healthy=False, first=cause, causes=(cause,), index_bytes=1, prescriptions=(),
        notes=(HOSTILE,), machine={}, created="",
    )  # fmt: skip
    page = engines.diagnosis_to_markdown(found)
    assert_harmless(page)
    assert "<script>" not in page
